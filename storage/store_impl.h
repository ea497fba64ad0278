// What the source files of Store share.
#pragma once

#include <string>
#include <unordered_set>

#include "storage/digest_tree.h"
#include "storage/fields.h"
#include "storage/leave_down.h"
#include "storage/meta.h"
#include "storage/store.h"

namespace pbft::storage {

struct Store::Impl {
  std::shared_ptr<Engine> engine;
  StoreOptions options;

  ExecutedRecord executed;
  SequenceNumber interval;  // the checkpoint that was taken last
  KeptRecord kept;
  bool damaged = false;  // the state was found damaged and has not been repaired
  // Keys (namespace byte and key) whose value at `interval` is saved in undo.
  std::unordered_set<std::string> saved;
  // Invariant: the digest of the state at `interval`.
  DigestTree tree;
  // Set by the first failure after which memory and disk may differ; every further write is refused with it.
  std::optional<StorageError> failure;

  [[nodiscard]] StorageError error(StorageError::Kind kind, const std::string& what) const {
    return {kind, engine->name() + ": " + what};
  }
  [[nodiscard]] tl::unexpected<StorageError> corrupt(const std::string& what) const {
    return tl::unexpected(error(StorageError::Kind::corrupt, "the store is corrupt: " + what + "; " + leave_down));
  }
  [[nodiscard]] tl::unexpected<StorageError> refuse(const std::string& what) const {
    return tl::unexpected(error(StorageError::Kind::mismatch, what));
  }

  [[nodiscard]] Result<void> load();
  [[nodiscard]] Result<void> load_meta();
  [[nodiscard]] Result<void> load_tree();
  [[nodiscard]] Result<void> load_saved();
  [[nodiscard]] Result<void> check_ledger() const;

  [[nodiscard]] Result<void> write(const WriteBatch& batch, Sync sync);
  [[nodiscard]] Result<void> change(WriteBatch& batch, Namespace name_space, const StateChange& change);
  [[nodiscard]] Result<void> update_tree();

  // Journal.
  struct ViewRecord {
    View view;
    SharedBytes message;  // empty: there is none
  };
  // What one call of persist writes, and what its later records must agree with.
  struct Turn {
    WriteBatch batch;
    std::map<Bytes, Digest> marks;
    std::map<ViewKind, std::optional<ViewRecord>> views;
  };
  [[nodiscard]] Result<void> add_mark(Turn& turn, JournalKind kind, View view, SequenceNumber n,
                                      const Digest& digest) const;
  [[nodiscard]] Result<void> add_view(Turn& turn, ViewKind kind, View view, const SharedBytes& message) const;
  static void add_rejoin(Turn& turn, const PersistRejoin& record);
  [[nodiscard]] Result<ViewRecord> view_record(ViewKind kind) const;
  template <class Message>
  [[nodiscard]] Result<std::optional<Message>> view_message(ViewKind kind) const;
  [[nodiscard]] Result<void> recover_views(Recovered& recovered) const;
  [[nodiscard]] Result<void> add_stable(WriteBatch& batch, const PersistStable& stable) const;
  [[nodiscard]] Result<std::optional<PersistStable>> stable() const;
  [[nodiscard]] Result<void> recover_batches(Recovered& recovered, SequenceNumber above) const;
  [[nodiscard]] Result<void> recover_marks(Recovered& recovered, JournalKind kind, SequenceNumber above) const;
  [[nodiscard]] Result<void> recover_summaries(Recovered& recovered, SequenceNumber above) const;
  [[nodiscard]] Result<void> prune(WriteBatch& batch, std::uint64_t from, std::uint64_t to) const;

  // Serving.
  [[nodiscard]] Result<std::optional<CheckpointSummary>> own_summary(SequenceNumber n) const;
  [[nodiscard]] Result<std::optional<LedgerRecord>> ledger(SequenceNumber n) const;
  [[nodiscard]] Result<std::map<Bytes, Bytes>> content_at(Namespace name_space, SequenceNumber checkpoint) const;
};

[[nodiscard]] inline Family family_of(Namespace name_space) {
  return name_space == Namespace::state ? Family::state : Family::clients;
}

[[nodiscard]] inline const char* name_of(JournalKind kind) {
  return kind == JournalKind::accepted ? "accepted" : "prepared";
}
[[nodiscard]] inline const char* name_of(ViewKind kind) {
  return kind == ViewKind::view_change ? "view-change" : "new-view";
}

// A value of family undo: what the key had at the start of the interval.
[[nodiscard]] Bytes encode_before(const std::optional<Bytes>& value);
struct Before {
  Namespace name_space = Namespace::state;
  BytesView key;
  std::optional<BytesView> value;
};
// Nothing where key and value are no entry of undo. Views into both.
[[nodiscard]] std::optional<Before> decode_before(BytesView key, BytesView value);

}  // namespace pbft::storage
