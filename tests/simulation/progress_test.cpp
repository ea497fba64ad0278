#include "tools/sim/checkers/progress.h"

#include <catch2/catch.hpp>

#include "tests/simulation/history_maker.h"

using namespace pbft;
using namespace pbft::sim;
using namespace pbft::sim::testing;

namespace {

struct CheckedProgress {
  static ClusterParameters cluster() {
    ClusterParameters parameters;
    parameters.window = 16;
    parameters.max_sessions = 3;
    return parameters;
  }
  static LocalParameters local() {
    LocalParameters parameters;
    parameters.max_queued_requests = 10;
    return parameters;
  }
  static ReplicaStatus at(std::uint64_t executed, std::uint64_t stable) {
    ReplicaStatus status;
    status.executed = SequenceNumber{executed};
    status.stable = SequenceNumber{stable};
    status.high = SequenceNumber{stable + 16};
    status.last_accepted = SequenceNumber{executed};
    status.time = Timestamp{executed};
    return status;
  }

  Findings findings;
  ProgressChecker checker{findings, cluster(), local()};
};

}  // namespace

TEST_CASE_METHOD(CheckedProgress, "going on is fine, and so is a restart that goes back to what is durable") {
  checker.status(ReplicaId{0}, at(9, 8));
  checker.status(ReplicaId{1}, at(2, 0));
  checker.status(ReplicaId{0}, at(12, 8));
  checker.restarted(ReplicaId{0}, SequenceNumber{8}, SequenceNumber{8}, View{});
  checker.status(ReplicaId{0}, at(8, 8));
  CHECK_FALSE(findings.any());
}

TEST_CASE_METHOD(CheckedProgress, "an executed number that goes back is found") {
  checker.status(ReplicaId{0}, at(9, 8));
  checker.status(ReplicaId{0}, at(8, 8));
  CHECK(first_finding(findings) == "monotonic");
}

TEST_CASE_METHOD(CheckedProgress, "a stable checkpoint that goes back over a restart is found") {
  checker.status(ReplicaId{0}, at(9, 8));
  checker.restarted(ReplicaId{0}, SequenceNumber{9}, SequenceNumber{4}, View{});
  CHECK(first_finding(findings) == "monotonic");
}

TEST_CASE_METHOD(CheckedProgress, "a view that goes back is found, unless the disk was lost") {
  ReplicaStatus status = at(1, 0);
  status.view = View{3};
  checker.status(ReplicaId{0}, status);
  SECTION("while it runs") {
    status.view = View{2};
    checker.status(ReplicaId{0}, status);
  }
  SECTION("over a restart") {
    checker.restarted(ReplicaId{0}, SequenceNumber{1}, SequenceNumber{}, View{2});
  }
  SECTION("with the disk") {
    checker.wiped(ReplicaId{0});
    checker.restarted(ReplicaId{0}, SequenceNumber{}, SequenceNumber{}, View{});
    CHECK_FALSE(findings.any());
    return;
  }
  CHECK(first_finding(findings) == "monotonic");
}

TEST_CASE_METHOD(CheckedProgress, "a restart below the own stable checkpoint is found") {
  checker.restarted(ReplicaId{0}, SequenceNumber{3}, SequenceNumber{4}, View{});
  CHECK(first_finding(findings) == "monotonic");
}

TEST_CASE_METHOD(CheckedProgress, "a replica that has diverged is found") {
  ReplicaStatus status = at(1, 0);
  status.diverged = true;
  checker.status(ReplicaId{0}, status);
  CHECK(first_finding(findings) == "state-digest");
}

TEST_CASE_METHOD(CheckedProgress, "each bound is checked") {
  ReplicaStatus status = at(1, 0);
  SECTION("queue") {
    status.queued_requests = 11;
  }
  SECTION("sessions") {
    status.sessions = 4;
  }
  SECTION("window") {
    status.high = SequenceNumber{17};
  }
  SECTION("what the primary proposes") {
    status.last_accepted = SequenceNumber{17};
  }
  checker.status(ReplicaId{0}, status);
  CHECK(first_finding(findings) == "bounds");
}

TEST_CASE_METHOD(CheckedProgress, "a vote above the window is found") {
  checker.voted(ReplicaId{0}, SequenceNumber{24}, SequenceNumber{8});
  CHECK_FALSE(findings.any());
  checker.voted(ReplicaId{0}, SequenceNumber{25}, SequenceNumber{8});
  CHECK(first_finding(findings) == "bounds");
}
