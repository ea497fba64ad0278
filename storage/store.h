// Everything a replica keeps, in one engine. Key formats are in README.md of this folder.
// Not thread-safe for writes; reads (state_get, state_scan, batch, ledger) may come from other threads.
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
  Sync durability = Sync::durable;    // how journal writes and checkpoints are synced: fsync or os
  std::uint64_t checkpoint_interval = 128;
  std::uint64_t ledger_keep = 100'000;  // committed batches kept below the stable checkpoint; 0: all
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
  // Creates a new, empty store. Refuses (exists) where there is one.
  [[nodiscard]] static Result<void> create(Engine& engine, const StoreIdentity& identity);
  // Opens and checks meta: missing, corrupt, other cluster, other replica, newer format are refused by name.
  // The engine is shared so that tests can keep it over a simulated crash.
  [[nodiscard]] static Result<std::unique_ptr<Store>> open(std::shared_ptr<Engine> engine, const StoreIdentity& identity,
                                                           const StoreOptions& options);
  ~Store();

  // Everything that the core needs to resume.
  [[nodiscard]] Result<Recovered> recover() const;

  // Journal: all records of one turn in one atomic, synced write.
  [[nodiscard]] Result<void> persist(const std::vector<JournalRecord>& records);
  // Drops journal entries at or below n, batches and ledger entries beyond what is kept, and undo that no kept
  // checkpoint needs.
  [[nodiscard]] Result<void> truncate(SequenceNumber n);

  // State.
  [[nodiscard]] Result<std::optional<Bytes>> state_get(BytesView key) const;
  [[nodiscard]] std::unique_ptr<Iterator> state_scan(BytesView from, BytesView to) const;
  [[nodiscard]] Result<void> apply(const Applied& applied);  // unsynced
  [[nodiscard]] std::unique_ptr<Iterator> clients_scan() const;

  // Brings the digest tree up to date, makes the state at `summary.n` (just applied) servable after a crash,
  // synced. `epoch` and `plugin` go into the summary unchanged.
  [[nodiscard]] Result<CheckpointSummary> take_checkpoint(SequenceNumber n, Epoch epoch, const Digest& plugin);
  // Recomputes the digest of everything stored now, from nothing: for tests, scrubbing, comparison.
  [[nodiscard]] Result<Digest> recompute_state_digest() const;
  // The state at a kept checkpoint, key by key (current state with undo applied).
  [[nodiscard]] Result<std::map<Bytes, Bytes>> state_at(SequenceNumber checkpoint) const;

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
