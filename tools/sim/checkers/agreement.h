// Agreement: one batch for each sequence number, over all replicas and all their lives; and one outcome for each
// request in it. Builds the agreed order that the other checkers read.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "node/pbft/messages.h"
#include "tools/sim/checkers/history.h"
#include "tools/sim/findings.h"

namespace pbft::sim {

class AgreementChecker {
 public:
  // `ordered` is called once for each sequence number, ascending without gaps.
  AgreementChecker(Findings& findings, std::function<void(const RanBatch&)> ordered)
      : findings_(findings), ordered_(std::move(ordered)) {}

  void executed(ReplicaId replica, const RanBatch& batch);
  void checkpoint(ReplicaId replica, const CheckpointSummary& summary);

  [[nodiscard]] std::uint64_t last() const { return next_ - 1; }
  [[nodiscard]] std::size_t checkpoints() const { return checkpoints_.size(); }

 private:
  struct Slot {
    RanBatch batch;
    std::uint32_t first_by = 0;
  };
  struct Taken {
    CheckpointSummary summary;
    std::uint32_t first_by = 0;
  };
  void compare(ReplicaId replica, const Slot& agreed, const RanBatch& batch);

  Findings& findings_;
  std::function<void(const RanBatch&)> ordered_;
  std::map<std::uint64_t, Slot> slots_;
  std::map<std::uint64_t, Taken> checkpoints_;
  std::uint64_t next_ = 1;  // Invariant: all of 1 .. next_ - 1 are in slots_ and were handed to ordered_
};

}  // namespace pbft::sim
