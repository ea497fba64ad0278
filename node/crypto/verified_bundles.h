// Which bundles' signatures were found right here lately, so that a bundle that comes again (from its client, in a
// FORWARD, in a PRE-PREPARE) costs a hash and no second verification. Bounded; the oldest entry goes first. Only what
// held is in it: what did not hold would let anybody push the rest out. Not thread-safe.
#pragma once

#include <deque>
#include <set>

#include "node/pbft/messages.h"

namespace pbft::crypto {

class VerifiedBundles {
 public:
  static constexpr std::size_t capacity = 4096;

  // Names the claim that this proof is right for this digest and this client.
  [[nodiscard]] static Digest key(const Bundle& bundle);

  [[nodiscard]] bool contains(const Digest& key) const { return keys_.contains(key); }
  void add(const Digest& key);
  [[nodiscard]] std::size_t size() const { return keys_.size(); }

 private:
  std::set<Digest> keys_;
  std::deque<Digest> order_;  // oldest first
};

}  // namespace pbft::crypto
