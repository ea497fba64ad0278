// Everything a replica keeps, in one engine. Key formats are in README.md of this folder.
// One thread. After an error of a write the
// store refuses all further ones: what is in memory and what is on disk may differ, and the replica must stop. An error
// of kind damaged says that the state cannot be used (it is no failed write, unless every further write gives it too):
// promises can still be recorded, mark_damaged() is to be called, and a transfer puts it right.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "node/pbft/effects.h"
#include "node/pbft/input.h"
#include "node/pbft/recovered.h"
#include "storage/engine.h"
#include "storage/scrub_report.h"

namespace pbft::storage {

inline constexpr std::uint32_t format_version = 5;

struct StoreIdentity {
  ClusterId cluster;
  ReplicaId replica;
};

struct StoreOptions {
  Sync durability = Sync::durable;          // how journal writes and checkpoints are synced: fsync or os
  std::uint64_t checkpoint_interval = 128;  // apply() wants a checkpoint taken at each multiple; 0: at none
  std::uint64_t ledger_keep = 100'000;      // committed batches kept below the stable checkpoint; 0: all
  // Changes of the state gather in memory up to so many bytes until the next checkpoint writes them, each pair once;
  // 0: every batch is written as it is applied.
  std::size_t gather_bytes = 0;
  std::size_t write_bytes = 1U << 20;  // about as much in one write, where there is much
  // Rows of family tree (tree_rows.h): so many have their turn with each checkpoint at least, and one for each so many
  // pairs that have changed. So long undo is kept, and read at an opening.
  std::size_t least_tree_rows = 16;
  std::size_t pairs_per_tree_row = 8;
};

// A change of one key of the plugin's state, or of the client table; no value: erased.
struct StateChange {
  Bytes key;
  std::optional<Bytes> value;
  bool first = false;  // the key had no value before: where it is erased before this is written, nothing is
};

struct CachedReply {
  RequestNumber number;
  ReplyStatus status = ReplyStatus::ok;
  Bytes result;
};

// What one executed batch changes.
struct Applied {
  SequenceNumber n;
  Timestamp time;
  Digest batch;
  Digest ledger_head;
  std::vector<StateChange> state;  // at most one change per key
  // Encoded records of the `clients` family (see client_records.h): key -> value or erased.
  std::vector<StateChange> clients;
};

class Store {
 public:
  // Creates a new, empty store, synced. Refuses (exists) where there is one.
  // `forgot`: it replaces one that was lost, so the replica has to rejoin (PersistRejoin).
  [[nodiscard]] static Result<void> create(Engine& engine, const StoreIdentity& identity, bool forgot = false);
  // Opens and checks meta: missing, corrupt, other cluster, other replica, newer format are refused by name.
  // The engine is shared so that tests can keep it over a simulated crash.
  [[nodiscard]] static Result<std::unique_ptr<Store>> open(std::shared_ptr<Engine> engine,
                                                           const StoreIdentity& identity, const StoreOptions& options);
  ~Store();

  // Everything that the core needs to resume: the state as it was written last, and which batches were executed on it
  // since then; without client records where the state is damaged, which may show only here, and while a checkpoint is
  // half written, since what is there then is of two states. Of the batches, and of the marks, those of the first
  // `window` slots above the stable checkpoint: a replica that has followed the others for long without one of its own
  // keeps many more. corrupt where a mark's batch is missing or a record cannot be read.
  [[nodiscard]] Result<Recovered> recover(std::uint64_t window = UINT64_MAX) const;

  // Journal: all records of one turn in one atomic, synced write; none at all where there is no record. Refuses
  // (mismatch) a second digest for one (view, n), a stable checkpoint below the one that is kept, a second VIEW-CHANGE
  // or NEW-VIEW for one view, and one of a view below that of either that is kept. Of these the last one is kept, as it
  // was signed.
  [[nodiscard]] Result<void> persist(const std::vector<JournalRecord>& records);
  // n is a stable checkpoint. Drops journal entries at or below n, batches that were not committed there, batches and
  // ledger entries beyond what is kept, and undo that neither this checkpoint, nor the one before, nor a row of family
  // tree needs. Unsynced: what a loss of power brings back is dropped by the next call.
  [[nodiscard]] Result<void> truncate(SequenceNumber n);

  // State.
  [[nodiscard]] Result<std::optional<Bytes>> state_get(BytesView key) const;
  // Scans are of use until the next call of anything that is not const.
  [[nodiscard]] std::unique_ptr<Iterator> state_scan(BytesView from, BytesView to) const;
  // The ledger entry, and the changes that have gathered where they are enough, in one unsynced write. Refuses
  // (mismatch) a batch that is not the next one, or that would leave out a checkpoint.
  [[nodiscard]] Result<void> apply(Applied applied);
  [[nodiscard]] std::unique_ptr<Iterator> clients_scan() const;

  // Brings the digest tree up to date, makes the state at n (just applied) servable after a crash, synced. `epoch` and
  // `plugin` go into the summary unchanged. May be repeated: the summary is the same.
  [[nodiscard]] Result<CheckpointSummary> take_checkpoint(SequenceNumber n, Epoch epoch, const Digest& plugin);
  // The same in pieces, so that ordering goes on in between: each call of continue_checkpoint writes so many of the
  // pairs that have changed, and more where batches that were applied since then ask for it. A checkpoint that is not
  // done is finished by whatever needs it: the next one, a transfer. A crash in between leads back to the one before.
  [[nodiscard]] Result<void> begin_checkpoint(SequenceNumber n, Epoch epoch, const Digest& plugin);
  [[nodiscard]] Result<void> continue_checkpoint(std::size_t pairs);
  [[nodiscard]] bool checkpointing() const;  // begun, and not done
  // Before an orderly end: brings all rows of family tree up to date, so that the next opening has nothing of the state
  // to read. A checkpoint that is being written is finished.
  [[nodiscard]] Result<void> write_all_rows();
  // The next one that is done, each given once.
  [[nodiscard]] std::optional<CheckpointSummary> next_taken();
  // Recomputes the digest of everything stored now, from nothing: for tests, scrubbing, comparison.
  [[nodiscard]] Result<Digest> recompute_state_digest() const;
  // The state and the client records at a kept checkpoint, key by key (what is now with undo applied). Kept are the
  // last two that were truncated to and all after them; missing for any other.
  [[nodiscard]] Result<std::map<Bytes, Bytes>> state_at(SequenceNumber checkpoint) const;
  [[nodiscard]] Result<std::map<Bytes, Bytes>> clients_at(SequenceNumber checkpoint) const;

  // Serving peers: `asker` is the replica that it is for. What one of them asks for takes nothing from another.
  [[nodiscard]] Result<std::optional<Bytes>> batch_bytes(SequenceNumber n, const Digest& digest, ReplicaId asker) const;
  // Digests first..last and the summary of the checkpoint at last; nothing where any of it is gone.
  [[nodiscard]] Result<std::optional<LedgerRange>> ledger_range(SequenceNumber first, SequenceNumber last,
                                                                ReplicaId asker) const;
  // Summary and digests of the buckets at a kept checkpoint; nothing where it is not kept, or the state is damaged. The
  // state at n can be given to the asker from then on, whatever goes on meanwhile, until it has not asked for a while,
  // or has asked for two others (serving_session.h). The first call for a checkpoint that was taken before this
  // process was started costs what has changed since then, and since the oldest row of family tree.
  // `work`, here and below: to this is added how many bytes were read, or gone through, for the answer.
  [[nodiscard]] Result<std::optional<Tree>> tree_at(SequenceNumber n, ReplicaId asker, std::uint64_t* work = nullptr);
  // The pairs of the bucket at checkpoint n that are not in request.have, from request.skip on, as many as fit a part;
  // nothing where the state at n is not there, or the request makes no sense.
  [[nodiscard]] Result<std::optional<BucketPart>> bucket_part(const FetchBucket& request, ReplicaId asker,
                                                              std::uint64_t* work = nullptr);
  // So many ticks have passed. Serving ends where it is idle, or has held back the removal of old data for long.
  void tick_serving(std::uint64_t ticks);

  // Receiving the state of a checkpoint. The state must not change (apply) between a plan and the end of what it began;
  // where it does, buckets come out wrong and the installation is refused.
  // Which buckets have to be fetched, ascending: what has the wanted digest in the state as it is now, or was staged by
  // an earlier plan, is not among them. Replaces the plan before. Refuses (mismatch) leaves that do not give
  // target.state. Where the state is damaged, it is first put in order as far as it can be read.
  [[nodiscard]] Result<std::vector<std::uint32_t>> plan_transfer(const CheckpointSummary& target,
                                                                 const std::vector<Digest>& leaves);
  // What is here of the bucket, for FetchBucket::have of a request with this skip; ascending. Where skip is 0 it is
  // looked at, and an answer may begin; else it is what that answer began with, or nothing without one.
  [[nodiscard]] Result<std::vector<PairHash>> bucket_hashes(std::uint32_t bucket, std::uint32_t skip);
  // Takes the next part of an answer to what bucket_hashes gave, in order of skip, and stages it. whole: the bucket has
  // the planned digest. wrong: anything else; the next answer begins with what is here then, right or wrong. `source`
  // is not set.
  [[nodiscard]] Result<BucketStaged> stage_bucket(const BucketPart& part);
  // The staged buckets become the state. All or nothing over a crash, and finished by the next opening once it has
  // begun. Afterwards n was executed last and taken as a checkpoint, its state is kept, and nothing below it; promises
  // above n stay, those at or below go, and so does the ledger. Refuses (mismatch) without a complete plan for this
  // summary, and below the stable checkpoint that is kept.
  [[nodiscard]] Result<StateInstalled> install_state(const StableCheckpoint& proof, const CheckpointSummary& summary);

  // Damage.
  // Compares what is stored with its digests, about `pairs` pairs in a call, and goes on where the last call stopped.
  // Does nothing while a checkpoint is written, nor where the state is known to be damaged.
  [[nodiscard]] Result<ScrubReport> scrub(std::size_t pairs);
  // The state is not to be used any more, and an installation is to replace it; durable.
  [[nodiscard]] Result<void> mark_damaged();

 private:
  struct Impl;
  explicit Store(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace pbft::storage
