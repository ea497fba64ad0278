#include "tools/sim/checkers/new_view.h"

#include <algorithm>
#include <functional>

#include "node/pbft/digests.h"

namespace pbft::sim {
namespace {

using Sent = std::vector<NewView::Signed>;

std::size_t count(const Sent& sent, const std::function<bool(const ViewChange&)>& holds) {
  return static_cast<std::size_t>(
      std::count_if(sent.begin(), sent.end(), [&](const NewView::Signed& one) { return holds(one.message); }));
}

const SlotMark* prepared_at(const ViewChange& change, std::uint64_t n) {
  for (const SlotMark& mark : change.prepared) {
    if (mark.n.value == n) return &mark;
  }
  return nullptr;
}

struct Chooser {
  const Sent& sent;
  std::size_t quorum;
  std::size_t weak;

  [[nodiscard]] bool allowed(const SlotMark& chosen) const {
    const auto no_objection = [&](const ViewChange& change) {
      const SlotMark* mark = prepared_at(change, chosen.n.value);
      return mark == nullptr || mark->view < chosen.view || *mark == chosen;
    };
    const auto vouches = [&](const ViewChange& change) {
      return std::any_of(change.voted.begin(), change.voted.end(), [&](const SlotMark& mark) {
        return mark.n == chosen.n && mark.digest == chosen.digest && mark.view >= chosen.view;
      });
    };
    return count(sent, no_objection) >= quorum && count(sent, vouches) >= weak;
  }

  [[nodiscard]] std::optional<Digest> bound(std::uint64_t n) const {
    const SlotMark* best = nullptr;
    for (const NewView::Signed& one : sent) {
      const SlotMark* mark = prepared_at(one.message, n);
      if (mark == nullptr || !allowed(*mark)) continue;
      const bool better =
          best == nullptr || mark->view > best->view || (mark->view == best->view && mark->digest < best->digest);
      if (better) best = mark;
    }
    return best == nullptr ? std::nullopt : std::optional{best->digest};
  }

  [[nodiscard]] bool may_be_null(std::uint64_t n) const {
    return count(sent, [&](const ViewChange& change) { return prepared_at(change, n) == nullptr; }) >= quorum;
  }
};

}  // namespace

std::size_t quorum_of(std::uint32_t replicas) {
  return (replicas + (replicas - 1) / 3) / 2 + 1;
}

namespace {

// The first checkpoint at or above all that anybody has voted on, and above the start; no further than the window.
std::uint64_t checkpoint_above(const Sent& view_changes, std::uint64_t start, const OpeningRules& rules) {
  std::uint64_t highest = start + 1;
  for (const NewView::Signed& one : view_changes) {
    for (const SlotMark& mark : one.message.voted) highest = std::max(highest, mark.n.value);
  }
  std::uint64_t checkpoint = start;
  while (checkpoint < highest && checkpoint < start + rules.window) checkpoint += rules.interval;
  return checkpoint;
}

}  // namespace

std::optional<OpenedView> open_view(const Sent& view_changes, const OpeningRules& rules) {
  const std::uint32_t f = (rules.replicas - 1) / 3;
  const Chooser chooser{view_changes, quorum_of(rules.replicas), f + 1};
  if (view_changes.size() < chooser.quorum) return std::nullopt;
  OpenedView opened;
  for (const NewView::Signed& one : view_changes) opened.start = std::max(opened.start, one.message.low().value);
  std::uint64_t last = opened.start;
  for (std::uint64_t n = opened.start + 1; n <= opened.start + rules.window; ++n) {
    if (const auto digest = chooser.bound(n)) {
      opened.slots[n] = *digest;
      last = n;
    } else if (chooser.may_be_null(n)) {
      opened.slots[n] = null_batch_digest();
    } else {
      return std::nullopt;
    }
  }
  const auto many = [&](const ViewChange& change) { return change.voted.size() > rules.crowded_above; };
  if (rules.crowded_above > 0 && count(view_changes, many) > 0) {
    const std::uint64_t filled = checkpoint_above(view_changes, opened.start, rules);
    opened.crowded = filled > last;
    last = std::max(last, filled);
  }
  opened.slots.erase(opened.slots.upper_bound(last), opened.slots.end());
  return opened;
}

}  // namespace pbft::sim
