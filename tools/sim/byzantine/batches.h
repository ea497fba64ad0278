// Batches that a lying primary makes out of an honest one.
#pragma once

#include <vector>

#include "node/pbft/messages.h"
#include "tools/sim/random.h"

namespace pbft::sim {

// With its digest.
[[nodiscard]] BatchPtr make_batch(Timestamp time, std::vector<BundlePtr> bundles);
// As valid as the given one, and another: some bundles fewer, in another order, one more, or a later time.
[[nodiscard]] BatchPtr other_batch(const Batch& batch, const BundlePtr& spare, Random& random);
// The same bundle with a part of its proof broken: with MACs that of one replica, else the signature.
[[nodiscard]] BundlePtr break_proof(const Bundle& bundle, std::uint64_t replica);
// A bundle that its client never made.
[[nodiscard]] BundlePtr invent(const Bundle& like);

}  // namespace pbft::sim
