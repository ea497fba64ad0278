#include "node/pbft/catch_up.h"

#include <cassert>

#include "node/pbft/digests.h"

namespace pbft {

namespace {

// So long a replica waits for the normal path before it turns to the ledger.
constexpr Ticks patience_ticks = 3;
constexpr std::size_t outstanding_ranges = 32;
// So often all peers are asked for one batch before the range is given up for a newer one.
constexpr std::uint32_t rounds = 3;

}  // namespace

CatchUp::CatchUp(const ClusterParameters& cluster, const LocalParameters& local, const MessageLog& log,
                 Delivery& delivery, const Checkpointing& checkpointing)
    : cluster_(cluster),
      local_(local),
      log_(log),
      delivery_(delivery),
      checkpointing_(checkpointing),
      seen_delivered_(delivery.delivered()),
      served_(cluster.replicas, 0) {}

void CatchUp::reset() {
  request_.reset();
  range_.reset();
  unanswered_ = 0;
  gave_up_ = false;
}

ReplicaId CatchUp::peer(std::uint32_t turn) const {
  const std::uint32_t others = cluster_.replicas - 1;
  return ReplicaId{(local_.self.value + 1 + turn % others) % cluster_.replicas};
}

void CatchUp::on_tick(Ticks now, View view, Outbox& out) {
  now_ = now;
  if (delivery_.delivered() != seen_delivered_) {
    seen_delivered_ = delivery_.delivered();
    progress_ = now_;
  }
  if (!delivery_.open() || cluster_.replicas == 1) return;
  deliver(view, out);
  if (range_) {
    const auto next = range_->fetches.find(delivery_.next());
    const bool gone = next != range_->fetches.end() && next->second.tries > rounds * cluster_.replicas;
    if (!gone) return ask_for_batches(out);
    range_.reset();
    gave_up_ = true;
  }
  const auto& target = checkpointing_.highest_proven();
  if (!target || target->n <= delivery_.delivered()) {
    request_.reset();
    unanswered_ = 0;
    gave_up_ = false;
    return;
  }
  if (now_ - progress_ < patience_ticks) return;
  // Where the way is this long, the state itself is fetched.
  if (delivery_.is_far_from(target->n, local_.transfer_above) && !delivery_.follows_state()) return;
  if (request_ && now_ - request_->sent < local_.fetch_timeout_ticks) return;
  if (request_) ++unanswered_;
  ask_for_range(out);
}

void CatchUp::ask_for_range(Outbox& out) {
  const StableCheckpoint& target = *checkpointing_.highest_proven();
  request_ = Request{delivery_.next(), delivery_.ledger_head(), target, now_};
  out.send_to(peer(turns_++), FetchLedger{request_->first, target.n});
}

// The whole range is proven at once: the summary hashes to the root that a quorum signed, and the digests chain from
// the own ledger head to the head in the summary.
void CatchUp::on_ledger_range(ReplicaId sender, const LedgerRange& message, Outbox& out) {
  if (!request_ || range_ || message.first != request_->first || message.summary.n != request_->target.n) {
    return out.reject(Reject::not_asked_for, sender);
  }
  const std::uint64_t length = request_->target.n.value - request_->first.value + 1;
  if (message.digests.size() != length || checkpoint_root(message.summary) != request_->target.root) {
    return out.reject(Reject::bad_ledger_range, sender);
  }
  Digest head = request_->head_before;
  SequenceNumber n = request_->first;
  for (const Digest& digest : message.digests) {
    head = ledger_head(head, n, digest);
    n = n.next();
  }
  if (head != message.summary.ledger_head) return out.reject(Reject::bad_ledger_range, sender);

  range_ = Range{message.first, message.summary.n, message.digests, {}, {}};
  request_.reset();
  unanswered_ = 0;
  out.event(CatchUpStarted{range_->first, range_->last});
  ask_for_batches(out);
}

void CatchUp::on_fetch_ledger(ReplicaId sender, const FetchLedger& message, Outbox& out) {
  if (message.last > log_.low() || message.first > message.last ||
      message.last.value - message.first.value >= Limits::max_ledger_range) {
    return out.reject(Reject::outside_window, sender);
  }
  Ticks& served = served_[sender.value];
  if (served != 0 && now_ - served < local_.fetch_timeout_ticks) return out.reject(Reject::rate_limited, sender);
  served = now_;
  out.send(ServeLedger{sender, message.first, message.last});
}

bool CatchUp::wants(SequenceNumber n, const Digest& digest) const {
  if (!range_ || n < delivery_.next() || range_->batches.contains(n) || !range_->fetches.contains(n)) return false;
  const Digest* expected = range_->digest(n);
  return expected != nullptr && *expected == digest;
}

void CatchUp::on_batch(SequenceNumber n, const BatchPtr& batch) {
  assert(wants(n, batch->digest));
  range_->batches.emplace(n, batch);
}

void CatchUp::ask_for_batches(Outbox& out) {
  SequenceNumber n = delivery_.next();
  for (std::size_t window = 0; n <= range_->last && window < outstanding_ranges; ++window, n = n.next()) {
    if (range_->batches.contains(n)) continue;
    const Slot* slot = log_.find(n);
    if (const BatchPtr known = slot == nullptr ? nullptr : slot->batch(*range_->digest(n))) {
      range_->batches.emplace(n, known);
      continue;
    }
    const auto [fetch, fresh] = range_->fetches.try_emplace(n, Range::Fetch{now_, 0});
    if (!fresh && now_ - fetch->second.sent < local_.fetch_timeout_ticks) continue;
    if (!fresh) ++fetch->second.tries;
    fetch->second.sent = now_;
    out.send_to(peer(static_cast<std::uint32_t>(n.value) + fetch->second.tries), FetchBatch{n, *range_->digest(n)});
  }
}

void CatchUp::deliver(View view, Outbox& out) {
  if (!range_ || !delivery_.open()) return;
  bool delivered = false;
  while (delivery_.open() && delivery_.next() <= range_->last) {
    const SequenceNumber n = delivery_.next();
    const auto found = range_->batches.find(n);
    if (found == range_->batches.end()) break;
    delivery_.deliver(n, view, found->second, false, out);
    delivered = true;
  }
  const SequenceNumber done = delivery_.delivered();
  range_->batches.erase(range_->batches.begin(), range_->batches.upper_bound(done));
  range_->fetches.erase(range_->fetches.begin(), range_->fetches.upper_bound(done));
  finish_if_done(out);
  if (range_ && delivered) ask_for_batches(out);
}

void CatchUp::finish_if_done(Outbox& out) {
  if (delivery_.delivered() < range_->last) return;
  out.event(CatchUpFinished{delivery_.delivered()});
  range_.reset();
}

}  // namespace pbft
