// The state of a checkpoint of others: what has to be fetched of it, and how it is staged.
#include "node/pbft/digests.h"
#include "storage/store_impl.h"

namespace pbft::storage {

// The digests of what is there now: the tree, and what changed since the last checkpoint.
Result<Present> Store::Impl::present() const {
  Present made{{}, {}, tree.leaves()};
  auto visited = visit_changes([&](const Before& before, const std::optional<Bytes>& now) {
    made.changes.add(interval.value, before.name);
    const std::uint32_t bucket = DigestTree::bucket_of(before.name);
    const auto [at, fresh] = made.touched.try_emplace(bucket);
    if (const LtHash* hash = tree.bucket(bucket); fresh && hash != nullptr) at->second = *hash;
    const Namespace name_space = space_of(before.name);
    const BytesView key = key_of(before.name);
    if (before.value) at->second.remove(pair_element(name_space, key, *before.value));
    if (now) at->second.add(pair_element(name_space, key, *now));
  });
  if (!visited) return tl::unexpected(visited.error());
  for (const auto& [bucket, hash] : made.touched) made.leaves[bucket] = leaf_digest(hash);
  return made;
}

Result<std::vector<std::uint32_t>> Store::plan_transfer(const CheckpointSummary& target,
                                                        const std::vector<Digest>& leaves) {
  Impl& impl = *impl_;
  impl.transfer.reset();
  if (impl.failure) return tl::unexpected(*impl.failure);
  if (leaves.size() != DigestTree::bucket_count || tree_root(leaves) != target.state) {
    return impl.refuse("the digests of the buckets do not give the state of checkpoint " +
                       std::to_string(target.n.value));
  }
  if (impl.damage && !impl.rebuilt) {
    if (auto rebuilt = impl.rebuild(); !rebuilt) return tl::unexpected(rebuilt.error());
  }
  auto present = impl.present();
  if (!present) return tl::unexpected(present.error());
  auto staged = staged_heads(impl.view());
  if (!staged) return tl::unexpected(staged.error());
  // A difference to something that is not there any more is of no use.
  WriteBatch batch;
  for (const auto& [bucket, head] : *staged) {
    if (head.base != present->leaves[bucket]) unstage(batch, bucket);
  }
  std::erase_if(*staged, [&](const auto& one) { return one.second.base != present->leaves[one.first]; });
  if (!batch.operations.empty()) {
    if (auto written = impl.write(batch, Sync::no); !written) return tl::unexpected(written.error());
  }
  impl.transfer = std::make_unique<Transfer>(target, leaves, std::move(*present), std::move(*staged));
  return impl.transfer->missing();
}

Result<std::vector<PairHash>> Store::bucket_hashes(std::uint32_t bucket) {
  Impl& impl = *impl_;
  if (!impl.transfer || bucket >= DigestTree::bucket_count) return std::vector<PairHash>{};
  return impl.transfer->hashes(impl.view(), bucket);
}

// The write needs no sync: that of the installation's beginning comes after it, and before it a bucket that is lost is
// fetched again.
Result<BucketStaged> Store::stage_bucket(const BucketPart& part) {
  Impl& impl = *impl_;
  if (impl.failure) return tl::unexpected(*impl.failure);
  BucketStaged report;
  report.n = part.n;
  report.bucket = part.bucket;
  report.outcome = BucketStaged::Outcome::wrong;
  report.pairs = static_cast<std::uint32_t>(part.pairs.size());
  for (const StatePair& pair : part.pairs) report.bytes += pair.key.size() + pair.value.size();
  if (!impl.transfer) return report;
  auto outcome = impl.transfer->add(impl.view(), part);
  if (!outcome) return tl::unexpected(outcome.error());
  report.outcome = outcome->outcome;
  if (report.outcome == BucketStaged::Outcome::whole) {
    if (auto written = impl.write(outcome->whole, Sync::no); !written) return tl::unexpected(written.error());
    impl.transfer->staged(part.bucket);
  }
  return report;
}

}  // namespace pbft::storage
