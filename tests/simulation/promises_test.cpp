#include "tools/sim/checkers/promises.h"

#include <catch2/catch.hpp>

#include "tests/simulation/history_maker.h"

using namespace pbft;
using namespace pbft::sim;
using namespace pbft::sim::testing;

namespace {

struct CheckedPromises {
  Findings findings;
  PromiseChecker checker{findings, ClusterParameters{}};
  const View view{};
  const SequenceNumber n{5};

  static Recovered memory_of(SequenceNumber n, bool prepared) {
    Recovered memory;
    RecoveredSlot& slot = memory.slots[n];
    slot.accepted[View{}] = digest("d");
    if (prepared) slot.prepared = RecoveredMark{View{}, digest("d")};
    slot.batches[digest("d")] = std::make_shared<Batch>();
    return memory;
  }
};

}  // namespace

TEST_CASE_METHOD(CheckedPromises, "saying the same again is no equivocation") {
  for (int i = 0; i < 2; ++i) {
    checker.sent(ReplicaId{1}, Prepare{view, n, digest("d")});
    checker.sent(ReplicaId{1}, Commit{view, n, digest("d")});
    checker.sent(ReplicaId{1}, Checkpoint{n, digest("r"), {}});
  }
  checker.sent(ReplicaId{2}, Prepare{view, n, digest("other")});
  checker.sent(ReplicaId{1}, Prepare{View{1}, n, digest("other")});
  CHECK_FALSE(findings.any());
}

TEST_CASE_METHOD(CheckedPromises, "two PREPAREs are found") {
  checker.sent(ReplicaId{1}, Prepare{view, n, digest("d")});
  checker.sent(ReplicaId{1}, Prepare{view, n, digest("e")});
  REQUIRE(findings.any());
  CHECK(findings.all().front().invariant == "non-equivocation");
  CHECK(findings.all().front().slot == 5);
  CHECK(findings.all().front().replicas == std::vector<std::uint32_t>{1});
}

TEST_CASE_METHOD(CheckedPromises, "a checkpoint that is called stable without a quorum is found") {
  StableCheckpoint stable{SequenceNumber{128}, digest("r"), {}};
  for (const std::uint32_t voter : {0U, 1U, 2U}) stable.votes.push_back({ReplicaId{voter}, {}});
  checker.sent(ReplicaId{1}, stable);
  CHECK_FALSE(findings.any());
  stable.votes.back().replica = ReplicaId{1};
  checker.sent(ReplicaId{1}, stable);
  CHECK(first_finding(findings) == "certificate");
}

TEST_CASE_METHOD(CheckedPromises, "two PRE-PREPAREs are found") {
  auto one = std::make_shared<Batch>();
  auto two = std::make_shared<Batch>();
  one->digest = digest("one");
  two->digest = digest("two");
  checker.sent(ReplicaId{0}, PrePrepare{view, n, one, {}});
  checker.sent(ReplicaId{0}, PrePrepare{view, n, two, {}});
  CHECK(first_finding(findings) == "non-equivocation");
}

TEST_CASE_METHOD(CheckedPromises, "two COMMITs are found") {
  checker.sent(ReplicaId{1}, Commit{view, n, digest("d")});
  checker.sent(ReplicaId{1}, Commit{view, n, digest("e")});
  CHECK(first_finding(findings) == "non-equivocation");
}

TEST_CASE_METHOD(CheckedPromises, "two CHECKPOINTs are found") {
  checker.sent(ReplicaId{1}, Checkpoint{n, digest("d"), {}});
  checker.sent(ReplicaId{1}, Checkpoint{n, digest("e"), {}});
  CHECK(first_finding(findings) == "non-equivocation");
}

TEST_CASE_METHOD(CheckedPromises, "a disk that holds what was said passes") {
  checker.sent(ReplicaId{1}, Prepare{view, n, digest("d")});
  checker.sent(ReplicaId{1}, Commit{view, n, digest("d")});
  checker.recovered(ReplicaId{1}, memory_of(n, true));
  CHECK_FALSE(findings.any());
  CHECK(checker.audited() == 2);
}

TEST_CASE_METHOD(CheckedPromises, "what was said and forgotten is found") {
  checker.sent(ReplicaId{1}, Prepare{view, n, digest("d")});
  SECTION("all of the slot") {
    checker.recovered(ReplicaId{1}, Recovered{});
  }
  SECTION("its batch") {
    Recovered memory = memory_of(n, false);
    memory.slots[n].batches.clear();
    checker.recovered(ReplicaId{1}, memory);
  }
  SECTION("its digest") {
    Recovered memory = memory_of(n, false);
    memory.slots[n].accepted[View{}] = digest("e");
    checker.recovered(ReplicaId{1}, memory);
  }
  SECTION("its mark of having prepared") {
    checker.sent(ReplicaId{1}, Commit{view, n, digest("d")});
    checker.recovered(ReplicaId{1}, memory_of(n, false));
  }
  SECTION("an earlier vote") {
    checker.sent(ReplicaId{1}, Prepare{View{4}, n, digest("d")});
    Recovered memory = memory_of(n, false);
    memory.slots[n].accepted = {{View{4}, digest("d")}};
    checker.recovered(ReplicaId{1}, memory);
  }
  CHECK(first_finding(findings) == "durable-before-audible");
}

TEST_CASE_METHOD(CheckedPromises, "below the stable checkpoint nothing has to be kept") {
  checker.sent(ReplicaId{1}, Prepare{view, n, digest("d")});
  checker.sent(ReplicaId{1}, Checkpoint{n, digest("r"), {}});
  Recovered memory;
  memory.stable.emplace();
  memory.stable->proof.n = n;
  checker.recovered(ReplicaId{1}, memory);
  CHECK_FALSE(findings.any());
}

TEST_CASE_METHOD(CheckedPromises, "a CHECKPOINT without its state is found") {
  CheckpointSummary summary;
  summary.n = n;
  checker.sent(ReplicaId{1}, Checkpoint{n, checkpoint_root(summary), {}});
  Recovered memory;
  memory.checkpoints = {summary};
  checker.recovered(ReplicaId{1}, memory);
  CHECK_FALSE(findings.any());
  memory.checkpoints.front().state = digest("other");
  checker.recovered(ReplicaId{1}, memory);
  CHECK(first_finding(findings) == "durable-before-audible");
}

// ---- Over views ----------------------------------------------------------------------------------------

namespace {

struct Views : CheckedPromises {
  // As the replica itself would sign it; what stands for the signature is the content.
  static ViewChange change(View view, std::vector<SlotMark> prepared, std::vector<SlotMark> voted,
                           const std::string& bytes = "") {
    ViewChange made{view, {}, std::move(prepared), std::move(voted), {}};
    if (!bytes.empty()) made.signed_bytes = SharedBytes::own(to_bytes(bytes));
    return made;
  }
  static SlotMark mark(std::uint64_t n, const std::string& what, std::uint64_t view) {
    return {SequenceNumber{n}, digest(what), View{view}};
  }
  // From three replicas that all prepared "d" at 2 in view 0, and nothing at 1.
  static NewView new_view(std::uint64_t view) {
    NewView made;
    made.view = View{view};
    made.primary = ReplicaId{static_cast<std::uint32_t>(view % 4)};
    for (std::uint32_t i = 0; i < 3; ++i) {
      made.view_changes.push_back({ReplicaId{i}, change(View{view}, {mark(2, "d", 0)}, {mark(2, "d", 0)})});
    }
    return made;
  }
};

}  // namespace

TEST_CASE_METHOD(Views, "a VIEW-CHANGE that tells all votes passes") {
  checker.sent(ReplicaId{1}, Prepare{view, n, digest("d")});
  checker.sent(ReplicaId{1}, Commit{view, n, digest("d")});
  checker.sent(ReplicaId{1}, change(View{1}, {mark(5, "d", 0)}, {mark(5, "d", 0)}));
  checker.sent(ReplicaId{1}, Prepare{view, n, digest("d")});  // said again
  CHECK_FALSE(findings.any());
}

TEST_CASE_METHOD(Views, "a VIEW-CHANGE that keeps a vote to itself is found") {
  checker.sent(ReplicaId{1}, Prepare{view, n, digest("d")});
  SECTION("in Q") {
    checker.sent(ReplicaId{1}, change(View{1}, {}, {}));
  }
  SECTION("in Q, of that digest") {
    checker.sent(ReplicaId{1}, change(View{1}, {}, {mark(5, "e", 0)}));
  }
  SECTION("in P") {
    checker.sent(ReplicaId{1}, Commit{view, n, digest("d")});
    checker.sent(ReplicaId{1}, change(View{1}, {}, {mark(5, "d", 0)}));
  }
  CHECK(first_finding(findings) == "view-change");
}

TEST_CASE_METHOD(Views, "a new vote below a VIEW-CHANGE is found") {
  checker.sent(ReplicaId{1}, change(View{2}, {}, {}));
  checker.sent(ReplicaId{2}, Prepare{View{1}, n, digest("d")});
  checker.sent(ReplicaId{1}, Prepare{View{2}, n, digest("d")});
  CHECK_FALSE(findings.any());
  SECTION("a PREPARE") {
    checker.sent(ReplicaId{1}, Prepare{View{1}, n, digest("d")});
  }
  SECTION("a COMMIT") {
    checker.sent(ReplicaId{1}, Commit{View{1}, n, digest("d")});
  }
  CHECK(first_finding(findings) == "vote-after-view-change");
}

TEST_CASE_METHOD(Views, "two VIEW-CHANGEs for one view are found") {
  // Unsigned ones are taken for the sender's own, and differ in nothing but their bytes.
  checker.sent(ReplicaId{1}, change(View{1}, {}, {}));
  checker.sent(ReplicaId{1}, change(View{1}, {}, {}));
  checker.sent(ReplicaId{1}, change(View{2}, {}, {}));
  CHECK_FALSE(findings.any());
  checker.sent(ReplicaId{1}, change(View{1}, {}, {}));
  CHECK_FALSE(findings.any());
  Recovered memory;
  memory.view_change = change(View{2}, {}, {}, "other bytes");
  checker.recovered(ReplicaId{1}, memory);
  CHECK(first_finding(findings) == "durable-before-audible");
}

TEST_CASE_METHOD(Views, "a view that was left is remembered, or a later one") {
  checker.sent(ReplicaId{1}, change(View{2}, {}, {}));
  Recovered memory;
  SECTION("as it was") {
    memory.view_change = change(View{2}, {}, {});
  }
  SECTION("a later one") {
    memory.view_change = change(View{3}, {}, {}, "later");
  }
  SECTION("it has been entered") {
    memory.new_view = new_view(2);
  }
  checker.recovered(ReplicaId{1}, memory);
  CHECK_FALSE(findings.any());
  checker.recovered(ReplicaId{1}, Recovered{});
  CHECK(first_finding(findings) == "durable-before-audible");
}

TEST_CASE_METHOD(Views, "a NEW-VIEW is its primary's pre-prepare of what it decides") {
  checker.sent(ReplicaId{1}, new_view(1));
  CHECK_FALSE(findings.any());
  CHECK(checker.new_views() == 1);
  CHECK(checker.carried() == 1);
  CHECK(checker.filled() == 1);
  SECTION("and binds it") {
    checker.sent(ReplicaId{1}, Prepare{View{1}, SequenceNumber{2}, digest("e")});
    CHECK(first_finding(findings) == "non-equivocation");
  }
  SECTION("and those who follow it") {
    checker.sent(ReplicaId{2}, Prepare{View{1}, SequenceNumber{1}, digest("e")});
    CHECK(first_finding(findings) == "new-view");
  }
  SECTION("and has to be remembered") {
    checker.recovered(ReplicaId{1}, Recovered{});
    CHECK(first_finding(findings) == "durable-before-audible");
  }
}

TEST_CASE_METHOD(Views, "a NEW-VIEW that follows from nothing is found") {
  NewView made = new_view(1);
  SECTION("too few") {
    made.view_changes.pop_back();
  }
  SECTION("a view of another primary") {
    made.view = View{2};
  }
  SECTION("nobody vouches for what one has prepared, and a quorum has prepared it") {
    for (auto& one : made.view_changes) one.message.voted.clear();
  }
  checker.sent(ReplicaId{1}, made);
  CHECK(first_finding(findings) == "new-view");
}

TEST_CASE_METHOD(Views, "who has lost its disk may forget, but not say anything else") {
  checker.sent(ReplicaId{1}, Prepare{view, n, digest("d")});
  checker.sent(ReplicaId{1}, change(View{1}, {}, {mark(5, "d", 0)}));
  checker.wiped(ReplicaId{1});
  checker.recovered(ReplicaId{1}, Recovered{});
  checker.sent(ReplicaId{1}, change(View{2}, {}, {}));
  CHECK_FALSE(findings.any());
  checker.sent(ReplicaId{1}, Prepare{view, n, digest("e")});
  CHECK(findings.any());
}
