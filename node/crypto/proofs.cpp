#include "node/crypto/proofs.h"

#include "node/pbft/digests.h"

namespace pbft::crypto {
namespace {

void append(Bytes& bytes, BytesView more) {
  bytes.insert(bytes.end(), more.begin(), more.end());
}

}  // namespace

std::optional<ProofKind> proof_kind(BytesView proof) {
  if (proof.empty() || proof[0] > static_cast<std::uint8_t>(ProofKind::signature)) return std::nullopt;
  return static_cast<ProofKind>(proof[0]);
}

TaggedBytes broadcast_mac_bytes(BytesView packet) {
  return TaggedBytes{"pbft/broadcast-mac/1"}.add(tagged_digest("pbft/broadcast/1", packet).view());
}

TaggedBytes bundle_mac_bytes(const Roster& roster, const Digest& bundle) {
  return TaggedBytes{"pbft/bundle-mac/1"}.add(roster.cluster.view()).add(roster.epoch).add(bundle.view());
}

TaggedBytes bundle_signature_bytes(const Roster& roster, const Digest& bundle) {
  return TaggedBytes{"pbft/bundle-signature/1"}.add(roster.cluster.view()).add(roster.epoch).add(bundle.view());
}

TaggedBytes signed_message_bytes(const Roster& roster, BytesView body) {
  return TaggedBytes{"pbft/signed/1"}.add(wire::protocol_version).add(roster.cluster.view()).add(body);
}

Bytes make_mac_proof(const Roster& roster, const std::vector<std::optional<PairKeys>>& replicas, const Digest& bundle) {
  const TaggedBytes data = bundle_mac_bytes(roster, bundle);
  Bytes proof;
  proof.reserve(mac_proof_size(replicas.size()));
  proof.push_back(static_cast<std::uint8_t>(ProofKind::macs));
  for (const std::optional<PairKeys>& keys : replicas) append(proof, (keys ? keys->to.mac(data.view()) : Mac{}).view());
  return proof;
}

Bytes make_signature_proof(const Roster& roster, const SignatureScheme& scheme, const Identity& signer,
                           const Digest& bundle) {
  const Signature signature = scheme.sign(signer, bundle_signature_bytes(roster, bundle).view());
  Bytes proof;
  proof.reserve(signature_proof_size());
  proof.push_back(static_cast<std::uint8_t>(ProofKind::signature));
  append(proof, signature.view());
  return proof;
}

}  // namespace pbft::crypto
