// Lies about which batch stands where.
#include <algorithm>

#include "node/pbft/digests.h"
#include "tools/sim/byzantine/batches.h"
#include "tools/sim/byzantine/strategies.h"

namespace pbft::sim {
namespace {

using Slot = std::pair<View, SequenceNumber>;

// One batch for these, another one for those. The other one is as good as the first: only its existence is the lie.
class Equivocate final : public Strategy {
 public:
  using Strategy::Strategy;
  void speak(Speech& speech) override {
    std::vector<PeerMessage> second;
    for (PeerMessage& message : speech.messages) {
      auto* proposal = std::get_if<PrePrepare>(&message);
      if (proposal == nullptr) continue;
      const PrePrepare first = *proposal;
      split(*proposal, speech.to);
      // Some are told both, one behind the other.
      if (proposal->batch != first.batch && random().chance(200)) second.emplace_back(first);
    }
    for (PeerMessage& message : second) speech.messages.push_back(std::move(message));
  }

 private:
  void split(PrePrepare& proposal, ReplicaId to) {
    const auto [at, fresh] = others_.try_emplace({proposal.view, proposal.n});
    if (fresh && tempted() && !proposal.batch->bundles.empty()) {
      at->second = other_batch(*proposal.batch, spare_, random());
      mouth_.conspiracy().split(proposal.view, proposal.n, at->second->digest);
      spare_ = proposal.batch->bundles.front();
    }
    if (at->second == nullptr || !mouth_.conspiracy().other_half(proposal.view, to)) return;
    proposal.batch = at->second;
    mouth_.told(Lie::equivocate);
  }

  std::map<Slot, BatchPtr> others_;
  BundlePtr spare_;  // of an earlier batch
};

// PREPARE and COMMIT for what the other half was told; where nobody equivocates, for something invented.
class DoubleVote final : public Strategy {
 public:
  using Strategy::Strategy;
  void speak(Speech& speech) override {
    for (PeerMessage& message : speech.messages) {
      if (auto* prepare = std::get_if<Prepare>(&message)) turn(*prepare, speech);
      if (auto* commit = std::get_if<Commit>(&message)) turn(*commit, speech);
    }
    for (PeerMessage& message : added_) speech.messages.push_back(std::move(message));
    added_.clear();
  }

 private:
  template <class Vote>
  void turn(Vote& vote, const Speech& speech) {
    const Digest* split = mouth_.conspiracy().other(vote.view, vote.n);
    const bool other_half = mouth_.conspiracy().other_half(vote.view, speech.to);
    if (split == nullptr ? !tempted() : !other_half) return;
    const Digest other = split != nullptr ? *split : tagged_digest("invented", vote.digest.view());
    if (split == nullptr && random().chance(500)) added_.emplace_back(vote);  // both, one behind the other
    vote.digest = other;
    mouth_.told(Lie::double_vote);
  }

  std::vector<PeerMessage> added_;
};

// Batches that nobody should take, or that only some can check.
class WrongBatch final : public Strategy {
 public:
  using Strategy::Strategy;
  void speak(Speech& speech) override {
    for (PeerMessage& message : speech.messages) {
      if (auto* proposal = std::get_if<PrePrepare>(&message)) {
        const auto [at, fresh] = made_.try_emplace({proposal->view, proposal->n});
        if (fresh && tempted()) at->second = spoil(*proposal->batch);
        if (at->second == nullptr) continue;
        proposal->batch = at->second;
        mouth_.told(Lie::wrong_batch);
      } else if (auto* response = std::get_if<BatchResponse>(&message); response != nullptr && tempted()) {
        response->batch = spoil(*response->batch);
        mouth_.told(Lie::wrong_batch);
      }
    }
  }

 private:
  BatchPtr spoil(const Batch& batch) {
    if (batch.bundles.empty()) return make_batch(Timestamp{1}, {});
    std::vector<BundlePtr> bundles = batch.bundles;
    BundlePtr& one = bundles[random().below(bundles.size())];
    Timestamp time = batch.time;
    switch (random().below(6)) {
      case 0:
      case 1:
        one = break_proof(*one, random().below(mouth_.quorum().replicas()));
        break;
      case 2:
        one = invent(*one);
        break;
      case 3:
        bundles.push_back(one);
        break;
      case 4:
        time = Timestamp{random().chance(500) ? 1 : time.value + 3600 * second};
        break;
      default:
        bundles.clear();  // the null batch, as a proposal
    }
    return make_batch(time, std::move(bundles));
  }

  std::map<Slot, BatchPtr> made_;
};

// Deaf to one client: as primary it never proposes what that one asks for.
class StarveClient final : public Strategy {
 public:
  explicit StarveClient(Mouth& mouth) : Strategy(mouth), victim_(mouth.random().pick(mouth.clients())) {}
  bool hear(const ClientId& client, const std::vector<ClientMessage>&) override { return client != victim_ || deaf(); }
  bool hear(const std::vector<PeerMessage>& messages) override {
    const bool of_victim = std::any_of(messages.begin(), messages.end(), [this](const PeerMessage& message) {
      const auto* forward = std::get_if<Forward>(&message);
      return forward != nullptr && forward->bundle->client == victim_;
    });
    return !of_victim || deaf();
  }

 private:
  bool deaf() {
    mouth_.told(Lie::starve_client);
    return false;
  }
  const ClientId victim_;
};

}  // namespace

std::unique_ptr<Strategy> ordering_lie(Lie lie, Mouth& mouth) {
  if (lie == Lie::equivocate) return std::make_unique<Equivocate>(mouth);
  if (lie == Lie::double_vote) return std::make_unique<DoubleVote>(mouth);
  if (lie == Lie::wrong_batch) return std::make_unique<WrongBatch>(mouth);
  if (lie == Lie::starve_client) return std::make_unique<StarveClient>(mouth);
  return nullptr;
}

}  // namespace pbft::sim
