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
  ReplicaId primary;
  SequenceNumber executed;
  SequenceNumber committed;  // highest n such that all up to it are committed here
  SequenceNumber stable;     // low water mark
  SequenceNumber high;       // high water mark
  SequenceNumber last_accepted;
  std::size_t queued_requests = 0;
  std::size_t sessions = 0;
  bool catching_up = false;
  bool diverged = false;
  Digest last_root;  // root of the last own checkpoint
  SequenceNumber last_checkpoint;
  Timestamp time;                             // agreed time
  std::vector<SequenceNumber> peer_executed;  // as last told by each replica; own entry is own
  std::string waiting_for;                    // "" or for people: why nothing moves
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

  // Whether a pre-prepare would be looked at at all: verifying the proofs of its bundles is worth the time.
  [[nodiscard]] bool expects(ReplicaId sender, const PrePrepare& message) const;

  // Asserts what must hold between steps; called after every step in tests and simulation.
  void invariants() const;
  [[nodiscard]] ReplicaStatus status() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace pbft
