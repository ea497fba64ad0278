// Everything a replica keeps, in one engine. Key formats are in README.md of this folder.
// One thread writes, and only it calls recover and the checkpoint functions; reads (state_get, state_scan,
// clients_scan, batch_bytes, ledger_range) may come from other threads. After an error of a write the store refuses all
// further ones: what is in memory and what is on disk may differ, and the replica must stop.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "node/pbft/effects.h"
#include "node/pbft/recovered.h"
#include "storage/engine.h"

namespace pbft::storage {

inline constexpr std::uint32_t format_version = 1;

struct StoreIdentity {
  ClusterId cluster;
  ReplicaId replica;
};

struct StoreOptions {
  Sync durability = Sync::durable;          // how journal writes and checkpoints are synced: fsync or os
  std::uint64_t checkpoint_interval = 128;  // apply() wants a checkpoint taken at each multiple; 0: at none
  std::uint64_t ledger_keep = 100'000;      // committed batches kept below the stable checkpoint; 0: all
};

// A change of one key of the plugin's state; no value: erased.
struct StateChange {
  Bytes key;
  std::optional<Bytes> value;
};

struct CachedReply {
  RequestNumber number;
  ReplyStatus status = ReplyStatus::ok;
  Bytes result;
};

// What one executed batch changes: one atomic write.
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
  [[nodiscard]] static Result<void> create(Engine& engine, const StoreIdentity& identity);
  // Opens and checks meta: missing, corrupt, other cluster, other replica, newer format are refused by name.
  // The engine is shared so that tests can keep it over a simulated crash.
  [[nodiscard]] static Result<std::unique_ptr<Store>> open(std::shared_ptr<Engine> engine,
                                                           const StoreIdentity& identity, const StoreOptions& options);
  ~Store();

  // Everything that the core needs to resume. corrupt where a mark's batch is missing or a record cannot be read.
  [[nodiscard]] Result<Recovered> recover() const;

  // Journal: all records of one turn in one atomic, synced write; none at all where there is no record. Refuses
  // (mismatch) a second digest for one (view, n), a stable checkpoint below the one that is kept, a second VIEW-CHANGE
  // or NEW-VIEW for one view, and one of a view below that of either that is kept. Of these the last one is kept, as it
  // was signed.
  [[nodiscard]] Result<void> persist(const std::vector<JournalRecord>& records);
  // n is a stable checkpoint. Drops journal entries at or below n, batches that were not committed there, batches and
  // ledger entries beyond what is kept, and undo that neither this checkpoint nor the one before needs. Unsynced:
  // what a loss of power brings back is dropped by the next call.
  [[nodiscard]] Result<void> truncate(SequenceNumber n);

  // State.
  [[nodiscard]] Result<std::optional<Bytes>> state_get(BytesView key) const;
  [[nodiscard]] std::unique_ptr<Iterator> state_scan(BytesView from, BytesView to) const;
  // Unsynced. Refuses (mismatch) a batch that is not the next one, or that would leave out a checkpoint.
  [[nodiscard]] Result<void> apply(const Applied& applied);
  [[nodiscard]] std::unique_ptr<Iterator> clients_scan() const;

  // Brings the digest tree up to date, makes the state at n (just applied) servable after a crash, synced. `epoch` and
  // `plugin` go into the summary unchanged. May be repeated: the summary is the same.
  [[nodiscard]] Result<CheckpointSummary> take_checkpoint(SequenceNumber n, Epoch epoch, const Digest& plugin);
  // Recomputes the digest of everything stored now, from nothing: for tests, scrubbing, comparison.
  [[nodiscard]] Result<Digest> recompute_state_digest() const;
  // The state and the client records at a kept checkpoint, key by key (what is now with undo applied). Kept are the
  // last two that were truncated to and all after them; missing for any other.
  [[nodiscard]] Result<std::map<Bytes, Bytes>> state_at(SequenceNumber checkpoint) const;
  [[nodiscard]] Result<std::map<Bytes, Bytes>> clients_at(SequenceNumber checkpoint) const;

  // Serving peers.
  [[nodiscard]] Result<std::optional<Bytes>> batch_bytes(SequenceNumber n, const Digest& digest) const;
  // Digests first..last and the summary of the checkpoint at last; nothing where any of it is gone.
  [[nodiscard]] Result<std::optional<LedgerRange>> ledger_range(SequenceNumber first, SequenceNumber last) const;

 private:
  struct Impl;
  explicit Store(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace pbft::storage
