// Unordered reads (rule 11 of tests/README.md). A replica answers only once it has executed everything that had
// prepared here, in any view, when the read came: f+1 replies complete a write, so a quorum of matching answers
// then holds every completed write.
#pragma once

#include <algorithm>
#include <deque>
#include <map>

#include "node/pbft/delivery.h"
#include "node/pbft/outbox.h"

namespace pbft {

class Reads {
 public:
  explicit Reads(const Delivery& delivery) : delivery_(delivery) {}

  void on_read(const ClientId& client, const ReadRequest& request, Origin origin, SequenceNumber highest_prepared,
               Outbox& out) {
    if (!delivery_.open()) return;
    std::size_t& mine = bytes_of_[client];
    const std::size_t size = overhead + request.operation.size();
    if (bytes_ + size > max_bytes || mine + size > max_bytes_per_client) return out.reject(Reject::queue_full);
    mine += size;
    bytes_ += size;
    waiting_.push_back({highest_prepared, {origin, client, request.number, request.operation}});
    answer_ready(out);
  }

  // A new view has left what lies above `end` free: nothing there had committed, so no read has to wait for it.
  void lower_barriers(SequenceNumber end) {
    for (Waiting& read : waiting_) read.barrier = std::min(read.barrier, end);
  }

  // Barriers of later reads are not below those of earlier ones, so the oldest read is always the first that may be
  // answered. The answers come behind the executions of the same step.
  void answer_ready(Outbox& out) {
    while (delivery_.open() && !waiting_.empty() && waiting_.front().barrier <= delivery_.delivered()) {
      AnswerRead& answer = waiting_.front().answer;
      const std::size_t size = overhead + answer.operation.size();
      bytes_ -= size;
      const auto mine = bytes_of_.find(answer.client);
      mine->second -= size;
      if (mine->second == 0) bytes_of_.erase(mine);
      out.execute(std::move(answer));
      waiting_.pop_front();
    }
  }

 private:
  // What may wait, in bytes, counting each read with what it takes beside its operation.
  static constexpr std::size_t max_bytes = 64U << 20;
  static constexpr std::size_t max_bytes_per_client = 4U << 20;
  static constexpr std::size_t overhead = 128;
  struct Waiting {
    SequenceNumber barrier;
    AnswerRead answer;
  };

  const Delivery& delivery_;
  // Invariant: barriers do not fall from front to back.
  std::deque<Waiting> waiting_;
  std::map<ClientId, std::size_t> bytes_of_;
  std::size_t bytes_ = 0;
};

}  // namespace pbft
