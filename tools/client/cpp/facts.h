// What the subprotocols of the client share about the cluster.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "tools/client/cpp/pbft/client_core.h"

namespace pbft::client {

inline constexpr std::uint64_t never = std::numeric_limits<std::uint64_t>::max();

struct Facts {
  std::size_t n = 1;
  [[nodiscard]] std::size_t f() const { return (n - 1) / 3; }
  [[nodiscard]] std::size_t weak_quorum() const { return f() + 1; }
  [[nodiscard]] std::size_t quorum() const { return (n + f() + 2) / 2; }  // ceil((n + f + 1) / 2)
  [[nodiscard]] ReplicaId primary(View view) const {
    return ReplicaId{static_cast<std::uint32_t>(view.value % n)};
  }
};

inline std::uint64_t saturating_add(std::uint64_t a, std::uint64_t b) { return b > never - a ? never : a + b; }

// The interval between resends: doubled each time, up to eight times the first one.
inline std::uint64_t backed_off(std::uint64_t interval, const CoreOptions& options) {
  return std::min(saturating_add(interval, interval), options.retransmit_us * 8);
}

}  // namespace pbft::client
