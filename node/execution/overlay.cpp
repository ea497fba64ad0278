#include "node/execution/overlay.h"

#include <algorithm>
#include <utility>

namespace pbft::execution {

bool Overlay::Less::operator()(BytesView a, BytesView b) const {
  return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end());
}

void Overlay::set(Changes& changes, BytesView key, std::optional<Bytes> value) {
  const auto found = changes.find(key);
  if (found != changes.end()) {
    found->second = std::move(value);
  } else {
    changes.emplace(Bytes(key.begin(), key.end()), std::move(value));
  }
}

storage::Result<std::optional<Bytes>> Overlay::get(BytesView key) const {
  for (const Changes* changes : {&request_, &batch_}) {
    if (const auto found = changes->find(key); found != changes->end()) return found->second;
  }
  return store_.state_get(key);
}

void Overlay::put(BytesView key, BytesView value) {
  set(request_, key, Bytes(value.begin(), value.end()));
}

void Overlay::erase(BytesView key) {
  set(request_, key, std::nullopt);
}

void Overlay::keep_request() {
  while (!request_.empty()) {
    auto node = request_.extract(request_.begin());
    auto kept = batch_.insert(std::move(node));
    if (!kept.inserted) kept.position->second = std::move(kept.node.mapped());
  }
}

std::vector<storage::StateChange> Overlay::take() {
  std::vector<storage::StateChange> changes;
  changes.reserve(batch_.size());
  while (!batch_.empty()) {
    auto node = batch_.extract(batch_.begin());
    changes.push_back({std::move(node.key()), std::move(node.mapped())});
  }
  request_.clear();
  return changes;
}

// Walks one layer of changes within a range.
class Overlay::Cursor {
 public:
  Cursor(const Changes& changes, BytesView from, BytesView to)
      : at_(changes.lower_bound(from)), end_(to.empty() ? changes.end() : changes.lower_bound(to)) {}

  [[nodiscard]] bool valid() const { return at_ != end_; }
  [[nodiscard]] BytesView key() const { return at_->first; }
  [[nodiscard]] const std::optional<Bytes>& value() const { return at_->second; }
  void next() { ++at_; }

 private:
  Changes::const_iterator at_;
  Changes::const_iterator end_;
};

storage::Result<void> Overlay::scan(BytesView from, BytesView to, const Visit& visit) const {
  const Less less;
  if (!to.empty() && !less(from, to)) return {};  // A range that ends before it starts is empty.
  Cursor newest(request_, from, to);
  Cursor newer(batch_, from, to);
  const auto below = store_.state_scan(from, to);

  const auto same = [&](BytesView a, BytesView b) { return !less(a, b) && !less(b, a); };
  while (newest.valid() || newer.valid() || below->valid()) {
    // The smallest key of the three; where several have it, the newest one's value counts.
    BytesView key;
    bool any = false;
    const auto consider = [&](BytesView candidate) {
      if (!any || less(candidate, key)) key = candidate;
      any = true;
    };
    if (newest.valid()) consider(newest.key());
    if (newer.valid()) consider(newer.key());
    if (below->valid()) consider(below->key());

    const bool in_newest = newest.valid() && same(newest.key(), key);
    const bool in_newer = newer.valid() && same(newer.key(), key);
    const bool in_below = below->valid() && same(below->key(), key);
    bool go_on = true;
    if (in_newest) {
      go_on = visit(key, newest.value());
    } else if (in_newer) {
      go_on = visit(key, newer.value());
    } else {
      go_on = visit(key, below->value());
    }
    if (!go_on) break;
    if (in_newest) newest.next();
    if (in_newer) newer.next();
    if (in_below) below->next();  // Last: the key may lie in the iterator.
  }
  return below->status();
}

}  // namespace pbft::execution
