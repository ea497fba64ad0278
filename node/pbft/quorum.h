// How many are enough, for any n >= 1 (pitfall of many systems: 2f+1 is a quorum only where n = 3f+1).
// Pure values; any thread.
#pragma once

#include <cassert>
#include <cstdint>

#include "node/pbft/types.h"

namespace pbft {

class Quorum {
 public:
  constexpr explicit Quorum(std::uint32_t replicas) : n_(replicas), f_((replicas - 1) / 3), quorum_((n_ + f_ + 2) / 2) {
    assert(n_ >= 1);
    assert(2 * quorum_ - n_ >= f_ + 1);  // any two quorums share a correct replica
    assert(quorum_ <= n_ - f_);          // the correct replicas are a quorum
  }

  [[nodiscard]] constexpr std::uint32_t replicas() const { return n_; }
  [[nodiscard]] constexpr std::uint32_t faults() const { return f_; }       // f = floor((n - 1) / 3)
  [[nodiscard]] constexpr std::uint32_t quorum() const { return quorum_; }  // Q = ceil((n + f + 1) / 2)
  [[nodiscard]] constexpr std::uint32_t weak() const { return f_ + 1; }     // at least one of them is correct
  [[nodiscard]] constexpr ReplicaId primary(View view) const {
    return ReplicaId{static_cast<std::uint32_t>(view.value % n_)};
  }
  [[nodiscard]] constexpr bool is_replica(ReplicaId id) const { return id.value < n_; }

 private:
  std::uint32_t n_;
  std::uint32_t f_;
  std::uint32_t quorum_;
};

}  // namespace pbft
