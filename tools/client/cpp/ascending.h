// What is outstanding, by keys that are handed out in ascending order: a map for which adding, finding and removing
// cost no memory of their own. Removed entries stay until those before them are gone or they are the greater part.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <deque>
#include <optional>
#include <utility>

namespace pbft::client {

template <class Key, class Value>
class Ascending {
 public:
  // The key is not present. Cheap where it is above all that are.
  Value& add(Key key, Value value) {
    ++size_;
    if (entries_.empty() || entries_.back().first < key) {
      entries_.emplace_back(key, std::move(value));
      return *entries_.back().second;
    }
    const auto at = entries_.begin() + static_cast<std::ptrdiff_t>(position(key));
    if (at->first == key) {
      assert(!at->second);
      at->second = std::move(value);
      return *at->second;
    }
    return *entries_.emplace(at, key, std::move(value))->second;
  }

  // Valid until the next change; null where there is none.
  [[nodiscard]] Value* find(Key key) {
    if (entries_.empty() || entries_.back().first < key) return nullptr;
    auto& [found, value] = entries_[position(key)];
    return found == key && value ? &*value : nullptr;
  }

  // The value of a key that is present, which goes.
  Value take(Key key) {
    Value* found = find(key);
    assert(found != nullptr);
    Value value = std::move(*found);
    entries_[position(key)].second.reset();
    --size_;
    tidy();
    return value;
  }
  void erase(Key key) { static_cast<void>(take(key)); }
  void clear() {
    entries_.clear();
    size_ = 0;
  }

  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] std::size_t size() const { return size_; }
  // Of the lowest key. Precondition: not empty.
  [[nodiscard]] Key first_key() const { return entries_.front().first; }
  [[nodiscard]] Value& first() { return *entries_.front().second; }

  // Ascending. `visit` must not change what is outstanding.
  template <class Visit>
  void for_each(Visit visit) {
    for (auto& [key, value] : entries_) {
      if (value) visit(key, *value);
    }
  }

 private:
  // Of the first entry that is not below the key. Precondition: there is one.
  [[nodiscard]] std::size_t position(Key key) const {
    // Where no number was left out, the key says where it is.
    const auto guess = static_cast<std::size_t>(key.value - std::min(key, entries_.front().first).value);
    if (guess < entries_.size() && entries_[guess].first == key) return guess;
    const auto at = std::lower_bound(entries_.begin(), entries_.end(), key,
                                     [](const auto& entry, Key wanted) { return entry.first < wanted; });
    return static_cast<std::size_t>(at - entries_.begin());
  }

  void tidy() {
    while (!entries_.empty() && !entries_.front().second) entries_.pop_front();
    if (entries_.size() > 2 * size_ + 64) {
      std::erase_if(entries_, [](const auto& entry) { return !entry.second; });
    }
  }

  std::deque<std::pair<Key, std::optional<Value>>> entries_;  // Invariant: ascending; the first one holds a value.
  std::size_t size_ = 0;                                      // entries that hold a value
};

}  // namespace pbft::client
