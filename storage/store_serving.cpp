// What peers and tools are given: batches, ledger ranges, the state at a checkpoint.
#include "node/pbft/digests.h"
#include "node/wire/codec.h"
#include "storage/store_impl.h"

namespace pbft::storage {

Result<std::optional<Bytes>> Store::batch_bytes(SequenceNumber n, const Digest& digest, ReplicaId asker) const {
  impl_->sessions.asked_for_batch(asker, n);
  if (digest == null_batch_digest()) return wire::encode_batch(*null_batch());
  return impl_->engine->get(Family::batches, batch_key(n, digest));
}

Result<std::optional<LedgerRecord>> Store::Impl::ledger(SequenceNumber n) const {
  const auto bytes = engine->get(Family::ledger, number_key(n.value));
  if (!bytes) return tl::unexpected(bytes.error());
  if (!*bytes) return std::nullopt;
  auto record = decode_ledger(**bytes);
  if (!record) return corrupt("entry " + std::to_string(n.value) + " of family ledger cannot be read");
  return record;
}

Result<std::optional<CheckpointSummary>> Store::Impl::own_summary(SequenceNumber n) const {
  const auto bytes = engine->get(Family::checkpoints, own_summary_key(n.value));
  if (!bytes) return tl::unexpected(bytes.error());
  if (!*bytes) return std::nullopt;
  const auto summary = wire::decode_summary(SharedBytes::copy_of(**bytes));
  if (!summary) return corrupt("own checkpoint " + std::to_string(n.value) + " cannot be read");
  return *summary;
}

Result<std::optional<LedgerRange>> Store::ledger_range(SequenceNumber first, SequenceNumber last,
                                                       ReplicaId asker) const {
  impl_->sessions.asked_for_batch(asker, first);
  const Impl& impl = *impl_;
  // Below this there may be an entry that only stands for the head of the ledger.
  const auto bytes = impl.engine->get(Family::meta, kept_key);
  if (!bytes) return tl::unexpected(bytes.error());
  const auto whole = *bytes ? decode_kept(**bytes) : std::nullopt;
  if (!whole || first.value < whole->first_ledger) return std::nullopt;
  if (first.value == 0 || last < first || last.value - first.value >= Limits::max_ledger_range) return std::nullopt;
  auto summary = impl.own_summary(last);
  if (!summary) return tl::unexpected(summary.error());
  if (!*summary) {
    const auto stable = impl.stable();
    if (!stable) return tl::unexpected(stable.error());
    if (!*stable || (*stable)->summary.n != last) return std::nullopt;
    *summary = (*stable)->summary;
  }
  LedgerRange range{first, **summary, {}};
  const std::uint64_t count = last.value - first.value + 1;
  const auto entries = impl.engine->scan(Family::ledger, number_key(first.value), number_key(last.value + 1));
  for (; entries->valid(); entries->next()) {
    const auto record = decode_ledger(entries->value());
    if (!record) return impl.corrupt("entry " + to_hex(entries->key()) + " of ledger cannot be read");
    range.digests.push_back(record->batch);
  }
  if (auto status = entries->status(); !status) return tl::unexpected(status.error());
  // Keys are distinct numbers of the range: as many as it has are all of it.
  if (range.digests.size() != count) return std::nullopt;
  return range;
}

Result<bool> Store::Impl::is_kept(SequenceNumber checkpoint) const {
  if (damage || checkpoint > interval || checkpoint.value < kept.first_undo) return false;
  if (checkpoint == interval || checkpoint.value == 0) return true;
  const auto summary = own_summary(checkpoint);
  if (!summary) return tl::unexpected(summary.error());
  return summary->has_value();
}

Result<std::map<Bytes, Bytes>> Store::Impl::content_at(Namespace name_space, SequenceNumber checkpoint) const {
  const auto is_there = is_kept(checkpoint);
  if (!is_there) return tl::unexpected(is_there.error());
  if (!*is_there) {
    return tl::unexpected(
        error(StorageError::Kind::missing, "the state at " + std::to_string(checkpoint.value) + " is not kept"));
  }
  std::map<Bytes, Bytes> content;
  const auto entries = engine->scan(family_of(name_space), {}, {});
  for (; entries->valid(); entries->next()) {
    content.emplace_hint(content.end(), Bytes{entries->key().begin(), entries->key().end()},
                         Bytes{entries->value().begin(), entries->value().end()});
  }
  if (auto status = entries->status(); !status) return tl::unexpected(status.error());

  const StateView now = view();
  const auto changes = now.changes_since(checkpoint);
  if (!changes) return tl::unexpected(changes.error());
  for (const auto& [bucket, changed] : changes->all()) {
    for (const auto& [name, first] : changed) {
      if (space_of(name) != name_space) continue;
      auto value = now.before(first, name);
      if (!value) return tl::unexpected(value.error());
      const BytesView key = key_of(name);
      if (*value) {
        content[{key.begin(), key.end()}] = std::move(**value);
      } else {
        content.erase({key.begin(), key.end()});
      }
    }
  }
  return content;
}

Result<std::map<Bytes, Bytes>> Store::state_at(SequenceNumber checkpoint) const {
  return impl_->content_at(Namespace::state, checkpoint);
}

Result<std::map<Bytes, Bytes>> Store::clients_at(SequenceNumber checkpoint) const {
  return impl_->content_at(Namespace::clients, checkpoint);
}

// ---- State transfer -------------------------------------------------------------------------------------

Result<ServingSession*> Store::Impl::serve(ReplicaId asker, SequenceNumber n) {
  const auto known = leaves_at.find(n.value);
  return sessions.at(asker, n, *engine, known == leaves_at.end() ? nullptr : &known->second);
}

Result<std::optional<Tree>> Store::tree_at(SequenceNumber n, ReplicaId asker, std::uint64_t* work) {
  if (impl_->damage) return std::nullopt;
  auto session = impl_->serve(asker, n);
  if (!session) return tl::unexpected(session.error());
  if (*session == nullptr) return std::nullopt;
  const std::uint64_t spent = (*session)->take_work();
  if (work != nullptr) *work += spent;
  return (*session)->tree();
}

Result<std::optional<BucketPart>> Store::bucket_part(const FetchBucket& request, ReplicaId asker, std::uint64_t* work) {
  if (impl_->damage) return std::nullopt;
  auto session = impl_->serve(asker, request.n);
  if (!session) return tl::unexpected(session.error());
  if (*session == nullptr) return std::nullopt;
  auto part = (*session)->part(request, asker);
  const std::uint64_t spent = (*session)->take_work();
  if (work != nullptr) *work += spent;
  return part;
}

void Store::tick_serving(std::uint64_t ticks) {
  impl_->sessions.tick(ticks);
}

}  // namespace pbft::storage
