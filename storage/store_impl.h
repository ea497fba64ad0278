// What the source files of Store share.
#pragma once

#include <array>
#include <deque>
#include <set>
#include <string>

#include "storage/digest_tree.h"
#include "storage/fields.h"
#include "storage/leave_down.h"
#include "storage/list_changes.h"
#include "storage/meta.h"
#include "storage/scrub.h"
#include "storage/serving_session.h"
#include "storage/store.h"
#include "storage/transfer.h"
#include "storage/tree_rows.h"
#include "storage/unwritten.h"

namespace pbft::storage {

// The checkpoint that is being written. Its changes, as far as they are not written, lie between `unwritten` and the
// engine.
struct BegunCheckpoint {
  ExecutedRecord at;
  Epoch epoch;
  Digest plugin;
  Unwritten changes;
  std::size_t share = 0;  // of the pairs, for each batch that is applied meanwhile
  std::size_t due = 0;
  bool marked = false;  // some are written
};

struct Store::Impl {
  std::shared_ptr<Engine> engine;
  StoreOptions options;

  ExecutedRecord executed;  // last
  ExecutedRecord stored;    // last of those whose changes the engine has. Invariant: the rest is in `unwritten`
  Unwritten unwritten;
  std::optional<BegunCheckpoint> begun;
  std::deque<CheckpointSummary> taken;  // done, and not given yet
  SequenceNumber interval;              // the checkpoint that was taken last
  KeptRecord kept;
  std::uint64_t undo_erased = 0;  // up to here there is none; 0: not known
  // Names of pairs whose value at `interval` is in undo: those that were written since then.
  std::set<std::string, std::less<>> saved;
  // Invariant: root and digests of the buckets at `interval`; what the buckets are runs ahead of that while a
  // checkpoint is written.
  DigestTree tree;
  // Digests of the buckets at kept checkpoints, as far as this process has taken them.
  std::map<std::uint64_t, std::vector<Digest>> leaves_at;
  TreeRows rows;
  std::vector<Digest> row_leaves;      // of the rows as they are written, by bucket
  std::size_t changed_since_rows = 0;  // what has gone to undo of the interval, in pairs
  std::size_t rows_due = 0;            // which of the last checkpoint have their turn before the next one begins
  // Why nothing of the state is to be used. Set by damage that was found, also without a mark; gone with an install.
  std::optional<StorageError> damage;
  bool rebuilt = false;  // since the damage: tree and lists are those of what could be read
  ServingSessions sessions;
  std::unique_ptr<Transfer> transfer;
  bool staged_checked = false;  // what an earlier process has staged
  Scrub scrub;
  // Set by the first failure after which memory and disk may differ; every further write is refused with it.
  std::optional<StorageError> failure;

  [[nodiscard]] StorageError error(StorageError::Kind kind, const std::string& what) const {
    return {kind, engine->name() + ": " + what};
  }
  [[nodiscard]] tl::unexpected<StorageError> corrupt(const std::string& what) const {
    return tl::unexpected(error(StorageError::Kind::corrupt, "the store is corrupt: " + what + "; " + leave_down));
  }
  [[nodiscard]] StateView view() const { return {*engine, engine->name()}; }
  [[nodiscard]] tl::unexpected<StorageError> refuse(const std::string& what) const {
    return tl::unexpected(error(StorageError::Kind::mismatch, what));
  }

  [[nodiscard]] Result<void> load();
  [[nodiscard]] Result<void> load_meta();
  [[nodiscard]] Result<void> load_state();
  [[nodiscard]] StorageError noted_damage() const;
  [[nodiscard]] Result<void> load_tree();
  [[nodiscard]] Result<void> check_root();
  [[nodiscard]] Result<void> recount_tree();
  [[nodiscard]] static Result<void> add_all(DigestTree& tree, Namespace name_space, Iterator& entries);
  [[nodiscard]] Result<void> load_saved();
  [[nodiscard]] Result<void> check_ledger() const;

  [[nodiscard]] Result<void> write(const WriteBatch& batch, Sync sync);
  void give_up(const StorageError& error);
  using VisitChanged = std::function<void(const Before&, const std::optional<Bytes>& now)>;
  using Change = Unwritten::Changes::const_iterator;
  // Changes that go into one write, from the first one on.
  struct Piece {
    explicit Piece(Unwritten& all)
        : changes(all), ends{all.in(Namespace::state).begin(), all.in(Namespace::clients).begin()} {}
    Unwritten& changes;
    WriteBatch batch;
    std::size_t pairs = 0;
    std::size_t bytes = 0;       // of what they are and were
    std::array<Change, 2> ends;  // by namespace: those before are in it
    bool last = false;           // nothing is left
  };
  [[nodiscard]] Result<void> write_few(Piece& piece, Namespace name_space, Change& at, std::size_t most,
                                       const VisitChanged& first_change) const;
  [[nodiscard]] Result<void> fill(Piece& piece, std::size_t most, const VisitChanged& first_change) const;
  static void forget(const Piece& piece);
  [[nodiscard]] Result<void> write_changes(WriteBatch& batch);
  // What the engine has not been given; null: the pair has what the engine has.
  [[nodiscard]] const std::optional<Bytes>* newer(Namespace name_space, BytesView key) const;
  [[nodiscard]] std::unique_ptr<Iterator> scan(Namespace name_space, BytesView from, BytesView to) const;
  [[nodiscard]] Result<std::optional<Bytes>> value_at_checkpoint(BytesView name) const;
  [[nodiscard]] Result<void> visit_changes(const VisitChanged& each) const;

  // Checkpoints.
  void follow(ListChanges& lists, const Before& before, const std::optional<Bytes>& now);
  [[nodiscard]] Result<void> write_some(std::size_t pairs);
  [[nodiscard]] Result<std::size_t> write_piece(std::size_t most);
  [[nodiscard]] Result<void> finish_checkpoint();
  [[nodiscard]] CheckpointSummary conclude(WriteBatch& batch);
  [[nodiscard]] Result<void> roll_back();
  // The pair as it has to be, or its end, with its entry in the list of its bucket.
  static void put_listed(WriteBatch& batch, BytesView name, const std::optional<BytesView>& value);
  static void put_row(WriteBatch& batch, std::uint32_t bucket, const LtHash* hash);
  void weigh(const Before& before);
  void put_rows(WriteBatch& batch, std::size_t turns, std::size_t most, SequenceNumber n);
  [[nodiscard]] Result<void> write_due_rows(std::size_t most);

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
  [[nodiscard]] static Bytes encode_rejoin(const PersistRejoin& record);
  [[nodiscard]] Result<ViewRecord> view_record(ViewKind kind) const;
  template <class Message>
  [[nodiscard]] Result<std::optional<Message>> view_message(ViewKind kind) const;
  [[nodiscard]] Result<void> recover_views(Recovered& recovered) const;
  [[nodiscard]] Result<void> check_stable(const PersistStable& stable) const;
  [[nodiscard]] Result<std::optional<PersistStable>> stable() const;
  [[nodiscard]] Result<void> recover_batches(Recovered& recovered, SequenceNumber above, std::uint64_t window) const;
  [[nodiscard]] Result<void> recover_marks(Recovered& recovered, JournalKind kind, SequenceNumber above,
                                           std::uint64_t window) const;
  // The digests of what was executed above `above`.
  [[nodiscard]] Result<void> recover_executed(Recovered& recovered, SequenceNumber above) const;
  [[nodiscard]] Result<void> recover_summaries(Recovered& recovered, SequenceNumber above) const;
  [[nodiscard]] Result<void> prune(WriteBatch& batch, std::uint64_t from, std::uint64_t to) const;

  // Serving.
  [[nodiscard]] Result<std::optional<CheckpointSummary>> own_summary(SequenceNumber n) const;
  [[nodiscard]] Result<std::optional<LedgerRecord>> ledger(SequenceNumber n) const;
  [[nodiscard]] Result<ServingSession*> serve(ReplicaId asker, SequenceNumber n);
  [[nodiscard]] Result<bool> is_kept(SequenceNumber checkpoint) const;
  [[nodiscard]] Result<std::map<Bytes, Bytes>> content_at(Namespace name_space, SequenceNumber checkpoint) const;

  // State transfer.
  [[nodiscard]] Result<Present> present() const;
  [[nodiscard]] Result<bool> leads_to_leaf(std::uint32_t bucket, const StagedHead& head, const Present& present) const;
  [[nodiscard]] Result<void> sift_staged(std::map<std::uint32_t, StagedHead>& staged, const Present& present);
  [[nodiscard]] Result<std::optional<StateInstalled::Difference>> difference(
      SequenceNumber n, const std::map<std::uint32_t, StagedHead>& staged) const;
  [[nodiscard]] Result<std::map<std::uint32_t, StagedHead>> wanted(const Transfer& plan) const;
  [[nodiscard]] Result<void> begin_install(const PersistStable& stable,
                                           const std::map<std::uint32_t, StagedHead>& staged);
  // Does what the marker of an installation says, where there is one, and reads everything anew.
  [[nodiscard]] Result<void> finish_install();
  [[nodiscard]] Result<void> install_bucket(std::uint32_t bucket);
  [[nodiscard]] Result<void> conclude_install(const PersistStable& stable,
                                              const std::map<std::uint32_t, StagedHead>& staged);
  [[nodiscard]] Result<void> replace_history(WriteBatch& batch, const CheckpointSummary& summary);

  // Damage.
  [[nodiscard]] Result<void> mark_damaged(const StorageError& found);
  [[nodiscard]] Result<void> rebuild();
  [[nodiscard]] Result<void> clear_staging();
  // damaged where a staged bucket is not what it should be.
  [[nodiscard]] Result<void> check_staged() const;
  [[nodiscard]] Result<std::vector<Namespace>> salvage_all();
  // damaged where it cannot be read to its end.
  [[nodiscard]] Result<void> read_all(Family family) const;
  [[nodiscard]] Result<void> salvage(Namespace name_space);
  [[nodiscard]] Result<void> restore(Namespace name_space);
  [[nodiscard]] Result<void> derive();
};

// The record of a stable checkpoint in family checkpoints.
[[nodiscard]] Bytes encode_stable_record(const PersistStable& stable);
[[nodiscard]] std::optional<PersistStable> decode_stable_record(BytesView bytes);

[[nodiscard]] inline const char* name_of(JournalKind kind) {
  return kind == JournalKind::accepted ? "accepted" : "prepared";
}
[[nodiscard]] inline const char* name_of(ViewKind kind) {
  return kind == ViewKind::view_change ? "view-change" : "new-view";
}

}  // namespace pbft::storage
