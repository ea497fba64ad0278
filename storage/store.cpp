// Batches that are applied, and the checkpoints between them.
#include "storage/store.h"

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
  return impl_->engine->get(Family::state, key);
}

std::unique_ptr<Iterator> Store::state_scan(BytesView from, BytesView to) const {
  return impl_->engine->scan(Family::state, from, to);
}

std::unique_ptr<Iterator> Store::clients_scan() const {
  return impl_->engine->scan(Family::clients, {}, {});
}

// The change, and before the first one of a key in an interval what the key had.
Result<void> Store::Impl::change(WriteBatch& batch, Namespace name_space, const StateChange& change) {
  const Family family = family_of(name_space);
  const Bytes name = pair_name(name_space, change.key);
  if (saved.emplace(as_text(name)).second) {
    const auto before = engine->get(family, change.key);
    if (!before) return tl::unexpected(before.error());
    batch.put(Family::undo, undo_key(interval.value, name), encode_before(*before));
  }
  if (change.value) {
    batch.put(family, change.key, *change.value);
  } else {
    batch.erase(family, change.key);
  }
  return {};
}

Result<void> Store::apply(const Applied& applied) {
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
  WriteBatch batch;
  const auto add = [&](Namespace name_space, const std::vector<StateChange>& changes) -> Result<void> {
    for (const StateChange& change : changes) {
      if (auto added = impl.change(batch, name_space, change); !added) {
        impl.give_up(added.error());
        return added;
      }
    }
    return {};
  };
  if (auto added = add(Namespace::state, applied.state); !added) return added;
  if (auto added = add(Namespace::clients, applied.clients); !added) return added;

  const ExecutedRecord executed{applied.n, applied.time, applied.ledger_head};
  const LedgerRecord entry{applied.batch, applied.ledger_head, applied.time};
  batch.put(Family::ledger, number_key(applied.n.value), encode_ledger(entry));
  batch.put(Family::meta, executed_key, encode_executed(executed));
  if (auto written = impl.write(batch, Sync::no); !written) return written;
  impl.executed = executed;
  return {};
}

// ---- Checkpoints ----------------------------------------------------------------------------------------

// What the pairs that changed since the last checkpoint had there and have now, where that differs.
Result<void> Store::Impl::visit_changes(const VisitChanged& each) const {
  const auto entries = engine->scan(Family::undo, number_key(interval.value), {});
  for (; entries->valid(); entries->next()) {
    const auto before = decode_before(entries->key(), entries->value());
    if (!before) {
      return tl::unexpected(
          damage_error(engine->name(), "entry " + to_hex(entries->key()) + " of family undo cannot be read"));
    }
    const auto now = engine->get(family_of(space_of(before->name)), key_of(before->name));
    if (!now) return tl::unexpected(now.error());
    const bool same =
        before->value.has_value() == now->has_value() && (!*now || std::ranges::equal(*before->value, **now));
    if (!same) each(*before, *now);
  }
  return entries->status();
}

// Takes out what the changed keys had at the last checkpoint and puts in what they have now; the lists of the buckets
// follow.
Result<void> Store::Impl::update_tree(WriteBatch& batch) {
  return visit_changes([&](const Before& before, const std::optional<Bytes>& now) {
    const Namespace name_space = space_of(before.name);
    const BytesView key = key_of(before.name);
    if (before.value) tree.remove(name_space, key, *before.value);
    if (now) tree.add(name_space, key, *now);
    list(batch, before.name, now);
  });
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
  if (impl.interval != n) {
    impl.interval = n;
    impl.saved.clear();
  }
  return summary;
}

Result<Digest> Store::recompute_state_digest() const {
  DigestTree tree;
  for (const Namespace name_space : {Namespace::state, Namespace::clients}) {
    const auto entries = impl_->engine->scan(family_of(name_space), {}, {});
    for (; entries->valid(); entries->next()) tree.add(name_space, entries->key(), entries->value());
    if (auto status = entries->status(); !status) return tl::unexpected(status.error());
  }
  tree.refresh();
  return tree.root();
}

}  // namespace pbft::storage
