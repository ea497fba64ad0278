// What peers and tools are given: batches, ledger ranges, the state at a checkpoint.
#include "node/pbft/digests.h"
#include "node/wire/codec.h"
#include "storage/store_impl.h"

namespace pbft::storage {

Result<std::optional<Bytes>> Store::batch_bytes(SequenceNumber n, const Digest& digest) const {
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

Result<std::optional<LedgerRange>> Store::ledger_range(SequenceNumber first, SequenceNumber last) const {
  const Impl& impl = *impl_;
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

Result<std::map<Bytes, Bytes>> Store::Impl::content_at(Namespace name_space, SequenceNumber checkpoint) const {
  bool known = checkpoint == interval || checkpoint.value == 0;
  if (!known) {
    const auto summary = own_summary(checkpoint);
    if (!summary) return tl::unexpected(summary.error());
    known = summary->has_value();
  }
  if (!known || checkpoint > interval || checkpoint.value < kept.first_undo) {
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

  // Intervals ascend: the first value met for a key is the one that it had at the checkpoint.
  std::map<Bytes, std::optional<Bytes>> first;
  const auto undo = engine->scan(Family::undo, number_key(checkpoint.value), {});
  for (; undo->valid(); undo->next()) {
    const auto before = decode_before(undo->key(), undo->value());
    if (!before) return corrupt("entry " + to_hex(undo->key()) + " of family undo cannot be read");
    if (before->name_space != name_space) continue;
    std::optional<Bytes> value;
    if (before->value) value.emplace(before->value->begin(), before->value->end());
    first.emplace(Bytes{before->key.begin(), before->key.end()}, std::move(value));
  }
  if (auto status = undo->status(); !status) return tl::unexpected(status.error());
  for (auto& [key, value] : first) {
    if (value) {
      content[key] = std::move(*value);
    } else {
      content.erase(key);
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

}  // namespace pbft::storage
