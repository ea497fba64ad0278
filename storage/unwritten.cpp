#include "storage/unwritten.h"

#include <algorithm>

namespace pbft::storage {
namespace {

constexpr std::size_t entry_bytes = 128;  // of memory, beside key and value

std::size_t size_of(const std::optional<Bytes>& value) {
  return value ? value->size() : 0;
}

// Two sorted walks as one. Where both have a key, the change counts.
class Merged final : public Iterator {
 public:
  using At = Unwritten::Changes::const_iterator;

  Merged(std::unique_ptr<Iterator> below, At at, At end) : below_(std::move(below)), at_(at), end_(end) { settle(); }

  // An error below ends the walk.
  [[nodiscard]] bool valid() const override { return below_->valid() || (changed_ && below_->status()); }
  void next() override {
    if (changed_) {
      ++at_;
    } else {
      below_->next();
    }
    settle();
  }
  [[nodiscard]] BytesView key() const override { return changed_ ? BytesView{at_->first} : below_->key(); }
  [[nodiscard]] BytesView value() const override { return changed_ ? BytesView{*at_->second.value} : below_->value(); }
  [[nodiscard]] Result<void> status() const override { return below_->status(); }

 private:
  // Passes over what is erased and what has a newer value; then says which of the two walks is at the lower key.
  void settle() {
    static constexpr Unwritten::Less less;
    for (;; ++at_) {
      changed_ = at_ != end_ && !(below_->valid() && less(below_->key(), at_->first));
      if (!changed_) return;
      if (below_->valid() && !less(at_->first, below_->key())) below_->next();
      if (at_->second.value) return;
    }
  }

  std::unique_ptr<Iterator> below_;
  At at_;
  At end_;
  bool changed_ = false;  // the walk is at *at_, and not at *below_
};

}  // namespace

bool Unwritten::Less::operator()(BytesView a, BytesView b) const {
  return std::ranges::lexicographical_compare(a, b);
}

void Unwritten::set(Namespace name_space, StateChange change) {
  Changes& changes = changes_[index(name_space)];
  const std::size_t added = entry_bytes + change.key.size();
  const auto [at, fresh] = changes.try_emplace(std::move(change.key));
  if (fresh) {
    bytes_ += added;
    at->second.first = change.first;
  }
  bytes_ -= size_of(at->second.value);
  if (!change.value && at->second.first) {
    bytes_ -= added;
    changes.erase(at);
    return;
  }
  bytes_ += size_of(change.value);
  at->second.value = std::move(change.value);
}

const std::optional<Bytes>* Unwritten::find(Namespace name_space, BytesView key) const {
  const Changes& changes = in(name_space);
  const auto found = changes.find(key);
  return found == changes.end() ? nullptr : &found->second.value;
}

void Unwritten::forget(Namespace name_space, Changes::const_iterator to) {
  Changes& changes = changes_[index(name_space)];
  while (changes.cbegin() != to) {
    const auto first = changes.begin();
    bytes_ -= entry_bytes + first->first.size() + size_of(first->second.value);
    changes.erase(first);
  }
}

void Unwritten::clear() {
  for (Changes& changes : changes_) changes.clear();
  bytes_ = 0;
}

std::unique_ptr<Iterator> Unwritten::over(std::unique_ptr<Iterator> below, Namespace name_space, BytesView from,
                                          BytesView to) const {
  const Changes& changes = in(name_space);
  if (changes.empty()) return below;
  const auto end = to.empty() ? changes.end() : changes.lower_bound(to);
  // A range that ends before it starts is empty.
  const bool none = !to.empty() && Less{}(to, from);
  return std::make_unique<Merged>(std::move(below), none ? end : changes.lower_bound(from), end);
}

}  // namespace pbft::storage
