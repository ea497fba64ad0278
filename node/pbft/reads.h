// Unordered reads (rule 11 of tests/README.md). A replica answers only once it has executed everything that had
// prepared here, in any view, when the read came: f+1 replies complete a write, so a quorum of matching answers
// then holds every completed write.
#pragma once

#include <deque>

#include "node/pbft/delivery.h"
#include "node/pbft/outbox.h"

namespace pbft {

class Reads {
 public:
  explicit Reads(const Delivery& delivery) : delivery_(delivery) {}

  void on_read(const ClientId& client, const ReadRequest& request, Origin origin, SequenceNumber highest_prepared,
               Outbox& out) {
    if (delivery_.stopped()) return;
    if (waiting_.size() >= max_waiting) return out.reject(Reject::queue_full);
    waiting_.push_back({highest_prepared, {origin, client, request.number, request.operation}});
    answer_ready(out);
  }

  // Barriers never fall, so the oldest read is always the first that may be answered. The answers come behind the
  // executions of the same step.
  void answer_ready(Outbox& out) {
    while (!delivery_.stopped() && !waiting_.empty() && waiting_.front().barrier <= delivery_.delivered()) {
      out.execute(std::move(waiting_.front().answer));
      waiting_.pop_front();
    }
  }

 private:
  static constexpr std::size_t max_waiting = 10'000;
  struct Waiting {
    SequenceNumber barrier;
    AnswerRead answer;
  };

  const Delivery& delivery_;
  // Invariant: barriers do not fall from front to back.
  std::deque<Waiting> waiting_;
};

}  // namespace pbft
