// What a replica told others binds it. Non-equivocation: never two digests for one (message type, view, number), nor
// two view-changes or new-views for one view, over restarts too; a NEW-VIEW is its primary's pre-prepare of every slot
// that it decides. A VIEW-CHANGE tells all that its sender voted for and prepared, and after it there is no new vote in
// an earlier view. Durable before audible: what it had said, it still knows when it comes back without what was not
// synced.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "node/pbft/messages.h"
#include "node/pbft/parameters.h"
#include "node/pbft/recovered.h"
#include "tools/sim/checkers/new_view.h"
#include "tools/sim/findings.h"

namespace pbft::sim {

class PromiseChecker {
 public:
  PromiseChecker(Findings& findings, const ClusterParameters& cluster)
      : findings_(findings),
        replicas_(cluster.replicas),
        opening_{cluster.replicas, cluster.window, cluster.checkpoint_interval, cluster.crowded_above},
        said_(cluster.replicas) {}

  // The message leaves the replica. The digest of a checkpoint is its root.
  void sent(ReplicaId replica, const PeerMessage& message);
  // What the replica's disk gave back after a crash.
  void recovered(ReplicaId replica, const Recovered& memory);
  // The replica's disk is gone. It need not know any more what it said; it still may not say anything else.
  void wiped(ReplicaId replica);

  [[nodiscard]] std::uint64_t audited() const { return audited_; }
  [[nodiscard]] std::uint64_t new_views() const { return new_views_; }
  // Slots with a batch that new-views took over from earlier views, and null batches between them.
  [[nodiscard]] std::uint64_t carried() const { return carried_; }
  [[nodiscard]] std::uint64_t filled() const { return filled_; }
  // New-views that are filled up to a checkpoint because of many votes.
  [[nodiscard]] std::uint64_t crowded() const { return crowded_; }

 private:
  using Slot = std::pair<std::uint64_t, std::uint64_t>;  // n, view
  template <class What>
  struct Word {
    What what;
    bool lost = false;  // said before the disk was wiped
  };
  template <class Key, class What>
  using Words = std::map<Key, Word<What>>;
  struct Said {
    Words<Slot, Digest> accepted;  // by PRE-PREPARE, PREPARE or NEW-VIEW
    Words<Slot, Digest> prepared;  // by COMMIT
    Words<std::uint64_t, Digest> roots;
    Words<std::uint64_t, SharedBytes> view_changes;  // by view, as signed
    Words<std::uint64_t, SharedBytes> new_views;
    std::uint64_t left = 0;  // the view of the highest VIEW-CHANGE: no new vote below it
  };
  struct Decided {
    std::map<std::uint64_t, Digest> slots;
    std::uint32_t primary = 0;
  };

  void accepted(ReplicaId replica, View view, SequenceNumber n, const Digest& digest);
  void vote(ReplicaId replica, Words<Slot, Digest>& said, const char* what, View view, SequenceNumber n,
            const Digest& digest);
  void checkpoint(ReplicaId replica, const Checkpoint& checkpoint);
  void certificate(ReplicaId replica, const StableCheckpoint& stable);
  void view_change(ReplicaId replica, const ViewChange& change);
  void new_view(ReplicaId replica, const NewView& view);
  void tells_all(ReplicaId replica, const ViewChange& change);
  [[nodiscard]] bool once(ReplicaId replica, Words<std::uint64_t, SharedBytes>& said, const char* what, View view,
                          const SharedBytes& bytes);
  void forgotten(ReplicaId replica, std::uint64_t n, std::string what);
  void audit_accepted(ReplicaId replica, const Slot& slot, const Digest& digest, const RecoveredSlot* memory);
  void audit_prepared(ReplicaId replica, const Slot& slot, const Digest& digest, const RecoveredSlot* memory);
  void audit_roots(ReplicaId replica, const Recovered& memory, std::uint64_t stable);
  void audit_views(ReplicaId replica, const Recovered& memory);

  Findings& findings_;
  const std::uint32_t replicas_;
  const OpeningRules opening_;
  std::vector<Said> said_;
  std::map<std::uint64_t, Decided> decided_;  // by view, as honest primaries decided
  std::uint64_t audited_ = 0;
  std::uint64_t new_views_ = 0;
  std::uint64_t carried_ = 0;
  std::uint64_t filled_ = 0;
  std::uint64_t crowded_ = 0;
};

}  // namespace pbft::sim
