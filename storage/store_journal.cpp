// What the replica promises: one write a turn.
#include "node/pbft/digests.h"
#include "node/wire/codec.h"
#include "storage/store_impl.h"

namespace pbft::storage {

// One vote per view and sequence number is what all of the protocol's safety stands on; so it is checked here once
// more.
Result<void> Store::Impl::add_mark(Turn& turn, JournalKind kind, View view, SequenceNumber n,
                                   const Digest& digest) const {
  Bytes key = mark_key(kind, n, view);
  std::optional<Digest> earlier;
  if (const auto found = turn.marks.find(key); found != turn.marks.end()) {
    earlier = found->second;
  } else {
    const auto present = engine->get(Family::journal, key);
    if (!present) return tl::unexpected(present.error());
    if (*present) earlier = FieldReader{**present}.fixed<Digest>();
  }
  if (earlier && *earlier != digest) {
    return refuse(std::string{"a second digest was to be recorded as "} + name_of(kind) + " in view " +
                  std::to_string(view.value) + " for " + std::to_string(n.value) + ": " + to_hex(digest.view()) +
                  " after " + to_hex(earlier->view()));
  }
  turn.marks.emplace(key, digest);
  turn.batch.put(Family::journal, key, digest.view());
  return {};
}

Result<void> Store::Impl::check_stable(const PersistStable& record) const {
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
  return {};
}

// A view that was left is left for good, and a view has one VIEW-CHANGE of this replica's and one NEW-VIEW, ever.
Result<void> Store::Impl::add_view(Turn& turn, ViewKind kind, View view, const SharedBytes& message) const {
  const std::string name = std::string{name_of(kind)} + " of view " + std::to_string(view.value);
  if (message.empty()) return refuse("the " + name + " is not signed");
  for (const ViewKind other : {ViewKind::view_change, ViewKind::new_view}) {
    auto& last = turn.views[other];
    if (!last) {
      auto read = view_record(other);
      if (!read) return tl::unexpected(read.error());
      last = std::move(*read);
    }
    if (last->view > view) {
      return refuse("the " + name + " cannot follow the " + name_of(other) + " of view " +
                    std::to_string(last->view.value));
    }
    if (other == kind && last->view == view && !last->message.empty() && !(last->message == message)) {
      return refuse("a second " + name + " was to be recorded");
    }
  }
  turn.views[kind] = ViewRecord{view, message};
  FieldWriter writer;
  writer.u64(view.value).raw(message.view());
  turn.batch.put(Family::journal, view_key(kind), writer.take());
  return {};
}

void Store::Impl::add_rejoin(Turn& turn, const PersistRejoin& record) {
  if (record.done) {
    turn.batch.erase(Family::journal, rejoin_key());
    return;
  }
  turn.batch.put(Family::journal, rejoin_key(), encode_rejoin(record));
}

Bytes Store::Impl::encode_rejoin(const PersistRejoin& record) {
  FieldWriter writer;
  writer.u64(record.view.value).u64(record.above.value).u8(record.known ? 1 : 0);
  return writer.take();
}

Result<void> Store::persist(const std::vector<JournalRecord>& records) {
  Impl& impl = *impl_;
  if (impl.failure) return tl::unexpected(*impl.failure);
  if (records.empty()) return {};
  Impl::Turn turn;
  struct Add {
    Impl& impl;
    Impl::Turn& turn;

    Result<void> operator()(const PersistBatch& record) const {
      const Digest& digest = record.batch->digest;
      if (digest == null_batch_digest()) return {};  // known without being kept
      turn.batch.put(Family::batches, batch_key(record.n, digest), wire::encode_batch(*record.batch));
      turn.batch.put(Family::journal, held_key(record.n, digest), {});
      return {};
    }
    Result<void> operator()(const PersistAccepted& record) const {
      return impl.add_mark(turn, JournalKind::accepted, record.view, record.n, record.digest);
    }
    Result<void> operator()(const PersistPrepared& record) const {
      return impl.add_mark(turn, JournalKind::prepared, record.view, record.n, record.digest);
    }
    Result<void> operator()(const PersistStable& record) const {
      if (auto checked = impl.check_stable(record); !checked) return checked;
      turn.batch.put(Family::checkpoints, stable_key(), encode_stable_record(record));
      return {};
    }
    Result<void> operator()(const PersistViewChange& record) const {
      return impl.add_view(turn, ViewKind::view_change, record.message.view, record.message.signed_bytes);
    }
    Result<void> operator()(const PersistNewView& record) const {
      return impl.add_view(turn, ViewKind::new_view, record.message.view, record.message.signed_bytes);
    }
    Result<void> operator()(const PersistRejoin& record) const {
      Impl::add_rejoin(turn, record);
      return {};
    }
  };
  const Add add{impl, turn};
  for (const JournalRecord& record : records) {
    if (auto added = std::visit(add, record); !added) return added;
  }
  if (turn.batch.empty()) return {};
  return impl.write(turn.batch, impl.options.durability);
}

}  // namespace pbft::storage
