// What makes a bundle its client's: a kind byte and then one MAC per replica, or a signature. And what a replica's
// signature under a message covers.
#pragma once

#include "node/crypto/authenticator.h"
#include "node/crypto/mac_keys.h"
#include "node/crypto/tagged_bytes.h"

namespace pbft::crypto {

enum class ProofKind : std::uint8_t { macs = Bundle::mac_proof, signature = Bundle::signature_proof };

// Nothing for an empty proof or a kind that does not exist.
[[nodiscard]] std::optional<ProofKind> proof_kind(BytesView proof);
[[nodiscard]] constexpr std::size_t mac_proof_size(std::size_t replicas) {
  return 1 + replicas * Mac::size;
}
[[nodiscard]] constexpr std::size_t signature_proof_size() {
  return 1 + Signature::size;
}

// What each MAC of a broadcast covers: the packet's digest, so that a long one is read once and not for each receiver.
[[nodiscard]] TaggedBytes broadcast_mac_bytes(BytesView packet);
[[nodiscard]] TaggedBytes bundle_mac_bytes(const Roster& roster, const Digest& bundle);
[[nodiscard]] TaggedBytes bundle_signature_bytes(const Roster& roster, const Digest& bundle);
[[nodiscard]] TaggedBytes signed_message_bytes(const Roster& roster, BytesView body);

[[nodiscard]] Bytes make_mac_proof(const Roster& roster, const std::vector<std::optional<PairKeys>>& replicas,
                                   const Digest& bundle);
[[nodiscard]] Bytes make_signature_proof(const Roster& roster, const SignatureScheme& scheme, const Identity& signer,
                                         const Digest& bundle);

}  // namespace pbft::crypto
