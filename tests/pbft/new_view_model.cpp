#include "tests/pbft/new_view_model.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "node/pbft/digests.h"

namespace pbft::testing {
namespace {

std::vector<SlotMark> entries(const std::vector<SlotMark>& set, std::uint64_t n) {
  std::vector<SlotMark> found;
  for (const SlotMark& mark : set) {
    if (mark.n.value == n) found.push_back(mark);
  }
  return found;
}

bool a1(const S& s, const SlotMark& candidate, std::uint32_t quorum) {
  std::set<ReplicaId> who;
  for (const NewView::Signed& each : s) {
    const std::vector<SlotMark> own = entries(each.message.prepared, candidate.n.value);
    if (own.empty()) who.insert(each.replica);
    for (const SlotMark& mark : own) {
      if (mark.view < candidate.view || mark == candidate) who.insert(each.replica);
    }
  }
  return who.size() >= quorum;
}

bool a2(const S& s, const SlotMark& candidate, std::uint32_t weak) {
  std::set<ReplicaId> who;
  for (const NewView::Signed& each : s) {
    for (const SlotMark& mark : entries(each.message.voted, candidate.n.value)) {
      if (mark.digest == candidate.digest && mark.view >= candidate.view) who.insert(each.replica);
    }
  }
  return who.size() >= weak;
}

bool a_quorum_is_silent(const S& s, std::uint64_t n, std::uint32_t quorum) {
  std::set<ReplicaId> who;
  for (const NewView::Signed& each : s) {
    if (entries(each.message.prepared, n).empty()) who.insert(each.replica);
  }
  return who.size() >= quorum;
}

std::optional<Digest> clause_2(const S& s, std::uint64_t n, const Model& model) {
  std::set<std::pair<View, Digest>> good;
  for (const NewView::Signed& each : s) {
    for (const SlotMark& mark : entries(each.message.prepared, n)) {
      if (model.a1 && !a1(s, mark, model.quorum)) continue;
      if (model.a2 && !a2(s, mark, model.weak)) continue;
      good.insert({mark.view, mark.digest});
    }
  }
  if (good.empty()) return std::nullopt;
  const View highest = good.rbegin()->first;
  return good.lower_bound({highest, Digest{}})->second;
}

}  // namespace

std::optional<new_view_rules::Decision> Model::decide(const S& s) const {
  if (s.size() < quorum) return std::nullopt;
  new_view_rules::Decision decision;
  std::set<std::pair<SequenceNumber, std::uint32_t>> lows;  // with the replica counted from the end
  for (const NewView::Signed& each : s) lows.insert({each.message.low(), ~each.replica.value});
  decision.start = lows.rbegin()->first;
  for (const NewView::Signed& each : s) {
    if (each.replica.value == ~lows.rbegin()->second) decision.proof = each.message.stable;
  }

  std::size_t chosen = 0;
  for (std::uint64_t n = decision.start.value + 1; n <= decision.start.value + window; ++n) {
    if (const std::optional<Digest> digest = clause_2(s, n, *this)) {
      decision.slots.push_back(*digest);
      if (null_binds || *digest != null_batch_digest()) chosen = decision.slots.size();
    } else if (a_quorum_is_silent(s, n, quorum)) {
      decision.slots.push_back(null_batch_digest());
    } else {
      return std::nullopt;
    }
  }
  std::size_t filled = chosen;
  const bool crowded =
      std::any_of(s.begin(), s.end(), [&](const NewView::Signed& each) { return each.message.voted.size() > votes; });
  const auto somebody_voted_above = [&](std::uint64_t n) {
    return std::any_of(s.begin(), s.end(), [&](const NewView::Signed& each) {
      return std::any_of(each.message.voted.begin(), each.message.voted.end(),
                         [&](const SlotMark& mark) { return mark.n.value > n; });
    });
  };
  while (crowded && filled < window &&
         (filled == 0 || filled % interval != 0 || somebody_voted_above(decision.start.value + filled))) {
    ++filled;
  }
  while (decision.slots.size() > chosen) decision.slots.pop_back();
  while (decision.slots.size() < filled) decision.slots.push_back(null_batch_digest());
  return decision;
}

Digest letter(char name) {
  Digest digest;
  digest.bytes.fill(static_cast<std::uint8_t>(name));
  return digest;
}

}  // namespace pbft::testing
