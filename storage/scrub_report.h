// What a scrub has found.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "node/pbft/messages.h"

namespace pbft::storage {

// Something of the state is not what it should be: pairs from `first` to `last`, both included (last empty: nobody can
// say how far), or a bucket as a whole.
struct Damage {
  Namespace name_space = Namespace::state;
  Bytes first;
  Bytes last;
  std::optional<std::uint32_t> bucket;
  std::string what;
};

struct ScrubReport {
  double share = 0;  // of the current pass that is done
  std::uint64_t passes = 0;
  std::vector<Damage> damage;  // found by this call
};

}  // namespace pbft::storage
