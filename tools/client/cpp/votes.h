// Counting what replicas say about one request. A replica has one vote, the last one counts. Results are believed
// only when enough distinct replicas gave the same status and digest, and the bytes have that digest.
#pragma once

#include <cstdint>
#include <memory>
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
  // Takes one vote; `digest` is reply_digest(status, result). A vote whose result has another digest is a lie and is
  // ignored. Gives the agreed result once it is known.
  [[nodiscard]] std::optional<Agreed> add(ReplicaId from, ReplyStatus status, const Digest& digest,
                                          const std::optional<SharedBytes>& result);

  // Enough replicas agree on a digest, but none of them has sent the result itself.
  [[nodiscard]] bool lacks_result() const;
  // No agreement on a result can come about any more unless a replica changes its vote.
  [[nodiscard]] bool hopeless() const;
  [[nodiscard]] bool has_voted(ReplicaId replica) const;

 private:
  struct Held;  // a result that counts against its sender's budget until it is dropped
  struct Vote {
    ReplicaId from;
    ReplyStatus status;
    Digest digest;
    std::shared_ptr<const Held> result;
  };
  [[nodiscard]] std::size_t matching(ReplyStatus status, const Digest& digest) const;
  [[nodiscard]] std::shared_ptr<const Held> held(ReplyStatus status, const Digest& digest) const;

  std::size_t replicas_;
  std::size_t threshold_;
  ResultBudget* budget_;
  std::vector<Vote> votes_;  // Invariant: at most one per replica.
};

}  // namespace pbft::client
