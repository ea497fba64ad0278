// Unordered reads (rule 11 of tests/README.md). A replica answers only once it has executed everything that had
// prepared here, in any view, when the read came: f+1 replies complete a write, so a quorum of matching answers
// then holds every completed write. What an answer costs is its client's choice, so a few are asked for in one turn, of
// each client one after the other, and fewer where the driver has some left; the rest stays here for the next turns.
#pragma once

#include <algorithm>
#include <deque>
#include <map>
#include <utility>

#include "node/pbft/delivery.h"
#include "node/pbft/outbox.h"

namespace pbft {

class Reads {
 public:
  static constexpr std::size_t per_turn = 32;

  explicit Reads(const Delivery& delivery) : delivery_(delivery) {}

  void on_read(const ClientId& client, const ReadRequest& request, Origin origin, SequenceNumber highest_prepared,
               Outbox& out) {
    if (!delivery_.open()) return;
    const auto known = clients_.find(client);
    const std::size_t mine = known == clients_.end() ? 0 : known->second.bytes;
    const std::size_t size = overhead + request.operation.size();
    if (bytes_ + size > max_bytes || mine + size > max_bytes_per_client) return out.reject(Reject::queue_full);
    clients_[client].bytes += size;
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
    if (!delivery_.open()) return;
    for (; !waiting_.empty() && waiting_.front().barrier <= delivery_.delivered(); waiting_.pop_front()) {
      make_ready(std::move(waiting_.front().answer));
    }
    for (; answered_ < per_turn && !ready_.empty(); ++answered_) answer_first(out);
  }

  // `left`: of the answers of earlier turns, those that are not given yet. They count for the next turn.
  void end_turn(std::size_t left) { answered_ = left; }

  // Some can be answered that this turn had no room for.
  [[nodiscard]] bool any_ready() const { return delivery_.open() && !ready_.empty(); }

 private:
  // What may be here, in bytes, counting each read with what it takes beside its operation.
  static constexpr std::size_t max_bytes = 64U << 20;
  static constexpr std::size_t max_bytes_per_client = 4U << 20;
  static constexpr std::size_t overhead = 256;
  struct Waiting {
    SequenceNumber barrier;
    AnswerRead answer;
  };
  struct Client {
    std::size_t bytes = 0;
    std::uint64_t round = 0;  // of its last read that is ready
  };

  void make_ready(AnswerRead answer) {
    Client& mine = clients_.at(answer.client);
    mine.round = std::max(mine.round, round_) + 1;
    ready_.emplace(std::pair{mine.round, arrivals_++}, std::move(answer));
  }

  void answer_first(Outbox& out) {
    const auto first = ready_.begin();
    round_ = first->first.first;
    AnswerRead& answer = first->second;
    const std::size_t size = overhead + answer.operation.size();
    bytes_ -= size;
    const auto mine = clients_.find(answer.client);
    mine->second.bytes -= size;
    if (mine->second.bytes == 0) clients_.erase(mine);
    out.execute(std::move(answer));
    ready_.erase(first);
  }

  const Delivery& delivery_;
  // Invariant: barriers do not fall from front to back.
  std::deque<Waiting> waiting_;
  // By round and arrival. Of each client there is at most one in a round, and who comes anew is in the next round: so
  // neither many reads of one client nor many clients keep a read here for good.
  std::map<std::pair<std::uint64_t, std::uint64_t>, AnswerRead> ready_;
  std::uint64_t round_ = 0;  // of the last answer
  std::uint64_t arrivals_ = 0;
  std::size_t answered_ = 0;            // in this turn
  std::map<ClientId, Client> clients_;  // with reads in waiting_ or ready_
  std::size_t bytes_ = 0;
};

}  // namespace pbft
