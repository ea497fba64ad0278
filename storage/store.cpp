// Batches that are applied, and the checkpoints between them.
#include "storage/store.h"

#include <algorithm>

#include "node/wire/codec.h"
#include "storage/store_impl.h"

namespace pbft::storage {

Result<void> Store::Impl::write(const WriteBatch& batch, Sync sync) {
  if (failure) return tl::unexpected(*failure);
  auto written = engine->write(batch, sync);
  if (!written) failure = written.error();
  return written;
}

// After an error memory and disk may differ. Where only the state is concerned, promises can still be kept.
void Store::Impl::give_up(const StorageError& error) {
  auto& reason = error.kind == StorageError::Kind::damaged ? damage : failure;
  if (!reason) reason = error;
}

Result<std::optional<Bytes>> Store::state_get(BytesView key) const {
  if (const auto* changed = impl_->unwritten.find(Namespace::state, key)) return *changed;
  return impl_->engine->get(Family::state, key);
}

std::unique_ptr<Iterator> Store::state_scan(BytesView from, BytesView to) const {
  return impl_->unwritten.over(impl_->engine->scan(Family::state, from, to), Namespace::state, from, to);
}

std::unique_ptr<Iterator> Store::clients_scan() const {
  return impl_->unwritten.over(impl_->engine->scan(Family::clients, {}, {}), Namespace::clients, {}, {});
}

// ---- Changes --------------------------------------------------------------------------------------------

// The pair, and before its first change in an interval what it had.
Result<void> Store::Impl::write_pair(WriteBatch& batch, Namespace name_space, const Bytes& key,
                                     const std::optional<Bytes>& value, const VisitChanged& first_change) {
  const Family family = family_of(name_space);
  const Bytes name = pair_name(name_space, key);
  if (!saved.contains(as_text(name))) {
    const auto before = engine->get(family, key);
    if (!before) return tl::unexpected(before.error());
    if (*before == value) return {};
    batch.put(Family::undo, undo_key(interval.value, name), encode_before(*before));
    first_change({name, *before ? std::optional<BytesView>{**before} : std::nullopt}, value);
  }
  if (value) {
    batch.put(family, key, *value);
  } else {
    batch.erase(family, key);
  }
  return {};
}

// Everything that has gathered. The caller puts down that it is written once the batch is.
Result<void> Store::Impl::write_changes(WriteBatch& batch, const VisitChanged& first_change) {
  for (const Namespace name_space : {Namespace::state, Namespace::clients}) {
    for (const auto& [key, value] : unwritten.in(name_space)) {
      auto put = write_pair(batch, name_space, key, value, first_change);
      if (!put) return put;
    }
  }
  batch.put(Family::meta, executed_key, encode_executed(executed));
  return {};
}

Result<void> Store::apply(Applied applied) {
  Impl& impl = *impl_;
  if (impl.failure) return tl::unexpected(*impl.failure);
  if (impl.damage) return tl::unexpected(*impl.damage);
  const std::uint64_t last = impl.executed.n.value;
  if (applied.n.value != last + 1) {
    return impl.refuse("batch " + std::to_string(applied.n.value) + " cannot be applied after " + std::to_string(last));
  }
  const std::uint64_t every = impl.options.checkpoint_interval;
  if (every != 0 && last % every == 0 && impl.interval.value != last) {
    return impl.refuse("batch " + std::to_string(applied.n.value) + " cannot be applied before the checkpoint at " +
                       std::to_string(last) + " is taken");
  }
  impl.executed = {applied.n, applied.time, applied.ledger_head};
  for (StateChange& change : applied.state) {
    impl.unwritten.set(Namespace::state, std::move(change.key), std::move(change.value));
  }
  for (StateChange& change : applied.clients) {
    impl.unwritten.set(Namespace::clients, std::move(change.key), std::move(change.value));
  }
  WriteBatch batch;
  batch.put(Family::ledger, number_key(applied.n.value),
            encode_ledger({applied.batch, applied.ledger_head, applied.time}));
  if (impl.unwritten.bytes() > impl.options.gather_bytes || impl.options.gather_bytes == 0) {
    return impl.write_changes(batch);
  }
  return impl.write(batch, Sync::no);
}

// Everything that has gathered, in the course of an interval, with what is in the batch.
Result<void> Store::Impl::write_changes(WriteBatch& batch) {
  std::vector<std::string> changed;
  auto put = write_changes(batch, [&](const Before& before, const std::optional<Bytes>&) {
    changed.emplace_back(as_text(before.name));
  });
  if (!put) {
    give_up(put.error());
    return put;
  }
  if (auto done = write(batch, Sync::no); !done) return done;
  saved.insert(std::make_move_iterator(changed.begin()), std::make_move_iterator(changed.end()));
  all_written();
  return {};
}

void Store::Impl::all_written() {
  stored = executed;
  unwritten.clear();
}

// ---- Checkpoints ----------------------------------------------------------------------------------------

Result<std::optional<Bytes>> Store::Impl::present_value(BytesView name) const {
  if (const auto* changed = unwritten.find(space_of(name), key_of(name))) return *changed;
  return engine->get(family_of(space_of(name)), key_of(name));
}

// What the pairs that were written since the last checkpoint had there and have now, where that differs.
Result<void> Store::Impl::visit_changes(const VisitChanged& each) const {
  const auto entries = engine->scan(Family::undo, number_key(interval.value), {});
  for (; entries->valid(); entries->next()) {
    const auto before = decode_before(entries->key(), entries->value());
    if (!before) {
      return tl::unexpected(
          damage_error(engine->name(), "entry " + to_hex(entries->key()) + " of family undo cannot be read"));
    }
    const auto now = present_value(before->name);
    if (!now) return tl::unexpected(now.error());
    const bool same =
        before->value.has_value() == now->has_value() && (!*now || std::ranges::equal(*before->value, **now));
    if (!same) each(*before, *now);
  }
  return entries->status();
}

// Writes what has gathered. Takes out what the changed pairs had at the last checkpoint and puts in what they have now;
// the lists of the buckets follow, in their order, which is the cheapest to write.
Result<void> Store::Impl::update_tree(WriteBatch& batch) {
  std::vector<std::pair<Bytes, std::optional<PairHash>>> lists;
  const auto follow = [&](const Before& before, const std::optional<Bytes>& now) {
    const std::uint32_t bucket = DigestTree::bucket_of(before.name);
    tree.replace(bucket, before.name, before.value, now ? std::optional<BytesView>{*now} : std::nullopt);
    lists.emplace_back(index_key(bucket, before.name), now ? std::optional{hash_of(before.name, *now)} : std::nullopt);
  };
  if (!saved.empty()) {
    if (auto visited = visit_changes(follow); !visited) return visited;
  }
  if (auto changed = write_changes(batch, follow); !changed) return changed;
  std::ranges::sort(lists);
  for (auto& [key, hash] : lists) {
    hash ? batch.put(Family::buckets, std::move(key), {hash->bytes.begin(), hash->bytes.end()})
         : batch.erase(Family::buckets, std::move(key));
  }
  return {};
}

void Store::Impl::list(WriteBatch& batch, BytesView name, const std::optional<Bytes>& value) {
  Bytes key = index_key(DigestTree::bucket_of(name), name);
  if (value) {
    const PairHash hash = hash_of(name, *value);
    batch.put(Family::buckets, std::move(key), {hash.bytes.begin(), hash.bytes.end()});
  } else {
    batch.erase(Family::buckets, std::move(key));
  }
}

void Store::Impl::put_bucket(WriteBatch& batch, std::uint32_t bucket, const LtHash* hash) {
  if (hash != nullptr && !hash->is_zero()) {
    const BytesView bytes = hash->bytes();
    batch.put(Family::tree, bucket_key(bucket), {bytes.begin(), bytes.end()});
  } else {
    batch.erase(Family::tree, bucket_key(bucket));
  }
}

Result<CheckpointSummary> Store::take_checkpoint(SequenceNumber n, Epoch epoch, const Digest& plugin) {
  Impl& impl = *impl_;
  if (impl.failure) return tl::unexpected(*impl.failure);
  if (impl.damage) return tl::unexpected(*impl.damage);
  if (n != impl.executed.n) {
    return impl.refuse("no checkpoint can be taken at " + std::to_string(n.value) + ": batch " +
                       std::to_string(impl.executed.n.value) + " was executed last");
  }
  WriteBatch batch;
  if (auto updated = impl.update_tree(batch); !updated) {
    impl.give_up(updated.error());  // the tree is half-way
    return tl::unexpected(updated.error());
  }
  for (const std::uint32_t bucket : impl.tree.refresh()) Impl::put_bucket(batch, bucket, impl.tree.bucket(bucket));
  const CheckpointSummary summary{n, impl.tree.root(), impl.executed.ledger_head, impl.executed.time, epoch, plugin};
  batch.put(Family::checkpoints, own_summary_key(n.value), wire::encode_summary(summary));
  batch.put(Family::meta, interval_key, number_key(n.value));
  if (auto written = impl.write(batch, impl.options.durability); !written) return tl::unexpected(written.error());
  impl.interval = n;
  impl.saved.clear();
  impl.all_written();
  return summary;
}

Result<Digest> Store::recompute_state_digest() const {
  DigestTree tree;
  for (const Namespace name_space : {Namespace::state, Namespace::clients}) {
    const auto entries = name_space == Namespace::state ? state_scan({}, {}) : clients_scan();
    for (; entries->valid(); entries->next()) tree.add(name_space, entries->key(), entries->value());
    if (auto status = entries->status(); !status) return tl::unexpected(status.error());
  }
  tree.refresh();
  return tree.root();
}

}  // namespace pbft::storage
