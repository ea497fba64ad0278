// Time arithmetic that the subprotocols of the client share. Times are microseconds; `never` is the end of time.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "node/pbft/quorum.h"
#include "tools/client/cpp/pbft/client_core.h"

namespace pbft::client {

inline constexpr std::uint64_t never = std::numeric_limits<std::uint64_t>::max();

inline std::uint64_t saturating_add(std::uint64_t a, std::uint64_t b) {
  return b > never - a ? never : a + b;
}

// The interval between resends: doubled each time, up to eight times the first one.
inline std::uint64_t backed_off(std::uint64_t interval, const CoreOptions& options) {
  return std::min(saturating_add(interval, interval), options.retransmit_us * 8);
}

}  // namespace pbft::client
