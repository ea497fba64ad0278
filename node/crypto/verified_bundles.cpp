#include "node/crypto/verified_bundles.h"

#include "node/pbft/digests.h"

namespace pbft::crypto {

Digest VerifiedBundles::key(const Bundle& bundle) {
  Bytes claim;
  claim.reserve(ClientId::size + Digest::size + bundle.proof.size());
  for (const BytesView part : {bundle.client.view(), bundle.digest.view(), bundle.proof.view()}) {
    claim.insert(claim.end(), part.begin(), part.end());
  }
  return tagged_digest("pbft/verified-bundle/1", claim);
}

void VerifiedBundles::add(const Digest& key) {
  if (!keys_.insert(key).second) return;
  order_.push_back(key);
  if (order_.size() <= capacity) return;
  keys_.erase(order_.front());
  order_.pop_front();
}

}  // namespace pbft::crypto
