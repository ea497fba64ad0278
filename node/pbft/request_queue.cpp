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

// ---- Coming in -------------------------------------------------------------------------------------

RequestQueue::Added RequestQueue::add(const BundlePtr& bundle, Proof proof, std::optional<ReplicaId> handed_on_by) {
  if (in_flight_.contains(bundle->digest)) return Added::known;
  Place place = place_for(bundle->client, handed_on_by);
  if (const BundlePtr same = waiting(bundle->digest)) {
    if (proof != Proof::holds || !bundle->is_signed() || same->is_signed()) {
      if (handed_on_by) move_ahead(*bundle, *handed_on_by);
      return Added::known;
    }
    place = std::min(place, waiting_.at(bundle->digest).second);
    forget_waiting(*bundle);
  }
  if (!fits_client(*bundle, place)) return Added::client_full;
  if (!fits_total(*bundle, place)) return Added::full;
  put(bundle, place, handed_on_by);
  return Added::yes;
}

RequestQueue::Place RequestQueue::place_for(const ClientId& client, std::optional<ReplicaId> handed_on_by) const {
  if (!handed_on_by) return {last_round, arrivals_};
  const auto known = clients_.find(client);
  if (known == clients_.end()) return {1, arrivals_};
  const auto last = known->second.handed_on.find(*handed_on_by);
  const std::uint64_t round = last == known->second.handed_on.end() ? 0 : last->second;
  return {std::max(round, known->second.round) + 1, arrivals_};
}

void RequestQueue::put(const BundlePtr& bundle, const Place& place, std::optional<ReplicaId> handed_on_by) {
  ++arrivals_;
  moved_.insert(bundle->client);
  const auto [known, fresh] = clients_.try_emplace(bundle->client);
  Client& mine = known->second;
  if (fresh) {
    mine.turn = ++last_turn_;
    turns_.emplace(mine.turn, bundle->client);
  }
  if (handed_on_by) mine.handed_on[*handed_on_by] = std::max(mine.handed_on[*handed_on_by], place.first);
  mine.bundles.emplace(place, bundle);
  change_load(bundle->client, mine, [&](Load& load) { load.add(*bundle); });
  waiting_.emplace(bundle->digest, std::pair{bundle->client, place});
}

void RequestQueue::change_load(const ClientId& client, Client& mine, const std::function<void(Load&)>& change) {
  by_requests_.erase({mine.load.requests, client});
  by_bytes_.erase({mine.load.bytes, client});
  change(mine.load);
  change(total_);
  if (mine.bundles.empty()) return;
  by_requests_.emplace(mine.load.requests, client);
  by_bytes_.emplace(mine.load.bytes, client);
}

void RequestQueue::move_ahead(const Bundle& bundle, ReplicaId handed_on_by) {
  const Place place = place_for(bundle.client, handed_on_by);
  Place& present = waiting_.at(bundle.digest).second;
  if (present <= place) return;
  ++arrivals_;
  Client& mine = clients_.at(bundle.client);
  mine.handed_on[handed_on_by] = place.first;
  auto moved = mine.bundles.extract(present);
  moved.key() = place;
  mine.bundles.insert(std::move(moved));
  present = place;
}

RequestQueue::Load RequestQueue::load_with(const Bundle& bundle) const {
  const auto known = clients_.find(bundle.client);
  Load load = known == clients_.end() ? Load{} : known->second.load;
  load.add(bundle);
  return load;
}

// Where nothing waits, the next bundle is never refused: one above the quota would be so for good.
bool RequestQueue::fits_client(const Bundle& bundle, const Place& place) {
  const auto known = clients_.find(bundle.client);
  if (known == clients_.end()) return true;
  Load mine = load_with(bundle);
  std::vector<BundlePtr> behind;
  const auto& bundles = known->second.bundles;
  for (auto last = bundles.rbegin(); mine.requests > parameters_.max_queued_requests_per_client ||
                                     mine.bytes > parameters_.max_queued_bytes_per_client;
       ++last) {
    if (last == bundles.rend()) break;
    if (last->first < place) return false;
    mine.remove(*last->second);
    behind.push_back(last->second);
  }
  for (const BundlePtr& pushed_out : behind) forget_waiting(*pushed_out);
  return true;
}

bool RequestQueue::fits_total(const Bundle& bundle, const Place& place) {
  while (!waiting_.empty()) {
    Load total = total_;
    total.add(bundle);
    const bool too_many = total.requests > parameters_.max_queued_requests;
    if (!too_many && total.bytes <= parameters_.max_queued_bytes) break;
    // Who has most waiting makes room for who has less than half of that, and loses what is last. So a flood leaves
    // room for those who ask for little.
    const auto [share, largest] = *(too_many ? by_requests_ : by_bytes_).rbegin();
    const Load mine = load_with(bundle);
    auto most = clients_.find(largest);
    if (share <= 2 * (too_many ? mine.requests : mine.bytes)) {
      most = clients_.find(bundle.client);
      if (most == clients_.end() || most->second.bundles.rbegin()->first < place) return false;
    }
    const BundlePtr pushed_out = most->second.bundles.rbegin()->second;
    forget_waiting(*pushed_out);
  }
  return true;
}

// ---- Going out -------------------------------------------------------------------------------------

std::vector<BundlePtr> RequestQueue::take_batch(SequenceNumber n) {
  std::vector<BundlePtr> taken;
  std::size_t requests = 0;
  std::size_t bytes = 0;
  while (!turns_.empty() && taken.size() < Limits::max_batch_bundles) {
    Client& mine = clients_.at(turns_.begin()->second);
    const auto& [place, next] = *mine.bundles.begin();
    const bool fits = requests + next->requests.size() <= parameters_.max_batch_requests &&
                      bytes + next->body.size() <= parameters_.max_batch_bytes;
    if (!fits && !taken.empty()) break;  // a bundle that is larger than a batch should be goes alone
    requests += next->requests.size();
    bytes += next->body.size();
    taken.push_back(next);
    if (place.first != last_round) mine.round = place.first;
    end_turn(taken.back()->client);
    mark_in_flight(*taken.back(), n);
  }
  return taken;
}

void RequestQueue::end_turn(const ClientId& client) {
  const auto known = clients_.find(client);
  if (known == clients_.end()) return;
  turns_.erase(known->second.turn);
  known->second.turn = ++last_turn_;
  turns_.emplace(known->second.turn, client);
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

// ---- What waits ------------------------------------------------------------------------------------

std::vector<BundlePtr> RequestQueue::waiting() const {
  std::vector<BundlePtr> result;
  result.reserve(waiting_.size());
  using Bundles = std::map<Place, BundlePtr>;
  std::vector<std::pair<Bundles::const_iterator, Bundles::const_iterator>> round;
  for (const auto& [turn, client] : turns_) {
    const Bundles& mine = clients_.at(client).bundles;
    round.emplace_back(mine.begin(), mine.end());
  }
  while (!round.empty()) {
    for (auto& [next, end] : round) result.push_back((next++)->second);
    std::erase_if(round, [](const auto& mine) { return mine.first == mine.second; });
  }
  return result;
}

std::vector<BundlePtr> RequestQueue::waiting_of(const ClientId& client, std::size_t most) const {
  std::vector<BundlePtr> result;
  const auto known = clients_.find(client);
  if (known == clients_.end()) return result;
  for (const auto& [place, bundle] : known->second.bundles) {
    if (result.size() == most) break;
    result.push_back(bundle);
  }
  return result;
}

BundlePtr RequestQueue::waiting(const Digest& bundle) const {
  const auto found = waiting_.find(bundle);
  return found == waiting_.end() ? nullptr : clients_.at(found->second.first).bundles.at(found->second.second);
}

void RequestQueue::forget_waiting(const Bundle& bundle) {
  const auto found = waiting_.find(bundle.digest);
  if (found == waiting_.end()) return;
  // The one that waits may have another proof than `bundle`, and so another size.
  const auto known = clients_.find(found->second.first);
  moved_.insert(known->first);
  Client& mine = known->second;
  const auto place = mine.bundles.find(found->second.second);
  const BundlePtr gone = place->second;
  mine.bundles.erase(place);
  change_load(known->first, mine, [&](Load& load) { load.remove(*gone); });
  waiting_.erase(found);
  if (!mine.bundles.empty()) return;
  turns_.erase(mine.turn);
  clients_.erase(known);
}

void RequestQueue::invariants() const {
  assert(waiting_.size() <= 1 || total_.requests <= parameters_.max_queued_requests);
  assert(waiting_.size() <= 1 || total_.bytes <= parameters_.max_queued_bytes);
  Load sum;
  std::size_t bundles = 0;
  assert(turns_.size() == clients_.size());
  assert(by_requests_.size() == clients_.size() && by_bytes_.size() == clients_.size());
  for (const auto& [client, mine] : clients_) {
    assert(by_requests_.contains({mine.load.requests, client}) && by_bytes_.contains({mine.load.bytes, client}));
    assert(!mine.bundles.empty() && turns_.at(mine.turn) == client);
    bundles += mine.bundles.size();
    sum.requests += mine.load.requests;
    sum.bytes += mine.load.bytes;
  }
  assert(bundles == waiting_.size());
  assert(sum.requests == total_.requests && sum.bytes == total_.bytes);
  assert(by_slot_.size() == in_flight_.size());
  for (const auto& [n, digest] : by_slot_) assert(in_flight_.at(digest) == n);
  for (const auto& [digest, place] : waiting_) {
    assert(!in_flight_.contains(digest));
    assert(clients_.at(place.first).bundles.at(place.second)->digest == digest);
  }
}

}  // namespace pbft
