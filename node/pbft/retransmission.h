// PUB/SUB loses messages: no message is trusted to arrive. Each replica tells the others where it stands,
// and they send again just what it lacks, from what they hold (never from memory of having sent it).
#pragma once

#include <algorithm>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "node/pbft/checkpointing.h"
#include "node/pbft/delivery.h"
#include "node/pbft/message_log.h"
#include "node/pbft/normal_operation.h"
#include "node/pbft/outbox.h"
#include "node/pbft/rejoining.h"
#include "node/pbft/view_changer.h"

namespace pbft {

// So many bytes; what comes first may be larger.
class ByteBudget {
 public:
  explicit ByteBudget(std::size_t bytes) : left_(bytes) {}
  [[nodiscard]] bool spend(std::size_t bytes) {
    if (std::exchange(spent_, true) && bytes > left_) return false;
    left_ -= std::min(left_, bytes);
    return true;
  }

 private:
  std::size_t left_;
  bool spent_ = false;
};

class Retransmission {
 public:
  Retransmission(const ClusterParameters& cluster, const LocalParameters& local, const ViewState& view, MessageLog& log,
                 Delivery& delivery, const NormalOperation& normal, const Checkpointing& checkpointing,
                 ViewChanger& view_changer, const Rejoining& rejoining);

  // Something authentic came from this replica.
  void heard(ReplicaId sender) { peers_[sender.value].heard = now_; }
  // Once a tick, before the primary is judged.
  void look_for_stuck(Ticks now);
  // Sends the own status when it is due, and asks for batches that are proven, or part of a new view, but missing.
  void on_tick(Ticks now, Outbox& out);
  void on_status(ReplicaId sender, const Status& status, Outbox& out);
  void on_fetch_batch(ReplicaId sender, const FetchBatch& message, Outbox& out);
  // As last told by the peers; own entry unused.
  [[nodiscard]] SequenceNumber executed_by(ReplicaId replica) const { return peers_[replica.value].executed; }
  // Somebody has given up the view for a slot that is executed here, and it is not executed by f+1 who could tell; and
  // in this view nothing has moved for longer than statuses take, and then for the timeout, while a quorum was heard.
  // Liars can say so only as long as no f+1 correct replicas are level. One that says to be level can keep it from
  // being said, and a slot open for as long as nothing else is asked for.
  [[nodiscard]] bool others_are_stuck() const {
    return stuck_since_ && now_ - *stuck_since_ >= 3 * local_.idle_status_interval_ticks + local_.view_timeout_ticks;
  }
  // The highest sequence number that f+1 replicas say they have executed: at least one correct one did.
  [[nodiscard]] SequenceNumber executed_by_weak_quorum() const;
  // Ticks since the last message of this replica; since the start, where there was none.
  [[nodiscard]] Ticks silence_of(ReplicaId replica, Ticks now) const {
    return now - peers_[replica.value].heard.value_or(0);
  }
  // Whether a quorum, this replica included, was heard of lately.
  [[nodiscard]] bool connected() const;

 private:
  struct Peer {
    View view;
    std::optional<Ticks> heard;
    SequenceNumber executed;
    SequenceNumber proposed;        // the highest slot that it has a batch of and lacks something else of
    std::optional<Ticks> answered;  // tick in which its last status was answered
    Ticks fetch_tick = 0;           // tick in which it asked for `fetched`
    std::set<std::pair<SequenceNumber, Digest>> fetched;
    ByteBudget fetch_budget{0};  // of batches from memory that it may still get in this tick
  };

  void add_unprepared(Status& status) const;
  // `reached`: executed by a weak quorum.
  void add_uncommitted(Status& status, SequenceNumber reached) const;
  void resend(ReplicaId to, const Status::Lack& lack, ByteBudget& budget, Outbox& out) const;
  void fetch_missing_batches(Outbox& out);
  void fetch(SequenceNumber n, const Digest& digest, const std::vector<ReplicaId>& holders, Outbox& out);
  [[nodiscard]] std::vector<ReplicaId> voters(const std::vector<std::optional<Vote>>& votes, const Vote& vote) const;
  [[nodiscard]] std::vector<ReplicaId> committers(const Slot& slot) const;
  [[nodiscard]] bool someone_is_in_a_later_view() const;

  const ClusterParameters& cluster_;
  const LocalParameters& local_;
  const ViewState& view_;
  const Quorum& quorum_;
  MessageLog& log_;
  Delivery& delivery_;
  const NormalOperation& normal_;
  const Checkpointing& checkpointing_;
  ViewChanger& view_changer_;
  const Rejoining& rejoining_;
  std::vector<Peer> peers_;
  Ticks now_ = 0;
  Ticks last_status_ = 0;
  Ticks last_unprepared_ = 0;
  SequenceNumber delivered_at_last_status_;
  SequenceNumber delivered_at_last_tick_;
  Ticks moved_ = 0;  // when that last changed
  std::optional<Ticks> stuck_since_;
  View stuck_in_;
  bool sent_status_ = false;
  bool told_suspicion_ = false;  // and nothing has taken it back since
};

}  // namespace pbft
