#include "tools/client/cpp/votes.h"

#include <algorithm>

#include "node/pbft/digests.h"

namespace pbft::client {

bool ResultBudget::take(ReplicaId replica, std::size_t bytes) {
  std::size_t& used = used_[replica.value];
  if (bytes > bytes_per_replica_ - used) {
    return false;
  }
  used += bytes;
  return true;
}

void ResultBudget::give_back(ReplicaId replica, std::size_t bytes) {
  used_[replica.value] -= bytes;
}

struct Votes::Held {
  Held(ResultBudget& owner, ReplicaId sender, BytesView view)
      : budget(owner), from(sender), bytes(view.begin(), view.end()) {}
  ~Held() { budget.give_back(from, bytes.size()); }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;

  ResultBudget& budget;
  ReplicaId from;
  Bytes bytes;
};

namespace {

// The operation ran; every other status is a refusal.
bool ran(ReplyStatus status) {
  return status == ReplyStatus::ok || status == ReplyStatus::failed;
}

}  // namespace

std::size_t Votes::matching(ReplyStatus status, const Digest& digest) const {
  return static_cast<std::size_t>(std::count_if(
      votes_.begin(), votes_.end(), [&](const Vote& vote) { return vote.status == status && vote.digest == digest; }));
}

std::shared_ptr<const Votes::Held> Votes::held(ReplyStatus status, const Digest& digest) const {
  for (const Vote& vote : votes_) {
    if (vote.status == status && vote.digest == digest && vote.result) {
      return vote.result;
    }
  }
  return nullptr;
}

std::optional<Votes::Agreed> Votes::add(ReplicaId from, ReplyStatus status, const Digest& digest,
                                        const std::optional<SharedBytes>& result) {
  std::optional<BytesView> bytes;
  if (result) {
    bytes = result->view();
    if (reply_digest(status, *bytes) != digest) {
      return std::nullopt;
    }
  } else if (reply_digest(status, {}) == digest) {
    bytes = BytesView{};  // Refusals come without a result: the empty one is known from its digest.
  }

  std::shared_ptr<const Held> kept = held(status, digest);
  if (!kept && bytes && budget_->take(from, bytes->size())) {
    kept = std::make_shared<const Held>(*budget_, from, *bytes);
  }
  const auto own = std::find_if(votes_.begin(), votes_.end(), [&](const Vote& vote) { return vote.from == from; });
  Vote vote{from, status, digest, kept};
  if (own == votes_.end()) {
    votes_.push_back(std::move(vote));
  } else {
    *own = std::move(vote);
  }

  if (matching(status, digest) < threshold_) {
    return std::nullopt;
  }
  if (kept) {
    return Agreed{status, kept->bytes};
  }
  if (bytes) {
    return Agreed{status, Bytes{bytes->begin(), bytes->end()}};
  }
  return std::nullopt;
}

bool Votes::lacks_result() const {
  return std::any_of(votes_.begin(), votes_.end(), [this](const Vote& vote) {
    return matching(vote.status, vote.digest) >= threshold_ && !held(vote.status, vote.digest);
  });
}

bool Votes::hopeless() const {
  const std::size_t silent = replicas_ - votes_.size();
  return silent < threshold_ && std::none_of(votes_.begin(), votes_.end(), [&](const Vote& vote) {
           return ran(vote.status) && matching(vote.status, vote.digest) + silent >= threshold_;
         });
}

bool Votes::has_voted(ReplicaId replica) const {
  return std::any_of(votes_.begin(), votes_.end(), [&](const Vote& vote) { return vote.from == replica; });
}

}  // namespace pbft::client
