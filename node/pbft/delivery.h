// Hands committed batches to execution, in order and without gaps, from whichever path proved them first: votes in
// the window, or the ledger of a stable checkpoint; or jumps to a checkpoint whose state was transferred. One slot is
// never delivered twice.
#pragma once

#include "node/pbft/client_table.h"
#include "node/pbft/outbox.h"
#include "node/pbft/parameters.h"
#include "node/pbft/primary_watch.h"
#include "node/pbft/recovered.h"
#include "node/pbft/request_queue.h"

namespace pbft {

class Delivery {
 public:
  Delivery(const ClusterParameters& parameters, ClientTable& clients, RequestQueue& queue, PrimaryWatch& watch,
           const Recovered& recovered)
      : parameters_(parameters),
        clients_(clients),
        queue_(queue),
        watch_(watch),
        delivered_(recovered.executed),
        executed_(recovered.executed),
        ledger_head_(recovered.ledger_head),
        time_(recovered.time),
        stopped_(recovered.damaged) {}

  // The batch of n = delivered + 1 is proven to be `batch`. `durable`: it is in the journal already.
  void deliver(SequenceNumber n, View view, const BatchPtr& batch, bool durable, Outbox& out);
  // Completion of execution.
  [[nodiscard]] bool on_executed(SequenceNumber n);
  // Nothing is executed or answered any more: the state is not what a quorum certified.
  void stop() { stopped_ = true; }
  // Nothing is executed while a transfer compares and replaces the state.
  void hold() { held_ = true; }
  void release() { held_ = false; }
  // The state is that of this checkpoint now, as a quorum certified it.
  void installed(const CheckpointSummary& summary);
  // It is no longer far behind what a quorum certified since.
  void came_near() { follows_state_ = false; }
  // Whether the certified checkpoint n is so far ahead that its state is fetched rather than the batches in between.
  [[nodiscard]] bool is_far_from(SequenceNumber n, std::uint64_t transfer_above) const {
    return n > delivered_ && n.value - delivered_.value > transfer_above;
  }

  // Since a state was installed the others have not been caught up with yet.
  [[nodiscard]] bool follows_state() const { return follows_state_; }
  [[nodiscard]] bool stopped() const { return stopped_; }
  [[nodiscard]] bool open() const { return !stopped_ && !held_; }
  [[nodiscard]] SequenceNumber next() const { return delivered_.next(); }
  [[nodiscard]] SequenceNumber delivered() const { return delivered_; }     // given to execution
  [[nodiscard]] SequenceNumber executed() const { return executed_; }       // execution is done
  [[nodiscard]] const Digest& ledger_head() const { return ledger_head_; }  // after delivered()
  [[nodiscard]] Timestamp time() const { return time_; }                    // agreed time after delivered()

 private:
  const ClusterParameters& parameters_;
  ClientTable& clients_;
  RequestQueue& queue_;
  PrimaryWatch& watch_;
  // Invariant: executed_ <= delivered_.
  SequenceNumber delivered_;
  SequenceNumber executed_;
  Digest ledger_head_;
  Timestamp time_;
  bool stopped_;
  bool held_ = false;
  bool follows_state_ = false;
};

}  // namespace pbft
