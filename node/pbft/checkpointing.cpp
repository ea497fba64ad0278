#include "node/pbft/checkpointing.h"

#include <algorithm>
#include <cassert>

#include "node/pbft/digests.h"

namespace pbft {

Checkpointing::Checkpointing(const ClusterParameters& cluster, const LocalParameters& local, MessageLog& log,
                             Delivery& delivery, const Recovered& recovered)
    : cluster_(cluster),
      local_(local),
      quorum_(cluster.replicas),
      log_(log),
      delivery_(delivery),
      votes_(cluster.replicas) {
  if (recovered.stable) {
    stable_ = recovered.stable->proof;
    proven_ = stable_;
    hold(recovered.stable->summary);
  }
  for (const CheckpointSummary& summary : recovered.checkpoints) {
    if (!own_.contains(summary.n)) hold(summary);
  }
}

void Checkpointing::hold(const CheckpointSummary& summary) {
  own_[summary.n] = {summary, checkpoint_root(summary)};
}

void Checkpointing::resume(Outbox& out) {
  const SequenceNumber executed = delivery_.delivered();
  if (delivery_.stopped()) return;  // what is here is not to be vouched for
  if (executed > SequenceNumber{} && is_boundary(executed) && !own_.contains(executed)) {
    out.execute(TakeCheckpoint{executed});
  }
  for (const auto& [n, own] : own_) {
    if (n > log_.low()) out.broadcast(Checkpoint{n, own.root, {}});
  }
}

void Checkpointing::on_taken(const CheckpointSummary& summary, Outbox& out) {
  if (!is_boundary(summary.n) || summary.n <= log_.low()) return out.reject(Reject::stray_completion);
  hold(summary);
  // While catching up, what lies below a proven checkpoint needs no vote any more.
  if (!proven_ || summary.n >= proven_->n) out.broadcast(Checkpoint{summary.n, own_.at(summary.n).root, {}});
  // The quorum may have been faster; where it was not, the own vote comes back and is counted with the others.
  if (proven_ && proven_->n == summary.n) on_proof(StableCheckpoint{*proven_}, out);
}

void Checkpointing::on_checkpoint(ReplicaId sender, const Checkpoint& message, Outbox& out) {
  if (!is_boundary(message.n)) return out.reject(Reject::checkpoint_not_boundary, sender);
  if (message.n <= log_.low()) return out.reject(Reject::outside_window, sender);
  auto& votes = votes_[sender.value];
  const auto [place, fresh] = votes.try_emplace(message.n, message);
  if (!fresh) {
    return out.reject(place->second.root == message.root ? Reject::already_known : Reject::second_vote, sender);
  }
  const std::uint64_t bound = cluster_.window / cluster_.checkpoint_interval + 1;
  const bool keeps = votes.size() <= bound || votes.begin()->first != message.n;
  if (votes.size() > bound) votes.erase(votes.begin());
  if (!keeps) return out.reject(Reject::outside_window, sender);
  const StableCheckpoint matching = matching_votes(message.n, message.root);
  if (matching.votes.size() >= quorum_.quorum()) on_proof(matching, out);
}

std::string Checkpointing::waiting_for(std::vector<ReplicaId>& from) const {
  const Own* own = last_own();
  if (own == nullptr || own->summary.n <= log_.low()) return "the window is full; the next checkpoint is being written";
  const SequenceNumber n = own->summary.n;
  std::uint32_t same = 0;
  std::uint32_t other = 0;
  for (std::uint32_t i = 0; i < votes_.size(); ++i) {
    const auto vote = votes_[i].find(n);
    if (vote == votes_[i].end()) {
      from.push_back(ReplicaId{i});
    } else {
      ++(vote->second.root == own->root ? same : other);
    }
  }
  const std::uint32_t quorum = quorum_.quorum();
  std::string text = "the window is full: ";
  if (other > 0) text += std::to_string(other) + " replicas have another state at " + std::to_string(n.value) + "; ";
  return text + "waiting for " + std::to_string(quorum - std::min(same, quorum)) + " of " + std::to_string(quorum) +
         " CHECKPOINTs at " + std::to_string(n.value);
}

StableCheckpoint Checkpointing::matching_votes(SequenceNumber n, const Digest& root) const {
  StableCheckpoint matching{n, root, {}};
  for (std::uint32_t replica = 0; replica < votes_.size(); ++replica) {
    const auto vote = votes_[replica].find(n);
    if (vote == votes_[replica].end() || vote->second.root != root) continue;
    matching.votes.push_back({ReplicaId{replica}, vote->second.signed_bytes});
  }
  return matching;
}

void Checkpointing::on_stable_checkpoint(ReplicaId sender, const StableCheckpoint& message, Outbox& out) {
  if (!is_boundary(message.n)) return out.reject(Reject::checkpoint_not_boundary, sender);
  if (message.votes.size() < quorum_.quorum()) return out.reject(Reject::proof_too_small, sender);
  if (message.n <= log_.low() || (proven_ && proven_->n >= message.n)) {
    return out.reject(Reject::already_known, sender);
  }
  on_proof(message, out);
}

void Checkpointing::on_proof(const StableCheckpoint& proof, Outbox& out) {
  if (!proven_ || proven_->n < proof.n) proven_ = proof;
  const auto held = own_.find(proof.n);
  if (proof.n <= log_.low() || held == own_.end()) return;
  const Digest own_root = held->second.root;
  if (delivery_.stopped()) return;  // what is here is not to be relied on, and perhaps an older state is fetched
  if (own_root != proof.root) {
    out.event(Diverged{proof.n, own_root, proof.root});
    delivery_.stop();
    return;
  }
  stable_ = proof;
  out.persist(PersistStable{*stable_, held->second.summary});
  log_.truncate(proof.n);
  out.truncate(proof.n);
  own_.erase(own_.begin(), held);
  for (auto& votes : votes_) votes.erase(votes.begin(), votes.upper_bound(stable_->n));
  out.event(BecameStable{stable_->n});
}

void Checkpointing::adopt(const StableCheckpoint& proof, Outbox& out) {
  if (proof.n > log_.low() && (!proven_ || proven_->n < proof.n)) on_proof(proof, out);
}

void Checkpointing::installed(const StableCheckpoint& proof, const CheckpointSummary& summary, Outbox& out) {
  assert(proof.n == summary.n && proof.n >= log_.low());
  if (!proven_ || proven_->n < proof.n) proven_ = proof;
  stable_ = proof;
  own_.clear();  // what was taken above rests on the state that has been replaced
  hold(summary);
  for (auto& votes : votes_) votes.erase(votes.begin(), votes.upper_bound(summary.n));
  // Own votes above it were for that state; they are cast anew.
  votes_[local_.self.value].clear();
  log_.truncate(summary.n);
  out.truncate(summary.n);
  out.event(BecameStable{summary.n});
}

std::vector<Checkpoint> Checkpointing::own_votes() const {
  std::vector<Checkpoint> result;
  for (const auto& [n, vote] : votes_[local_.self.value]) result.push_back(vote);
  return result;
}

void Checkpointing::invariants() const {
  assert(log_.low() == (stable_ ? stable_->n : SequenceNumber{}));
  assert(!proven_ || !stable_ || proven_->n >= stable_->n);
  for (const auto& votes : votes_) assert(votes.size() <= cluster_.window / cluster_.checkpoint_interval + 1);
}

}  // namespace pbft
