#include "node/pbft/normal_operation.h"

#include <algorithm>
#include <cassert>

#include "node/pbft/digests.h"

namespace pbft {

namespace {

// Proposals are kept for so many of the next slots whatever their size, and for those behind them up to so many bytes
// together: those that are not authentic here, and batches that were voted for, with those of earlier views.
constexpr std::uint64_t always_kept = 4;
constexpr std::size_t most_held_bytes = 64U << 20;
constexpr std::size_t most_undelivered_bytes = 256U << 20;

// Keeps the first vote of a sender in the highest view that it voted in; false where the vote is no news.
bool record(std::optional<Vote>& place, const Vote& vote, ReplicaId sender, Outbox& out) {
  if (place && place->view >= vote.view) {
    const bool second = place->view == vote.view && place->digest != vote.digest;
    out.reject(second ? Reject::second_vote : Reject::already_known, sender);
    return false;
  }
  place = vote;
  return true;
}

}  // namespace

NormalOperation::NormalOperation(const ClusterParameters& cluster, const LocalParameters& local, const ViewState& view,
                                 MessageLog& log, Delivery& delivery, const ClientTable& clients, RequestQueue& queue,
                                 Suspects& suspects)
    : cluster_(cluster),
      local_(local),
      view_(view),
      quorum_(view.quorum),
      log_(log),
      delivery_(delivery),
      clients_(clients),
      queue_(queue),
      suspects_(suspects) {}

// ---- Recovery --------------------------------------------------------------------------------------

void NormalOperation::recover(const Recovered& recovered) {
  last_proposed_ = std::max({log_.low(), delivery_.delivered(), view_.opening.end()});
  last_proposed_time_ = delivery_.time();
  highest_prepared_ = delivery_.delivered();
  for (const auto& [n, remembered] : recovered.slots) {
    if (log_.in_window(n)) recover_slot(n, remembered);
  }
  opening_done_ = false;
}

void NormalOperation::recover_slot(SequenceNumber n, const RecoveredSlot& remembered) {
  Slot& slot = log_.slot(n, now_);
  for (const auto& [digest, batch] : remembered.batches) slot.batches[digest] = {batch, true};
  for (const auto& [view, digest] : remembered.accepted) slot.voted[digest] = view;  // views ascend
  if (const auto mark = remembered.accepted.find(view_.view); mark != remembered.accepted.end() && view_.active) {
    slot.accepted = Vote{view_.view, mark->second};
    const BatchPtr batch = slot.batch(mark->second);
    if (is_primary()) {
      last_proposed_ = std::max(last_proposed_, n);
      last_proposed_time_ = std::max(last_proposed_time_, batch->time);
    } else {
      slot.prepares[local_.self.value] = slot.accepted;
    }
    if (n > delivery_.delivered()) {
      for (const BundlePtr& bundle : batch->bundles) queue_.mark_in_flight(*bundle, n);
    }
  }
  slot.committed = remembered.executed;
  if (slot.committed) last_proposed_ = std::max(last_proposed_, n);
  if (remembered.prepared) {
    slot.prepared = Vote{remembered.prepared->view, remembered.prepared->digest};
    slot.commits[local_.self.value] = slot.prepared;
    const bool left_free = view_.active && slot.prepared->view < view_.view && n > view_.opening.end();
    if (!left_free) highest_prepared_ = std::max(highest_prepared_, n);
  }
  check_committed(slot);
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

// The primary's clock is taken if it is later than that of the batch before, and not further from the own clock than
// the agreed skew. What a NEW-VIEW puts into a slot is never judged by clocks again.
std::optional<Reject> NormalOperation::time_invalid(SequenceNumber n, Timestamp time) const {
  if (time.value > wall_clock_.value + cluster_.max_clock_skew_us) return Reject::time_ahead;
  if (time.value + cluster_.max_clock_skew_us < wall_clock_.value) return Reject::time_behind;
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
  if (message.view != view_.view) return Reject::wrong_view;
  if (!view_.active) return Reject::not_active;
  if (view_.abstains) return Reject::rejoining;
  if (sender != view_.primary() || is_primary()) return Reject::not_from_primary;
  if (!log_.in_window(message.n) || message.n <= view_.opening.start) return Reject::outside_window;
  const Vote vote{message.view, message.batch->digest};
  const Digest* opened = view_.opened_with(message.n);
  if (opened != nullptr && *opened != vote.digest) return Reject::second_preprepare;
  const Slot* slot = log_.find(message.n);
  if (slot == nullptr) return std::nullopt;
  if (slot->accepted) return slot->accepted == vote ? Reject::already_known : Reject::second_preprepare;
  if (slot->held && slot->held->batch->digest != vote.digest) return Reject::second_preprepare;
  if (slot->committed && *slot->committed != vote.digest) return Reject::wrong_digest;
  return std::nullopt;
}

bool NormalOperation::on_pre_prepare(ReplicaId sender, const PrePrepare& message, Outbox& out) {
  if (const auto reason = misplaced(sender, message)) {
    out.reject(*reason, sender);
    return *reason == Reject::second_preprepare;
  }
  Slot& slot = log_.slot(message.n, now_);
  if (view_.opened_with(message.n) != nullptr) {
    on_batch(message.n, message.batch, out);
    return false;
  }
  if (const auto reason = invalid(message)) {
    out.reject(*reason, sender);
    return false;
  }
  const bool all_authentic =
      message.authentic.size() == message.batch->bundles.size() &&
      std::all_of(message.authentic.begin(), message.authentic.end(), [](bool authentic) { return authentic; });
  if (!all_authentic) {
    out.reject(Reject::bundle_not_authentic, sender);
    suspects_.found_in_batch(message, now_, out);
    hold(message, slot);
    accept_if_vouched(message.n, slot, out);
    return false;
  }
  if (!has_room(message.n, bytes_of(*message.batch))) {
    out.reject(Reject::no_room, sender);
    return false;
  }
  accept(message.n, slot, message.batch, out);
  return false;
}

bool NormalOperation::is_near(SequenceNumber n) const {
  return n > delivery_.delivered() && n.value - delivery_.delivered().value <= always_kept;
}

bool NormalOperation::has_room(SequenceNumber n, std::size_t bytes) const {
  if (is_near(n)) return true;
  std::size_t kept = bytes;
  for (auto at = log_.slots().upper_bound(delivery_.delivered()); at != log_.slots().end(); ++at) {
    for (const auto& [digest, known] : at->second.batches) kept += known.bytes;
  }
  return kept <= most_undelivered_bytes;
}

// Kept for the case that it is vouched for. Of slots whose turn is far away only so much is kept: for the others it is
// as if the message had been lost, so the batch is fetched where it is vouched for, and the message asked for again.
void NormalOperation::hold(const PrePrepare& message, Slot& slot) {
  if (slot.held) return;
  const SequenceNumber delivered = delivery_.delivered();
  std::size_t held = 0;
  for (auto& [n, other] : log_.slots()) {
    if (n <= delivered) other.held.reset();
    held += other.held ? other.held_bytes : 0;
  }
  const std::size_t bytes = bytes_of(*message.batch);
  const Digest* vouched_for = vouched(message.n, slot);
  const Digest& digest = message.batch->digest;
  const bool wanted = slot.committed == digest || (vouched_for != nullptr && *vouched_for == digest);
  if (!is_near(message.n) && !wanted && held + bytes > most_held_bytes) return;
  slot.held = message;
  slot.held_bytes = bytes;
}

// PREPAREs from f+1 distinct replicas: one of them is correct, and its vote rests on that of a correct replica that had
// the primary's pre-prepare, and found every bundle authentic and the time well. So they stand in for a pre-prepare
// that did not authenticate here, that the primary kept from here, or that comes when its time is behind. The primary
// sends no PREPARE: its COMMIT says as much, and may be all that there is beside f backups' votes where others have
// lost theirs.
const Digest* NormalOperation::vouched(SequenceNumber n, const Slot& slot) const {
  if (slot.accepted || is_primary() || !view_.votes() || n <= view_.opening.end()) return nullptr;
  const auto& primary = slot.commits[view_.primary().value];
  for (const auto& vote : slot.prepares) {
    if (!vote || vote->view != view_.view) continue;
    if (slot.committed && *slot.committed != vote->digest) continue;  // a vote that would be wasted
    const std::uint32_t vouching = count_matching(slot.prepares, *vote) + (primary == vote ? 1 : 0);
    if (vouching >= quorum_.weak()) return &vote->digest;
  }
  return nullptr;
}

void NormalOperation::accept_if_vouched(SequenceNumber n, Slot& slot, Outbox& out) {
  const Digest* digest = vouched(n, slot);
  if (digest == nullptr) return;
  const bool held = slot.held && slot.held->batch->digest == *digest;
  const BatchPtr batch = held ? slot.held->batch : slot.batch(*digest);
  if (batch == nullptr || batch->bundles.empty()) return;
  // A time that is ahead is not: one clock that is wrong would let the primary set the agreed time far beyond all
  // others.
  if (batch->time.value > wall_clock_.value + cluster_.max_clock_skew_us) return;
  accept(n, slot, batch, out);
}

// What was vouched for when there was no vote to cast, or has come into time.
void NormalOperation::vote_for_vouched(Outbox& out) {
  for (auto& [n, slot] : log_.slots()) accept_if_vouched(n, slot, out);
}

void NormalOperation::accept(SequenceNumber n, Slot& slot, const BatchPtr& batch, Outbox& out) {
  assert(view_.votes());
  assert(!slot.accepted);  // one vote per (view, n), ever
  const Vote vote{view_.view, batch->digest};
  slot.accepted = vote;
  slot.voted[vote.digest] = vote.view;
  slot.held.reset();
  Slot::KnownBatch& known = slot.batches[batch->digest];
  if (!known.durable) out.persist(PersistBatch{n, batch});
  known = {batch, true};
  out.persist(PersistAccepted{vote.view, n, vote.digest});
  for (const BundlePtr& bundle : batch->bundles) {
    if (n > delivery_.delivered()) queue_.mark_in_flight(*bundle, n);
  }
  if (!is_primary()) {
    slot.prepares[local_.self.value] = vote;
    out.broadcast(Prepare{vote.view, n, vote.digest});
  } else {
    last_proposed_time_ = std::max(last_proposed_time_, batch->time);
    // The NEW-VIEW is the pre-prepare of every slot that it fills.
    if (view_.opened_with(n) == nullptr) out.broadcast(PrePrepare{vote.view, n, batch, {}});
  }
  check_prepared(n, slot, out);
}

// ---- Prepare ---------------------------------------------------------------------------------------

// Votes of a view that is not active here yet are kept: they may overtake its NEW-VIEW.
void NormalOperation::on_prepare(ReplicaId sender, const Prepare& message, Outbox& out) {
  if (message.view < view_.view) return out.reject(Reject::wrong_view, sender);
  if (!log_.in_window(message.n)) return out.reject(Reject::outside_window, sender);
  if (sender == quorum_.primary(message.view)) return out.reject(Reject::vote_from_primary, sender);
  Slot& slot = log_.slot(message.n, now_);
  if (!record(slot.prepares[sender.value], {message.view, message.digest}, sender, out)) return;
  accept_if_vouched(message.n, slot, out);
  check_prepared(message.n, slot, out);
}

// Prepared: the pre-prepare, and PREPAREs of Q-1 distinct backups that match it. The primary's pre-prepare is its
// vote, so its PREPARE, if it sends one, counts for nothing.
void NormalOperation::check_prepared(SequenceNumber n, Slot& slot, Outbox& out) {
  if (!slot.accepted || (slot.prepared && slot.prepared->view == view_.view)) return;
  assert(view_.votes() && slot.accepted->view == view_.view);
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

// COMMITs of any view are taken: what is committed in one stays committed, and a replica that has left a view, or does
// not know of it yet, may still learn.
void NormalOperation::on_commit(ReplicaId sender, const Commit& message, Outbox& out) {
  if (!log_.in_window(message.n)) return out.reject(Reject::outside_window, sender);
  Slot& slot = log_.slot(message.n, now_);
  if (!record(slot.commits[sender.value], {message.view, message.digest}, sender, out)) return;
  accept_if_vouched(message.n, slot, out);
  check_committed(slot);
}

// A quorum of matching COMMITs of one view proves the batch, even where pre-prepare or PREPAREs were lost: f+1 of
// their senders are correct and had prepared it. A learner of this kind casts no vote.
void NormalOperation::check_committed(Slot& slot) {
  if (const auto proven = vote_of(slot.commits, quorum_.quorum()); proven && !slot.committed) {
    slot.committed = proven->digest;
  }
  for (const auto& digest : slot.told) {
    if (slot.committed || !digest) continue;
    const auto same = static_cast<std::uint32_t>(std::count(slot.told.begin(), slot.told.end(), digest));
    if (same >= quorum_.weak()) slot.committed = digest;
  }
  // Everybody has the null batch.
  if (slot.committed == null_batch_digest()) {
    slot.batches.try_emplace(null_batch_digest(), Slot::KnownBatch{null_batch(), true});
  }
}

void NormalOperation::on_committed(ReplicaId sender, const Committed& message, Outbox& out) {
  if (!log_.in_window(message.n)) return out.reject(Reject::outside_window, sender);
  Slot& slot = log_.slot(message.n, now_);
  if (slot.told[sender.value]) return out.reject(Reject::already_known, sender);
  slot.told[sender.value] = message.digest;
  check_committed(slot);
}

void NormalOperation::deliver_committed(Outbox& out) {
  while (delivery_.open()) {
    const SequenceNumber n = delivery_.next();
    Slot* slot = log_.find(n);
    if (slot == nullptr || !slot->committed) return;
    const auto known = slot->batches.find(*slot->committed);
    if (known == slot->batches.end()) return;
    const bool durable = std::exchange(known->second.durable, true);
    delivery_.deliver(n, view_.view, known->second.batch, durable, out);
    if (slot->batches.size() > 1) reclaim(*slot, &*slot->committed);
  }
}

bool NormalOperation::wants(SequenceNumber n, const Digest& digest) const {
  const Slot* slot = log_.find(n);
  if (slot == nullptr || slot->batch(digest)) return false;
  if (slot->committed == digest) return true;
  const Digest* asked = view_.opened_with(n);
  if (asked == nullptr && has_room(n, 0)) asked = vouched(n, *slot);
  return asked != nullptr && *asked == digest;
}

void NormalOperation::on_batch(SequenceNumber n, const BatchPtr& batch, Outbox& out) {
  Slot* slot = log_.find(n);
  assert(slot != nullptr);
  slot->batches.try_emplace(batch->digest, Slot::KnownBatch{batch, false});
  vote_on_opening(out);
  accept_if_vouched(n, *slot, out);
  deliver_committed(out);
}

// ---- Views -----------------------------------------------------------------------------------------

void NormalOperation::leave() {
  for (auto& [n, slot] : log_.slots()) {
    slot.accepted.reset();
    slot.held.reset();
    for (auto& vote : slot.prepares) {
      if (vote && vote->view < view_.view) vote.reset();
    }
  }
}

void NormalOperation::enter(Outbox& out) {
  leave();
  proposed_.clear();
  const SequenceNumber end = view_.opening.end();
  last_proposed_ = std::max(end, delivery_.delivered());
  last_proposed_time_ = std::max(last_proposed_time_, delivery_.time());
  // A mark may be ignored for reads once the slot was left free: then it had not committed.
  highest_prepared_ = std::max(delivery_.delivered(), std::min(highest_prepared_, end));
  queue_.forget_in_flight();
  for (SequenceNumber n = std::max(log_.low(), view_.opening.start).next(); n <= end && log_.in_window(n);
       n = n.next()) {
    static_cast<void>(log_.slot(n, now_));
  }
  for (const auto& [n, slot] : log_.slots()) {
    if (n > delivery_.delivered()) reclaim(slot, view_.opened_with(n));
  }
  opening_done_ = false;
  vote_on_opening(out);
}

void NormalOperation::reclaim(const Slot& slot, const Digest* ordered) {
  for (const auto& [digest, known] : slot.batches) {
    if (ordered != nullptr && *ordered == digest) continue;
    for (const BundlePtr& bundle : known.batch->bundles) {
      if (suspects_.must_sign(bundle->client, now_) && !bundle->is_signed()) continue;
      if (clients_.needs_order(*bundle)) static_cast<void>(queue_.add(bundle, RequestQueue::Proof::unknown));
    }
  }
}

void NormalOperation::vote_on_opening(Outbox& out) {
  if (opening_done_ || !view_.votes()) return;
  const SequenceNumber end = view_.opening.end();
  bool done = true;
  for (SequenceNumber n = std::max(log_.low(), view_.opening.start).next(); n <= end; n = n.next()) {
    if (!log_.in_window(n)) {
      done = false;
      break;
    }
    Slot& slot = log_.slot(n, now_);
    if (slot.accepted) continue;
    const Digest& digest = *view_.opened_with(n);
    const BatchPtr batch = digest == null_batch_digest() ? null_batch() : slot.batch(digest);
    if (batch != nullptr) {
      accept(n, slot, batch, out);
    } else {
      done = false;
    }
  }
  opening_done_ = done;
}

// ---- The primary -----------------------------------------------------------------------------------

// A batch costs much the same whatever is in it. So where much is in flight, the next one is to be worth it: it waits
// until it is no less than that, or full. It never waits for nothing: what is in flight comes to its end.
bool NormalOperation::better_gather() {
  constexpr std::size_t little = 32;  // requests
  while (!proposed_.empty() && proposed_.front().first <= delivery_.delivered()) proposed_.pop_front();
  std::size_t in_flight = 0;
  for (const auto& [n, requests] : proposed_) in_flight += requests;
  return in_flight >= little && queue_.requests() < in_flight && !queue_.fills_batch();
}

void NormalOperation::propose(Outbox& out) {
  if (!is_primary() || !view_.votes() || !delivery_.open()) return;
  // What was delivered by another path must not be proposed again.
  last_proposed_ = std::max(last_proposed_, delivery_.delivered());
  while (!queue_.empty()) {
    const SequenceNumber n = last_proposed_.next();
    if (!log_.in_window(n)) return;
    if (last_proposed_.value - delivery_.delivered().value >= local_.pipeline) return;
    if (better_gather()) return;
    const std::size_t waiting = queue_.requests();
    std::vector<BundlePtr> bundles = queue_.take_batch(n);
    const Timestamp time{std::max(wall_clock_.value, last_proposed_time_.value + 1)};
    const Digest digest = batch_digest(time, bundles);
    last_proposed_ = n;
    proposed_.emplace_back(n, waiting - queue_.requests());
    accept(n, log_.slot(n, now_), std::make_shared<const Batch>(Batch{time, std::move(bundles), digest}), out);
    deliver_committed(out);
  }
}

void NormalOperation::invariants() const {
  for (const auto& [n, slot] : log_.slots()) {
    assert(log_.in_window(n));
    if (slot.accepted) {
      assert(view_.votes() && slot.accepted->view == view_.view);
      assert(slot.voted.at(slot.accepted->digest) == view_.view);
      const BatchPtr batch = slot.batch(slot.accepted->digest);
      assert(batch != nullptr && slot.batches.at(slot.accepted->digest).durable);
      const Digest* opened = view_.opened_with(n);
      assert(opened == nullptr || *opened == slot.accepted->digest);
    }
    if (slot.prepared) {
      assert(slot.prepared->view <= view_.view);
      assert(slot.voted.contains(slot.prepared->digest));
      assert(slot.commits[local_.self.value] == slot.prepared);
    }
    for (std::uint32_t i = 0; i < slot.prepares.size(); ++i) {
      if (!slot.prepares[i]) continue;
      assert(slot.prepares[i]->view >= view_.view);
      assert(quorum_.primary(slot.prepares[i]->view) != ReplicaId{i});
    }
  }
}

}  // namespace pbft
