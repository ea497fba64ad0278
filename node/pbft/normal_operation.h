// The three phases of the normal case: pre-prepare, prepare, commit (OSDI 1999, section 4.2). Says when a batch is
// accepted, prepared and committed here, and casts this replica's votes.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <utility>

#include "node/pbft/client_table.h"
#include "node/pbft/delivery.h"
#include "node/pbft/message_log.h"
#include "node/pbft/outbox.h"
#include "node/pbft/parameters.h"
#include "node/pbft/recovered.h"
#include "node/pbft/request_queue.h"
#include "node/pbft/suspects.h"
#include "node/pbft/view_state.h"

namespace pbft {

class NormalOperation {
 public:
  NormalOperation(const ClusterParameters& cluster, const LocalParameters& local, const ViewState& view,
                  MessageLog& log, Delivery& delivery, const ClientTable& clients, RequestQueue& queue,
                  Suspects& suspects);

  // Puts the votes that storage remembers back into the log. Once, at the start.
  void recover(const Recovered& recovered);

  // False for a pre-prepare that on_pre_prepare would refuse for its sender, view or number alone.
  [[nodiscard]] bool expects(ReplicaId sender, const PrePrepare& message) const { return !misplaced(sender, message); }
  // True where the message proves that the primary says different things to different replicas.
  bool on_pre_prepare(ReplicaId sender, const PrePrepare& message, Outbox& out);
  void on_prepare(ReplicaId sender, const Prepare& message, Outbox& out);
  void on_commit(ReplicaId sender, const Commit& message, Outbox& out);
  void on_committed(ReplicaId sender, const Committed& message, Outbox& out);

  // The present view has been left: what is under way in it counts no more.
  void leave();
  // The present view has become active with its opening: this replica's votes start anew, and requests of batches that
  // the view leaves out wait again.
  void enter(Outbox& out);
  // Votes for slots of the opening whose batches have come in, or that have come into the window.
  void vote_on_opening(Outbox& out);

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

  [[nodiscard]] bool is_primary() const { return view_.primary() == local_.self; }
  // Highest n that ever prepared here, in any view, unless a later NEW-VIEW has left it free (for reads).
  [[nodiscard]] SequenceNumber highest_prepared() const { return highest_prepared_; }
  // The digest that f+1 replicas vouch for in a slot in which this replica has not voted in the present view.
  [[nodiscard]] const Digest* vouched(SequenceNumber n, const Slot& slot) const;
  void vote_for_vouched(Outbox& out);
  // Whether the slot waits for a batch with this digest: proven to be committed, put there by the NEW-VIEW, or vouched
  // for.
  [[nodiscard]] bool wants(SequenceNumber n, const Digest& digest) const;

  void invariants() const;

 private:
  [[nodiscard]] std::optional<Reject> misplaced(ReplicaId sender, const PrePrepare& message) const;
  [[nodiscard]] std::optional<Reject> invalid(const PrePrepare& message) const;
  [[nodiscard]] std::optional<Reject> time_invalid(SequenceNumber n, Timestamp time) const;
  void accept(SequenceNumber n, Slot& slot, const BatchPtr& batch, Outbox& out);
  void hold(const PrePrepare& message, Slot& slot);
  // Whether a fresh batch of so many bytes is taken for slot n: of slots whose turn is far away only so much is kept.
  [[nodiscard]] bool is_near(SequenceNumber n) const;
  [[nodiscard]] bool has_room(SequenceNumber n, std::size_t bytes) const;
  void accept_if_vouched(SequenceNumber n, Slot& slot, Outbox& out);
  void check_prepared(SequenceNumber n, Slot& slot, Outbox& out);
  void check_committed(Slot& slot);
  void recover_slot(SequenceNumber n, const RecoveredSlot& remembered);
  // Requests of the slot's batches have still to be ordered, except those of the batch that is or may be ordered there.
  void reclaim(const Slot& slot, const Digest* ordered);
  [[nodiscard]] bool better_gather();

  const ClusterParameters& cluster_;
  const LocalParameters& local_;
  const ViewState& view_;
  const Quorum& quorum_;
  MessageLog& log_;
  Delivery& delivery_;
  const ClientTable& clients_;
  RequestQueue& queue_;
  Suspects& suspects_;

  SequenceNumber last_proposed_;
  Timestamp last_proposed_time_;
  // The batches of this view that this replica proposed and that were not delivered when it last looked: how many
  // requests are in each.
  std::deque<std::pair<SequenceNumber, std::size_t>> proposed_;
  SequenceNumber highest_prepared_;
  bool opening_done_ = true;  // false: slots of the opening may still lack this replica's vote
  Ticks now_ = 0;
  Timestamp wall_clock_;
};

}  // namespace pbft
