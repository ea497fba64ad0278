#include "node/crypto/verified_claims.h"

#include "node/pbft/digests.h"

namespace pbft::crypto {
namespace {

Digest claim_of(std::string_view tag, std::initializer_list<BytesView> parts) {
  std::size_t size = 0;
  for (const BytesView part : parts) size += part.size();
  Bytes claim;
  claim.reserve(size);
  for (const BytesView part : parts) claim.insert(claim.end(), part.begin(), part.end());
  return tagged_digest(tag, claim);
}

}  // namespace

Digest bundle_claim(const Bundle& bundle) {
  return claim_of("pbft/verified-bundle/1", {bundle.client.view(), bundle.digest.view(), bundle.proof.view()});
}

Digest message_claim(const PublicKey& signer, BytesView bytes) {
  constexpr std::string_view tag = "pbft/verified-message/1";
  return claim_of(tag, {signer.view(), tagged_digest(tag, bytes).view()});  // so that no large message is copied
}

void VerifiedClaims::add(const Digest& claim) {
  if (!claims_.insert(claim).second) return;
  order_.push_back(claim);
  if (order_.size() <= capacity) return;
  claims_.erase(order_.front());
  order_.pop_front();
}

}  // namespace pbft::crypto
