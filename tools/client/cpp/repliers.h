// Which replicas a client wants replies of. f+1 replies make a result, so those of the others cost them and the client
// work for nothing. The primary replies in any case, since requests are sent to it; of the backups, f are chosen, and
// the others are told to be quiet.
//
// Who is chosen may fail, lie, or be slow on purpose. So, in periods of one hello interval: all reply in the first, and
// those that were among the first f+1 then are chosen from for the next ones. All reply again at once where a request
// had to be resent, where replies of the chosen take twice as long as those of all, and after a few periods in any
// case; in the first two cases those that had been chosen are not chosen again for long. One thread.
#pragma once

#include <cstdint>
#include <vector>

#include "node/pbft/messages.h"
#include "node/pbft/quorum.h"

namespace pbft::client {

class Repliers {
 public:
  // `spread` lets different clients choose different backups.
  Repliers(Quorum quorum, std::uint64_t spread);

  // A reply that was still needed came in.
  void voted(ReplicaId replica) { ++votes_[replica.value]; }
  // A request that was sent at that time has its result now, in the current turn.
  void answered(std::uint64_t sent_us);
  void end_turn(std::uint64_t now_us);
  // All reply again. True: they are to be told so.
  [[nodiscard]] bool reset();
  // All reply again, since a request was not answered in time. Where all do already it is nobody's fault, but the
  // period tells nothing of what is usual.
  [[nodiscard]] bool failed();
  void begin_period(ReplicaId primary);

  [[nodiscard]] bool wanted(ReplicaId replica) const { return chosen_.empty() || chosen_[replica.value]; }

 private:
  void choose(ReplicaId primary);
  [[nodiscard]] std::uint64_t mean_us() const { return answered_ == 0 ? 0 : waited_us_ / answered_; }

  Quorum quorum_;
  std::uint64_t spread_;
  std::vector<bool> chosen_;               // by ReplicaId; empty: all reply
  std::vector<std::uint32_t> distrusted_;  // by ReplicaId: for how many periods more
  std::uint32_t periods_left_ = 0;         // of the chosen; or, where all reply, before some are chosen

  // Of this period.
  std::vector<std::uint64_t> votes_;  // by ReplicaId
  std::uint64_t answered_ = 0;
  std::uint64_t waited_us_ = 0;
  bool spoilt_ = false;
  // Of this turn.
  std::uint64_t new_answered_ = 0;
  std::uint64_t sent_sum_us_ = 0;

  std::uint64_t mean_of_all_us_ = 0;  // while all replied
};

}  // namespace pbft::client
