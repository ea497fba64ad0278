// What the replica promised: the journal, its recovery, and its truncation.
#include <algorithm>

#include "node/pbft/digests.h"
#include "node/wire/codec.h"
#include "storage/client_records.h"
#include "storage/store_impl.h"

namespace pbft::storage {
namespace {

const char* name_of(JournalKind kind) {
  return kind == JournalKind::accepted ? "accepted" : "prepared";
}

Bytes to_vector(const Digest& digest) {
  return {digest.bytes.begin(), digest.bytes.end()};
}

}  // namespace

// ---- Writing --------------------------------------------------------------------------------------------

// One vote per view and sequence number is what all of the protocol's safety stands on; so it is checked here once
// more.
Result<void> Store::Impl::add_mark(WriteBatch& batch, std::map<Bytes, Digest>& marks, JournalKind kind, View view,
                                   SequenceNumber n, const Digest& digest) const {
  Bytes key = mark_key(kind, n, view);
  std::optional<Digest> earlier;
  if (const auto found = marks.find(key); found != marks.end()) {
    earlier = found->second;
  } else {
    const auto stored = engine->get(Family::journal, key);
    if (!stored) return tl::unexpected(stored.error());
    if (*stored) earlier = FieldReader{**stored}.fixed<Digest>();
  }
  if (earlier && *earlier != digest) {
    return refuse(std::string{"a second digest was to be recorded as "} + name_of(kind) + " in view " +
                  std::to_string(view.value) + " for " + std::to_string(n.value) + ": " + to_hex(digest.view()) +
                  " after " + to_hex(earlier->view()));
  }
  marks.emplace(key, digest);
  batch.operations.emplace_back(WriteBatch::Put{Family::journal, std::move(key), to_vector(digest)});
  return {};
}

Result<void> Store::Impl::add_stable(WriteBatch& batch, const PersistStable& record) const {
  if (record.proof.n != record.summary.n) {
    return refuse("a stable checkpoint has its proof at " + std::to_string(record.proof.n.value) +
                  " and its summary at " + std::to_string(record.summary.n.value));
  }
  const auto present = stable();
  if (!present) return tl::unexpected(present.error());
  if (*present && (*present)->proof.n > record.proof.n) {
    return refuse("the stable checkpoint cannot go back from " + std::to_string((*present)->proof.n.value) + " to " +
                  std::to_string(record.proof.n.value));
  }
  const Bytes proof = wire::encode_stable(record.proof);
  FieldWriter writer;
  writer.u32(static_cast<std::uint32_t>(proof.size())).raw(proof).raw(wire::encode_summary(record.summary));
  batch.operations.emplace_back(WriteBatch::Put{Family::checkpoints, stable_key(), writer.take()});
  return {};
}

Result<void> Store::persist(const std::vector<JournalRecord>& records) {
  Impl& impl = *impl_;
  if (impl.failure) return tl::unexpected(*impl.failure);
  if (records.empty()) return {};
  WriteBatch batch;
  std::map<Bytes, Digest> marks;
  struct Add {
    Impl& impl;
    WriteBatch& batch;
    std::map<Bytes, Digest>& marks;

    Result<void> operator()(const PersistBatch& record) const {
      const Digest& digest = record.batch->digest;
      if (digest == null_batch_digest()) return {};  // known without being kept
      batch.operations.emplace_back(
          WriteBatch::Put{Family::batches, batch_key(record.n, digest), wire::encode_batch(*record.batch)});
      batch.operations.emplace_back(WriteBatch::Put{Family::journal, held_key(record.n, digest), {}});
      return {};
    }
    Result<void> operator()(const PersistAccepted& record) const {
      return impl.add_mark(batch, marks, JournalKind::accepted, record.view, record.n, record.digest);
    }
    Result<void> operator()(const PersistPrepared& record) const {
      return impl.add_mark(batch, marks, JournalKind::prepared, record.view, record.n, record.digest);
    }
    Result<void> operator()(const PersistStable& record) const { return impl.add_stable(batch, record); }
  };
  const Add add{impl, batch, marks};
  for (const JournalRecord& record : records) {
    if (auto added = std::visit(add, record); !added) return added;
  }
  if (batch.operations.empty()) return {};
  return impl.write(batch, impl.options.durability);
}

// ---- Recovery -------------------------------------------------------------------------------------------

Result<std::optional<PersistStable>> Store::Impl::stable() const {
  const auto bytes = engine->get(Family::checkpoints, stable_key());
  if (!bytes) return tl::unexpected(bytes.error());
  if (!*bytes) return std::nullopt;
  FieldReader reader{**bytes};
  const std::uint32_t length = reader.u32();
  const auto proof = wire::decode_stable(SharedBytes::copy_of(reader.raw(length)));
  if (!reader.ok() || !proof) return corrupt("the stable checkpoint's proof cannot be read");
  const auto summary = wire::decode_summary(SharedBytes::copy_of(reader.rest()));
  if (!summary || summary->n != proof->n) return corrupt("the stable checkpoint's summary cannot be read");
  return PersistStable{*proof, *summary};
}

Result<void> Store::Impl::recover_batches(Recovered& recovered, SequenceNumber above) const {
  const Bytes end = FieldWriter{}.u8(static_cast<std::uint8_t>(JournalKind::batch) + 1).take();
  const auto entries = engine->scan(Family::journal, journal_key(JournalKind::batch, above.next()), end);
  for (; entries->valid(); entries->next()) {
    FieldReader key{entries->key()};
    static_cast<void>(key.u8());
    const SequenceNumber n{key.u64()};
    const auto digest = key.fixed<Digest>();
    if (!key.complete()) return corrupt("entry " + to_hex(entries->key()) + " of family journal cannot be read");
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

Result<void> Store::Impl::recover_marks(Recovered& recovered, JournalKind kind, SequenceNumber above) const {
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
    RecoveredSlot& slot = recovered.slots[n];
    if (digest == null_batch_digest()) slot.batches.emplace(digest, null_batch());
    if (!slot.batches.contains(digest)) {
      return corrupt("batch " + to_hex(digest.view()) + " of " + std::to_string(n.value) + ", " + name_of(kind) +
                     " in view " + std::to_string(view.value) + ", is missing");
    }
    // Views ascend within a slot, so that the highest one stays.
    (kind == JournalKind::accepted ? slot.accepted : slot.prepared) = RecoveredMark{view, digest};
  }
  return entries->status();
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

Result<Recovered> Store::recover() const {
  const Impl& impl = *impl_;
  Recovered recovered;
  recovered.executed = impl.executed.n;
  recovered.ledger_head = impl.executed.ledger_head;
  recovered.time = impl.executed.time;
  auto stable = impl.stable();
  if (!stable) return tl::unexpected(stable.error());
  recovered.stable = std::move(*stable);
  const SequenceNumber above = recovered.stable ? recovered.stable->proof.n : SequenceNumber{0};

  if (auto read = impl.recover_batches(recovered, above); !read) return tl::unexpected(read.error());
  for (const JournalKind kind : {JournalKind::accepted, JournalKind::prepared}) {
    if (auto read = impl.recover_marks(recovered, kind, above); !read) return tl::unexpected(read.error());
  }
  if (auto read = impl.recover_summaries(recovered, above); !read) return tl::unexpected(read.error());

  auto records = load_client_records(*this);
  if (!records) return tl::unexpected(records.error());
  recovered.clients = std::move(records->clients);
  for (const SessionRecord& record : records->sessions) {
    RecoveredSession session{record.session, {}};
    for (const CachedReply& reply : record.replies) session.executed.push_back(reply.number);
    recovered.sessions.push_back(std::move(session));
  }
  return recovered;
}

// ---- Truncation -----------------------------------------------------------------------------------------

// Drops the batches of the slots from..to that were not committed there. All of these slots have been executed.
Result<void> Store::Impl::prune(WriteBatch& batch, std::uint64_t from, std::uint64_t to) const {
  const auto entries = engine->scan(Family::journal, journal_key(JournalKind::batch, SequenceNumber{from}),
                                    journal_key(JournalKind::batch, SequenceNumber{to + 1}));
  for (; entries->valid(); entries->next()) {
    FieldReader key{entries->key()};
    static_cast<void>(key.u8());
    const SequenceNumber n{key.u64()};
    const auto digest = key.fixed<Digest>();
    const auto committed = ledger(n);
    if (!committed) return tl::unexpected(committed.error());
    if (*committed && (*committed)->batch != digest) {
      batch.operations.emplace_back(WriteBatch::Erase{Family::batches, batch_key(n, digest)});
    }
  }
  return entries->status();
}

Result<void> Store::truncate(SequenceNumber n) {
  Impl& impl = *impl_;
  if (impl.failure) return tl::unexpected(*impl.failure);
  if (n < impl.kept.stable) return {};
  KeptRecord kept = impl.kept;
  if (n > kept.stable) {
    kept.previous = kept.stable;
    kept.stable = n;
  }
  WriteBatch batch;
  const auto erase = [&](Family family, Bytes from, Bytes to) {
    batch.operations.emplace_back(WriteBatch::EraseRange{family, std::move(from), std::move(to)});
  };

  // A slot that is not executed yet keeps its batches: which of them was committed shows only then.
  const std::uint64_t executed = impl.executed.n.value;
  kept.pruned = std::max(kept.pruned, std::min(n.value, executed));
  if (auto pruned = impl.prune(batch, impl.kept.pruned + 1, kept.pruned); !pruned) return pruned;
  const SequenceNumber origin{0};
  erase(Family::journal, journal_key(JournalKind::batch, origin),
        journal_key(JournalKind::batch, SequenceNumber{kept.pruned + 1}));
  for (const JournalKind kind : {JournalKind::accepted, JournalKind::prepared}) {
    erase(Family::journal, journal_key(kind, origin), journal_key(kind, n.next()));
  }

  // The entry of the batch that was executed last always stays: opening checks it.
  const std::uint64_t keep = impl.options.ledger_keep;
  if (keep != 0 && n.value > keep && executed > 0) {
    kept.first_ledger = std::max(kept.first_ledger, std::min(n.value - keep + 1, executed));
    erase(Family::ledger, number_key(impl.kept.first_ledger), number_key(kept.first_ledger));
    erase(Family::batches, number_key(impl.kept.first_ledger), number_key(kept.first_ledger));
    const std::uint64_t first_summary = std::min(kept.first_ledger, kept.previous.value);
    erase(Family::checkpoints, own_summary_key(0), own_summary_key(first_summary));
  }

  // The current interval's undo is what the digest is updated from.
  kept.first_undo = std::max(kept.first_undo, std::min(kept.previous.value, impl.interval.value));
  erase(Family::undo, number_key(impl.kept.first_undo), number_key(kept.first_undo));

  if (kept == impl.kept) return {};
  batch.operations.emplace_back(WriteBatch::Put{Family::meta, kept_key, encode_kept(kept)});
  if (auto written = impl.write(batch, Sync::no); !written) return written;
  impl.kept = kept;
  return {};
}

}  // namespace pbft::storage
