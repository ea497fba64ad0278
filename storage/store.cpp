#include "storage/store.h"

#include "node/pbft/digests.h"
#include "node/wire/codec.h"
#include "storage/leave_down.h"
#include "storage/store_impl.h"

namespace pbft::storage {

Bytes encode_before(const std::optional<Bytes>& value) {
  FieldWriter writer;
  writer.u8(value ? 1 : 0);
  if (value) writer.raw(*value);
  return writer.take();
}

std::optional<Before> decode_before(BytesView key, BytesView value) {
  FieldReader keys{key};
  static_cast<void>(keys.u64());
  const std::uint8_t space = keys.u8();
  FieldReader values{value};
  const std::uint8_t present = values.u8();
  if (!keys.ok() || !values.ok() || space > 1 || present > 1 || (present == 0 && !values.complete())) {
    return std::nullopt;
  }
  Before before{static_cast<Namespace>(space), keys.rest(), std::nullopt};
  if (present == 1) before.value = values.rest();
  return before;
}

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Store::~Store() = default;

Result<void> Store::create(Engine& engine, const StoreIdentity& identity) {
  const auto present = engine.get(Family::meta, identity_key);
  if (!present) return tl::unexpected(present.error());
  if (*present) {
    return tl::unexpected(
        StorageError{StorageError::Kind::exists, engine.name() + ": holds a store already; remove it or choose another "
                                                                 "directory, if you mean to start anew"});
  }
  WriteBatch batch;
  batch.operations.emplace_back(WriteBatch::Put{Family::meta, identity_key, encode_identity(identity)});
  const ExecutedRecord genesis{SequenceNumber{0}, Timestamp{0}, genesis_ledger_head()};
  batch.operations.emplace_back(WriteBatch::Put{Family::meta, executed_key, encode_executed(genesis)});
  batch.operations.emplace_back(WriteBatch::Put{Family::meta, interval_key, number_key(0)});
  batch.operations.emplace_back(WriteBatch::Put{Family::meta, kept_key, encode_kept({})});
  return engine.write(batch, Sync::durable);
}

Result<std::unique_ptr<Store>> Store::open(std::shared_ptr<Engine> engine, const StoreIdentity& identity,
                                           const StoreOptions& options) {
  const auto record = engine->get(Family::meta, identity_key);
  if (!record) return tl::unexpected(record.error());
  if (!*record) {
    const auto other = engine->scan(Family::meta, {}, {});
    if (other->valid()) {
      return tl::unexpected(
          StorageError{StorageError::Kind::corrupt,
                       engine->name() + ": the store is corrupt: family meta has no identity record; " + leave_down});
    }
    if (auto status = other->status(); !status) return tl::unexpected(status.error());
    return tl::unexpected(
        StorageError{StorageError::Kind::missing, engine->name() + ": the store is empty; " + create_or_leave_down});
  }
  if (auto checked = check_identity(**record, identity, engine->name()); !checked) {
    return tl::unexpected(checked.error());
  }
  auto impl = std::make_unique<Impl>();
  impl->engine = std::move(engine);
  impl->options = options;
  if (auto loaded = impl->load(); !loaded) return tl::unexpected(loaded.error());
  return std::unique_ptr<Store>{new Store{std::move(impl)}};
}

// ---- Opening --------------------------------------------------------------------------------------------

Result<void> Store::Impl::load() {
  if (auto loaded = load_meta(); !loaded) return loaded;
  if (auto loaded = load_tree(); !loaded) return loaded;
  if (auto loaded = load_saved(); !loaded) return loaded;
  return check_ledger();
}

Result<void> Store::Impl::load_meta() {
  const auto read = [&](const Bytes& key) -> Result<Bytes> {
    auto value = engine->get(Family::meta, key);
    if (!value) return tl::unexpected(value.error());
    return value->value_or(Bytes{});  // no record is empty, and empty is refused below
  };
  const auto executed_bytes = read(executed_key);
  if (!executed_bytes) return tl::unexpected(executed_bytes.error());
  const auto interval_bytes = read(interval_key);
  if (!interval_bytes) return tl::unexpected(interval_bytes.error());
  const auto kept_bytes = read(kept_key);
  if (!kept_bytes) return tl::unexpected(kept_bytes.error());

  const auto damaged_bytes = engine->get(Family::meta, damaged_key);
  if (!damaged_bytes) return tl::unexpected(damaged_bytes.error());
  damaged = damaged_bytes->has_value();

  const auto executed_record = decode_executed(*executed_bytes);
  if (!executed_record) return corrupt("record executed of family meta cannot be read");
  FieldReader reader{*interval_bytes};
  interval = SequenceNumber{reader.u64()};
  if (!reader.complete()) return corrupt("record interval of family meta cannot be read");
  const auto kept_record = decode_kept(*kept_bytes);
  if (!kept_record) return corrupt("record kept of family meta cannot be read");
  executed = *executed_record;
  kept = *kept_record;
  if (interval > executed.n) {
    return corrupt("a checkpoint was taken at " + std::to_string(interval.value) + ", but only " +
                   std::to_string(executed.n.value) + " batches were executed");
  }
  return {};
}

Result<void> Store::Impl::load_tree() {
  const auto buckets = engine->scan(Family::tree, {}, {});
  for (; buckets->valid(); buckets->next()) {
    FieldReader key{buckets->key()};
    const std::uint32_t bucket = key.u32();
    if (!key.complete() || bucket >= DigestTree::bucket_count || buckets->value().size() != LtHash::byte_size) {
      return corrupt("bucket " + to_hex(buckets->key()) + " of family tree cannot be read");
    }
    tree.load(bucket, LtHash::from_bytes(buckets->value()));
  }
  tree.refresh();
  return buckets->status();
}

Result<void> Store::Impl::load_saved() {
  const auto entries = engine->scan(Family::undo, number_key(interval.value), {});
  for (; entries->valid(); entries->next()) {
    const BytesView key = entries->key();
    FieldReader reader{key};
    if (reader.u64() != interval.value || !decode_before(key, entries->value())) {
      return corrupt("entry " + to_hex(key) + " of family undo cannot be read");
    }
    saved.emplace(as_text(reader.rest()));
  }
  return entries->status();
}

Result<void> Store::Impl::check_ledger() const {
  const Digest genesis = genesis_ledger_head();
  if (executed.n.value == 0) {
    return executed.ledger_head == genesis ? Result<void>{} : corrupt("its ledger does not start at genesis");
  }
  const auto last = ledger(executed.n);
  if (!last) return tl::unexpected(last.error());
  if (!*last || (*last)->head != executed.ledger_head || (*last)->time != executed.time) {
    return corrupt("the ledger does not agree with what was executed last, " + std::to_string(executed.n.value));
  }
  return {};
}

// ---- State ----------------------------------------------------------------------------------------------

Result<void> Store::Impl::write(const WriteBatch& batch, Sync sync) {
  if (failure) return tl::unexpected(*failure);
  auto written = engine->write(batch, sync);
  if (!written) failure = written.error();
  return written;
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
  std::string name{static_cast<char>(name_space)};
  name += as_text(change.key);
  if (saved.insert(std::move(name)).second) {
    const auto before = engine->get(family, change.key);
    if (!before) return tl::unexpected(before.error());
    batch.operations.emplace_back(
        WriteBatch::Put{Family::undo, undo_key(interval.value, static_cast<std::uint8_t>(name_space), change.key),
                        encode_before(*before)});
  }
  if (change.value) {
    batch.operations.emplace_back(WriteBatch::Put{family, change.key, *change.value});
  } else {
    batch.operations.emplace_back(WriteBatch::Erase{family, change.key});
  }
  return {};
}

Result<void> Store::apply(const Applied& applied) {
  Impl& impl = *impl_;
  if (impl.failure) return tl::unexpected(*impl.failure);
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
        impl.failure = added.error();
        return added;
      }
    }
    return {};
  };
  if (auto added = add(Namespace::state, applied.state); !added) return added;
  if (auto added = add(Namespace::clients, applied.clients); !added) return added;

  const ExecutedRecord executed{applied.n, applied.time, applied.ledger_head};
  const LedgerRecord entry{applied.batch, applied.ledger_head, applied.time};
  batch.operations.emplace_back(WriteBatch::Put{Family::ledger, number_key(applied.n.value), encode_ledger(entry)});
  batch.operations.emplace_back(WriteBatch::Put{Family::meta, executed_key, encode_executed(executed)});
  if (auto written = impl.write(batch, Sync::no); !written) return written;
  impl.executed = executed;
  return {};
}

// ---- Checkpoints ----------------------------------------------------------------------------------------

// Takes out what the changed keys had at the last checkpoint and puts in what they have now.
Result<void> Store::Impl::update_tree() {
  const auto entries = engine->scan(Family::undo, number_key(interval.value), {});
  for (; entries->valid(); entries->next()) {
    const auto before = decode_before(entries->key(), entries->value());
    if (!before) return corrupt("entry " + to_hex(entries->key()) + " of family undo cannot be read");
    const auto now = engine->get(family_of(before->name_space), before->key);
    if (!now) return tl::unexpected(now.error());
    const bool same =
        before->value.has_value() == now->has_value() && (!*now || std::ranges::equal(*before->value, **now));
    if (same) continue;
    if (before->value) tree.remove(before->name_space, before->key, *before->value);
    if (*now) tree.add(before->name_space, before->key, **now);
  }
  return entries->status();
}

Result<CheckpointSummary> Store::take_checkpoint(SequenceNumber n, Epoch epoch, const Digest& plugin) {
  Impl& impl = *impl_;
  if (impl.failure) return tl::unexpected(*impl.failure);
  if (n != impl.executed.n) {
    return impl.refuse("no checkpoint can be taken at " + std::to_string(n.value) + ": batch " +
                       std::to_string(impl.executed.n.value) + " was executed last");
  }
  if (auto updated = impl.update_tree(); !updated) {
    impl.failure = updated.error();  // the tree is half-way
    return tl::unexpected(updated.error());
  }
  WriteBatch batch;
  for (const std::uint32_t bucket : impl.tree.refresh()) {
    if (const LtHash* value = impl.tree.bucket(bucket)) {
      const BytesView bytes = value->bytes();
      batch.operations.emplace_back(
          WriteBatch::Put{Family::tree, bucket_key(bucket), Bytes{bytes.begin(), bytes.end()}});
    } else {
      batch.operations.emplace_back(WriteBatch::Erase{Family::tree, bucket_key(bucket)});
    }
  }
  const CheckpointSummary summary{n, impl.tree.root(), impl.executed.ledger_head, impl.executed.time, epoch, plugin};
  batch.operations.emplace_back(
      WriteBatch::Put{Family::checkpoints, own_summary_key(n.value), wire::encode_summary(summary)});
  batch.operations.emplace_back(WriteBatch::Put{Family::meta, interval_key, number_key(n.value)});
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
