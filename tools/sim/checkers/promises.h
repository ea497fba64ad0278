// What a replica told others binds it. Non-equivocation: never two digests for one (message type, view, number), over
// restarts too. Durable before audible: what it had said, it still knows when it comes back without what was not
// synced.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "node/pbft/messages.h"
#include "node/pbft/recovered.h"
#include "tools/sim/findings.h"

namespace pbft::sim {

class PromiseChecker {
 public:
  PromiseChecker(Findings& findings, std::size_t replicas) : findings_(findings), said_(replicas) {}

  // The message leaves the replica. The digest of a checkpoint is its root.
  void sent(ReplicaId replica, const PeerMessage& message);
  // What the replica's disk gave back after a crash.
  void recovered(ReplicaId replica, const Recovered& memory);

  [[nodiscard]] std::uint64_t audited() const { return audited_; }

 private:
  using Slot = std::pair<std::uint64_t, std::uint64_t>;  // n, view
  struct Said {
    std::map<Slot, Digest> accepted;  // by PRE-PREPARE or PREPARE
    std::map<Slot, Digest> prepared;  // by COMMIT
    std::map<std::uint64_t, Digest> roots;
  };
  void promise(ReplicaId replica, std::map<Slot, Digest>& said, const char* what, View view, SequenceNumber n,
               const Digest& digest);
  void forgotten(ReplicaId replica, std::uint64_t n, std::string what);
  void audit_slot(ReplicaId replica, const Slot& slot, const Digest& digest, const RecoveredSlot* memory,
                  bool prepared);

  Findings& findings_;
  std::vector<Said> said_;
  std::uint64_t audited_ = 0;
};

}  // namespace pbft::sim
