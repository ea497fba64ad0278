// From CHECKPOINT votes to a stable checkpoint to truncation (OSDI 1999, section 4.3). Stable here means: a quorum
// signed the root, and this replica holds that state itself, durably.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "node/pbft/delivery.h"
#include "node/pbft/message_log.h"
#include "node/pbft/outbox.h"
#include "node/pbft/parameters.h"
#include "node/pbft/quorum.h"
#include "node/pbft/recovered.h"

namespace pbft {

class Checkpointing {
 public:
  Checkpointing(const ClusterParameters& cluster, const LocalParameters& local, MessageLog& log, Delivery& delivery,
                const Recovered& recovered);

  // Completion of TakeCheckpoint: votes for it.
  void on_taken(const CheckpointSummary& summary, Outbox& out);
  // Own votes come here too, once they are signed.
  void on_checkpoint(ReplicaId sender, const Checkpoint& message, Outbox& out);
  void on_stable_checkpoint(ReplicaId sender, const StableCheckpoint& message, Outbox& out);
  // A proof that came with another message, verified there: a quorum of votes for a boundary.
  void adopt(const StableCheckpoint& proof, Outbox& out);
  // The state of this checkpoint has been transferred: it is held here, with its proof, durably.
  void installed(const StableCheckpoint& proof, const CheckpointSummary& summary, Outbox& out);
  // Once, after a start: takes the checkpoint of a boundary that was executed before a crash but not taken, and votes
  // again for what is not stable yet (the signatures did not survive; the same bytes come out again).
  void resume(Outbox& out);

  // Proof of the low water mark; nothing at genesis.
  [[nodiscard]] const std::optional<StableCheckpoint>& stable() const { return stable_; }
  // The highest checkpoint that a quorum signed, held here or not.
  [[nodiscard]] const std::optional<StableCheckpoint>& highest_proven() const { return proven_; }
  // Own signed votes above the stable checkpoint, ascending.
  [[nodiscard]] std::vector<Checkpoint> own_votes() const;
  [[nodiscard]] bool has_own_votes() const { return !votes_[local_.self.value].empty(); }
  // The highest checkpoint that was taken here, and its root; nothing at genesis.
  struct Own {
    CheckpointSummary summary;
    Digest root;  // checkpoint_root(summary)
  };
  [[nodiscard]] const Own* last_own() const { return own_.empty() ? nullptr : &own_.rbegin()->second; }

  // In words, for people: why the window does not move.
  [[nodiscard]] std::string waiting_for(std::vector<ReplicaId>& from) const;

  void invariants() const;

 private:
  [[nodiscard]] StableCheckpoint matching_votes(SequenceNumber n, const Digest& root) const;
  // `proof` is a quorum's: remembers it as a target, and makes it stable where its state is held here.
  void on_proof(const StableCheckpoint& proof, Outbox& out);
  void hold(const CheckpointSummary& summary);
  [[nodiscard]] bool is_boundary(SequenceNumber n) const { return n.value % cluster_.checkpoint_interval == 0; }

  const ClusterParameters& cluster_;
  const LocalParameters& local_;
  const Quorum quorum_;
  MessageLog& log_;
  Delivery& delivery_;

  std::map<SequenceNumber, Own> own_;  // taken here, above stable and the stable one
  // Per replica, its votes above the low water mark; the highest few only, so that nobody fills the memory.
  std::vector<std::map<SequenceNumber, Checkpoint>> votes_;
  std::optional<StableCheckpoint> stable_;
  std::optional<StableCheckpoint> proven_;
};

}  // namespace pbft
