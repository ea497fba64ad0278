#include "tools/client/cpp/votes.h"

#include <algorithm>
#include <utility>

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

Votes::Held::Held(Held&& other) noexcept
    : budget_(std::exchange(other.budget_, nullptr)),
      from_(other.from_),
      size_(other.size_),
      bytes_(std::move(other.bytes_)) {}

Votes::Held& Votes::Held::operator=(Held&& other) noexcept {
  std::swap(budget_, other.budget_);
  std::swap(from_, other.from_);
  std::swap(size_, other.size_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

Votes::Held::~Held() {
  if (budget_ != nullptr) {
    budget_->give_back(from_, size_);
  }
}

namespace {

// The operation ran; every other status is a refusal.
bool ran(ReplyStatus status) {
  return status == ReplyStatus::ok || status == ReplyStatus::failed;
}

}  // namespace

// Small results come from every replica, so that most votes are compared without any digest.
Votes::Claim* Votes::find(ReplyStatus status, BytesView result) {
  const auto same_result = [&](const Claim& claim) {
    return claim.status == status && claim.result && std::ranges::equal(claim.result->view(), result);
  };
  const auto found = std::find_if(claims_.begin(), claims_.end(), same_result);
  if (found != claims_.end()) {
    return &*found;
  }
  const bool by_digest_only =
      std::any_of(claims_.begin(), claims_.end(), [](const Claim& claim) { return !claim.result; });
  return by_digest_only ? find(status, reply_digest(status, result)) : nullptr;
}

Votes::Claim* Votes::find(ReplyStatus status, const Digest& digest) {
  for (Claim& claim : claims_) {
    if (claim.status != status) {
      continue;
    }
    if (!claim.digest) {
      claim.digest = reply_digest(status, claim.result->view());
    }
    if (*claim.digest == digest) {
      return &claim;
    }
  }
  return nullptr;
}

std::optional<Votes::Agreed> Votes::add(ReplicaId from, ReplyStatus status, BytesView result) {
  Claim* claim = find(status, result);
  if (claim == nullptr) {
    claim = &claims_.emplace_back(Claim{status, std::nullopt, std::nullopt, {}});
    claim->voters.reserve(threshold_);
  }
  if (!claim->result && budget_->take(from, result.size())) {
    claim->result.emplace(*budget_, from, result);
  }
  if (!claim->result && !claim->digest) {
    claim->digest = reply_digest(status, result);
  }
  if (!vote(from, *claim)) {
    return std::nullopt;
  }
  // Also where there was no room to keep the result: it is at hand.
  claims_.clear();
  return Agreed{status, Bytes{result.begin(), result.end()}};
}

std::optional<Votes::Agreed> Votes::add(ReplicaId from, ReplyStatus status, const Digest& digest) {
  // Nobody has to send the empty result: it is known from its digest.
  if (digest == reply_digest(status, {})) {
    return add(from, status, BytesView{});
  }
  Claim* claim = find(status, digest);
  if (claim == nullptr) {
    claim = &claims_.emplace_back(Claim{status, std::nullopt, digest, {}});
  }
  if (!vote(from, *claim)) {
    return std::nullopt;
  }
  // Found anew: where the replica voted for something else before, claims may have moved.
  claim = find(status, digest);
  if (!claim->result) {
    return std::nullopt;
  }
  Agreed agreed{status, claim->result->take()};
  claims_.clear();
  return agreed;
}

bool Votes::vote(ReplicaId from, Claim& claim) {
  const auto voted_for = [from](const Claim& one) {
    return std::find(one.voters.begin(), one.voters.end(), from) != one.voters.end();
  };
  if (!voted_for(claim)) {
    const auto before = std::find_if(claims_.begin(), claims_.end(), voted_for);
    claim.voters.push_back(from);
    const bool enough = claim.voters.size() >= threshold_;
    if (before != claims_.end() && std::erase(before->voters, from) > 0 && before->voters.empty()) {
      claims_.erase(before);
    }
    return enough;
  }
  return claim.voters.size() >= threshold_;
}

bool Votes::lacks_result() const {
  return std::any_of(claims_.begin(), claims_.end(),
                     [this](const Claim& claim) { return claim.voters.size() >= threshold_ && !claim.result; });
}

bool Votes::hopeless() const {
  std::size_t silent = replicas_;
  for (const Claim& claim : claims_) {
    silent -= claim.voters.size();
  }
  return silent < threshold_ && std::none_of(claims_.begin(), claims_.end(), [&](const Claim& claim) {
           return ran(claim.status) && claim.voters.size() + silent >= threshold_;
         });
}

bool Votes::has_voted(ReplicaId replica) const {
  return std::any_of(claims_.begin(), claims_.end(), [&](const Claim& claim) {
    return std::find(claim.voters.begin(), claim.voters.end(), replica) != claim.voters.end();
  });
}

}  // namespace pbft::client
