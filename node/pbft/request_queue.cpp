#include "node/pbft/request_queue.h"

#include <cassert>

namespace pbft {

RequestQueue::Added RequestQueue::add(const BundlePtr& bundle) {
  if (waiting_.contains(bundle->digest) || in_flight_.contains(bundle->digest)) return Added::known;
  const std::size_t count = bundle->requests.size();
  if (requests_ + count > parameters_.max_queued_requests) return Added::full;
  const auto mine = requests_per_client_.find(bundle->client);
  if (mine != requests_per_client_.end() && mine->second + count > parameters_.max_queued_requests_per_client) {
    return Added::client_full;
  }
  order_.emplace(arrivals_, bundle);
  waiting_.emplace(bundle->digest, arrivals_++);
  requests_per_client_[bundle->client] += count;
  requests_ += count;
  return Added::yes;
}

std::vector<BundlePtr> RequestQueue::take_batch() {
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
    in_flight_.insert(next->digest);
    forget_waiting(*taken.back());
  }
  return taken;
}

void RequestQueue::mark_in_flight(const Bundle& bundle) {
  forget_waiting(bundle);
  in_flight_.insert(bundle.digest);
}

void RequestQueue::executed(const Bundle& bundle) {
  forget_waiting(bundle);
  in_flight_.erase(bundle.digest);
}

void RequestQueue::forget_waiting(const Bundle& bundle) {
  const auto found = waiting_.find(bundle.digest);
  if (found == waiting_.end()) return;
  order_.erase(found->second);
  waiting_.erase(found);
  requests_ -= bundle.requests.size();
  const auto mine = requests_per_client_.find(bundle.client);
  mine->second -= bundle.requests.size();
  if (mine->second == 0) requests_per_client_.erase(mine);
}

void RequestQueue::invariants() const {
  assert(order_.size() == waiting_.size());
  assert(requests_ <= parameters_.max_queued_requests);
  std::size_t sum = 0;
  for (const auto& [client, count] : requests_per_client_) sum += count;
  assert(sum == requests_);
  for (const auto& [digest, arrival] : waiting_) assert(!in_flight_.contains(digest) && order_.contains(arrival));
}

}  // namespace pbft
