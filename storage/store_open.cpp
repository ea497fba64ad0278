// How a store is created, opened and checked.
#include "node/pbft/digests.h"
#include "storage/client_records.h"
#include "storage/store_impl.h"

namespace pbft::storage {

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Store::~Store() = default;

Result<void> Store::create(Engine& engine, const StoreIdentity& identity, bool forgot) {
  const auto present = engine.get(Family::meta, identity_key);
  if (!present) return tl::unexpected(present.error());
  if (*present) {
    return tl::unexpected(
        StorageError{StorageError::Kind::exists, engine.name() + ": holds a store already; remove it or choose another "
                                                                 "directory, if you mean to start anew"});
  }
  WriteBatch batch;
  batch.put(Family::meta, identity_key, encode_identity(identity));
  const ExecutedRecord genesis{SequenceNumber{0}, Timestamp{0}, genesis_ledger_head()};
  batch.put(Family::meta, executed_key, encode_executed(genesis));
  batch.put(Family::meta, interval_key, number_key(0));
  batch.put(Family::meta, kept_key, encode_kept({}));
  batch.put(Family::meta, tree_rows_key, TreeRows{}.encode());
  if (forgot) batch.put(Family::journal, rejoin_key(), Impl::encode_rejoin(PersistRejoin{}));
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
  // What can be had from the others is no reason not to start.
  const auto tolerate = [&](const Result<void>& result) -> Result<void> {
    if (result || result.error().kind != StorageError::Kind::damaged) return result;
    return mark_damaged(result.error());
  };
  // What was put in order has no note any more: this is a block that went bad after that.
  if (engine->damage_noted() && (!damage || rebuilt)) {
    if (auto marked = mark_damaged(noted_damage()); !marked) return marked;
  }
  if (auto finished = tolerate(finish_install()); !finished) return finished;
  if (!damage || rebuilt) {
    if (auto rolled = tolerate(roll_back()); !rolled) return rolled;
  }
  if (!damage || rebuilt) {
    if (auto loaded = tolerate(load_state()); !loaded) return loaded;
  }
  return check_ledger();
}

StorageError Store::Impl::noted_damage() const {
  return damage_error(engine->name(), "this was found earlier");
}

// What is known of the state in memory. Of the records of clients it is seen here that they can be read, since recovery
// needs them all.
Result<void> Store::Impl::load_state() {
  if (auto loaded = load_tree(); !loaded) return loaded;
  if (auto checked = check_root(); !checked) return checked;
  if (!damage) leaves_at[interval.value] = tree.leaves();
  if (auto loaded = load_saved(); !loaded) return loaded;
  return read_all(Family::clients);
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
  const auto rows_bytes = read(tree_rows_key);
  if (!rows_bytes) return tl::unexpected(rows_bytes.error());

  const auto damaged_bytes = engine->get(Family::meta, damaged_key);
  if (!damaged_bytes) return tl::unexpected(damaged_bytes.error());
  if (*damaged_bytes) {
    damage = noted_damage();
    rebuilt = **damaged_bytes == Bytes{1};
  }

  const auto executed_record = decode_executed(*executed_bytes);
  if (!executed_record) return corrupt("record executed of family meta cannot be read");
  FieldReader reader{*interval_bytes};
  interval = SequenceNumber{reader.u64()};
  if (!reader.complete()) return corrupt("record interval of family meta cannot be read");
  const auto kept_record = decode_kept(*kept_bytes);
  if (!kept_record) return corrupt("record kept of family meta cannot be read");
  auto rows_record = TreeRows::decode(*rows_bytes);
  if (!rows_record) return corrupt("record tree of family meta cannot be read");
  rows = std::move(*rows_record);
  stored = executed = *executed_record;
  unwritten.clear();
  begun.reset();
  taken.clear();
  kept = *kept_record;
  undo_erased = 0;
  if (interval > executed.n) {
    return corrupt("a checkpoint was taken at " + std::to_string(interval.value) + ", but only " +
                   std::to_string(executed.n.value) + " batches were executed");
  }
  return {};
}

Result<void> Store::Impl::load_tree() {
  const auto buckets = load_buckets(*engine, engine->name());
  if (!buckets) return tl::unexpected(buckets.error());
  tree = {};
  for (const auto& [bucket, hash] : *buckets) tree.load(bucket, hash);
  tree.refresh();
  row_leaves = tree.leaves();
  changed_since_rows = 0;
  rows_due = rows.older_than(interval);
  leaves_at.clear();
  auto led = view().visit_steps(rows, interval, [&](std::uint32_t bucket, BytesView name, const Step& step) {
    tree.replace(bucket, name, step.from, step.to);
  });
  if (!led) return led;
  tree.refresh();
  return {};
}

// A state that was put in order is not that of a checkpoint. Where rows and undo do not give the root, the pairs may.
Result<void> Store::Impl::check_root() {
  if (damage || interval.value == 0) return {};
  const auto summary = own_summary(interval);
  if (!summary) return tl::unexpected(summary.error());
  if (!*summary) return corrupt("own checkpoint " + std::to_string(interval.value) + " is missing");
  if ((*summary)->state == tree.root()) return {};
  if (auto counted = recount_tree(); !counted) return counted;
  if ((*summary)->state == tree.root()) return {};
  return tl::unexpected(damage_error(engine->name(), "it is not that of checkpoint " + std::to_string(interval.value)));
}

// From the pairs as they were at the last checkpoint; all rows are written anew.
Result<void> Store::Impl::recount_tree() {
  tree = {};
  for (const Namespace name_space : {Namespace::state, Namespace::clients}) {
    auto added = add_all(tree, name_space, *engine->scan(family_of(name_space), {}, {}));
    if (!added) return added;
  }
  auto taken_back = visit_changes([&](const Before& before, const std::optional<Bytes>& now) {
    tree.replace(DigestTree::bucket_of(before.name), before.name, as_view(now), before.value);
  });
  if (!taken_back) return taken_back;
  tree.refresh();
  WriteBatch batch;
  put_rows(batch, DigestTree::bucket_count, SIZE_MAX, interval);
  return write(batch, Sync::no);
}

Result<void> Store::Impl::load_saved() {
  saved.clear();
  return view().visit_undo(interval, [&](std::uint64_t of, const Before& before) -> Result<void> {
    if (of == interval.value) {
      saved.emplace(as_text(before.name));
      weigh(before);
      return {};
    }
    const std::string entry = to_hex(undo_key(of, before.name));
    return tl::unexpected(damage_error(engine->name(), "entry " + entry + " of family undo cannot be read"));
  });
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

}  // namespace pbft::storage
