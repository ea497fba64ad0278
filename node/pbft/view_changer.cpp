#include "node/pbft/view_changer.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <functional>

#include "node/pbft/digests.h"

namespace pbft {

using new_view_rules::Decision;

namespace {

constexpr Ticks seldom = 10;

}  // namespace

ViewChanger::ViewChanger(const ClusterParameters& cluster, const LocalParameters& local, ViewState& view,
                         MessageLog& log, NormalOperation& normal, Checkpointing& checkpointing, PrimaryWatch& watch)
    : cluster_(cluster),
      local_(local),
      view_(view),
      quorum_(view.quorum),
      log_(log),
      normal_(normal),
      checkpointing_(checkpointing),
      watch_(watch),
      peers_(cluster.replicas) {}

void ViewChanger::recover(const Recovered& recovered) {
  if (recovered.new_view) {
    const auto decision =
        new_view_rules::decide(recovered.new_view->view_changes, quorum_, new_view_rules::Room::of(cluster_));
    assert(decision);  // it was accepted, or made here
    view_.view = recovered.new_view->view;
    view_.opening = *decision;
    new_view_ = recovered.new_view;
  }
  if (recovered.view_change && recovered.view_change->view > view_.view) {
    view_.view = recovered.view_change->view;
    view_.active = false;
    view_.opening = {};
    new_view_.reset();
    peers_[local_.self.value].view_change = recovered.view_change;
  }
}

// ---- Suspicion -------------------------------------------------------------------------------------

void ViewChanger::suspect(const char* reason, Outbox& out) {
  if (!view_.votes() || suspicion_) return;
  suspicion_ = reason;
  out.event(PrimarySuspected{view_.view, reason});
  leave_with_others(out);
}

void ViewChanger::on_status(ReplicaId sender, const Status& message, Outbox& out) {
  peers_[sender.value].trusts = message.suspects ? message.view.next() : message.view;
  leave_with_others(out);
}

std::uint32_t ViewChanger::others_that_gave_up() const {
  std::uint32_t count = 0;
  for (std::uint32_t i = 0; i < peers_.size(); ++i) count += has_given_up(ReplicaId{i}) ? 1 : 0;
  return count;
}

void ViewChanger::leave_with_others(Outbox& out) {
  if (suspicion_ && 1 + others_that_gave_up() >= quorum_.weak()) leave(view_.view.next(), *suspicion_, out);
}

// ---- Leaving a view --------------------------------------------------------------------------------

ViewChange ViewChanger::own_view_change(View to) const {
  ViewChange message;
  message.view = to;
  message.stable = checkpointing_.stable();
  for (const auto& [n, slot] : log_.slots()) {
    if (slot.prepared) message.prepared.push_back({n, slot.prepared->digest, slot.prepared->view});
    for (const auto& [digest, view] : slot.voted) message.voted.push_back({n, digest, view});
  }
  return message;
}

void ViewChanger::leave(View to, const char* reason, Outbox& out) {
  if (to <= view_.view || view_.abstains) return;
  watch_.left();
  out.event(ViewLeft{view_.view, to, reason});
  view_.view = to;
  view_.active = false;
  view_.opening = {};
  new_view_.reset();
  proposal_.reset();
  suspicion_.reset();
  waits_since_.reset();
  normal_.leave();
  ViewChange message = own_view_change(to);
  out.persist(PersistViewChange{message});
  out.broadcast(std::move(message));
  for (Peer& peer : peers_) peer.sent_view = now_;
}

void ViewChanger::on_tick(Ticks now, const PrimaryWatch::Standing& standing, Outbox& out) {
  now_ = now;
  const auto reason = watch_.on_tick(standing);
  if (view_.active) {
    if (reason) suspect(*reason, out);
    return;
  }
  if (!waits_since_) {
    // Without a quorum nobody could open the view: waiting for it would only drive this replica on alone.
    if (std::popcount(held()) >= static_cast<int>(quorum_.quorum())) waits_since_ = now_;
    return;
  }
  if (now_ - *waits_since_ >= watch_.timeout()) leave(view_.view.next(), "the view was not opened in time", out);
}

// From f+1 replicas in views above the own one, the (f+1)-th highest of their views: one of them is correct.
void ViewChanger::join(Outbox& out) {
  std::vector<View> above;
  for (const Peer& peer : peers_) {
    if (peer.view_change && peer.view_change->view > view_.view) above.push_back(peer.view_change->view);
  }
  if (above.size() < quorum_.weak()) return;
  std::sort(above.begin(), above.end(), std::greater<>());
  leave(above[quorum_.weak() - 1], joined_reason, out);
}

void ViewChanger::on_view_change(ReplicaId sender, const ViewChange& message, Outbox& out) {
  auto& known = peers_[sender.value].view_change;
  if (known && known->view >= message.view) {
    return out.reject(known->view == message.view ? Reject::already_known : Reject::wrong_view, sender);
  }
  if (new_view_rules::problem(message, quorum_, cluster_.checkpoint_interval, cluster_.window)) {
    return out.reject(Reject::bad_view_change, sender);
  }
  known = message;
  if (message.stable) checkpointing_.adopt(*message.stable, out);
  join(out);
  leave_with_others(out);
  decide();
  try_to_open(out);
}

// ---- Opening a view --------------------------------------------------------------------------------

std::vector<NewView::Signed> ViewChanger::view_changes_for(View view) const {
  std::vector<NewView::Signed> found;
  for (std::uint32_t i = 0; i < peers_.size(); ++i) {
    const auto& message = peers_[i].view_change;
    if (message && message->view == view && !message->signed_bytes.empty()) found.push_back({ReplicaId{i}, *message});
  }
  return found;
}

void ViewChanger::decide() {
  if (proposal_ || view_.active || view_.abstains || view_.primary() != local_.self) return;
  auto view_changes = view_changes_for(view_.view);
  auto decision = new_view_rules::decide(view_changes, quorum_, new_view_rules::Room::of(cluster_));
  if (!decision || conflicts(view_.view, *decision)) return;
  proposal_ = Proposal{std::move(view_changes), std::move(*decision)};
}

void ViewChanger::try_to_open(Outbox& out) {
  if (!proposal_) return;
  // The state that the view starts from, and every batch that it takes over, have to be here first.
  if (log_.low() < proposal_->decision.start || !missing().empty()) return;
  Proposal proposal = std::move(*proposal_);
  const NewView message{view_.view, local_.self, std::move(proposal.view_changes), {}};
  out.broadcast(message);
  enter(message, std::move(proposal.decision), out);
}

bool ViewChanger::committed_before(const Slot& slot, View view) const {
  const auto proven = vote_of(slot.commits, quorum_.quorum());
  return proven && proven->view < view;
}

// A NEW-VIEW that replaces what is known to be committed: views after it have passed it, or more than f replicas are
// faulty. A slot that it leaves free may have committed in its view or a later one, and be known here before it is.
bool ViewChanger::conflicts(View view, const Decision& decision) const {
  for (const auto& [n, slot] : log_.slots()) {
    if (!slot.committed || n <= decision.start) continue;
    const Digest* chosen = decision.at(n);
    if (chosen != nullptr ? *chosen != *slot.committed : committed_before(slot, view)) return true;
  }
  return false;
}

void ViewChanger::on_new_view(ReplicaId sender, const NewView& message, Outbox& out) {
  if (sender == local_.self) {
    if (message.view == view_.view && view_.active) new_view_ = message;
    return;
  }
  if (message.view < view_.view) return out.reject(Reject::wrong_view, sender);
  if (message.view == view_.view && view_.active) return out.reject(Reject::already_known, sender);
  const auto valid = [&](const NewView::Signed& one) {
    return one.message.view == message.view &&
           !new_view_rules::problem(one.message, quorum_, cluster_.checkpoint_interval, cluster_.window);
  };
  const auto& all = message.view_changes;
  const bool ascending = std::adjacent_find(all.begin(), all.end(), [](const auto& a, const auto& b) {
                           return a.replica >= b.replica;
                         }) == all.end();
  if (message.view == View{} || message.primary != quorum_.primary(message.view) ||
      (message.primary == local_.self && !view_.abstains) || !ascending ||
      !std::all_of(all.begin(), all.end(), valid)) {
    return out.reject(Reject::bad_new_view, sender);
  }
  auto decision = new_view_rules::decide(all, quorum_, new_view_rules::Room::of(cluster_));
  if (!decision || conflicts(message.view, *decision)) return out.reject(Reject::bad_new_view, sender);
  if (message.view > view_.view) watch_.left();
  enter(message, std::move(*decision), out);
}

void ViewChanger::enter(const NewView& message, Decision decision, Outbox& out) {
  assert(message.view >= view_.view);
  out.persist(PersistNewView{message});
  view_.view = message.view;
  view_.active = true;
  view_.opening = std::move(decision);
  new_view_ = message;
  proposal_.reset();
  suspicion_.reset();
  waits_since_.reset();
  for (Peer& peer : peers_) peer.sent_view.reset();
  watch_.entered();
  out.event(ViewEntered{view_.view});
  normal_.enter(out);
  if (view_.opening.proof) checkpointing_.adopt(*view_.opening.proof, out);
}

// ---- Repairing losses ------------------------------------------------------------------------------

void ViewChanger::answer(ReplicaId peer, const Status& status, Outbox& out) {
  Peer& known = peers_[peer.value];
  if (status.view > view_.view || (status.view == view_.view && status.active)) return;
  // One that stays in its active view although it knows that this replica left is told again, but seldom.
  const bool holds = (status.view_changes >> local_.self.value & 1U) != 0;
  const Ticks pause = Ticks{local_.fetch_timeout_ticks} * (holds && status.active && !view_.active ? seldom : 1);
  if (known.sent_view && now_ - *known.sent_view < pause) return;
  if (view_.active) {
    if (!new_view_ || new_view_->signed_bytes.empty()) return;
    known.sent_view = now_;
    return out.send_to(peer, *new_view_);
  }
  const auto& own = peers_[local_.self.value].view_change;
  const bool lacks = status.view < view_.view || !holds;
  if (!own || own->signed_bytes.empty() || own->view != view_.view || !lacks) return;
  known.sent_view = now_;
  out.send_to(peer, *own);
}

std::uint64_t ViewChanger::held() const {
  const View from = view_.active ? view_.view.next() : view_.view;
  std::uint64_t mask = 0;
  for (std::uint32_t i = 0; i < peers_.size(); ++i) {
    const auto& message = peers_[i].view_change;
    if (message && message->view >= from) mask |= std::uint64_t{1} << i;
  }
  return mask;
}

std::vector<std::pair<SequenceNumber, Digest>> ViewChanger::missing() const {
  std::vector<std::pair<SequenceNumber, Digest>> result;
  if (!proposal_ || log_.low() < proposal_->decision.start) return result;
  const Decision& decision = proposal_->decision;
  for (SequenceNumber n = std::max(log_.low(), decision.start).next(); n <= decision.end(); n = n.next()) {
    const Digest& digest = *decision.at(n);
    const Slot* slot = log_.find(n);
    if (digest != null_batch_digest() && (slot == nullptr || !slot->batch(digest))) result.emplace_back(n, digest);
  }
  return result;
}

bool ViewChanger::wants(SequenceNumber n, const Digest& digest) const {
  if (!proposal_ || !log_.in_window(n)) return false;
  const Digest* chosen = proposal_->decision.at(n);
  const Slot* slot = log_.find(n);
  return chosen != nullptr && *chosen == digest && (slot == nullptr || !slot->batch(digest));
}

// Who voted for it has it: f+1 of the view-changes say so, and one of them is correct.
std::vector<ReplicaId> ViewChanger::holders(SequenceNumber n, const Digest& digest) const {
  std::vector<ReplicaId> result;
  if (view_.active && view_.primary() != local_.self) result.push_back(view_.primary());
  const auto* view_changes = proposal_ ? &proposal_->view_changes : new_view_ ? &new_view_->view_changes : nullptr;
  if (view_changes == nullptr) return result;
  for (const NewView::Signed& one : *view_changes) {
    const auto voted = [&](const SlotMark& mark) { return mark.n == n && mark.digest == digest; };
    if (one.replica == local_.self || std::find(result.begin(), result.end(), one.replica) != result.end()) continue;
    if (std::any_of(one.message.voted.begin(), one.message.voted.end(), voted)) result.push_back(one.replica);
  }
  return result;
}

std::string ViewChanger::waiting_for(std::vector<ReplicaId>& from) const {
  const std::string view = std::to_string(view_.view.value);
  if (suspicion_) {
    return "wants view " + view + " to be left, waiting for " +
           std::to_string(quorum_.weak() - 1 - others_that_gave_up()) + " more that do: " + *suspicion_;
  }
  const std::uint64_t left = held();
  const auto have = static_cast<std::uint32_t>(std::popcount(left));
  for (std::uint32_t i = 0; i < peers_.size(); ++i) {
    if ((left >> i & 1U) == 0) from.push_back(ReplicaId{i});
  }
  if (have < quorum_.quorum()) {
    return "waiting for " + std::to_string(quorum_.quorum() - have) + " of " + std::to_string(quorum_.quorum()) +
           " VIEW-CHANGEs for view " + view;
  }
  from.assign(1, view_.primary());
  if (view_.primary() != local_.self) return "waiting for the NEW-VIEW of view " + view;
  from.clear();
  if (!proposal_) return "waiting for more VIEW-CHANGEs for view " + view;
  if (log_.low() < proposal_->decision.start) {
    return "the state at " + std::to_string(proposal_->decision.start.value) + " has to be here to open view " + view;
  }
  return std::to_string(missing().size()) + " batches have to be here to open view " + view;
}

void ViewChanger::invariants() const {
  assert(!view_.active || !proposal_);
  assert(!proposal_ || view_.primary() == local_.self);
  assert(view_.active || !new_view_);
  assert(view_.active || !suspicion_);
  assert(!view_.active || view_.view == View{} || new_view_);
  for (const Peer& peer : peers_) assert(!peer.view_change || peer.view_change->view > View{});
}

}  // namespace pbft
