#include "node/pbft/primary_watch.h"

#include <algorithm>
#include <cassert>
#include <iterator>
#include <utility>

namespace pbft {

// ---- What waits ------------------------------------------------------------------------------------

PrimaryWatch::Heard PrimaryWatch::heard(const Bundle& bundle) {
  assert(has_room_for(bundle.client));
  if (auto* known = const_cast<Waiting*>(find(bundle))) {
    known->is_signed = known->is_signed || bundle.is_signed();
    return Heard::before;
  }
  std::deque<Waiting>& mine = waiting_[bundle.client];
  if (mine.size() >= most_of_one) return Heard::too_many;
  Bundle request;
  request.client = bundle.client;
  request.session = bundle.session;
  request.low = bundle.low;
  request.digest = bundle.digest;
  for (const Request& one : bundle.requests) request.requests.push_back({one.number, one.kind, {}});
  // Twice, since the primary may have heard of others before.
  const std::uint64_t turn = executed_ + 2 * backlog_;
  backlog_ += request.requests.size();
  mine.push_back({std::move(request), bundle.is_signed(), now_, now_, false, false, turn});
  return Heard::now;
}

const PrimaryWatch::Waiting* PrimaryWatch::find(const Bundle& bundle) const {
  const auto mine = waiting_.find(bundle.client);
  if (mine == waiting_.end()) return nullptr;
  const auto found = std::find_if(mine->second.begin(), mine->second.end(),
                                  [&](const Waiting& one) { return one.request.digest == bundle.digest; });
  return found == mine->second.end() ? nullptr : &*found;
}

void PrimaryWatch::refused(const ClientId& client) {
  const auto mine = waiting_.find(client);
  if (mine == waiting_.end()) return;
  for (Waiting& one : mine->second) {
    if (std::exchange(one.moved, false)) one.since = now_;
  }
}

void PrimaryWatch::forget_unsigned(const ClientId& client) {
  const auto mine = waiting_.find(client);
  if (mine == waiting_.end()) return;
  forget(mine->second, [](const Waiting& one) { return !one.is_signed; });
  if (mine->second.empty()) waiting_.erase(mine);
}

void PrimaryWatch::forget(std::deque<Waiting>& mine, const std::function<bool(const Waiting&)>& which) {
  std::erase_if(mine, [&](const Waiting& one) {
    if (!which(one)) return false;
    moved_.insert(one.request.client);
    backlog_ -= one.request.requests.size();
    return true;
  });
}

void PrimaryWatch::executed(const Batch& batch, std::size_t take_effect) {
  executed_since_tick_ = true;
  in_period_ += take_effect;
  for (const BundlePtr& bundle : batch.bundles) {
    executed_ += bundle->requests.size();
    const auto mine = waiting_.find(bundle->client);
    if (mine == waiting_.end()) continue;
    forget(mine->second, [&](const Waiting& one) { return one.request.digest == bundle->digest; });
    for (Waiting& one : mine->second) one.moved = true;
    if (mine->second.empty()) waiting_.erase(mine);
  }
}

// ---- Views -----------------------------------------------------------------------------------------

void PrimaryWatch::entered() {
  entered_ = now_;
  stalled_since_.reset();
  progress_ = false;
  in_period_ = 0;
  period_start_ = now_;
  waited_throughout_ = true;
  best_period_ = 0;
  // Every primary gets the whole time for what waits.
  for (auto& [client, mine] : waiting_) {
    for (Waiting& one : mine) {
      one.since = now_;
      one.told = false;
    }
  }
}

void PrimaryWatch::left() {
  if (!progress_) timeout_ = std::min<Ticks>(2 * timeout_, local_.view_timeout_max_ticks);
  if (best_period_ > 0) {
    best_of_views_.push_back(best_period_);
    if (probes_ > 0) --probes_;
  }
  if (best_of_views_.size() > remembered) best_of_views_.pop_front();
  best_period_ = 0;
  progress_ = false;
  stalled_since_.reset();
}

// ---- Judging ---------------------------------------------------------------------------------------

std::optional<const char*> PrimaryWatch::on_tick(const Standing& standing) {
  const auto reason = judge(standing);
  const bool stuck = standing.stuck && standing.watching && !standing.suspected;
  return !reason && stuck ? "others cannot execute what is executed here" : reason;
}

// Reasons 1 to 3.
std::optional<const char*> PrimaryWatch::judge(const Standing& standing) {
  ++now_;
  unsigned_reasons_.clear();
  half_way_ = false;
  half_starved_.clear();
  if (std::exchange(executed_since_tick_, false)) {
    progress_ = true;
    timeout_ = local_.view_timeout_ticks;
    stalled_since_.reset();
  }
  const bool waits = (!standing.primary && !waiting_.empty()) || standing.slot_waits;
  if (!waits || !standing.watching) stalled_since_.reset();
  const bool slow = too_slow(waits && standing.watching && !standing.primary && !standing.suspected);
  if (!waits || !standing.watching) return std::nullopt;
  if (!stalled_since_) stalled_since_ = now_;
  half_way_ = now_ - *stalled_since_ == timeout_ / 2;
  const bool looks_through = !standing.primary && now_ % look_every == 0;
  if (looks_through) {
    forget_settled();
    find_half_starved();
  }
  // Where it is suspected already, those that starve are looked for once in a timeout, to name those that did not sign.
  const bool starving =
      looks_through && (!standing.suspected || (now_ - entered_) % timeout_ < look_every) && someone_starves();
  if (standing.suspected) {
    if (now_ - *stalled_since_ >= timeout_) stalled_since_ = now_;
    return std::nullopt;
  }
  if (now_ - *stalled_since_ >= timeout_) {
    if (!standing.slot_waits) forget_settled();
    if (standing.slot_waits || !waiting_.empty()) {
      const bool primary_is_there = now_ - std::min(now_, standing.primary_silent) >= *stalled_since_;
      const auto whole_time = [&](const Waiting& one) { return one.heard <= *stalled_since_; };
      if (!standing.slot_waits && primary_is_there) name_unsigned(whole_time);
      return "nothing was executed for the timeout";
    }
    stalled_since_.reset();
  }
  if (standing.primary) return std::nullopt;
  if (starving) return "a client's request waits for too long";
  if (slow) return "less is executed than earlier views achieved";
  return std::nullopt;
}

// What has waited for long may have been answered in the meantime, in another bundle or by a transfer; or this replica
// does not hold it any more. Looked at only when it matters, since it costs something.
void PrimaryWatch::forget_settled() {
  for (auto at = waiting_.begin(); at != waiting_.end();) {
    std::deque<Waiting>& mine = at->second;
    if (now_ - std::max(mine.front().heard, entered_) >= timeout_) forget_settled(mine);
    at = mine.empty() ? waiting_.erase(at) : std::next(at);
  }
}

void PrimaryWatch::forget_settled(std::deque<Waiting>& mine) {
  forget(mine,
         [&](const Waiting& one) { return !queue_.knows(one.request.digest) || !clients_.needs_order(one.request); });
}

void PrimaryWatch::forget_settled(const ClientId& client) {
  const auto mine = waiting_.find(client);
  if (mine == waiting_.end()) return;
  forget_settled(mine->second);
  if (mine->second.empty()) waiting_.erase(mine);
}

bool PrimaryWatch::starves(const Waiting& one) const {
  const bool too_long = now_ - std::max(one.heard, entered_) >= longest_queue * timeout_;
  return too_long || (now_ - one.since >= starvation * timeout_ && executed_ >= one.turn);
}

bool PrimaryWatch::someone_starves() {
  const auto starved = [&](const Waiting& one) { return starves(one); };
  const bool found = std::any_of(waiting_.begin(), waiting_.end(), [&](const auto& entry) {
    return std::any_of(entry.second.begin(), entry.second.end(), starved);
  });
  if (found) name_unsigned(starved);
  return found;
}

void PrimaryWatch::find_half_starved() {
  for (const auto& [client, mine] : waiting_) {
    for (const Waiting& one : mine) {
      if (half_starved_.size() == most_half_starved) return;
      if (!one.told && now_ - one.since >= starvation * timeout_ / 2)
        half_starved_.emplace_back(client, one.request.digest);
    }
  }
}

void PrimaryWatch::told(const ClientId& client, const Digest& bundle) {
  const auto mine = waiting_.find(client);
  if (mine == waiting_.end()) return;
  for (Waiting& one : mine->second) one.told = one.told || one.request.digest == bundle;
}

// In turn: where many wait it is more likely the primary's fault, and the next view is another one's.
void PrimaryWatch::name_unsigned(const std::function<bool(const Waiting&)>& which) {
  unsigned_reasons_.clear();
  const auto counts = [&](const Waiting& one) { return !one.is_signed && which(one); };
  auto at = waiting_.upper_bound(named_last_);
  for (std::size_t i = 0; i < waiting_.size() && unsigned_reasons_.size() < most_reasons; ++i, ++at) {
    if (at == waiting_.end()) at = waiting_.begin();
    const auto& [client, mine] = *at;
    if (std::any_of(mine.begin(), mine.end(), counts)) unsigned_reasons_.push_back(client);
  }
  if (!unsigned_reasons_.empty()) named_last_ = unsigned_reasons_.back();
}

// The floor rises over the first periods of a view to nine tenths of the best that the last views achieved in one
// period. Only periods in which requests waited here all the time are judged: a primary cannot order what nobody asks
// for.
bool PrimaryWatch::too_slow(bool waits) {
  waited_throughout_ = waited_throughout_ && waits;
  if (now_ - period_start_ < period) return false;
  const std::uint64_t executed = std::exchange(in_period_, 0);
  const bool judged = std::exchange(waited_throughout_, true);
  period_start_ = now_;
  best_period_ = std::max(best_period_, executed);
  if (!judged) return false;
  const Ticks age = std::min<Ticks>((now_ - entered_) / period, grace);
  if (probes_ > 0) return age == grace;
  if (best_of_views_.empty() || now_ < no_floor_until_) return false;
  const std::uint64_t best = *std::max_element(best_of_views_.begin(), best_of_views_.end());
  const bool below = executed * 10 * grace < best * 9 * age;
  if (!below) {
    if (age == grace) below_in_row_ = floors_forgotten_ = 0;
    return false;
  }
  // Whoever comes next is measured by less, or a load that has fallen would drive the view round and round.
  best_of_views_.assign(1, best / 2);
  if (++below_in_row_ < weak_) return true;
  below_in_row_ = 0;
  best_of_views_.clear();
  no_floor_until_ = now_ + ((longest_queue * timeout_) << std::min<std::uint32_t>(floors_forgotten_++, 5));
  return true;
}

void PrimaryWatch::invariants() const {
  assert(waiting_.size() <= most_clients);
  assert(unsigned_reasons_.size() <= most_reasons);
  assert(half_starved_.size() <= most_half_starved);
  std::uint64_t requests = 0;
  for (const auto& [client, mine] : waiting_) {
    assert(!mine.empty() && mine.size() <= most_of_one);
    for (const Waiting& one : mine) requests += one.request.requests.size();
  }
  assert(requests == backlog_);
  assert(timeout_ >= local_.view_timeout_ticks || timeout_ == local_.view_timeout_max_ticks);
}

}  // namespace pbft
