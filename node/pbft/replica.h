// One replica of the protocol: a deterministic state machine without I/O. Inputs come in one at a time, effects go
// out; see input.h and effects.h for the two doors and the contract between them. It owns the subprotocols and
// routes between them; the rules are in their files (README.md of this folder says which). One thread.
#pragma once

#include <memory>
#include <vector>

#include "node/pbft/effects.h"
#include "node/pbft/input.h"
#include "node/pbft/parameters.h"
#include "node/pbft/recovered.h"

namespace pbft {

// What an operator wants to know; a copy, made on request.
struct ReplicaStatus {
  View view;
  bool active = true;  // false: the view has been left for or not been opened yet
  ReplicaId primary;
  SequenceNumber executed;
  SequenceNumber committed;      // highest n such that all up to it are committed here
  SequenceNumber stable;         // low water mark
  SequenceNumber high;           // high water mark
  SequenceNumber last_accepted;  // highest n in the log that this replica voted for in the present view
  std::size_t queued_requests = 0;
  std::size_t sessions = 0;
  bool catching_up = false;
  bool diverged = false;   // the state here is not what a quorum certified, or is damaged; nothing is executed
  bool rejoining = false;  // has lost its memory and does not vote yet
  bool transferring = false;
  SequenceNumber transfer_to;
  std::uint32_t transfer_buckets = 0;
  std::uint32_t transfer_left = 0;
  std::uint64_t transfer_bytes = 0;  // received
  std::size_t waiting_clients = 0;   // with requests that are known here and not executed
  std::uint64_t view_timeout_ticks = 0;
  Digest last_root;  // root of the last own checkpoint
  SequenceNumber last_checkpoint;
  Timestamp time;                             // agreed time
  std::vector<SequenceNumber> peer_executed;  // as last told by each replica; own entry is own
  std::string waiting_for;                    // "" or for people: why nothing moves
  std::vector<ReplicaId> waiting_from;        // of whom it is missing
};

class Replica {
 public:
  // `recovered` is what storage remembers; Recovered{} with ledger_head = genesis_ledger_head() for a new replica.
  Replica(const ClusterParameters& cluster, const LocalParameters& local, Recovered recovered);
  ~Replica();
  Replica(Replica&&) noexcept;
  Replica& operator=(Replica&&) noexcept;

  // Never fails, never blocks.
  [[nodiscard]] Effects step(const Input& input);

  // Whether the message would be looked at at all: verifying the proofs of its bundles is worth the time.
  [[nodiscard]] bool expects(ReplicaId sender, const PrePrepare& message) const;
  [[nodiscard]] bool expects(ReplicaId sender, const Forward& message) const;

  // Whether unordered reads can be answered that the last turn had no room for: the next one need not wait for input.
  [[nodiscard]] bool reads_are_left() const;

  // Whether the client has to sign its requests, since MACs of its own did not hold somewhere.
  [[nodiscard]] bool must_sign(const ClientId& client) const;

  // Asserts what must hold between steps; called after every step in tests and simulation.
  void invariants() const;
  [[nodiscard]] ReplicaStatus status() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace pbft
