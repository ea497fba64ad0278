#include "tools/sim/checkers/promises.h"

#include <catch2/catch.hpp>

#include "tests/simulation/history_maker.h"

using namespace pbft;
using namespace pbft::sim;
using namespace pbft::sim::testing;

namespace {

struct Fixture {
  Findings findings;
  PromiseChecker checker{findings, 4};
  const View view{};
  const SequenceNumber n{5};

  static Recovered memory_of(SequenceNumber n, bool prepared) {
    Recovered memory;
    RecoveredSlot& slot = memory.slots[n];
    slot.accepted = RecoveredMark{View{}, digest("d")};
    if (prepared) slot.prepared = slot.accepted;
    slot.batches[digest("d")] = std::make_shared<Batch>();
    return memory;
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "saying the same again is no equivocation") {
  for (int i = 0; i < 2; ++i) {
    checker.sent(ReplicaId{1}, Prepare{view, n, digest("d")});
    checker.sent(ReplicaId{1}, Commit{view, n, digest("d")});
    checker.sent(ReplicaId{1}, Checkpoint{n, digest("r"), {}});
  }
  checker.sent(ReplicaId{2}, Prepare{view, n, digest("other")});
  checker.sent(ReplicaId{1}, Prepare{View{1}, n, digest("other")});
  CHECK_FALSE(findings.any());
}

TEST_CASE_METHOD(Fixture, "two PREPAREs are found") {
  checker.sent(ReplicaId{1}, Prepare{view, n, digest("d")});
  checker.sent(ReplicaId{1}, Prepare{view, n, digest("e")});
  REQUIRE(findings.any());
  CHECK(findings.all().front().invariant == "non-equivocation");
  CHECK(findings.all().front().slot == 5);
  CHECK(findings.all().front().replicas == std::vector<std::uint32_t>{1});
}

TEST_CASE_METHOD(Fixture, "two PRE-PREPAREs are found") {
  auto one = std::make_shared<Batch>();
  auto two = std::make_shared<Batch>();
  one->digest = digest("one");
  two->digest = digest("two");
  checker.sent(ReplicaId{0}, PrePrepare{view, n, one, {}});
  checker.sent(ReplicaId{0}, PrePrepare{view, n, two, {}});
  CHECK(first_finding(findings) == "non-equivocation");
}

TEST_CASE_METHOD(Fixture, "two COMMITs are found") {
  checker.sent(ReplicaId{1}, Commit{view, n, digest("d")});
  checker.sent(ReplicaId{1}, Commit{view, n, digest("e")});
  CHECK(first_finding(findings) == "non-equivocation");
}

TEST_CASE_METHOD(Fixture, "two CHECKPOINTs are found") {
  checker.sent(ReplicaId{1}, Checkpoint{n, digest("d"), {}});
  checker.sent(ReplicaId{1}, Checkpoint{n, digest("e"), {}});
  CHECK(first_finding(findings) == "non-equivocation");
}

TEST_CASE_METHOD(Fixture, "a disk that holds what was said passes") {
  checker.sent(ReplicaId{1}, Prepare{view, n, digest("d")});
  checker.sent(ReplicaId{1}, Commit{view, n, digest("d")});
  checker.recovered(ReplicaId{1}, memory_of(n, true));
  CHECK_FALSE(findings.any());
  CHECK(checker.audited() == 2);
}

TEST_CASE_METHOD(Fixture, "what was said and forgotten is found") {
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
    memory.slots[n].accepted->digest = digest("e");
    checker.recovered(ReplicaId{1}, memory);
  }
  SECTION("its mark of having prepared") {
    checker.sent(ReplicaId{1}, Commit{view, n, digest("d")});
    checker.recovered(ReplicaId{1}, memory_of(n, false));
  }
  CHECK(first_finding(findings) == "durable-before-audible");
}

TEST_CASE_METHOD(Fixture, "below the stable checkpoint nothing has to be kept") {
  checker.sent(ReplicaId{1}, Prepare{view, n, digest("d")});
  checker.sent(ReplicaId{1}, Checkpoint{n, digest("r"), {}});
  Recovered memory;
  memory.stable.emplace();
  memory.stable->proof.n = n;
  checker.recovered(ReplicaId{1}, memory);
  CHECK_FALSE(findings.any());
}

TEST_CASE_METHOD(Fixture, "a CHECKPOINT without its state is found") {
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
