#include "tests/pbft/new_view_walk.h"

#include <algorithm>
#include <sstream>

#include "node/pbft/digests.h"
#include "tests/pbft/new_view_model.h"

namespace pbft::testing {
namespace {

using Memory = NewViewWalk::Memory;
using Set = std::vector<NewView::Signed>;
constexpr int never = NewViewWalk::never;
constexpr std::size_t batches = NewViewWalk::batches;
constexpr SequenceNumber slot{1};

const std::array<Digest, batches>& digests() {
  static const std::array<Digest, batches> all{letter('a'), letter('b'), letter('c'), null_batch_digest()};
  return all;
}

std::size_t index(const Digest& digest) {
  return static_cast<std::size_t>(std::find(digests().begin(), digests().end(), digest) - digests().begin());
}

std::string name(std::size_t batch) {
  return batch == NewViewWalk::null_index ? "null" : std::string(1, static_cast<char>('a' + batch));
}

View view_of(int view) {
  return View{static_cast<std::uint64_t>(view)};
}

ViewChange view_change(const Memory& memory, int view) {
  ViewChange message;
  message.view = view_of(view);
  if (memory.prepared_view != never) {
    message.prepared.push_back({slot, digests().at(memory.prepared), view_of(memory.prepared_view)});
  }
  for (std::size_t batch = 0; batch < batches; ++batch) {
    const int in = memory.voted.at(batch);
    if (in != never) message.voted.push_back({slot, digests().at(batch), view_of(in)});
  }
  std::sort(message.voted.begin(), message.voted.end(),
            [](const SlotMark& left, const SlotMark& right) { return left.digest < right.digest; });
  return message;
}

std::string text(const ViewChange& message) {
  std::ostringstream out;
  const auto put = [&](const char* set, const std::vector<SlotMark>& marks) {
    out << " " << set << "{";
    for (const SlotMark& mark : marks) out << " " << name(index(mark.digest)) << "@" << mark.view.value;
    out << " }";
  };
  put("P", message.prepared);
  put("Q", message.voted);
  return out.str();
}

}  // namespace

NewViewWalk::Setting::Setting(std::uint32_t n, int views)
    : replicas(n),
      last_view(views),
      vote_quorum(Quorum{n}.quorum()),
      view_change_quorum(Quorum{n}.quorum()),
      decide([n](const Set& s) {
        return new_view_rules::decide(s, Quorum{n}, {window, window, UINT64_MAX});
      }),
      tells([](Memory memory, int) { return memory; }) {}

NewViewWalk::NewViewWalk(Setting setting)
    : setting_(std::move(setting)),
      faulty_(Quorum{setting_.replicas}.faults()),
      correct_(setting_.replicas - faulty_) {}

std::optional<std::string> NewViewWalk::run() {
  State first;
  first.correct.assign(correct_, intern(Memory{}));
  levels_.push_back({{first, Found{bit(setting_.proposals) - 1, {}}}});
  try {
    for (int view = 0; view < setting_.last_view; ++view) {
      levels_.emplace_back();
      for (const auto& [state, found] : levels_[levels_.size() - 2]) {
        Turn turn{state, view, std::vector<int>(correct_, never), std::vector<bool>(correct_, false)};
        assign_votes(turn, 0, found.may_vote);
      }
      known_.clear();
      make_lies(view + 1);
      for (auto& [state, found] : levels_.back()) found.may_vote = check(state, view + 1);
      states_ += levels_.back().size();
    }
  } catch (const Violation& violation) {
    return violation.text;
  }
  return std::nullopt;
}

NewViewWalk::MemoryId NewViewWalk::intern(const Memory& memory) {
  const auto [place, fresh] = ids_.try_emplace(memory, static_cast<MemoryId>(memories_.size()));
  if (fresh) memories_.push_back(memory);
  return place->second;
}

// ---- One view: who votes for what, who prepares -----------------------------------------------------

void NewViewWalk::assign_votes(Turn& turn, std::size_t i, Outcomes may_vote) {
  if (i == correct_) return assign_prepared(turn, 0);
  const bool one_for_all = setting_.only_faulty_primary && *setting_.only_faulty_primary != turn.view;
  turn.votes[i] = never;
  assign_votes(turn, i + 1, may_vote);
  for (std::size_t batch = 0; batch < batches; ++batch) {
    if ((may_vote & bit(batch)) == 0) continue;
    turn.votes[i] = static_cast<int>(batch);
    assign_votes(turn, i + 1, one_for_all ? bit(batch) : may_vote);
  }
}

void NewViewWalk::assign_prepared(Turn& turn, std::size_t i) {
  if (i == correct_) return settle(turn);
  turn.prepared[i] = false;
  assign_prepared(turn, i + 1);
  if (turn.votes[i] == never) return;
  // The pre-prepare and the PREPAREs of a quorum less one. The faulty replicas have a part in it, the primary's too.
  const auto same = static_cast<std::size_t>(std::count(turn.votes.begin(), turn.votes.end(), turn.votes[i]));
  if (same + faulty_ < setting_.vote_quorum) return;
  turn.prepared[i] = true;
  assign_prepared(turn, i + 1);
}

void NewViewWalk::settle(const Turn& turn) {
  State after = turn.state;
  std::array<std::size_t, batches> commits{};
  for (std::size_t i = 0; i < correct_; ++i) {
    if (turn.votes[i] == never) continue;
    const auto batch = static_cast<std::size_t>(turn.votes[i]);
    Memory memory = memories_[turn.state.correct[i]];
    memory.voted.at(batch) = turn.view;
    if (turn.prepared[i]) {
      memory.prepared_view = turn.view;
      memory.prepared = batch;
      ++commits.at(batch);
    }
    after.correct[i] = intern(memory);
  }
  std::sort(after.correct.begin(), after.correct.end());
  for (std::size_t batch = 0; batch < batches; ++batch) {
    if (commits.at(batch) + faulty_ < setting_.vote_quorum) continue;
    if (after.committed != never && after.committed != static_cast<int>(batch)) {
      throw Violation{"safety: " + name(static_cast<std::size_t>(after.committed)) + " and " + name(batch) +
                      " are both committed, the latter in view " + std::to_string(turn.view) + "\n" +
                      history(turn.state, turn.view)};
    }
    after.committed = static_cast<int>(batch);
  }
  levels_.back().try_emplace(std::move(after), Found{0, turn.state});
}

// ---- The decision for a view: every S, every lie ----------------------------------------------------

NewViewWalk::Outcomes NewViewWalk::check(const State& state, int view) {
  Outcomes all = 0;
  for (std::uint32_t subset = 0; subset < (1U << correct_); ++subset) {
    Told told;
    for (std::size_t i = 0; i < correct_; ++i) {
      if ((subset & (1U << i)) != 0) told.correct.push_back(state.correct[i]);
    }
    for (told.liars = 0; told.liars <= faulty_; ++told.liars) {
      if (told.correct.size() + told.liars < setting_.view_change_quorum) continue;
      const Outcomes now = outcomes(told, view);
      check_set(state, told, now, view);
      all |= now;
    }
  }
  const Outcomes chosen = all & (bit(batches) - 1);
  return (all & free_slot) == 0 ? chosen : chosen | bit(null_index) | (bit(setting_.proposals) - 1);
}

void NewViewWalk::check_set(const State& state, const Told& told, Outcomes now, int view) {
  const auto unless = [&](Outcomes allowed, const char* what) {
    if ((now & ~allowed) != 0) violated(what, state, told, now & ~allowed, view);
  };
  if (state.committed != never) {
    unless(bit(static_cast<std::size_t>(state.committed)) | not_enough, "safety: a committed batch is given up");
  }
  if (told.correct.size() == correct_) unless(~not_enough, "liveness: all correct replicas are in S");
  if (!setting_.validity) return;
  Outcomes voted = 0;
  for (const MemoryId id : state.correct) {
    for (std::size_t batch = 0; batch < batches; ++batch) {
      if (memories_[id].voted.at(batch) != never) voted |= bit(batch);
    }
  }
  unless(voted | bit(null_index) | free_slot | not_enough, "validity: no correct replica voted for it");
}

NewViewWalk::Outcomes NewViewWalk::outcomes(const Told& told, int view) {
  const auto [place, fresh] = known_.try_emplace(told, 0);
  if (!fresh) return place->second;
  Set s = honest(told, view);
  with_lies(s, told.liars, 0, [&, known = place](const Set& complete) {
    known->second |= outcome(complete);
    return true;
  });
  return place->second;
}

NewViewWalk::Outcomes NewViewWalk::outcome(const Set& s) {
  ++decisions_;
  const std::optional<new_view_rules::Decision> decision = setting_.decide(s);
  if (!decision) return not_enough;
  return decision->slots.empty() ? free_slot : bit(index(decision->slots.front()));
}

// Two liars are interchangeable as well, so that lies are combined in one order only.
bool NewViewWalk::with_lies(Set& s, std::size_t liars, std::size_t first,
                            const std::function<bool(const Set&)>& visit) {
  if (liars == 0) return visit(s);
  const std::size_t place = s.size();
  s.push_back({ReplicaId{static_cast<std::uint32_t>(place)}, {}});
  bool on = true;
  for (std::size_t lie = first; on && lie < lies_.size(); ++lie) {
    s[place].message = lies_[lie];
    on = with_lies(s, liars - 1, lie, visit);
  }
  s.pop_back();
  return on;
}

std::vector<NewView::Signed> NewViewWalk::honest(const Told& told, int view) const {
  Set s;
  s.reserve(told.correct.size() + told.liars);
  for (const MemoryId id : told.correct) {
    const ReplicaId sender{static_cast<std::uint32_t>(s.size())};
    s.push_back({sender, view_change(setting_.tells(memories_[id], view), view)});
  }
  return s;
}

// Each batch in each view below or in none, in P and in Q; the null batch too.
void NewViewWalk::make_lies(int view) {
  std::vector<std::size_t> names{null_index};
  for (std::size_t batch = 0; batch < setting_.proposals; ++batch) names.push_back(batch);
  std::vector<Memory> lies{Memory{}};
  for (const std::size_t batch : names) {
    const std::vector<Memory> before = lies;
    for (Memory lie : before) {
      for (int in = 0; in < view; ++in) {
        lie.voted.at(batch) = in;
        lies.push_back(lie);
      }
    }
  }
  const std::vector<Memory> nothing_prepared = lies;
  for (const std::size_t batch : names) {
    for (Memory lie : nothing_prepared) {
      for (int in = 0; in < view; ++in) {
        lie.prepared = batch;
        lie.prepared_view = in;
        lies.push_back(lie);
      }
    }
  }
  lies_.clear();
  for (const Memory& lie : lies) lies_.push_back(view_change(lie, view));
}

// ---- What is told of a violation --------------------------------------------------------------------

void NewViewWalk::violated(const std::string& what, const State& state, const Told& told, Outcomes wrong, int view) {
  std::string set;
  Set s = honest(told, view);
  with_lies(s, told.liars, 0, [&](const Set& complete) {
    if ((outcome(complete) & wrong) == 0) return true;
    for (std::size_t i = 0; i < complete.size(); ++i) {
      set += " " + text(complete[i].message) + (i < told.correct.size() ? "\n" : "  (a lie)\n");
    }
    return false;
  });
  throw Violation{what + ", in the decision for view " + std::to_string(view) + "\n" + history(state, view) + "S:\n" +
                  set};
}

std::string NewViewWalk::history(const State& state, int last) const {
  std::string all;
  State at = state;
  for (auto view = static_cast<std::size_t>(last);; --view) {
    std::string line = "before view " + std::to_string(view) + ":";
    for (const MemoryId id : at.correct) line += text(view_change(memories_[id], 0)) + ";";
    if (at.committed != never) line += " committed: " + name(static_cast<std::size_t>(at.committed));
    all = line + "\n" + all;
    if (view == 0) return all;
    at = levels_[view].at(at).before;
  }
}

}  // namespace pbft::testing
