// What may only grow, and what has a bound. The stable checkpoint and the view never go back, over restarts too; the
// executed number goes back only with a restart and never below the stable checkpoint.
#pragma once

#include <cstdint>
#include <vector>

#include "node/pbft/parameters.h"
#include "node/pbft/replica.h"
#include "tools/sim/findings.h"

namespace pbft::sim {

class ProgressChecker {
 public:
  ProgressChecker(Findings& findings, const ClusterParameters& cluster, const LocalParameters& local)
      : findings_(findings), cluster_(cluster), local_(local), last_(cluster.replicas) {}

  // After a turn of the replica.
  void status(ReplicaId replica, const ReplicaStatus& status);
  // The replica sends a PRE-PREPARE, PREPARE or COMMIT.
  void voted(ReplicaId replica, SequenceNumber n, SequenceNumber stable);
  // The replica starts with this much of it done.
  void restarted(ReplicaId replica, SequenceNumber executed, SequenceNumber stable, View view);
  // The replica's disk is gone, and with it all that it had reached.
  void wiped(ReplicaId replica) { last_[replica.value] = {}; }
  // The replica's state was found damaged: until it is repaired it executes nothing, and then what a checkpoint holds.
  void damaged(ReplicaId replica) { last_[replica.value].damaged = true; }
  [[nodiscard]] bool is_damaged(ReplicaId replica) const { return last_[replica.value].damaged; }

 private:
  struct Last {
    std::uint64_t executed = 0;
    std::uint64_t stable = 0;
    std::uint64_t view = 0;
    std::uint64_t time = 0;
    bool damaged = false;
  };
  void not_below(ReplicaId replica, const char* what, std::uint64_t& last, std::uint64_t now);
  void bounds(ReplicaId replica, const ReplicaStatus& status);

  Findings& findings_;
  const ClusterParameters cluster_;
  const LocalParameters local_;
  std::vector<Last> last_;
};

}  // namespace pbft::sim
