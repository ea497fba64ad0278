#include "node/pbft/new_view_rules.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <iostream>

#include "node/pbft/digests.h"
#include "tests/pbft/new_view_model.h"

using namespace pbft;
using namespace pbft::new_view_rules;
using pbft::testing::letter;

namespace {

constexpr std::uint64_t interval = 4;
constexpr std::uint64_t window = 8;
constexpr std::uint64_t end_of_range = ~std::uint64_t{0};
constexpr Room room{window, interval, end_of_range};
const Digest a = letter('a');
const Digest b = letter('b');
const Digest c = letter('c');
const Digest& null = null_batch_digest();

SlotMark mark(std::uint64_t n, const Digest& digest, std::uint64_t view) {
  return {SequenceNumber{n}, digest, View{view}};
}

StableCheckpoint checkpoint(std::uint64_t n, std::uint32_t votes) {
  StableCheckpoint stable{SequenceNumber{n}, letter('r'), {}};
  for (std::uint32_t i = 0; i < votes; ++i) stable.votes.push_back({ReplicaId{i}, {}});
  return stable;
}

using Marks = std::vector<SlotMark>;
NewView::Signed from(std::uint32_t replica, Marks p = {}, Marks q = {}, std::uint64_t low = 0) {
  ViewChange message;
  message.view = View{3};
  if (low > 0) message.stable = checkpoint(low, 3);
  message.prepared = std::move(p);
  message.voted = std::move(q);
  return {ReplicaId{replica}, message};
}

const Quorum of_four{4};

std::optional<Decision> decide_four(const std::vector<NewView::Signed>& s) {
  return decide(s, of_four, room);
}

// What is decided for the slots 1, 2, ...; requires that there is a decision that starts at the genesis.
std::vector<Digest> slots_of_four(const std::vector<NewView::Signed>& s) {
  const std::optional<Decision> decision = decide_four(s);
  REQUIRE(decision);
  CHECK(decision->start == SequenceNumber{});
  CHECK_FALSE(decision->proof);
  return decision->slots;
}

}  // namespace

TEST_CASE("fewer view-changes than a quorum decide nothing") {
  CHECK_FALSE(decide_four({}));
  CHECK_FALSE(decide_four({from(0), from(1)}));
  CHECK(decide_four({from(0), from(1), from(3)}));
  const Quorum six{6};
  CHECK_FALSE(decide({from(0), from(1), from(3)}, six, room));  // 2f+1 of them
  CHECK(decide({from(0), from(1), from(3), from(4)}, six, room));
}

TEST_CASE("where nothing prepared, all slots are free") {
  CHECK(slots_of_four({from(0), from(1), from(2)}).empty());
  // Votes alone bind nobody.
  CHECK(slots_of_four({from(0, {}, {mark(1, a, 0)}), from(1, {}, {mark(1, a, 0)}), from(2)}).empty());
}

TEST_CASE("clause 2: what prepared at one replica is chosen") {
  const auto slots = slots_of_four({from(0, {mark(1, a, 1)}, {mark(1, a, 1)}), from(1, {}, {mark(1, a, 1)}), from(2)});
  CHECK(slots == std::vector{a});
}

TEST_CASE("A1: a quorum has to be silent, or at a lower view, or of the same mind") {
  const NewView::Signed prepared = from(0, {mark(1, b, 1)}, {mark(1, b, 1)});
  const NewView::Signed voted = from(1, {}, {mark(1, b, 1)});
  SECTION("a lower view is no objection") {
    CHECK(slots_of_four({prepared, voted, from(2, {mark(1, a, 0)}, {mark(1, a, 0)})}) == std::vector{b});
  }
  SECTION("another digest of the same view is") {
    CHECK_FALSE(decide_four({prepared, voted, from(2, {mark(1, a, 1)}, {mark(1, a, 1)})}));
  }
  SECTION("a higher view is") {
    CHECK_FALSE(decide_four({prepared, voted, from(2, {mark(1, a, 2)}, {mark(1, a, 2)})}));
  }
  SECTION("the same digest at a higher view is no objection to that one") {
    CHECK(slots_of_four({prepared, voted, from(2, {mark(1, b, 0)}, {mark(1, b, 0)})}) == std::vector{b});
  }
  SECTION("a quorum of those that do not object is enough, whatever one more says") {
    CHECK(slots_of_four({prepared, voted, from(2), from(3, {mark(1, a, 2)}, {mark(1, a, 2)})}) == std::vector{b});
  }
}

TEST_CASE("A1 takes a quorum, not 2f+1") {
  // n = 6: of the four in S, three do not object to b.
  const std::vector<NewView::Signed> s{from(0, {mark(1, b, 0)}, {mark(1, b, 0)}), from(1, {}, {mark(1, b, 0)}), from(2),
                                       from(3, {mark(1, a, 1)}, {mark(1, a, 1)})};
  CHECK_FALSE(decide(s, Quorum{6}, room));
}

TEST_CASE("A2: f+1 have to have voted for it, in its view or later") {
  const auto with_second_vote = [](const Marks& q) {
    return decide_four({from(0, {mark(1, a, 1)}, {mark(1, a, 1)}), from(1, {}, q), from(2, {mark(1, a, 1)})});
  };
  CHECK_FALSE(with_second_vote({}));
  CHECK_FALSE(with_second_vote({mark(1, a, 0)}));
  CHECK_FALSE(with_second_vote({mark(1, b, 1)}));
  CHECK_FALSE(with_second_vote({mark(2, a, 1)}));
  CHECK(with_second_vote({mark(1, a, 1)}));
  CHECK(with_second_vote({mark(1, a, 2)}));
  CHECK(with_second_vote({mark(1, a, 1), mark(1, b, 2), mark(2, b, 2)}));
}

TEST_CASE("clause 2: of several that satisfy A1 and A2 the highest view, and then the smallest digest") {
  const auto four = [](const Digest& left, std::uint64_t left_view, const Digest& right, std::uint64_t right_view) {
    return slots_of_four({from(0, {mark(1, left, left_view)}, {mark(1, left, left_view)}),
                          from(1, {mark(1, right, right_view)}, {mark(1, right, right_view)}),
                          from(2, {}, {mark(1, std::min(left, right), 2), mark(1, std::max(left, right), 2)}),
                          from(3)});
  };
  CHECK(four(a, 0, b, 1) == std::vector{b});
  CHECK(four(b, 1, a, 0) == std::vector{b});
  CHECK(four(a, 1, b, 1) == std::vector{a});
  CHECK(four(b, 1, a, 1) == std::vector{a});
}

TEST_CASE("clause 2 goes down to what A2 supports: a lie at a high view hides nothing") {
  const auto slots = slots_of_four({from(0, {mark(1, a, 0)}, {mark(1, a, 0)}), from(1, {}, {mark(1, a, 0)}), from(2),
                                    from(3, {mark(1, b, 2)}, {mark(1, b, 2)})});
  CHECK(slots == std::vector{a});
}

TEST_CASE("clause 3: between chosen slots, the null batch where a quorum has nothing") {
  const Marks both{mark(1, a, 0), mark(4, b, 0)};
  CHECK(slots_of_four({from(0, both, both), from(1, {}, both), from(2)}) == std::vector{a, null, null, b});
  // A lie that is not supported makes a slot null where a quorum is silent, and holds the decision up where not.
  const NewView::Signed liar = from(3, {mark(2, c, 1)}, {mark(2, c, 1)});
  CHECK(slots_of_four({from(0, both, both), from(1, {}, both), from(2), liar}) == std::vector{a, null, null, b});
  CHECK_FALSE(decide_four({from(0, both, both), from(1, {}, both), liar}));
}

TEST_CASE("clause 4: one slot that cannot be decided holds up all") {
  const Marks second{mark(2, a, 0)};
  CHECK_FALSE(decide_four({from(0, second, second), from(1), from(2)}));
  CHECK_FALSE(decide_four({from(0, {mark(1, b, 0), mark(2, a, 0)}, second), from(1, {}, {mark(1, b, 0)}), from(2)}));
  // The view-change that was missing supports it.
  CHECK(slots_of_four({from(0, second, second), from(1), from(2), from(3, {}, second)}) == std::vector{null, a});
}

TEST_CASE("clause 1: start is the highest h, with its proof; what lies at or below is of no account") {
  const Marks q{mark(5, a, 0), mark(6, b, 0), mark(8, c, 2)};
  const auto decision = decide_four({from(0, q, q), from(1, {mark(7, c, 1)}, {mark(7, c, 1)}, 4), from(2, {}, {}, 8)});
  REQUIRE(decision);
  CHECK(decision->start == SequenceNumber{8});
  REQUIRE(decision->proof);
  CHECK(decision->proof->n == SequenceNumber{8});
  CHECK(decision->slots.empty());
  CHECK(decision->end() == SequenceNumber{8});
}

TEST_CASE("clause 1: of several proofs of start, that of the lowest replica") {
  std::vector<NewView::Signed> s{from(3, {}, {}, 4), from(1, {}, {}, 4), from(0)};
  s[0].message.stable->votes[2].replica = ReplicaId{3};
  const auto decision = decide_four(s);
  REQUIRE((decision && decision->proof));
  CHECK(decision->proof->votes[2].replica == ReplicaId{2});
}

TEST_CASE("slots count from start") {
  const Marks marks{mark(4, a, 0), mark(5, b, 0), mark(7, c, 0)};
  const auto decision = decide_four({from(0, marks, marks), from(1, {}, marks), from(2, {}, {}, 4)});
  REQUIRE(decision);
  CHECK(decision->slots == std::vector{b, null, c});
  CHECK(decision->end() == SequenceNumber{7});
}

TEST_CASE("the last slot of the window is decided, and nothing runs over at the end of the range") {
  const std::uint64_t low = end_of_range - window - 3;  // a multiple of the interval
  const Marks last{mark(low + window, a, 0)};
  auto decision = decide_four({from(0, last, last, low), from(1, {}, last, low), from(2, {}, {}, low)});
  REQUIRE(decision);
  CHECK(decision->slots.size() == window);
  CHECK(decision->slots.back() == a);

  const std::uint64_t highest = end_of_range - 3;
  const Marks very_last{mark(end_of_range, a, 0)};
  decision = decide_four({from(0, very_last, very_last, highest), from(1, {}, very_last, low), from(2)});
  REQUIRE(decision);
  CHECK(decision->slots == std::vector{null, null, a});
  CHECK(decision->end() == SequenceNumber{end_of_range});
}

TEST_CASE("clause 5: null batches that clause 3 puts at the end are free, one that clause 2 chose is not") {
  // View 1. Slot 6 prepared at replica 2, slot 5 nowhere: 5 is the null batch, and binds because of 6.
  const std::uint64_t low = 4;
  const Marks sixth{mark(6, a, 0)};
  const auto first = decide_four({from(1, {}, {}, low), from(2, sixth, sixth, low), from(3, {}, sixth, low)});
  REQUIRE(first);
  REQUIRE(first->slots == std::vector{null, a});

  // In view 1 slot 5 prepares at 1 and 2, with replica 0, which is faulty, and commits; 6 prepares nowhere else. Then
  // replica 2, the one that has 6, is slow, and the view-changes for view 2 are those of 0, 1 and 3.
  const Marks voted_1{mark(5, null, 1), mark(6, a, 1)};
  const NewView::Signed replica_1 = from(1, {mark(5, null, 1)}, voted_1, low);
  const NewView::Signed replica_3 = from(3, {}, {mark(5, null, 1), mark(6, a, 1)}, low);
  for (const Marks& lie : {Marks{}, voted_1, Marks{mark(5, b, 1)}}) {
    const auto second = decide_four({from(0, {}, lie, low), replica_1, replica_3});
    REQUIRE(second);
    // Slot 5 was committed: it may not be given to another batch, though nothing stands above it any more.
    CHECK(second->slots == std::vector{null});
    CHECK(second->end() == SequenceNumber{5});
  }
}

TEST_CASE("the largest cluster and window are decided, whatever f liars put into their sets") {
  // Each liar claims a batch of its own in every slot, above what prepared; all liars vote for it, one fewer than A2
  // asks for. That is more than fits into a NEW-VIEW.
  const Quorum largest{Limits::max_replicas};
  constexpr std::uint64_t slots = 512;
  std::vector<Digest> invented(largest.faults(), letter('x'));
  for (std::size_t i = 0; i < invented.size(); ++i) invented[i].bytes.back() = static_cast<std::uint8_t>(i);
  std::vector<NewView::Signed> s;
  for (std::uint32_t i = 0; i < largest.replicas(); ++i) {
    const bool lies = i < largest.faults();
    Marks p;
    Marks q;
    for (std::uint64_t n = 1; n <= slots; ++n) {
      p.push_back(lies ? mark(n, invented[i], 2) : mark(n, a, 1));
      if (!lies) q.push_back(mark(n, a, 1));
      for (const Digest& each : invented) {
        if (lies) q.push_back(mark(n, each, 2));
      }
    }
    s.push_back(from(i, std::move(p), std::move(q)));
  }
  const auto begin = std::chrono::steady_clock::now();
  const auto decision = decide(s, largest, {slots, slots, end_of_range});
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
  REQUIRE(decision);
  CHECK(decision->slots == std::vector<Digest>(slots, a));
  std::cout << "the largest decision took " << took.count() << " ms\n";
}

TEST_CASE("clause 6: where many votes have gathered, null batches bind up to the checkpoint above all of them") {
  constexpr Room narrow{window, interval, 2};
  const auto with = [&](Marks p, Marks q, std::uint64_t low = 0) {
    return decide({from(0, p, q, low), from(1, p, {}, low), from(2, p, {}, low)}, of_four, narrow);
  };
  const Marks three{mark(1, a, 1), mark(1, b, 2), mark(7, c, 0)};
  const Marks two{mark(1, a, 1), mark(7, c, 0)};
  CHECK(with({}, two)->slots.empty());
  CHECK(with({}, three)->slots == std::vector<Digest>(2 * interval, null));
  CHECK(decide({from(0, {}, three), from(1), from(2)}, of_four, {window, interval, 3})->slots.empty());
  // Behind what binds, and no further than that.
  const auto chosen = [&](std::uint64_t n) {
    const Marks p{mark(n, a, 1)};
    Marks q{mark(n, a, 1), mark(n, b, 0), mark(n, c, 0)};
    return decide({from(0, p, q), from(1, p, q), from(2, p, q)}, of_four, narrow)->slots;
  };
  CHECK(chosen(2) == std::vector<Digest>{null, a, null, null});
  CHECK(chosen(4) == std::vector<Digest>{null, null, null, a});
  CHECK(chosen(5) == std::vector<Digest>{null, null, null, null, a, null, null, null});
  // From a stable checkpoint on.
  const auto later = with({}, {mark(5, a, 1), mark(5, b, 2), mark(6, c, 0)}, interval);
  CHECK(later->start == SequenceNumber{interval});
  CHECK(later->slots == std::vector<Digest>(interval, null));
}

TEST_CASE("clause 6 leaves room for what faulty primaries in a row may add") {
  for (std::uint32_t n = 1; n <= Limits::max_replicas; ++n) {
    const std::uint64_t faults = (n - 1) / 3;
    const std::uint64_t largest = Limits::largest_window(n);
    CAPTURE(n, largest);
    CHECK(Limits::votes_with_room(n, largest) >= largest);
    CHECK(Limits::votes_with_room(n, largest) + (faults + 1) * largest + largest <= Limits::most_marks(n));
  }
}

// ---- problem() --------------------------------------------------------------------------------------

namespace {

// The letter of the clause; '-': there is no problem.
char problem_of(const ViewChange& message) {
  const std::optional<const char*> found = problem(message, of_four, interval, window);
  return found ? **found : '-';
}

}  // namespace

TEST_CASE("an ordinary view-change has no problem") {
  CHECK(problem_of(from(0).message) == '-');
  const Marks p{mark(5, a, 0), mark(12, b, 2)};
  const Marks q{mark(5, a, 2), mark(5, b, 1), mark(12, b, 2)};
  CHECK(problem_of(from(0, p, q, 4).message) == '-');
}

TEST_CASE("clause a: the view is not 0") {
  ViewChange message = from(0).message;
  message.view = View{0};
  CHECK(problem_of(message) == 'a');
  for (const std::uint64_t view : {std::uint64_t{1}, end_of_range}) {
    message.view = View{view};
    CHECK(problem_of(message) == '-');
  }
}

TEST_CASE("clause b: h is a checkpoint that a quorum proves") {
  const auto with = [](std::uint64_t n, std::uint32_t votes) {
    ViewChange message = from(0).message;
    message.stable = checkpoint(n, votes);
    return problem_of(message);
  };
  CHECK(with(0, 3) == 'b');
  CHECK(with(1, 3) == 'b');
  CHECK(with(interval - 1, 3) == 'b');
  CHECK(with(interval, 3) == '-');
  CHECK(with(interval + 1, 3) == 'b');
  CHECK(with(end_of_range - 3, 4) == '-');
  CHECK(with(end_of_range, 4) == 'b');
  CHECK(with(interval, 0) == 'b');
  CHECK(with(interval, 2) == 'b');
  CHECK(with(interval, 5) == 'b');  // there are four replicas

  ViewChange message = from(0, {}, {}, interval).message;
  message.stable->votes[1].replica = ReplicaId{0};
  CHECK(problem_of(message) == 'b');  // one replica twice
  message.stable->votes[1].replica = ReplicaId{3};
  CHECK(problem_of(message) == 'b');  // not ascending
  message.stable->votes[1].replica = ReplicaId{1};
  message.stable->votes[2].replica = ReplicaId{4};
  CHECK(problem_of(message) == 'b');  // no such replica
}

TEST_CASE("clause b takes a quorum, not 2f+1") {
  ViewChange message = from(0).message;
  message.stable = checkpoint(interval, 3);
  CHECK(problem(message, Quorum{6}, interval, window));
  message.stable = checkpoint(interval, 4);
  CHECK_FALSE(problem(message, Quorum{6}, interval, window));
}

TEST_CASE("clause c: entries lie in (h, h + L] and in views below") {
  const auto with = [](const SlotMark& entry, std::uint64_t low) {
    const char in_p = problem_of(from(0, {entry}, {}, low).message);
    CHECK(problem_of(from(0, {}, {entry}, low).message) == in_p);
    return in_p;
  };
  CHECK(with(mark(0, a, 0), 0) == 'c');
  CHECK(with(mark(1, a, 0), 0) == '-');
  CHECK(with(mark(window, a, 0), 0) == '-');
  CHECK(with(mark(window + 1, a, 0), 0) == 'c');
  CHECK(with(mark(end_of_range, a, 0), 0) == 'c');
  CHECK(with(mark(3, a, 0), 4) == 'c');
  CHECK(with(mark(4, a, 0), 4) == 'c');
  CHECK(with(mark(5, a, 0), 4) == '-');
  CHECK(with(mark(4 + window, a, 0), 4) == '-');
  CHECK(with(mark(5 + window, a, 0), 4) == 'c');

  CHECK(with(mark(1, a, 2), 0) == '-');  // the view-change is for view 3
  CHECK(with(mark(1, a, 3), 0) == 'c');
  CHECK(with(mark(1, a, end_of_range), 0) == 'c');
}

TEST_CASE("clause c does not run over at the end of the range") {
  const std::uint64_t low = end_of_range - 3;  // low + L is not a number any more
  CHECK(problem_of(from(0, {mark(end_of_range, a, 0)}, {}, low).message) == '-');
  CHECK(problem_of(from(0, {mark(low, a, 0)}, {}, low).message) == 'c');
  CHECK(problem_of(from(0, {mark(0, a, 0)}, {}, low).message) == 'c');
  CHECK(problem_of(from(0, {mark(4, a, 0)}, {}, low).message) == 'c');
}

TEST_CASE("clause d: P ascends, with one entry for each slot") {
  CHECK(problem_of(from(0, {mark(1, b, 0), mark(2, a, 0)}).message) == '-');
  CHECK(problem_of(from(0, {mark(2, a, 0), mark(1, b, 0)}).message) == 'd');
  CHECK(problem_of(from(0, {mark(1, a, 0), mark(1, a, 0)}).message) == 'd');
  CHECK(problem_of(from(0, {mark(1, a, 0), mark(1, b, 1)}).message) == 'd');
  CHECK(problem_of(from(0, {mark(1, a, 0), mark(2, a, 0), mark(2, b, 0)}).message) == 'd');
}

TEST_CASE("clause d: Q ascends, with one entry for each slot and digest") {
  CHECK(problem_of(from(0, {}, {mark(1, a, 1), mark(1, b, 0), mark(2, a, 0)}).message) == '-');
  CHECK(problem_of(from(0, {}, {mark(1, b, 0), mark(1, a, 1)}).message) == 'd');
  CHECK(problem_of(from(0, {}, {mark(2, a, 0), mark(1, b, 0)}).message) == 'd');
  CHECK(problem_of(from(0, {}, {mark(1, a, 0), mark(1, a, 0)}).message) == 'd');
  CHECK(problem_of(from(0, {}, {mark(1, a, 0), mark(1, a, 1)}).message) == 'd');
}
