#include "tools/sim/checkers/agreement.h"

#include <catch2/catch.hpp>

#include "tests/simulation/history_maker.h"

using namespace pbft;
using namespace pbft::sim;
using namespace pbft::sim::testing;

namespace {

struct CheckedAgreement {
  Findings findings;
  std::vector<std::uint64_t> order;
  AgreementChecker checker{findings, [this](const RanBatch& ran) { order.push_back(ran.n.value); }};
};

}  // namespace

TEST_CASE_METHOD(CheckedAgreement, "equal histories agree, over restarts too") {
  for (const std::uint32_t replica : {0, 1, 0}) {
    checker.executed(ReplicaId{replica}, batch(1, {ran(name(1, 1), put("k", "a"), ok())}));
    checker.executed(ReplicaId{replica}, batch(2, {}));
  }
  CHECK_FALSE(findings.any());
  CHECK(order == std::vector<std::uint64_t>{1, 2});
  CHECK(checker.last() == 2);
}

TEST_CASE_METHOD(CheckedAgreement, "the order is handed on without gaps") {
  checker.executed(ReplicaId{0}, batch(2, {}));
  CHECK(order.empty());
  checker.executed(ReplicaId{1}, batch(1, {}));
  CHECK(order == std::vector<std::uint64_t>{1, 2});
}

TEST_CASE_METHOD(CheckedAgreement, "two batches for one number break agreement") {
  checker.executed(ReplicaId{0}, batch(7, {}, "this"));
  checker.executed(ReplicaId{2}, batch(7, {}, "that"));
  REQUIRE(findings.any());
  CHECK(findings.all().front().invariant == "agreement");
  CHECK(findings.all().front().slot == 7);
  CHECK(findings.all().front().replicas == std::vector<std::uint32_t>{0, 2});
}

TEST_CASE_METHOD(CheckedAgreement, "two agreed times for one number break agreement") {
  RanBatch other = batch(1, {});
  other.time = Timestamp{99};
  checker.executed(ReplicaId{0}, batch(1, {}));
  checker.executed(ReplicaId{1}, other);
  CHECK(first_finding(findings) == "agreement");
}

TEST_CASE_METHOD(CheckedAgreement, "two ledger heads for one number break agreement") {
  RanBatch other = batch(1, {});
  other.ledger_head = digest("other");
  checker.executed(ReplicaId{0}, batch(1, {}));
  checker.executed(ReplicaId{1}, other);
  CHECK(first_finding(findings) == "agreement");
}

TEST_CASE_METHOD(CheckedAgreement, "a replica that runs a request which another one skips is found") {
  checker.executed(ReplicaId{0}, batch(1, {ran(name(1, 1), put("k", "a"), ok())}));
  checker.executed(ReplicaId{1}, batch(1, {}));
  CHECK(first_finding(findings) == "exactly-once");
}

TEST_CASE_METHOD(CheckedAgreement, "two results of one request are found") {
  checker.executed(ReplicaId{0}, batch(1, {ran(name(1, 1), incr("k", 1), ok("1"))}));
  checker.executed(ReplicaId{1}, batch(1, {ran(name(1, 1), incr("k", 1), ok("2"))}));
  CHECK(first_finding(findings) == "same-results");
}

TEST_CASE_METHOD(CheckedAgreement, "two state digests at one checkpoint are found") {
  CheckpointSummary summary;
  summary.n = SequenceNumber{8};
  checker.checkpoint(ReplicaId{0}, summary);
  checker.checkpoint(ReplicaId{1}, summary);
  CHECK_FALSE(findings.any());
  summary.state = digest("other");
  checker.checkpoint(ReplicaId{3}, summary);
  REQUIRE(findings.any());
  CHECK(findings.all().front().invariant == "state-digest");
  CHECK(findings.all().front().what.find("state") != std::string::npos);
}
