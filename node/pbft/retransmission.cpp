#include "node/pbft/retransmission.h"

#include <algorithm>
#include <functional>
#include <utility>

namespace pbft {

namespace {

// A slot that is younger is on its way, and nothing of it is reported as lacking.
constexpr Ticks slot_patience_ticks = 3;
// What one status, and all FETCH-BATCHes of a peer in one tick, are answered with at most, in bytes of batches.
constexpr std::size_t status_answer_bytes = 1U << 20;
constexpr std::size_t fetched_bytes_per_tick = 8U << 20;
constexpr std::size_t max_unprepared = 16;
constexpr std::size_t fetches_per_tick = 64;
constexpr std::size_t outstanding_fetches = 16;

}  // namespace

Retransmission::Retransmission(const ClusterParameters& cluster, const LocalParameters& local, const ViewState& view,
                               MessageLog& log, Delivery& delivery, const NormalOperation& normal,
                               const Checkpointing& checkpointing, ViewChanger& view_changer,
                               const Rejoining& rejoining)
    : cluster_(cluster),
      local_(local),
      view_(view),
      quorum_(view.quorum),
      log_(log),
      delivery_(delivery),
      normal_(normal),
      checkpointing_(checkpointing),
      view_changer_(view_changer),
      rejoining_(rejoining),
      peers_(cluster.replicas) {}

bool Retransmission::connected() const {
  const Ticks lately = 3 * Ticks{local_.idle_status_interval_ticks};
  const auto heard = std::count_if(peers_.begin(), peers_.end(),
                                   [&](const Peer& peer) { return peer.heard && now_ - *peer.heard <= lately; });
  return static_cast<std::uint32_t>(heard) + 1 >= quorum_.quorum();
}

bool Retransmission::someone_is_in_a_later_view() const {
  return std::any_of(peers_.begin(), peers_.end(), [&](const Peer& peer) { return peer.view > view_.view; });
}

SequenceNumber Retransmission::executed_by_weak_quorum() const {
  std::vector<SequenceNumber> executed;
  executed.reserve(peers_.size());
  for (std::uint32_t i = 0; i < peers_.size(); ++i) {
    executed.push_back(ReplicaId{i} == local_.self ? delivery_.delivered() : peers_[i].executed);
  }
  std::sort(executed.begin(), executed.end(), std::greater<>());
  return executed[quorum_.weak() - 1];
}

void Retransmission::look_for_stuck(Ticks now) {
  now_ = now;
  if (std::exchange(delivered_at_last_tick_, delivery_.delivered()) != delivery_.delivered()) moved_ = now_;
  bool stuck = false;
  for (std::uint32_t i = 0; i < cluster_.replicas; ++i) {
    if (ReplicaId{i} == local_.self || !view_changer_.has_given_up(ReplicaId{i})) continue;
    stuck = stuck || (peers_[i].executed < delivery_.delivered() && executed_by_weak_quorum() <= peers_[i].executed);
  }
  if (!stuck || !connected() || std::exchange(stuck_in_, view_.view) != view_.view) stuck_since_.reset();
  if (stuck && (!stuck_since_ || moved_ > *stuck_since_)) stuck_since_ = now_;
}

// What is executed here without having prepared (a quorum of COMMITs proved it) lacks nothing for this replica. But it
// has no vote there, and a peer may need just that vote where others are gone: so it asks for what a vote takes.
void Retransmission::add_unprepared(Status& status) const {
  if (!view_.votes()) return;
  for (const auto& [n, slot] : log_.slots()) {
    if (n > delivery_.delivered() || status.lacks.size() >= max_unprepared) return;
    const bool prepared = slot.prepared && slot.prepared->view == view_.view;
    if (!prepared && n > view_.opening.start) status.lacks.push_back({n, !slot.accepted, true, !slot.accepted});
  }
}

void Retransmission::add_uncommitted(Status& status, SequenceNumber reached) const {
  SequenceNumber top = reached;
  if (!log_.slots().empty()) top = std::max(top, log_.slots().rbegin()->first);
  // Perhaps only one other knows of the last ones: a proposal that reached nobody is known from what its primary lacks,
  // what one alone has executed from that. As long as anything moves they are just on their way.
  if (now_ - moved_ >= slot_patience_ticks) {
    for (const Peer& peer : peers_) top = std::max({top, peer.proposed, peer.executed});
  }
  top = std::min(top, log_.high());
  for (SequenceNumber n = delivery_.next(); n <= top && status.lacks.size() < Limits::max_status_slots; n = n.next()) {
    const Slot* slot = log_.find(n);
    if (slot == nullptr) {
      status.lacks.push_back({n, view_.active, view_.active, true});
      continue;
    }
    if (now_ - slot->first_seen < slot_patience_ticks) continue;
    const bool batch = slot->committed ? slot->batch(*slot->committed) == nullptr : !slot->accepted;
    const bool prepared = slot->prepared && slot->prepared->view == view_.view;
    Status::Lack lack{n, batch, !prepared && !slot->committed, !slot->committed};
    // Without an active view nothing is voted on; what was committed in any view can still be learnt.
    if (!view_.active) lack.batch = lack.prepares = false;
    if (lack.batch || lack.prepares || lack.commits) status.lacks.push_back(lack);
  }
}

void Retransmission::on_tick(Ticks now, Outbox& out) {
  now_ = now;
  fetch_missing_batches(out);
  if (cluster_.replicas == 1) return;
  const Ticks since = now_ - last_status_;
  const bool says_more = view_changer_.suspects() && !told_suspicion_;
  const bool due = !sent_status_ || says_more || since >= local_.idle_status_interval_ticks;
  const SequenceNumber reached = executed_by_weak_quorum();
  const bool behind = delivery_.delivered() < reached;
  // Where the last answers helped, the next are asked for at once.
  const bool catching_up = behind && delivery_.delivered() > delivered_at_last_status_;
  if (!due && !catching_up && since < local_.status_interval_ticks) return;
  Status status;
  status.view = view_.view;
  status.active = view_.active;
  status.suspects = told_suspicion_ = view_changer_.suspects();
  status.view_changes = view_changer_.held();
  status.rejoins_in = rejoining_.asks_for_view();
  status.stable = log_.low();
  status.executed = delivery_.delivered();
  // Seldom needed, so not asked for often; but however often other things are lacking.
  if (!sent_status_ || now_ - last_unprepared_ >= local_.idle_status_interval_ticks) {
    last_unprepared_ = now_;
    add_unprepared(status);
  }
  add_uncommitted(status, reached);
  const bool checkpoint_waits = checkpointing_.has_own_votes();
  const bool view_waits =
      !view_.active || status.suspects || someone_is_in_a_later_view() || status.rejoins_in > View{};
  if (!due && status.lacks.empty() && !checkpoint_waits && !behind && !view_waits) return;
  last_status_ = now_;
  delivered_at_last_status_ = delivery_.delivered();
  sent_status_ = true;
  out.broadcast(std::move(status));
}

// ---- Answering -------------------------------------------------------------------------------------

void Retransmission::on_status(ReplicaId sender, const Status& status, Outbox& out) {
  Peer& peer = peers_[sender.value];
  peer.view = status.view;
  peer.executed = status.executed;
  // Who lacks the batch may know of the slot from others only, who may know of it from this one.
  const auto has_batch = [&](const Status::Lack& lack) { return status.active && !lack.batch; };
  const auto proposed = std::find_if(status.lacks.rbegin(), status.lacks.rend(), has_batch);
  peer.proposed = proposed == status.lacks.rend() ? SequenceNumber{} : proposed->n;
  if (peer.answered == now_) return out.reject(Reject::rate_limited, sender);
  peer.answered = now_;

  // The highest one, also where it is not held here: perhaps nobody else has heard all the votes of it, and only who
  // has a proof may give others the state at it.
  const auto& proven = checkpointing_.highest_proven();
  if (proven && status.stable < proven->n) out.send_to(sender, *proven);
  for (Checkpoint& vote : checkpointing_.own_votes()) {
    if (vote.n > status.stable) out.send_to(sender, std::move(vote));
  }
  view_changer_.answer(sender, status, out);
  ByteBudget budget{status_answer_bytes};
  for (Status::Lack lack : status.lacks) {
    // What is committed is so in every view; the rest is of use in the present one only.
    if (status.view != view_.view || !status.active || !view_.active) lack.batch = lack.prepares = false;
    resend(sender, lack, budget, out);
  }
}

void Retransmission::resend(ReplicaId to, const Status::Lack& lack, ByteBudget& budget, Outbox& out) const {
  const Slot* slot = log_.find(lack.n);
  if (slot == nullptr) return;
  if (lack.batch && normal_.is_primary() && slot->accepted) {
    const BatchPtr batch = slot->batch(slot->accepted->digest);
    if (budget.spend(bytes_of(*batch))) out.send_to(to, PrePrepare{slot->accepted->view, lack.n, batch, {}});
  }
  const auto& own_prepare = slot->prepares[local_.self.value];
  if (lack.prepares && own_prepare && own_prepare->view == view_.view)
    out.send_to(to, Prepare{own_prepare->view, lack.n, own_prepare->digest});
  const auto& own_commit = slot->commits[local_.self.value];
  if (lack.commits && slot->committed) out.send_to(to, Committed{lack.n, *slot->committed});
  if (lack.commits && view_.active && own_commit && own_commit->view == view_.view) {
    out.send_to(to, Commit{own_commit->view, lack.n, own_commit->digest});
  }
}

void Retransmission::on_fetch_batch(ReplicaId sender, const FetchBatch& message, Outbox& out) {
  Peer& peer = peers_[sender.value];
  if (peer.fetch_tick != now_ || peer.fetched.empty()) {
    peer.fetched.clear();
    peer.fetch_budget = ByteBudget{fetched_bytes_per_tick};
  }
  peer.fetch_tick = now_;
  if (peer.fetched.size() >= fetches_per_tick || !peer.fetched.insert({message.n, message.digest}).second) {
    return out.reject(Reject::rate_limited, sender);
  }
  const Slot* slot = log_.find(message.n);
  if (const BatchPtr batch = slot == nullptr ? nullptr : slot->batch(message.digest)) {
    if (!peer.fetch_budget.spend(bytes_of(*batch))) return out.reject(Reject::rate_limited, sender);
    return out.send_to(sender, BatchResponse{message.n, batch});
  }
  out.send(ServeBatch{sender, message.n, message.digest});
}

// ---- Asking ----------------------------------------------------------------------------------------

// Whoever voted for it had the batch.
std::vector<ReplicaId> Retransmission::voters(const std::vector<std::optional<Vote>>& votes, const Vote& vote) const {
  std::vector<ReplicaId> holders;
  for (std::uint32_t i = 0; i < votes.size(); ++i) {
    if (votes[i] == vote && ReplicaId{i} != local_.self) holders.push_back(ReplicaId{i});
  }
  return holders;
}

std::vector<ReplicaId> Retransmission::committers(const Slot& slot) const {
  std::vector<ReplicaId> holders;
  for (std::uint32_t i = 0; i < slot.told.size(); ++i) {
    const auto& commit = slot.commits[i];
    const bool holds = slot.told[i] == slot.committed || (commit && commit->digest == *slot.committed);
    if (holds && ReplicaId{i} != local_.self) holders.push_back(ReplicaId{i});
  }
  return holders;
}

void Retransmission::fetch_missing_batches(Outbox& out) {
  std::size_t outstanding = 0;
  for (const auto& [n, digest] : view_changer_.missing()) {
    if (++outstanding > outstanding_fetches) return;
    fetch(n, digest, view_changer_.holders(n, digest), out);
  }
  for (auto& [n, slot] : log_.slots()) {
    const Digest* opened = view_.opened_with(n);
    if (n > delivery_.delivered() && slot.committed && !slot.batch(*slot.committed)) {
      if (++outstanding > outstanding_fetches) return;
      fetch(n, *slot.committed, committers(slot), out);
    } else if (opened != nullptr && !slot.accepted && normal_.wants(n, *opened)) {
      if (++outstanding > outstanding_fetches) return;
      fetch(n, *opened, view_changer_.holders(n, *opened), out);
    } else if (const Digest* vouched = normal_.vouched(n, slot);
               vouched != nullptr && !slot.batch(*vouched) && now_ - slot.first_seen >= slot_patience_ticks) {
      if (++outstanding > outstanding_fetches) return;
      auto holders = voters(slot.prepares, {view_.view, *vouched});
      if (slot.commits[view_.primary().value] == Vote{view_.view, *vouched}) holders.push_back(view_.primary());
      fetch(n, *vouched, holders, out);
    }
  }
}

// The holders are asked in turn, for each slot another one first.
void Retransmission::fetch(SequenceNumber n, const Digest& digest, const std::vector<ReplicaId>& holders, Outbox& out) {
  Slot& slot = log_.slot(n, now_);
  if (holders.empty() || (slot.fetches > 0 && now_ - slot.last_fetch < local_.fetch_timeout_ticks)) return;
  const ReplicaId to = holders[(local_.self.value + n.value + slot.fetches) % holders.size()];
  slot.last_fetch = now_;
  ++slot.fetches;
  out.send_to(to, FetchBatch{n, digest});
}

}  // namespace pbft
