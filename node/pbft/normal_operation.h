// The three phases of the normal case: pre-prepare, prepare, commit (OSDI 1999, section 4.2). Says when a batch is
// accepted, prepared and committed here, and casts this replica's votes.
#pragma once

#include <optional>

#include "node/pbft/client_table.h"
#include "node/pbft/delivery.h"
#include "node/pbft/message_log.h"
#include "node/pbft/outbox.h"
#include "node/pbft/parameters.h"
#include "node/pbft/quorum.h"
#include "node/pbft/recovered.h"
#include "node/pbft/request_queue.h"

namespace pbft {

class NormalOperation {
 public:
  NormalOperation(const ClusterParameters& cluster, const LocalParameters& local, MessageLog& log, Delivery& delivery,
                  const ClientTable& clients, RequestQueue& queue);

  // Puts the votes that storage remembers back into the log. Once, at the start.
  void recover(const Recovered& recovered);

  // False for a pre-prepare that on_pre_prepare would refuse for its sender, view or number alone.
  [[nodiscard]] bool expects(ReplicaId sender, const PrePrepare& message) const { return !misplaced(sender, message); }
  void on_pre_prepare(ReplicaId sender, const PrePrepare& message, Outbox& out);
  void on_prepare(ReplicaId sender, const Prepare& message, Outbox& out);
  void on_commit(ReplicaId sender, const Commit& message, Outbox& out);

  // The primary proposes what waits, as far as pipeline and window allow.
  void propose(Outbox& out);
  // A batch came in by digest: whatever waited for it may go on.
  void on_batch(SequenceNumber n, const BatchPtr& batch, Outbox& out);
  // Gives to delivery what is committed and next.
  void deliver_committed(Outbox& out);

  void set_time(Ticks now, Timestamp wall_clock) {
    now_ = now;
    wall_clock_ = wall_clock;
  }

  [[nodiscard]] View view() const { return view_; }
  [[nodiscard]] ReplicaId primary() const { return quorum_.primary(view_); }
  [[nodiscard]] bool is_primary() const { return primary() == local_.self; }
  [[nodiscard]] SequenceNumber last_proposed() const { return last_proposed_; }
  // Highest n that ever prepared here and may not be executed yet (for reads).
  [[nodiscard]] SequenceNumber highest_prepared() const { return highest_prepared_; }

  void invariants() const;

 private:
  [[nodiscard]] std::optional<Reject> misplaced(ReplicaId sender, const PrePrepare& message) const;
  [[nodiscard]] std::optional<Reject> invalid(const PrePrepare& message) const;
  [[nodiscard]] std::optional<Reject> time_invalid(SequenceNumber n, Timestamp time) const;
  [[nodiscard]] std::optional<Reject> vote_invalid(View view, SequenceNumber n) const;
  void accept(SequenceNumber n, Slot& slot, const BatchPtr& batch, Outbox& out);
  void accept_if_vouched(SequenceNumber n, Slot& slot, Outbox& out);
  void check_prepared(SequenceNumber n, Slot& slot, Outbox& out);
  void check_committed(Slot& slot);

  const ClusterParameters& cluster_;
  const LocalParameters& local_;
  const Quorum quorum_;
  MessageLog& log_;
  Delivery& delivery_;
  const ClientTable& clients_;
  RequestQueue& queue_;

  View view_;
  SequenceNumber last_proposed_;
  Timestamp last_proposed_time_;
  SequenceNumber highest_prepared_;
  Ticks now_ = 0;
  Timestamp wall_clock_;
};

}  // namespace pbft
