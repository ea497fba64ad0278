#include "tools/sim/byzantine/batches.h"

#include <algorithm>

#include "node/pbft/digests.h"
#include "node/wire/codec.h"
#include "tools/sim/kv_language.h"

namespace pbft::sim {

BatchPtr make_batch(Timestamp time, std::vector<BundlePtr> bundles) {
  if (bundles.empty()) return null_batch();
  const Digest digest = batch_digest(time, bundles);
  return std::make_shared<const Batch>(Batch{time, std::move(bundles), digest});
}

BatchPtr other_batch(const Batch& batch, const BundlePtr& spare, Random& random) {
  std::vector<BundlePtr> bundles = batch.bundles;
  Timestamp time = batch.time;
  const std::uint64_t how = random.below(4);
  if (how == 0 && bundles.size() > 1) {
    bundles.resize(random.between(1, bundles.size() - 1));
  } else if (how == 1 && bundles.size() > 1) {
    std::reverse(bundles.begin(), bundles.end());
  } else if (how == 2 && spare != nullptr) {
    bundles.push_back(spare);
  } else {
    time = Timestamp{time.value + random.between(1, 1'000)};
  }
  return make_batch(time, std::move(bundles));
}

BundlePtr break_proof(const Bundle& bundle, std::uint64_t replica) {
  Bundle broken = bundle;
  Bytes proof{bundle.proof.view().begin(), bundle.proof.view().end()};
  const std::size_t at = bundle.is_signed() ? 1 + replica : 1 + replica * Mac::size;
  if (at < proof.size()) proof[at] ^= 1;
  broken.proof = SharedBytes::own(std::move(proof));
  return std::make_shared<const Bundle>(std::move(broken));
}

BundlePtr invent(const Bundle& like) {
  KvOperation put;
  put.kind = KvOperation::Kind::put;
  put.key = "invented";
  put.value = "by a liar";
  std::vector<Request> requests = like.requests;
  for (Request& request : requests) {
    if (request.kind == RequestKind::execute) request.operation = SharedBytes::own(put.bytes());
    request.number = request.number.next();
  }
  const auto made = wire::decode_bundle(
      SharedBytes::own(wire::encode_bundle_body(like.client, like.session, like.low, requests)), like.proof);
  return made ? *made : std::make_shared<const Bundle>(like);
}

}  // namespace pbft::sim
