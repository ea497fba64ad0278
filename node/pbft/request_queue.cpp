#include "node/pbft/request_queue.h"

#include <algorithm>
#include <cassert>

namespace pbft {

namespace {

std::size_t size_of(const Bundle& bundle) {
  return bundle.body.size() + bundle.proof.size();
}

}  // namespace

void RequestQueue::Load::add(const Bundle& bundle) {
  requests += bundle.requests.size();
  bytes += size_of(bundle);
}

void RequestQueue::Load::remove(const Bundle& bundle) {
  requests -= bundle.requests.size();
  bytes -= size_of(bundle);
}

RequestQueue::Added RequestQueue::add(const BundlePtr& bundle, Proof proof) {
  const auto same = waiting_.find(bundle->digest);
  const bool replaces =
      same != waiting_.end() && proof == Proof::holds && bundle->is_signed() && !order_.at(same->second)->is_signed();
  if (replaces) forget_waiting(*bundle);
  if (knows(bundle->digest)) return Added::known;
  const auto known = per_client_.find(bundle->client);
  Load mine = known == per_client_.end() ? Load{} : known->second;
  mine.add(*bundle);
  if (known != per_client_.end() && (mine.requests > parameters_.max_queued_requests_per_client ||
                                     mine.bytes > parameters_.max_queued_bytes_per_client)) {
    return Added::client_full;
  }
  // Where nothing waits, the next bundle is never refused: one above the quota would be so for good.
  while (!waiting_.empty()) {
    Load total = total_;
    total.add(*bundle);
    const bool too_many = total.requests > parameters_.max_queued_requests;
    if (!too_many && total.bytes <= parameters_.max_queued_bytes) break;
    // Who has most waiting makes room for who has less than half of that, and loses what came last. So a flood leaves
    // room for those who ask for little.
    const auto share = [too_many](const Load& load) { return too_many ? load.requests : load.bytes; };
    const auto most = std::max_element(per_client_.begin(), per_client_.end(),
                                       [&](const auto& a, const auto& b) { return share(a.second) < share(b.second); });
    if (share(most->second) <= 2 * share(mine)) return Added::full;
    const auto last = std::find_if(order_.rbegin(), order_.rend(),
                                   [&](const auto& entry) { return entry.second->client == most->first; });
    const BundlePtr pushed_out = last->second;
    forget_waiting(*pushed_out);
  }
  order_.emplace(arrivals_, bundle);
  waiting_.emplace(bundle->digest, arrivals_++);
  per_client_[bundle->client] = mine;
  total_.add(*bundle);
  return Added::yes;
}

std::vector<BundlePtr> RequestQueue::take_batch(SequenceNumber n) {
  std::vector<BundlePtr> taken;
  std::size_t requests = 0;
  std::size_t bytes = 0;
  while (!order_.empty() && taken.size() < Limits::max_batch_bundles) {
    const BundlePtr& next = order_.begin()->second;
    const bool fits = requests + next->requests.size() <= parameters_.max_batch_requests &&
                      bytes + next->body.size() <= parameters_.max_batch_bytes;
    if (!fits && !taken.empty()) break;  // a bundle that is larger than a batch should be goes alone
    requests += next->requests.size();
    bytes += next->body.size();
    taken.push_back(next);
    mark_in_flight(*taken.back(), n);
  }
  return taken;
}

void RequestQueue::mark_in_flight(const Bundle& bundle, SequenceNumber n) {
  forget_waiting(bundle);
  const auto [known, fresh] = in_flight_.try_emplace(bundle.digest, n);
  if (!fresh && known->second >= n) return;
  by_slot_.erase({known->second, bundle.digest});
  known->second = n;
  by_slot_.emplace(n, bundle.digest);
}

void RequestQueue::executed(const Bundle& bundle) {
  forget_waiting(bundle);
  const auto known = in_flight_.find(bundle.digest);
  if (known == in_flight_.end()) return;
  by_slot_.erase({known->second, bundle.digest});
  in_flight_.erase(known);
}

void RequestQueue::settled(SequenceNumber n) {
  while (!by_slot_.empty() && by_slot_.begin()->first <= n) {
    in_flight_.erase(by_slot_.begin()->second);
    by_slot_.erase(by_slot_.begin());
  }
}

void RequestQueue::keep_only(const std::function<bool(const Bundle&)>& passes) {
  for (const BundlePtr& bundle : waiting()) {
    if (!passes(*bundle)) forget_waiting(*bundle);
  }
}

std::vector<BundlePtr> RequestQueue::waiting() const {
  std::vector<BundlePtr> result;
  result.reserve(order_.size());
  for (const auto& [arrival, bundle] : order_) result.push_back(bundle);
  return result;
}

void RequestQueue::forget_waiting(const Bundle& bundle) {
  const auto found = waiting_.find(bundle.digest);
  if (found == waiting_.end()) return;
  // The one that waits may have another proof than `bundle`, and so another size.
  const auto place = order_.find(found->second);
  const BundlePtr waits = place->second;
  order_.erase(place);
  waiting_.erase(found);
  total_.remove(*waits);
  const auto mine = per_client_.find(waits->client);
  mine->second.remove(*waits);
  if (mine->second.requests == 0) per_client_.erase(mine);
}

void RequestQueue::invariants() const {
  assert(order_.size() == waiting_.size());
  assert(waiting_.size() <= 1 || total_.requests <= parameters_.max_queued_requests);
  assert(waiting_.size() <= 1 || total_.bytes <= parameters_.max_queued_bytes);
  Load sum;
  for (const auto& [client, load] : per_client_) {
    sum.requests += load.requests;
    sum.bytes += load.bytes;
  }
  assert(sum.requests == total_.requests && sum.bytes == total_.bytes);
  assert(by_slot_.size() == in_flight_.size());
  for (const auto& [n, digest] : by_slot_) assert(in_flight_.at(digest) == n);
  for (const auto& [digest, arrival] : waiting_) assert(!in_flight_.contains(digest) && order_.contains(arrival));
}

}  // namespace pbft
