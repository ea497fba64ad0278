// Counting what replicas say about one request. A replica has one vote, the last one counts. A result is believed
// only when enough distinct replicas gave the same status and the same result, or its digest.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "node/pbft/messages.h"

namespace pbft::client {

// How many bytes of results that nobody confirmed yet are kept of each replica, so that a liar cannot make the
// memory grow. Must outlive the votes that it is used for. One thread.
class ResultBudget {
 public:
  ResultBudget(std::size_t replicas, std::size_t bytes_per_replica)
      : used_(replicas, 0), bytes_per_replica_(bytes_per_replica) {}

  [[nodiscard]] bool take(ReplicaId replica, std::size_t bytes);
  void give_back(ReplicaId replica, std::size_t bytes);
  [[nodiscard]] std::size_t used(ReplicaId replica) const { return used_[replica.value]; }

 private:
  std::vector<std::size_t> used_;
  std::size_t bytes_per_replica_;
};

class Votes {
 public:
  // `budget` must outlive this.
  Votes(std::size_t replicas, std::size_t threshold, ResultBudget& budget)
      : replicas_(replicas), threshold_(threshold), budget_(&budget) {}

  struct Agreed {
    ReplyStatus status;
    Bytes result;
  };
  // Takes one vote: for a result, or for one that another replica sends, by its digest. Gives the agreed result once
  // it is known; the votes are used up then.
  [[nodiscard]] std::optional<Agreed> add(ReplicaId from, ReplyStatus status, BytesView result);
  [[nodiscard]] std::optional<Agreed> add(ReplicaId from, ReplyStatus status, const Digest& digest);

  // Enough replicas agree on a digest, but none of them has sent the result itself.
  [[nodiscard]] bool lacks_result() const;
  // No agreement on a result can come about any more unless a replica changes its vote.
  [[nodiscard]] bool hopeless() const;
  [[nodiscard]] bool has_voted(ReplicaId replica) const;

 private:
  // A result that counts against its sender's budget until it is dropped.
  class Held {
   public:
    Held(ResultBudget& budget, ReplicaId from, BytesView view)
        : budget_(&budget), from_(from), size_(view.size()), bytes_(view.begin(), view.end()) {}
    Held(Held&& other) noexcept;
    Held& operator=(Held&& other) noexcept;
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;
    ~Held();

    [[nodiscard]] BytesView view() const { return bytes_; }
    [[nodiscard]] Bytes take() { return std::move(bytes_); }

   private:
    ResultBudget* budget_;  // null: moved from
    ReplicaId from_;
    std::size_t size_;
    Bytes bytes_;
  };
  // What some replicas say. Invariant: has a result or a digest; a digest that is there is that of the result.
  struct Claim {
    ReplyStatus status;
    std::optional<Held> result;
    std::optional<Digest> digest;
    std::vector<ReplicaId> voters;
  };

  [[nodiscard]] Claim* find(ReplyStatus status, BytesView result);
  [[nodiscard]] Claim* find(ReplyStatus status, const Digest& digest);
  // Whether enough replicas make the claim now. Others may go by it, and this one move.
  [[nodiscard]] bool vote(ReplicaId from, Claim& claim);

  std::size_t replicas_;
  std::size_t threshold_;
  ResultBudget* budget_;
  std::vector<Claim> claims_;  // Invariant: each replica is a voter of at most one, and each has a voter.
};

}  // namespace pbft::client
