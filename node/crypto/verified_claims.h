// Which signatures were found right here lately, so that what comes again costs a hash and no second verification: a
// bundle from its client, in a FORWARD, in a PRE-PREPARE; a CHECKPOINT in a proof; a VIEW-CHANGE in a NEW-VIEW.
// Bounded; the oldest entry goes first. Only what held is in it: what did not hold would let anybody push the rest out.
// Not thread-safe.
#pragma once

#include <deque>
#include <set>

#include "node/pbft/messages.h"

namespace pbft::crypto {

// Names the claim that this proof is right for this digest and this client.
[[nodiscard]] Digest bundle_claim(const Bundle& bundle);
// Names the claim that these bytes, a whole signed message, are signed by the holder of this key.
[[nodiscard]] Digest message_claim(const PublicKey& signer, BytesView bytes);

class VerifiedClaims {
 public:
  static constexpr std::size_t capacity = 4096;

  [[nodiscard]] bool contains(const Digest& claim) const { return claims_.contains(claim); }
  void add(const Digest& claim);
  [[nodiscard]] std::size_t size() const { return claims_.size(); }

 private:
  std::set<Digest> claims_;
  std::deque<Digest> order_;  // oldest first
};

}  // namespace pbft::crypto
