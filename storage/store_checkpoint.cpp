// The checkpoints between batches. The changes of an interval are set aside when its checkpoint begins, and written
// some at a time. What was written of them stands in undo, so that a crash in between costs no more than running them
// again.
#include <algorithm>
#include <utility>

#include "node/pbft/digests.h"
#include "node/wire/codec.h"
#include "storage/store_impl.h"

namespace pbft::storage {
namespace {

constexpr std::size_t bytes_per_pair = 2048;  // in the count for rows of family tree a larger one counts as several
constexpr std::size_t rows_at_once = 32;

}  // namespace

// What batches that were applied since the checkpoint began have changed is not part of it.
Result<std::optional<Bytes>> Store::Impl::value_at_checkpoint(BytesView name) const {
  const auto* changed = begun ? begun->changes.find(space_of(name), key_of(name)) : nullptr;
  if (changed != nullptr) return *changed;
  return engine->get(family_of(space_of(name)), key_of(name));
}

// What the pairs that were written since the last checkpoint had there and have now, where that differs.
Result<void> Store::Impl::visit_changes(const VisitChanged& each) const {
  return view().visit_undo(interval, [&](std::uint64_t, const Before& before) -> Result<void> {
    const auto now = value_at_checkpoint(before.name);
    if (!now) return tl::unexpected(now.error());
    const bool same =
        before.value.has_value() == now->has_value() && (!*now || std::ranges::equal(*before.value, **now));
    if (!same) each(before, *now);
    return {};
  });
}

void Store::Impl::put_listed(WriteBatch& batch, BytesView name, const std::optional<BytesView>& value) {
  const Bytes listed = index_key(DigestTree::bucket_of(name), name);
  if (value) {
    batch.put(family_of(space_of(name)), key_of(name), *value);
    batch.put(Family::buckets, listed, hash_of(name, *value).view());
  } else {
    batch.erase(family_of(space_of(name)), key_of(name));
    batch.erase(Family::buckets, listed);
  }
}

void Store::Impl::put_row(WriteBatch& batch, std::uint32_t bucket, const LtHash* hash) {
  if (hash != nullptr && !hash->is_zero()) {
    const BytesView bytes = hash->bytes();
    batch.put(Family::tree, bucket_key(bucket), {bytes.begin(), bytes.end()});
  } else {
    batch.erase(Family::tree, bucket_key(bucket));
  }
}

// It has gone to undo.
void Store::Impl::weigh(const Before& before) {
  const std::size_t bytes = before.name.size() + (before.value ? before.value->size() : 0);
  changed_since_rows += 1 + bytes / bytes_per_pair;
}

// Takes out what the pair had at the last checkpoint and puts in what it has now; the list of its bucket follows.
void Store::Impl::follow(ListChanges& lists, const Before& before, const std::optional<Bytes>& now) {
  const std::uint32_t bucket = DigestTree::bucket_of(before.name);
  lists.add(bucket, before.name, tree.replace(bucket, before.name, before.value, as_view(now)));
}

Result<CheckpointSummary> Store::take_checkpoint(SequenceNumber n, Epoch epoch, const Digest& plugin) {
  if (auto begun = begin_checkpoint(n, epoch, plugin); !begun) return tl::unexpected(begun.error());
  if (auto finished = impl_->finish_checkpoint(); !finished) return tl::unexpected(finished.error());
  CheckpointSummary summary = impl_->taken.back();
  impl_->taken.pop_back();
  return summary;
}

Result<void> Store::begin_checkpoint(SequenceNumber n, Epoch epoch, const Digest& plugin) {
  Impl& impl = *impl_;
  if (impl.failure) return tl::unexpected(*impl.failure);
  if (impl.damage) return tl::unexpected(*impl.damage);
  if (n != impl.executed.n) {
    return impl.refuse("no checkpoint can be taken at " + std::to_string(n.value) + ": batch " +
                       std::to_string(impl.executed.n.value) + " was executed last");
  }
  if (auto finished = impl.finish_checkpoint(); !finished) return finished;
  while (impl.rows_due > 0) {
    if (auto written = impl.write_due_rows(impl.options.write_bytes / LtHash::byte_size + 1); !written) return written;
  }
  BegunCheckpoint& begun = impl.begun.emplace();
  begun.at = impl.executed;
  begun.epoch = epoch;
  begun.plugin = plugin;
  std::swap(begun.changes, impl.unwritten);
  // Done in three quarters of the interval, so that the next one never has to wait for it.
  const std::size_t batches = std::max<std::uint64_t>(impl.options.checkpoint_interval * 3 / 4, 1);
  begun.share = begun.changes.size() / batches + 1;
  return {};
}

Result<void> Store::continue_checkpoint(std::size_t pairs) {
  if (impl_->failure) return tl::unexpected(*impl_->failure);
  if (!impl_->begun) return impl_->write_due_rows(rows_at_once);
  return impl_->write_some(std::max(pairs, std::exchange(impl_->begun->due, 0)));
}

Result<void> Store::write_all_rows() {
  if (impl_->failure) return tl::unexpected(*impl_->failure);
  if (impl_->damage) return {};
  if (auto finished = impl_->finish_checkpoint(); !finished) return finished;
  impl_->rows_due = DigestTree::bucket_count;
  return impl_->write_due_rows(SIZE_MAX);
}

bool Store::checkpointing() const {
  return impl_->begun.has_value();
}

std::optional<CheckpointSummary> Store::next_taken() {
  if (impl_->taken.empty()) return std::nullopt;
  CheckpointSummary summary = impl_->taken.front();
  impl_->taken.pop_front();
  return summary;
}

Result<void> Store::Impl::finish_checkpoint() {
  return write_some(SIZE_MAX);
}

Result<void> Store::Impl::write_some(std::size_t pairs) {
  while (begun && pairs > 0) {
    const auto written = write_piece(pairs);
    if (!written) return tl::unexpected(written.error());
    pairs -= *written;
  }
  return {};
}

// How many it were. The last ones are written with all that makes the checkpoint.
Result<std::size_t> Store::Impl::write_piece(std::size_t most) {
  Piece piece{begun->changes};
  ListChanges lists;
  const auto changed = [&](const Before& before, const std::optional<Bytes>& now) { follow(lists, before, now); };
  // What was written in the course of the interval is in undo already.
  const bool first = !begun->marked;
  auto done = first && !saved.empty() ? visit_changes(changed) : Result<void>{};
  if (done) {
    done = fill(piece, most, [&](const Before& before, const std::optional<Bytes>& now) {
      weigh(before);
      changed(before, now);
    });
  }
  if (!done) {
    give_up(done.error());  // the tree is half-way
    return tl::unexpected(done.error());
  }
  lists.put_into(piece.batch);
  if (!piece.last) {
    if (first) piece.batch.put(Family::meta, writing_key, {});
    begun->marked = true;
    if (auto written = write(piece.batch, Sync::no); !written) return tl::unexpected(written.error());
    forget(piece);
    return piece.pairs;
  }
  const CheckpointSummary summary = conclude(piece.batch);
  if (auto written = write(piece.batch, options.durability); !written) return tl::unexpected(written.error());
  interval = summary.n;
  stored = begun->at;
  saved.clear();
  begun.reset();
  taken.push_back(summary);
  return piece.pairs;
}

// So many turns, or until so many rows are written. The tree must be that at checkpoint n.
void Store::Impl::put_rows(WriteBatch& batch, std::size_t turns, std::size_t most, SequenceNumber n) {
  for (; turns > 0 && most > 0; --turns) {
    rows_due -= std::min<std::size_t>(rows_due, 1);
    const std::uint32_t bucket = rows.take_turn(n);
    if (row_leaves[bucket] == tree.leaves()[bucket]) continue;
    put_row(batch, bucket, tree.bucket(bucket));
    row_leaves[bucket] = tree.leaves()[bucket];
    --most;
  }
  batch.put(Family::meta, tree_rows_key, rows.encode());
}

// Between two checkpoints, a few at a time: many in one write would hold everybody up.
Result<void> Store::Impl::write_due_rows(std::size_t most) {
  if (rows_due == 0) return {};
  WriteBatch batch;
  put_rows(batch, rows_due, most, interval);
  return write(batch, Sync::no);
}

CheckpointSummary Store::Impl::conclude(WriteBatch& batch) {
  tree.refresh();
  const ExecutedRecord& at = begun->at;
  const std::size_t due = std::exchange(changed_since_rows, 0) / options.pairs_per_tree_row;
  rows_due = std::clamp<std::size_t>(due, options.least_tree_rows, DigestTree::bucket_count);
  put_rows(batch, options.least_tree_rows, SIZE_MAX, at.n);
  leaves_at[at.n.value] = tree.leaves();
  const CheckpointSummary summary{at.n, tree.root(), at.ledger_head, at.time, begun->epoch, begun->plugin};
  batch.put(Family::checkpoints, own_summary_key(at.n.value), wire::encode_summary(summary));
  batch.put(Family::meta, interval_key, number_key(at.n.value));
  batch.put(Family::meta, executed_key, encode_executed(at));
  batch.erase(Family::meta, writing_key);
  return summary;
}

// The state, and the lists of its buckets, become those of the last checkpoint again. May be done again after a crash.
Result<void> Store::Impl::roll_back() {
  const auto marker = engine->get(Family::meta, writing_key);
  if (!marker) return tl::unexpected(marker.error());
  if (!*marker) return {};
  WriteBatch batch;
  std::size_t bytes = 0;
  auto visited = view().visit_undo(interval, [&](std::uint64_t, const Before& before) -> Result<void> {
    put_listed(batch, before.name, before.value);
    bytes += 4 * before.name.size() + (before.value ? before.value->size() : 0);
    if (bytes < options.write_bytes) return {};
    bytes = 0;
    return write(std::exchange(batch, {}), Sync::no);
  });
  if (!visited) return visited;
  ExecutedRecord at{interval, Timestamp{}, genesis_ledger_head()};
  if (interval.value > 0) {
    const auto summary = own_summary(interval);
    if (!summary) return tl::unexpected(summary.error());
    if (!*summary) return corrupt("own checkpoint " + std::to_string(interval.value) + " is missing");
    at.time = (*summary)->time;
    at.ledger_head = (*summary)->ledger_head;
  }
  batch.erase(Family::undo, number_key(interval.value), number_key(interval.value + 1));
  batch.erase(Family::meta, writing_key);
  batch.put(Family::meta, executed_key, encode_executed(at));
  if (auto written = write(batch, Sync::no); !written) return written;
  stored = executed = at;
  return {};
}

}  // namespace pbft::storage
