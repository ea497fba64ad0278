#include "node/pbft/normal_operation.h"

#include <algorithm>
#include <cassert>

#include "node/pbft/digests.h"

namespace pbft {

namespace {

// Keeps the first vote of a sender; false where it had voted already.
bool record(std::optional<Vote>& place, const Vote& vote, ReplicaId sender, Outbox& out) {
  if (place) {
    out.reject(*place == vote ? Reject::already_known : Reject::second_vote, sender);
    return false;
  }
  place = vote;
  return true;
}

}  // namespace

NormalOperation::NormalOperation(const ClusterParameters& cluster, const LocalParameters& local, MessageLog& log,
                                 Delivery& delivery, const ClientTable& clients, RequestQueue& queue)
    : cluster_(cluster),
      local_(local),
      quorum_(cluster.replicas),
      log_(log),
      delivery_(delivery),
      clients_(clients),
      queue_(queue) {}

void NormalOperation::recover(const Recovered& recovered) {
  last_proposed_ = std::max(log_.low(), delivery_.delivered());
  last_proposed_time_ = delivery_.time();
  highest_prepared_ = delivery_.delivered();
  for (const auto& [n, remembered] : recovered.slots) {
    if (!log_.in_window(n)) continue;
    Slot& slot = log_.slot(n, now_);
    for (const auto& [digest, batch] : remembered.batches) slot.batches[digest] = {batch, true};
    if (remembered.accepted) {
      const Vote vote{remembered.accepted->view, remembered.accepted->digest};
      slot.accepted = vote;
      const bool own_proposal = quorum_.primary(vote.view) == local_.self;
      if (!own_proposal) slot.prepares[local_.self.value] = vote;
      if (own_proposal && n > last_proposed_) last_proposed_ = n;
      const BatchPtr batch = slot.batch(vote.digest);
      if (own_proposal) last_proposed_time_ = std::max(last_proposed_time_, batch->time);
      if (n > delivery_.delivered()) {
        for (const BundlePtr& bundle : batch->bundles) queue_.mark_in_flight(*bundle);
      }
    }
    if (remembered.prepared) {
      const Vote vote{remembered.prepared->view, remembered.prepared->digest};
      slot.prepared = vote;
      slot.commits[local_.self.value] = vote;
      highest_prepared_ = std::max(highest_prepared_, n);
    }
    check_committed(slot);
  }
}

// ---- Pre-prepare -----------------------------------------------------------------------------------

// What must hold of a fresh proposal, apart from who sent it and where it lies.
std::optional<Reject> NormalOperation::invalid(const PrePrepare& message) const {
  const Batch& batch = *message.batch;
  if (batch.bundles.empty()) return Reject::empty_batch;  // null batches come with a new view only
  std::size_t bytes = 0;
  for (const BundlePtr& bundle : batch.bundles) {
    bytes += bundle->body.size();
    if (!clients_.is_client(bundle->client)) return Reject::not_a_client;
  }
  if (bytes > Limits::max_batch_bytes) return Reject::batch_too_large;
  return time_invalid(message.n, batch.time);
}

// The primary's clock is taken if it is later than the batch before and not ahead of the own clock by more than the
// agreed skew. It may lie behind: a proposal that was delayed, by a crash of the primary say, must stay acceptable.
std::optional<Reject> NormalOperation::time_invalid(SequenceNumber n, Timestamp time) const {
  if (time.value > wall_clock_.value + cluster_.max_clock_skew_us) return Reject::time_ahead;
  const auto accepted_time = [&](SequenceNumber at) -> std::optional<Timestamp> {
    const Slot* slot = log_.find(at);
    if (slot == nullptr || !slot->accepted) return std::nullopt;
    return slot->batch(slot->accepted->digest)->time;
  };
  const auto before = accepted_time(SequenceNumber{n.value - 1});
  if (before && time <= *before) return Reject::time_not_later;
  const auto after = accepted_time(n.next());
  if (after && time >= *after) return Reject::time_not_later;
  return std::nullopt;
}

// Who sent it, where it lies, and whether this replica's vote there is free.
std::optional<Reject> NormalOperation::misplaced(ReplicaId sender, const PrePrepare& message) const {
  if (message.view != view_) return Reject::wrong_view;
  if (sender != primary() || is_primary()) return Reject::not_from_primary;
  if (!log_.in_window(message.n)) return Reject::outside_window;
  const Slot* slot = log_.find(message.n);
  if (slot == nullptr) return std::nullopt;
  const Vote vote{message.view, message.batch->digest};
  if (slot->accepted) return slot->accepted == vote ? Reject::already_known : Reject::second_preprepare;
  if (slot->held && slot->held->batch->digest != vote.digest) return Reject::second_preprepare;
  if (slot->committed && slot->committed->digest != vote.digest) return Reject::wrong_digest;
  return std::nullopt;
}

void NormalOperation::on_pre_prepare(ReplicaId sender, const PrePrepare& message, Outbox& out) {
  if (const auto reason = misplaced(sender, message)) return out.reject(*reason, sender);
  if (const auto reason = invalid(message)) return out.reject(*reason, sender);

  Slot& slot = log_.slot(message.n, now_);
  const bool all_authentic =
      message.authentic.size() == message.batch->bundles.size() &&
      std::all_of(message.authentic.begin(), message.authentic.end(), [](bool authentic) { return authentic; });
  if (!all_authentic) {
    out.reject(Reject::bundle_not_authentic, sender);
    slot.held = message;
    accept_if_vouched(message.n, slot, out);
    return;
  }
  accept(message.n, slot, message.batch, out);
}

// f+1 PREPAREs from distinct backups: one of them is correct and found every bundle authentic.
void NormalOperation::accept_if_vouched(SequenceNumber n, Slot& slot, Outbox& out) {
  if (!slot.held || slot.accepted) return;
  const BatchPtr batch = slot.held->batch;
  if (count_matching(slot.prepares, {view_, batch->digest}) < quorum_.weak()) return;
  accept(n, slot, batch, out);
}

void NormalOperation::accept(SequenceNumber n, Slot& slot, const BatchPtr& batch, Outbox& out) {
  assert(!slot.accepted);  // one vote per (view, n), ever
  const Vote vote{view_, batch->digest};
  slot.accepted = vote;
  slot.held.reset();
  Slot::KnownBatch& known = slot.batches[batch->digest];
  if (!known.durable) out.persist(PersistBatch{n, batch});
  known = {batch, true};
  out.persist(PersistAccepted{vote.view, n, vote.digest});
  for (const BundlePtr& bundle : batch->bundles) {
    if (n > delivery_.delivered()) queue_.mark_in_flight(*bundle);
  }
  if (is_primary()) {
    out.broadcast(PrePrepare{vote.view, n, batch, {}});
  } else {
    slot.prepares[local_.self.value] = vote;
    out.broadcast(Prepare{vote.view, n, vote.digest});
  }
  check_prepared(n, slot, out);
}

// ---- Prepare ---------------------------------------------------------------------------------------

std::optional<Reject> NormalOperation::vote_invalid(View view, SequenceNumber n) const {
  if (view != view_) return Reject::wrong_view;
  if (!log_.in_window(n)) return Reject::outside_window;
  return std::nullopt;
}

void NormalOperation::on_prepare(ReplicaId sender, const Prepare& message, Outbox& out) {
  if (const auto reason = vote_invalid(message.view, message.n)) return out.reject(*reason, sender);
  if (sender == primary()) return out.reject(Reject::vote_from_primary, sender);
  Slot& slot = log_.slot(message.n, now_);
  if (!record(slot.prepares[sender.value], {message.view, message.digest}, sender, out)) return;
  accept_if_vouched(message.n, slot, out);
  check_prepared(message.n, slot, out);
}

// Prepared: the pre-prepare, and PREPAREs of Q-1 distinct backups that match it. The primary's pre-prepare is its
// vote, so its PREPARE, if it sends one, counts for nothing.
void NormalOperation::check_prepared(SequenceNumber n, Slot& slot, Outbox& out) {
  if (!slot.accepted || slot.prepared) return;
  assert(!slot.prepares[primary().value]);
  if (count_matching(slot.prepares, *slot.accepted) < quorum_.quorum() - 1) return;
  const Vote vote = *slot.accepted;
  slot.prepared = vote;
  highest_prepared_ = std::max(highest_prepared_, n);
  out.persist(PersistPrepared{vote.view, n, vote.digest});
  slot.commits[local_.self.value] = vote;
  out.broadcast(Commit{vote.view, n, vote.digest});
  check_committed(slot);
}

// ---- Commit ----------------------------------------------------------------------------------------

void NormalOperation::on_commit(ReplicaId sender, const Commit& message, Outbox& out) {
  if (const auto reason = vote_invalid(message.view, message.n)) return out.reject(*reason, sender);
  Slot& slot = log_.slot(message.n, now_);
  if (!record(slot.commits[sender.value], {message.view, message.digest}, sender, out)) return;
  check_committed(slot);
}

// A quorum of matching COMMITs of one view proves the batch, even where pre-prepare or PREPAREs were lost: f+1 of
// their senders are correct and had prepared it. A learner of this kind casts no vote.
void NormalOperation::check_committed(Slot& slot) {
  if (!slot.committed) slot.committed = vote_of(slot.commits, quorum_.quorum());
}

void NormalOperation::deliver_committed(Outbox& out) {
  while (!delivery_.stopped()) {
    const SequenceNumber n = delivery_.next();
    Slot* slot = log_.find(n);
    if (slot == nullptr || !slot->committed) return;
    const auto known = slot->batches.find(slot->committed->digest);
    if (known == slot->batches.end()) return;
    const bool durable = std::exchange(known->second.durable, true);
    delivery_.deliver(n, view_, known->second.batch, durable, out);
  }
}

void NormalOperation::on_batch(SequenceNumber n, const BatchPtr& batch, Outbox& out) {
  Slot* slot = log_.find(n);
  assert(slot != nullptr);
  slot->batches.try_emplace(batch->digest, Slot::KnownBatch{batch, false});
  deliver_committed(out);
}

// ---- The primary -----------------------------------------------------------------------------------

void NormalOperation::propose(Outbox& out) {
  if (!is_primary() || delivery_.stopped()) return;
  // What was delivered by another path must not be proposed again.
  last_proposed_ = std::max(last_proposed_, delivery_.delivered());
  while (!queue_.empty()) {
    const SequenceNumber n = last_proposed_.next();
    if (!log_.in_window(n)) return;
    if (last_proposed_.value - delivery_.delivered().value >= local_.pipeline) return;
    std::vector<BundlePtr> bundles = queue_.take_batch();
    const Timestamp time{std::max(wall_clock_.value, last_proposed_time_.value + 1)};
    const Digest digest = batch_digest(time, bundles);
    last_proposed_ = n;
    last_proposed_time_ = time;
    accept(n, log_.slot(n, now_), std::make_shared<const Batch>(Batch{time, std::move(bundles), digest}), out);
    deliver_committed(out);
  }
}

void NormalOperation::invariants() const {
  for (const auto& [n, slot] : log_.slots()) {
    assert(log_.in_window(n));
    if (slot.accepted) {
      const BatchPtr batch = slot.batch(slot.accepted->digest);
      assert(batch != nullptr && slot.batches.at(slot.accepted->digest).durable);
    }
    if (slot.prepared) {
      assert(slot.commits[local_.self.value] == slot.prepared);
    }
    assert(!slot.prepares[quorum_.primary(view_).value]);
  }
}

}  // namespace pbft
