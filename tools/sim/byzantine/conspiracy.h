// What the lying replicas of a run agree on among themselves.
#pragma once

#include <cstdint>
#include <map>
#include <utility>

#include "node/pbft/types.h"
#include "tools/sim/random.h"

namespace pbft::sim {

class Conspiracy {
 public:
  explicit Conspiracy(std::uint64_t seed) : seed_(seed) {}

  // The replicas are cut in two in each view: the liars tell these the one and those the other.
  [[nodiscard]] bool other_half(View view, ReplicaId replica) const {
    std::uint64_t state = seed_ ^ (view.value * 64 + replica.value);
    return (splitmix(state) & 1) != 0;
  }

  // What the other half was told instead of the batch that the primary's own core proposed.
  void split(View view, SequenceNumber n, const Digest& other) { splits_.try_emplace({view, n}, other); }
  [[nodiscard]] const Digest* other(View view, SequenceNumber n) const {
    const auto found = splits_.find({view, n});
    return found == splits_.end() ? nullptr : &found->second;
  }

 private:
  const std::uint64_t seed_;
  std::map<std::pair<View, SequenceNumber>, Digest> splits_;
};

}  // namespace pbft::sim
