// The staged buckets become the state. They are their own redo log: the marker that begins it is durable before the
// first of them is applied, each may be applied again, and the write that ends it takes the marker away.
#include <algorithm>

#include "node/pbft/digests.h"
#include "node/wire/codec.h"
#include "storage/client_records.h"
#include "storage/store_impl.h"

namespace pbft::storage {
namespace {

// Gathers the pairs that differ. Names in any order.
class DifferenceOf {
 public:
  void add(BytesView name) {
    ++keys_;
    Bytes made{name.begin(), name.end()};
    if (keys_ == 1 || made < first_) first_ = made;
    if (keys_ == 1 || made > last_) last_ = std::move(made);
  }
  [[nodiscard]] std::optional<StateInstalled::Difference> take() const {
    if (keys_ == 0) return std::nullopt;
    const BytesView first = key_of(first_);
    const BytesView last = key_of(last_);
    return StateInstalled::Difference{
        space_of(first_), {first.begin(), first.end()}, {last.begin(), last.end()}, keys_};
  }

 private:
  std::uint64_t keys_ = 0;
  Bytes first_;
  Bytes last_;
};

bool equal(const std::optional<Bytes>& a, const std::optional<BytesView>& b) {
  return a.has_value() == b.has_value() && (!a || std::ranges::equal(*a, *b));
}

}  // namespace

// Of the own state at n from the staged one: of what is staged, and of what has changed since n.
Result<std::optional<StateInstalled::Difference>> Store::Impl::difference(
    SequenceNumber n, const std::map<std::uint32_t, StagedHead>& staged) const {
  const auto is_there = is_kept(n);
  if (!is_there) return tl::unexpected(is_there.error());
  if (!*is_there) return std::nullopt;
  const StateView now = view();
  const auto changes = now.changes_since(n);
  if (!changes) return tl::unexpected(changes.error());

  DifferenceOf found;
  const auto compare = [&](BytesView name, std::optional<BytesView> wanted, const std::optional<Bytes>& own) {
    if (!equal(own, wanted)) found.add(name);
  };
  std::set<Bytes> compared;
  for (const auto& [bucket, head] : staged) {
    const Changes::OfBucket& changed = changes->in(bucket);
    auto visited = visit_staged(now, bucket, [&](BytesView name, std::optional<BytesView> wanted) -> Result<void> {
      const auto at = changed.find(Bytes{name.begin(), name.end()});
      const auto own = at == changed.end() ? now.now(name) : now.before(at->second, name);
      if (!own) return tl::unexpected(own.error());
      if (at != changed.end()) compared.insert(at->first);
      compare(name, wanted, *own);
      return {};
    });
    if (!visited) return tl::unexpected(visited.error());
  }
  for (const auto& [bucket, changed] : changes->all()) {
    for (const auto& [name, first] : changed) {
      if (compared.contains(name)) continue;
      const auto own = now.before(first, name);
      if (!own) return tl::unexpected(own.error());
      const auto wanted = now.now(name);
      if (!wanted) return tl::unexpected(wanted.error());
      compare(name, *wanted ? std::optional<BytesView>{**wanted} : std::nullopt, *own);
    }
  }
  return found.take();
}

// The staged buckets that the plan wants; refused where one is not there, or was made for another state than the
// present.
Result<std::map<std::uint32_t, StagedHead>> Store::Impl::wanted(const Transfer& plan) const {
  const auto now = present();
  if (!now) return tl::unexpected(now.error());
  auto staged = staged_heads(view());
  if (!staged) return tl::unexpected(staged.error());
  std::map<std::uint32_t, StagedHead> needed;
  for (std::uint32_t bucket = 0; bucket < DigestTree::bucket_count; ++bucket) {
    const Digest& leaf = plan.leaves()[bucket];
    if (leaf == now->leaves[bucket]) continue;
    const auto found = staged->find(bucket);
    if (found == staged->end() || found->second.leaf != leaf || found->second.base != now->leaves[bucket]) {
      return refuse("bucket " + std::to_string(bucket) + " of checkpoint " + std::to_string(plan.target().n.value) +
                    " is not here");
    }
    needed.insert(*found);
  }
  return needed;
}

Result<StateInstalled> Store::install_state(const StableCheckpoint& proof, const CheckpointSummary& summary) {
  Impl& impl = *impl_;
  if (impl.failure) return tl::unexpected(*impl.failure);
  const PersistStable stable{proof, summary};
  const std::string name = "the state of checkpoint " + std::to_string(summary.n.value);
  if (!impl.transfer || impl.transfer->target() != summary) return impl.refuse(name + " was not planned for");
  if (proof.root != checkpoint_root(summary)) return impl.refuse(name + " is not what its proof says");
  if (auto checked = impl.check_stable(stable); !checked) return tl::unexpected(checked.error());
  const auto staged = impl.wanted(*impl.transfer);
  if (!staged) return tl::unexpected(staged.error());
  StateInstalled report;
  report.summary = summary;
  auto difference = impl.difference(summary.n, *staged);
  if (!difference) return tl::unexpected(difference.error());
  report.difference = std::move(*difference);

  if (auto begun = impl.begin_install(stable, *staged); !begun) return tl::unexpected(begun.error());
  if (auto finished = impl.finish_install(); !finished) {
    impl.give_up(finished.error());
    return tl::unexpected(finished.error());
  }
  const auto records = load_client_records(*this);
  if (!records) return tl::unexpected(records.error());
  report.clients = records->clients;
  report.sessions = recovered_sessions(*records);
  return report;
}

// Of the staged buckets those go that are not wanted: what is left is what an opening would have to install.
Result<void> Store::Impl::begin_install(const PersistStable& stable,
                                        const std::map<std::uint32_t, StagedHead>& staged) {
  WriteBatch batch;
  unstage_all_but(batch, staged);
  batch.put(Family::staging, installing_key(), encode_stable_record(stable));
  return write(batch, options.durability);
}

Result<void> Store::Impl::finish_install() {
  const auto marker = engine->get(Family::staging, installing_key());
  if (!marker) return tl::unexpected(marker.error());
  if (!*marker) return {};
  const auto stable = decode_stable_record(**marker);
  if (!stable) return corrupt("the marker of an installation cannot be read");
  transfer.reset();
  sessions.clear();
  scrub = {};
  if (auto loaded = load_tree(); !loaded) return loaded;
  const auto staged = staged_heads(view());
  if (!staged) return tl::unexpected(staged.error());
  for (const auto& [bucket, head] : *staged) {
    if (auto installed = install_bucket(bucket); !installed) return installed;
  }
  if (auto concluded = conclude_install(*stable, *staged); !concluded) return concluded;
  if (auto reclaimed = engine->reclaim(Family::staging); !reclaimed) return reclaimed;
  damage.reset();
  if (auto loaded = load_meta(); !loaded) return loaded;
  return load_state();
}

Result<void> Store::Impl::install_bucket(std::uint32_t bucket) {
  WriteBatch batch;
  std::size_t bytes = 0;
  auto visited = visit_staged(view(), bucket, [&](BytesView name, std::optional<BytesView> value) -> Result<void> {
    put_listed(batch, name, value);
    bytes += 2 * name.size() + (value ? value->size() : 0);
    if (bytes < options.write_bytes) return {};
    auto written = write(batch, Sync::no);
    batch.clear();
    bytes = 0;
    return written;
  });
  if (!visited) return visited;
  const auto hash = staged_hash(view(), bucket);
  if (!hash) return tl::unexpected(hash.error());
  put_row(batch, bucket, &*hash);
  return write(batch, Sync::no);
}

// The rest, in one write. Lists were those of the last checkpoint, rows of the tree of that or an earlier one: they
// follow what had changed since then.
Result<void> Store::Impl::conclude_install(const PersistStable& stable,
                                           const std::map<std::uint32_t, StagedHead>& staged) {
  const CheckpointSummary& summary = stable.summary;
  WriteBatch batch;
  const auto now = present();
  if (!now) return tl::unexpected(now.error());
  // Without undo no row may be of an earlier checkpoint.
  for (std::uint32_t bucket = 0; bucket < DigestTree::bucket_count; ++bucket) {
    if (staged.contains(bucket) || row_leaves[bucket] == now->leaves[bucket]) continue;
    put_row(batch, bucket, now->find(bucket));
  }
  batch.put(Family::meta, tree_rows_key, TreeRows{summary.n}.encode());
  ListChanges lists;
  auto listed = visit_changes([&](const Before& before, const std::optional<Bytes>& value) {
    const auto hash = value ? std::optional{hash_of(before.name, *value)} : std::nullopt;
    lists.add(DigestTree::bucket_of(before.name), before.name, hash);
  });
  if (!listed) return listed;
  lists.put_into(batch);
  batch.erase_all(Family::undo);
  batch.erase_all(Family::staging);
  batch.put(Family::meta, executed_key, encode_executed({summary.n, summary.time, summary.ledger_head}));
  batch.put(Family::meta, interval_key, number_key(summary.n.value));
  batch.erase(Family::meta, damaged_key);
  batch.erase(Family::checkpoints, own_summary_key(0), own_summary_key(UINT64_MAX));
  batch.put(Family::checkpoints, own_summary_key(summary.n.value), wire::encode_summary(summary));
  batch.put(Family::checkpoints, stable_key(), encode_stable_record(stable));
  if (auto replaced = replace_history(batch, summary); !replaced) return replaced;
  // Durable in any case: only then may the engine drop what was staged as a whole.
  return write(batch, Sync::durable);
}

// Promises up to n are kept by the checkpoint's proof. The own ledger stays where its head is the one that was
// certified, since then all of it is; else it ends, and begins anew, at n.
Result<void> Store::Impl::replace_history(WriteBatch& batch, const CheckpointSummary& summary) {
  const SequenceNumber n = summary.n;
  const auto own = ledger(n);
  if (!own) return tl::unexpected(own.error());
  KeptRecord record = kept;
  record.stable = record.previous = n;
  record.first_undo = n.value;
  for (const JournalKind kind : {JournalKind::accepted, JournalKind::prepared}) {
    batch.erase(Family::journal, journal_key(kind, SequenceNumber{0}), journal_key(kind, n.next()));
  }
  if (*own && (*own)->head == summary.ledger_head && n.value >= kept.first_ledger) {
    batch.erase(Family::ledger, number_key(n.value + 1), number_key(UINT64_MAX));
  } else {
    record.first_ledger = n.value + 1;
    record.pruned = n.value;
    batch.erase_all(Family::ledger);
    // For the check at the opening alone: nobody knows here which batch it was.
    batch.put(Family::ledger, number_key(n.value), encode_ledger({Digest{}, summary.ledger_head, summary.time}));
    batch.erase(Family::batches, {}, number_key(n.value + 1));
    batch.erase(Family::journal, journal_key(JournalKind::batch, SequenceNumber{0}),
                journal_key(JournalKind::batch, n.next()));
  }
  batch.put(Family::meta, kept_key, encode_kept(record));
  return {};
}

}  // namespace pbft::storage
