// What a measuring program does about an error of the store: it ends with it.
#pragma once

#include <stdexcept>
#include <type_traits>

#include "storage/engine.h"

namespace pbft {

template <class T>
T must(storage::Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

}  // namespace pbft
