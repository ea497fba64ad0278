// LtHash: a hash of a multiset. Elements are added and removed in any order, each at the same cost, and equal sets have
// equal values. 1024 lanes of 16 bits added lane by lane, from BLAKE2b-256 and ChaCha20 (after Bellare and Micciancio
// 1997, and Lewi et al. 2019). Collisions are as hard as a lattice problem with more than 200 bits of security.
#pragma once

#include <array>
#include <cstdint>

#include "node/pbft/types.h"

namespace pbft::storage {

class LtHash {
 public:
  static constexpr std::size_t lane_count = 1024;
  static constexpr std::size_t byte_size = lane_count * sizeof(std::uint16_t);

  // The value of the set with one element: ChaCha20's key stream under the element's digest.
  [[nodiscard]] static LtHash of(const Digest& element);
  // Lanes in little-endian order; `bytes` has byte_size of them.
  [[nodiscard]] static LtHash from_bytes(BytesView bytes);
  [[nodiscard]] BytesView bytes() const;

  // `other` is not *this.
  void add(const LtHash& other);
  void remove(const LtHash& other);
  [[nodiscard]] bool is_zero() const { return *this == LtHash{}; }  // the empty set
  friend bool operator==(const LtHash&, const LtHash&) = default;

 private:
  alignas(64) std::array<std::uint16_t, lane_count> lanes_{};
};

}  // namespace pbft::storage
