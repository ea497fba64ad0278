// Every history of one slot in a small cluster, and at every point of it every new-view that could be decided: all sets
// S, with every lie in P and Q that the faulty replicas can tell. Random schedules do not find a rule that lacks A1 or
// A2.
//
// How the space is made small without leaving anything out:
//   - Views are walked one after the other. Nothing that happens in a view depends on a later one, and a view-change
//     says what its sender did in all views below; so histories that interleave views show nothing else.
//   - A replica is what it remembers of the slot: its P entry and its Q entries. Correct replicas are interchangeable,
//     and a state is the sorted list of their memories, with the batch that was committed.
//   - The primary of every view is faulty: it shows everybody another NEW-VIEW and another pre-prepare if it likes.
//     Whatever a correct primary does, it can do as well. This gives the adversary more than it has, never less.
//   - A null batch of clause 3 may be free or may bind, since a slot that is not modelled may be chosen above it.
//   - The votes of the faulty replicas join any certificate. A batch counts as committed as soon as so many correct
//     replicas prepared it in one view that somebody could have seen a quorum of COMMITs.
#pragma once

#include <array>
#include <compare>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "node/pbft/new_view_rules.h"

namespace pbft::testing {

class NewViewWalk {
 public:
  static constexpr int never = -1;
  static constexpr std::uint64_t window = 1;
  // Batches are small numbers: 0, 1 and 2 are what primaries propose, the last is the null batch.
  static constexpr std::size_t batches = 4;
  static constexpr std::size_t null_index = 3;

  // What a replica says, or truly remembers, of the slot.
  struct Memory {
    int prepared_view = never;
    std::size_t prepared = 0;
    std::array<int, batches> voted{never, never, never, never};  // the highest view; by batch
    friend auto operator<=>(const Memory&, const Memory&) = default;
  };

  using Decide = std::function<std::optional<new_view_rules::Decision>(const std::vector<NewView::Signed>&)>;

  struct Setting {
    std::uint32_t replicas;
    int last_view;                     // decisions for the views 1 to this one are checked
    std::uint32_t vote_quorum;         // in the normal case
    std::uint32_t view_change_quorum;  // the least size of S
    Decide decide;
    std::size_t proposals = 2;                      // batches that primaries propose
    std::function<Memory(Memory, int view)> tells;  // what a correct replica puts into its view-change
    std::optional<int> only_faulty_primary;         // the view that has one; nothing: all have
    bool validity = true;                           // look for violations of it

    // The real rule.
    Setting(std::uint32_t n, int views);
  };

  explicit NewViewWalk(Setting setting);

  // What goes wrong first, with the history that leads to it; nothing: nothing does.
  //   safety    a batch that is committed is what every decision for a later view chooses;
  //   liveness  there is a decision once the view-changes of all correct replicas are in S, whatever else is;
  //   validity  what is chosen was voted for by a correct replica, or is the null batch.
  std::optional<std::string> run();

  [[nodiscard]] std::size_t states() const { return states_; }
  [[nodiscard]] std::uint64_t decisions() const { return decisions_; }

 private:
  using MemoryId = std::uint16_t;  // a place in memories_
  struct State {
    std::vector<MemoryId> correct;  // ascending
    int committed = never;          // a batch
    friend auto operator<=>(const State&, const State&) = default;
  };
  // Some batches, one bit for each; or what can come of a set S over all lies: the batches that clause 2 chooses, and
  // two bits more.
  using Outcomes = std::uint32_t;
  static constexpr Outcomes free_slot = 1U << batches;          // by clause 3
  static constexpr Outcomes not_enough = 1U << (batches + 1U);  // by clause 4
  static constexpr Outcomes bit(std::size_t batch) { return 1U << batch; }
  struct Found {
    Outcomes may_vote = 0;  // what a replica can be brought to vote for in the view
    State before;           // a state of the view before that leads here
  };
  using Level = std::map<State, Found>;
  // A set S without its replicas' names.
  struct Told {
    std::vector<MemoryId> correct;
    std::size_t liars = 0;
    friend auto operator<=>(const Told&, const Told&) = default;
  };
  struct Violation {
    std::string text;
  };
  // One view, as it is being chosen: for each correct replica its vote, and whether it prepared.
  struct Turn {
    const State& state;
    int view;
    std::vector<int> votes;
    std::vector<bool> prepared;
  };

  void assign_votes(Turn& turn, std::size_t i, Outcomes may_vote);
  void assign_prepared(Turn& turn, std::size_t i);
  void settle(const Turn& turn);

  Outcomes check(const State& state, int view);
  void check_set(const State& state, const Told& told, Outcomes now, int view);
  Outcomes outcomes(const Told& told, int view);
  Outcomes outcome(const std::vector<NewView::Signed>& s);
  // Calls visit(S) with every combination of lies; it says whether to go on.
  bool with_lies(std::vector<NewView::Signed>& s, std::size_t liars, std::size_t first,
                 const std::function<bool(const std::vector<NewView::Signed>&)>& visit);
  std::vector<NewView::Signed> honest(const Told& told, int view) const;
  void make_lies(int view);

  [[noreturn]] void violated(const std::string& what, const State& state, const Told& told, Outcomes wrong, int view);
  std::string history(const State& state, int view) const;
  MemoryId intern(const Memory& memory);

  Setting setting_;
  std::size_t faulty_;
  std::size_t correct_;
  std::vector<Memory> memories_;
  std::map<Memory, MemoryId> ids_;
  std::vector<Level> levels_;       // by view: the states in front of it
  std::map<Told, Outcomes> known_;  // in the view that is being checked
  std::vector<ViewChange> lies_;    // for the view that is being checked
  std::size_t states_ = 0;
  std::uint64_t decisions_ = 0;
};

}  // namespace pbft::testing
