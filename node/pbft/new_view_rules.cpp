#include "node/pbft/new_view_rules.h"

#include <algorithm>
#include <cassert>
#include <span>
#include <tuple>

#include "node/pbft/digests.h"

namespace pbft::new_view_rules {
namespace {

using Marks = std::span<const SlotMark>;

// ---- problem() ------------------------------------------------------------------------------------

bool has_quorum_of_votes(const StableCheckpoint& stable, const Quorum& quorum) {
  const auto& votes = stable.votes;
  const auto out_of_order = [](const auto& left, const auto& right) { return left.replica >= right.replica; };
  return votes.size() >= quorum.quorum() && quorum.is_replica(votes.back().replica) &&
         std::adjacent_find(votes.begin(), votes.end(), out_of_order) == votes.end();
}

// The difference is taken, and not the sum, because n may be anything up to the end of the range.
bool inside_window(Marks marks, SequenceNumber low, std::uint64_t window) {
  return std::all_of(marks.begin(), marks.end(),
                     [&](const SlotMark& mark) { return mark.n > low && mark.n.value - low.value <= window; });
}

bool below_view(Marks marks, View view) {
  return std::all_of(marks.begin(), marks.end(), [&](const SlotMark& mark) { return mark.view < view; });
}

bool ascending_by_slot(Marks marks) {
  return std::adjacent_find(marks.begin(), marks.end(), [](const SlotMark& left, const SlotMark& right) {
           return left.n >= right.n;
         }) == marks.end();
}

bool ascending_by_slot_and_digest(Marks marks) {
  return std::adjacent_find(marks.begin(), marks.end(), [](const SlotMark& left, const SlotMark& right) {
           return std::tie(left.n, left.digest) >= std::tie(right.n, right.digest);
         }) == marks.end();
}

// ---- decide() -------------------------------------------------------------------------------------

// What one view-change says of one slot. Slots are asked for in ascending order, so that each mark is passed once.
class Testimony {
 public:
  explicit Testimony(const ViewChange& message) : prepared_(message.prepared), voted_(message.voted) {}

  void move_to(SequenceNumber n) {
    prepared_ = from(prepared_, n);
    voted_ = from(voted_, n);
    const auto end = std::find_if(voted_.begin(), voted_.end(), [&](const SlotMark& mark) { return mark.n != n; });
    voted_here_ = {voted_.begin(), end};
    prepared_here_ = !prepared_.empty() && prepared_.front().n == n ? &prepared_.front() : nullptr;
  }

  // The P entry of the slot; null: none.
  [[nodiscard]] const SlotMark* prepared() const { return prepared_here_; }

  // Whether Q says that its sender voted for the digest in this view or a later one.
  [[nodiscard]] bool voted(const Digest& digest, View view) const {
    const auto below = [](const SlotMark& mark, const Digest& sought) { return mark.digest < sought; };
    const auto found = std::lower_bound(voted_here_.begin(), voted_here_.end(), digest, below);
    return found != voted_here_.end() && found->digest == digest && found->view >= view;
  }

 private:
  static Marks from(Marks marks, SequenceNumber n) {
    std::size_t passed = 0;
    while (passed < marks.size() && marks[passed].n < n) ++passed;
    return marks.subspan(passed);
  }

  Marks prepared_;
  Marks voted_;
  Marks voted_here_;
  const SlotMark* prepared_here_ = nullptr;
};

using Testimonies = std::vector<Testimony>;

// A1: those in S that do not speak against `mark`.
bool enough_agree(const Testimonies& all, const SlotMark& mark, const Quorum& quorum) {
  const auto agrees = [&](const Testimony& testimony) {
    const SlotMark* own = testimony.prepared();
    return own == nullptr || own->view < mark.view || *own == mark;
  };
  return std::count_if(all.begin(), all.end(), agrees) >= quorum.quorum();
}

// A2: those in S that vouch for `mark`; at least one of them is correct, so the batch was really proposed.
bool enough_voted(const Testimonies& all, const SlotMark& mark, const Quorum& quorum) {
  const auto voted = [&](const Testimony& testimony) { return testimony.voted(mark.digest, mark.view); };
  return std::count_if(all.begin(), all.end(), voted) >= quorum.weak();
}

// Clause 2, for the slot that all testimonies stand at; null: it chooses nothing.
const SlotMark* chosen(const Testimonies& all, const Quorum& quorum) {
  std::vector<const SlotMark*> candidates;
  for (const Testimony& testimony : all) {
    if (testimony.prepared() != nullptr) candidates.push_back(testimony.prepared());
  }
  // The highest view first, and then the smallest digest.
  std::sort(candidates.begin(), candidates.end(), [](const SlotMark* left, const SlotMark* right) {
    return std::tie(right->view, left->digest) < std::tie(left->view, right->digest);
  });
  for (const SlotMark* mark : candidates) {
    if (enough_agree(all, *mark, quorum) && enough_voted(all, *mark, quorum)) return mark;
  }
  return nullptr;
}

// Clause 3.
bool null_is_safe(const Testimonies& all, const Quorum& quorum) {
  const auto silent = [](const Testimony& testimony) { return testimony.prepared() == nullptr; };
  return std::count_if(all.begin(), all.end(), silent) >= quorum.quorum();
}

// Clause 1: the view-change with the highest h; of these the one of the lowest replica.
const ViewChange& highest_low(const std::vector<NewView::Signed>& view_changes) {
  return std::max_element(view_changes.begin(), view_changes.end(),
                          [](const NewView::Signed& left, const NewView::Signed& right) {
                            const SequenceNumber left_low = left.message.low();
                            const SequenceNumber right_low = right.message.low();
                            return std::tie(left_low, right.replica) < std::tie(right_low, left.replica);
                          })
      ->message;
}

// How many slots above `start` have to be looked at. No P set says anything of those above, so that clause 3 makes them
// null, and clause 5 free.
std::uint64_t slots_to_decide(const std::vector<NewView::Signed>& view_changes, SequenceNumber start,
                              std::uint64_t window) {
  SequenceNumber last = start;
  for (const NewView::Signed& each : view_changes) {
    if (!each.message.prepared.empty()) last = std::max(last, each.message.prepared.back().n);
  }
  return std::min(last.value - start.value, window);
}

// Clause 6: how many slots above `start` are filled, where clause 2 binds `bound` of them. Beyond slots_to_decide()
// nobody in S has an entry in P, so that clause 3 holds there.
std::uint64_t slots_to_fill(const std::vector<NewView::Signed>& view_changes, SequenceNumber start, std::uint64_t bound,
                            const Room& room) {
  bool crowded = false;
  SequenceNumber last{start.value + std::max<std::uint64_t>(bound, 1)};
  for (const NewView::Signed& each : view_changes) {
    const std::vector<SlotMark>& voted = each.message.voted;
    crowded = crowded || voted.size() > room.votes;
    if (!voted.empty()) last = std::max(last, voted.back().n);
  }
  if (!crowded) return bound;
  const std::uint64_t intervals = (last.value - start.value + room.interval - 1) / room.interval;
  return std::min(intervals * room.interval, room.window);
}

}  // namespace

std::optional<const char*> problem(const ViewChange& message, const Quorum& quorum, std::uint64_t interval,
                                   std::uint64_t window) {
  if (message.view == View{}) return "a: a view-change for view 0";
  if (message.stable) {
    const StableCheckpoint& stable = *message.stable;
    if (stable.n == SequenceNumber{} || stable.n.value % interval != 0) return "b: no checkpoint is taken at its h";
    if (!has_quorum_of_votes(stable, quorum)) return "b: its h is not proven by a quorum";
  }
  for (const Marks marks : {Marks{message.prepared}, Marks{message.voted}}) {
    if (!inside_window(marks, message.low(), window)) return "c: an entry outside of the water marks";
    if (!below_view(marks, message.view)) return "c: an entry of the view that it wants to enter, or of a later one";
  }
  if (!ascending_by_slot(message.prepared)) return "d: P does not ascend";
  if (!ascending_by_slot_and_digest(message.voted)) return "d: Q does not ascend";
  return std::nullopt;
}

std::optional<Decision> decide(const std::vector<NewView::Signed>& view_changes, const Quorum& quorum,
                               const Room& room) {
  if (view_changes.size() < quorum.quorum()) return std::nullopt;
  const ViewChange& highest = highest_low(view_changes);
  Decision decision{highest.low(), highest.stable, {}};

  Testimonies all;
  all.reserve(view_changes.size());
  for (const NewView::Signed& each : view_changes) all.emplace_back(each.message);
  const std::uint64_t count = slots_to_decide(view_changes, decision.start, room.window);
  std::size_t bound = 0;  // by clause 2
  decision.slots.reserve(count);
  for (std::uint64_t i = 0; i < count; ++i) {
    const SequenceNumber n{decision.start.value + 1 + i};
    for (Testimony& testimony : all) testimony.move_to(n);
    if (const SlotMark* mark = chosen(all, quorum)) {
      decision.slots.push_back(mark->digest);
      bound = decision.slots.size();
    } else if (null_is_safe(all, quorum)) {
      decision.slots.push_back(null_batch_digest());
    } else {
      return std::nullopt;  // clause 4
    }
  }
  decision.slots.resize(bound);  // clause 5
  decision.slots.resize(slots_to_fill(view_changes, decision.start, bound, room), null_batch_digest());
  return decision;
}

}  // namespace pbft::new_view_rules
