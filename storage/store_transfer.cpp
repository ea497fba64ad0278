// The state of a checkpoint of others: what has to be fetched of it, and how it is staged.
#include "node/pbft/digests.h"
#include "storage/store_impl.h"

namespace pbft::storage {

// The digests of what is there now: the tree, and what changed since the last checkpoint.
Result<Present> Store::Impl::present() const {
  Present made{{}, {}, tree.leaves(), &tree};
  auto visited = visit_changes([&](const Before& before, const std::optional<Bytes>& now) {
    made.changes.add(interval.value, before.name);
    const std::uint32_t bucket = DigestTree::bucket_of(before.name);
    const auto [at, fresh] = made.touched.try_emplace(bucket);
    if (const LtHash* hash = tree.bucket(bucket); fresh && hash != nullptr) at->second = *hash;
    replace_pair(at->second, before.name, before.value, as_view(now));
  });
  if (!visited) return tl::unexpected(visited.error());
  for (const auto& [bucket, hash] : made.touched) made.leaves[bucket] = leaf_digest(hash);
  return made;
}

// Whether the difference that is staged leads from the present bucket to the digest that it was staged for. What an
// earlier process has staged is trusted as little as what a peer sends.
Result<bool> Store::Impl::leads_to_leaf(std::uint32_t bucket, const StagedHead& head, const Present& present) const {
  const LtHash* found = present.find(bucket);
  LtHash hash = found != nullptr ? *found : LtHash{};
  bool all_here = true;
  auto visited = visit_staged(view(), bucket, [&](BytesView name, std::optional<BytesView> value) -> Result<void> {
    all_here = all_here && DigestTree::bucket_of(name) == bucket;
    const auto own = view().now(name);
    if (!own) return tl::unexpected(own.error());
    replace_pair(hash, name, as_view(*own), value);
    return {};
  });
  if (!visited) return tl::unexpected(visited.error());
  const auto noted = staged_hash(view(), bucket);
  if (!noted) return tl::unexpected(noted.error());
  return all_here && leaf_digest(hash) == head.leaf && leaf_digest(*noted) == head.leaf;
}

// Drops what is staged and of no use: a difference to something that is not there any more, and, once in the life of a
// process, what does not give what it was staged for, or has lost its head.
Result<void> Store::Impl::sift_staged(std::map<std::uint32_t, StagedHead>& staged, const Present& present) {
  bool all_of_use = staged_checked;
  for (auto at = staged.begin(); at != staged.end();) {
    const auto& [bucket, head] = *at;
    bool of_use = head.base == present.leaves[bucket];
    if (of_use && !staged_checked) {
      const auto sound = leads_to_leaf(bucket, head, present);
      if (!sound) return tl::unexpected(sound.error());
      of_use = *sound;
    }
    all_of_use = all_of_use && of_use;
    at = of_use ? std::next(at) : staged.erase(at);
  }
  staged_checked = true;
  if (all_of_use) return {};
  WriteBatch batch;
  unstage_all_but(batch, staged);
  return write(batch, Sync::no);
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
  if (auto finished = impl.finish_checkpoint(); !finished) return tl::unexpected(finished.error());
  if (!impl.unwritten.empty()) {
    WriteBatch batch;
    if (auto done = impl.write_changes(batch); !done) return tl::unexpected(done.error());
  }
  auto present = impl.present();
  if (!present) return tl::unexpected(present.error());
  auto staged = staged_heads(impl.view());
  if (!staged) return tl::unexpected(staged.error());
  if (auto sifted = impl.sift_staged(*staged, *present); !sifted) return tl::unexpected(sifted.error());
  impl.transfer =
      std::make_unique<Transfer>(target, leaves, std::move(*present), std::move(*staged), impl.options.write_bytes);
  return impl.transfer->missing();
}

Result<std::vector<PairHash>> Store::bucket_hashes(std::uint32_t bucket, std::uint32_t skip) {
  Impl& impl = *impl_;
  if (!impl.transfer || bucket >= DigestTree::bucket_count) return std::vector<PairHash>{};
  return impl.transfer->hashes(impl.view(), bucket, skip);
}

// The writes need no sync: that of the installation's beginning comes after it, and before it a bucket that is lost is
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
  const auto added =
      impl.transfer->add(impl.view(), part, [&](const WriteBatch& batch) { return impl.write(batch, Sync::no); });
  if (!added) return tl::unexpected(added.error());
  report.outcome = added->outcome;
  report.replaced = added->replaced;
  return report;
}

}  // namespace pbft::storage
