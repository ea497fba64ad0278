// Hands committed batches to execution, in order and without gaps, from whichever path proved them first: votes in
// the window, or the ledger of a stable checkpoint. One slot is never delivered twice.
#pragma once

#include "node/pbft/client_table.h"
#include "node/pbft/outbox.h"
#include "node/pbft/parameters.h"
#include "node/pbft/recovered.h"
#include "node/pbft/request_queue.h"

namespace pbft {

class Delivery {
 public:
  Delivery(const ClusterParameters& parameters, ClientTable& clients, RequestQueue& queue, const Recovered& recovered)
      : parameters_(parameters),
        clients_(clients),
        queue_(queue),
        delivered_(recovered.executed),
        executed_(recovered.executed),
        ledger_head_(recovered.ledger_head),
        time_(recovered.time) {}

  // The batch of n = delivered + 1 is proven to be `batch`. `durable`: it is in the journal already.
  void deliver(SequenceNumber n, View view, const BatchPtr& batch, bool durable, Outbox& out);
  // Completion of execution.
  [[nodiscard]] bool on_executed(SequenceNumber n);
  // Nothing is executed or answered any more: the state is not what a quorum certified.
  void stop() { stopped_ = true; }

  [[nodiscard]] bool stopped() const { return stopped_; }
  [[nodiscard]] SequenceNumber next() const { return delivered_.next(); }
  [[nodiscard]] SequenceNumber delivered() const { return delivered_; }     // given to execution
  [[nodiscard]] SequenceNumber executed() const { return executed_; }       // execution is done
  [[nodiscard]] const Digest& ledger_head() const { return ledger_head_; }  // after delivered()
  [[nodiscard]] Timestamp time() const { return time_; }                    // agreed time after delivered()

 private:
  const ClusterParameters& parameters_;
  ClientTable& clients_;
  RequestQueue& queue_;
  // Invariant: executed_ <= delivered_.
  SequenceNumber delivered_;
  SequenceNumber executed_;
  Digest ledger_head_;
  Timestamp time_;
  bool stopped_ = false;
};

}  // namespace pbft
