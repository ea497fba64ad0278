// What the replica remembers when it starts.
#include "node/pbft/digests.h"
#include "node/wire/codec.h"
#include "storage/client_records.h"
#include "storage/store_impl.h"

namespace pbft::storage {

Bytes encode_stable_record(const PersistStable& stable) {
  const Bytes proof = wire::encode_stable(stable.proof);
  FieldWriter writer;
  writer.u32(static_cast<std::uint32_t>(proof.size())).raw(proof).raw(wire::encode_summary(stable.summary));
  return writer.take();
}

std::optional<PersistStable> decode_stable_record(BytesView bytes) {
  FieldReader reader{bytes};
  const std::uint32_t length = reader.u32();
  const auto proof = wire::decode_stable(SharedBytes::copy_of(reader.raw(length)));
  const auto summary = wire::decode_summary(SharedBytes::copy_of(reader.rest()));
  if (!reader.ok() || !proof || !summary || summary->n != proof->n) return std::nullopt;
  return PersistStable{*proof, *summary};
}

Result<std::optional<PersistStable>> Store::Impl::stable() const {
  const auto bytes = engine->get(Family::checkpoints, stable_key());
  if (!bytes) return tl::unexpected(bytes.error());
  if (!*bytes) return std::nullopt;
  auto record = decode_stable_record(**bytes);
  if (!record) return corrupt("the stable checkpoint cannot be read");
  return record;
}

Result<void> Store::Impl::recover_batches(Recovered& recovered, SequenceNumber above, std::uint64_t window) const {
  const Bytes end = FieldWriter{}.u8(static_cast<std::uint8_t>(JournalKind::batch) + 1).take();
  const auto entries = engine->scan(Family::journal, journal_key(JournalKind::batch, above.next()), end);
  for (; entries->valid(); entries->next()) {
    FieldReader key{entries->key()};
    static_cast<void>(key.u8());
    const SequenceNumber n{key.u64()};
    const auto digest = key.fixed<Digest>();
    if (!key.complete()) return corrupt("entry " + to_hex(entries->key()) + " of family journal cannot be read");
    if (n.value - above.value > window) break;
    const std::string name = "batch " + to_hex(digest.view()) + " of " + std::to_string(n.value);
    auto bytes = engine->get(Family::batches, batch_key(n, digest));
    if (!bytes) return tl::unexpected(bytes.error());
    if (!*bytes) return corrupt(name + ", named in the journal, is missing");
    const auto batch = wire::decode_batch(SharedBytes::own(std::move(**bytes)));
    if (!batch) return corrupt(name + " cannot be read: " + wire::to_string(batch.error()));
    if ((*batch)->digest != digest) return corrupt(name + " has another digest: " + to_hex((*batch)->digest.view()));
    recovered.slots[n].batches.emplace(digest, *batch);
  }
  return entries->status();
}

Result<void> Store::Impl::recover_marks(Recovered& recovered, JournalKind kind, SequenceNumber above,
                                        std::uint64_t window) const {
  const Bytes end = FieldWriter{}.u8(static_cast<std::uint8_t>(kind) + 1).take();
  const auto entries = engine->scan(Family::journal, journal_key(kind, above.next()), end);
  for (; entries->valid(); entries->next()) {
    FieldReader key{entries->key()};
    static_cast<void>(key.u8());
    const SequenceNumber n{key.u64()};
    const View view{key.u64()};
    FieldReader value{entries->value()};
    const auto digest = value.fixed<Digest>();
    if (!key.complete() || !value.complete()) {
      return corrupt("entry " + to_hex(entries->key()) + " of family journal cannot be read");
    }
    if (n.value - above.value > window) break;
    RecoveredSlot& slot = recovered.slots[n];
    if (digest == null_batch_digest()) slot.batches.emplace(digest, null_batch());
    if (!slot.batches.contains(digest)) {
      return corrupt("batch " + to_hex(digest.view()) + " of " + std::to_string(n.value) + ", " + name_of(kind) +
                     " in view " + std::to_string(view.value) + ", is missing");
    }
    if (kind == JournalKind::accepted) {
      slot.accepted.emplace(view, digest);
    } else {
      slot.prepared = RecoveredMark{view, digest};  // views ascend within a slot, so that the highest one stays
    }
  }
  return entries->status();
}

// What is in the written state, and what was executed beyond it, as far as the ledger goes without a gap.
Result<void> Store::Impl::recover_executed(Recovered& recovered, SequenceNumber above) const {
  Digest head = recovered.ledger_head;
  for (SequenceNumber n = above.next();; n = n.next()) {
    const auto record = ledger(n);
    if (!record) return tl::unexpected(record.error());
    const bool beyond = n > recovered.executed;
    if (!*record && beyond) return {};
    if (!*record) return corrupt("entry " + std::to_string(n.value) + " of family ledger is missing");
    if (beyond) head = ledger_head(head, n, (*record)->batch);
    if (beyond && head != (*record)->head) {
      return corrupt("entry " + std::to_string(n.value) + " of family ledger does not follow the one before it");
    }
    recovered.slots[n].executed = (*record)->batch;
  }
}

Result<void> Store::Impl::recover_summaries(Recovered& recovered, SequenceNumber above) const {
  const Bytes end = FieldWriter{}.u8('o' + 1).take();
  const auto entries = engine->scan(Family::checkpoints, own_summary_key(above.value + 1), end);
  for (; entries->valid(); entries->next()) {
    const auto summary = wire::decode_summary(SharedBytes::copy_of(entries->value()));
    if (!summary) return corrupt("own checkpoint " + to_hex(entries->key()) + " cannot be read");
    recovered.checkpoints.push_back(*summary);
  }
  return entries->status();
}

Result<Store::Impl::ViewRecord> Store::Impl::view_record(ViewKind kind) const {
  const auto bytes = engine->get(Family::journal, view_key(kind));
  if (!bytes) return tl::unexpected(bytes.error());
  if (!*bytes) return ViewRecord{};
  FieldReader reader{**bytes};
  const View view{reader.u64()};
  if (!reader.ok() || reader.rest().empty()) return corrupt(std::string{"the "} + name_of(kind) + " cannot be read");
  return ViewRecord{view, SharedBytes::copy_of(reader.rest())};
}

// The last message of the kind, as it was signed.
template <class Message>
Result<std::optional<Message>> Store::Impl::view_message(ViewKind kind) const {
  const auto record = view_record(kind);
  if (!record) return tl::unexpected(record.error());
  if (record->message.empty()) return std::nullopt;
  const auto decoded = wire::decode_peer_message(record->message);
  const auto* message = decoded ? std::get_if<Message>(&*decoded) : nullptr;
  if (message == nullptr || message->view != record->view) {
    return corrupt(std::string{"the "} + name_of(kind) + " of view " + std::to_string(record->view.value) +
                   " cannot be read");
  }
  return *message;
}

Result<void> Store::Impl::recover_views(Recovered& recovered) const {
  auto view_change = view_message<ViewChange>(ViewKind::view_change);
  if (!view_change) return tl::unexpected(view_change.error());
  auto new_view = view_message<NewView>(ViewKind::new_view);
  if (!new_view) return tl::unexpected(new_view.error());
  recovered.view_change = std::move(*view_change);
  recovered.new_view = std::move(*new_view);

  const auto bytes = engine->get(Family::journal, rejoin_key());
  if (!bytes) return tl::unexpected(bytes.error());
  if (!*bytes) return {};
  FieldReader reader{**bytes};
  PersistRejoin rejoin;
  rejoin.view = View{reader.u64()};
  rejoin.above = SequenceNumber{reader.u64()};
  rejoin.known = reader.u8() != 0;
  if (!reader.complete()) return corrupt("the record of rejoining cannot be read");
  recovered.rejoin = rejoin;
  return {};
}

Result<Recovered> Store::recover(std::uint64_t window) const {
  const Impl& impl = *impl_;
  Recovered recovered;
  recovered.executed = impl.stored.n;
  recovered.ledger_head = impl.stored.ledger_head;
  recovered.time = impl.stored.time;
  auto stable = impl.stable();
  if (!stable) return tl::unexpected(stable.error());
  recovered.stable = std::move(*stable);
  const SequenceNumber above = recovered.stable ? recovered.stable->proof.n : SequenceNumber{0};

  if (auto read = impl.recover_batches(recovered, above, window); !read) return tl::unexpected(read.error());
  for (const JournalKind kind : {JournalKind::accepted, JournalKind::prepared}) {
    if (auto read = impl.recover_marks(recovered, kind, above, window); !read) return tl::unexpected(read.error());
  }
  if (auto read = impl.recover_executed(recovered, above); !read) return tl::unexpected(read.error());
  if (auto read = impl.recover_summaries(recovered, above); !read) return tl::unexpected(read.error());
  if (auto read = impl.recover_views(recovered); !read) return tl::unexpected(read.error());
  if (!impl.damage && !(impl.begun && impl.begun->marked)) {
    auto records = read_client_records(*impl.engine->scan(Family::clients, {}, {}), impl.engine->name());
    if (!records && records.error().kind != StorageError::Kind::damaged) return tl::unexpected(records.error());
    if (records) {
      recovered.sessions = recovered_sessions(*records);
      recovered.clients = std::move(records->clients);
    } else {
      impl_->give_up(records.error());
    }
  }
  recovered.damaged = impl.damage.has_value();
  return recovered;
}

}  // namespace pbft::storage
