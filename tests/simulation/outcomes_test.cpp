#include "tools/sim/checkers/outcomes.h"

#include <catch2/catch.hpp>

#include "tests/simulation/history_maker.h"

using namespace pbft;
using namespace pbft::sim;
using namespace pbft::sim::testing;

namespace {

struct CheckedOutcomes {
  Findings findings;
  Model model{findings};
  OutcomeChecker checker{findings, model};

  void submit(OperationId id, const KvOperation& operation) {
    checker.submitted(id, operation);
    if (!operation.read_only()) send(id, operation, id.ticket);
  }
  void send(OperationId id, const KvOperation& operation, std::uint64_t number) {
    checker.sent(id.process, name(static_cast<std::uint8_t>(id.process), number), operation.bytes());
  }
  void order(std::uint64_t n, OperationId id, const KvOperation& operation, const KvAnswer& answer) {
    const RanBatch made = batch(n, {ran(name(static_cast<std::uint8_t>(id.process), id.ticket), operation, answer)});
    model.ordered(made);
    checker.ordered(made);
  }
};

constexpr OperationId a{1, 1}, b{2, 1}, c{3, 1};

}  // namespace

TEST_CASE_METHOD(CheckedOutcomes, "a write that is in the order before its answer passes") {
  submit(a, put("k", "a"));
  order(1, a, put("k", "a"), ok());
  checker.answered(a, ok());
  CHECK_FALSE(findings.any());
  CHECK(checker.checked_writes() == 1);
}

TEST_CASE_METHOD(CheckedOutcomes, "a write that was answered and is nowhere breaks durability") {
  submit(a, put("k", "a"));
  checker.answered(a, ok());
  CHECK(first_finding(findings) == "durability");
}

TEST_CASE_METHOD(CheckedOutcomes, "a client that was told another result than the agreed one is found") {
  submit(a, incr("n", 4));
  order(1, a, incr("n", 4), ok("4"));
  checker.answered(a, ok("5"));
  CHECK(first_finding(findings) == "believed-result");
}

TEST_CASE_METHOD(CheckedOutcomes, "a write that stands before one that was answered before its submission is found") {
  submit(a, put("k", "a"));
  // b is in the order before it was submitted: no real run does this, but a wrong order looks like it.
  order(1, b, put("k", "b"), ok());
  order(2, a, put("k", "a"), ok());
  checker.answered(a, ok());
  submit(b, put("k", "b"));
  checker.answered(b, ok());
  CHECK(first_finding(findings) == "linearizability");
}

TEST_CASE_METHOD(CheckedOutcomes, "a stale read is found") {
  submit(a, put("k", "a"));
  order(1, a, put("k", "a"), ok());
  checker.answered(a, ok());
  submit(b, get("k"));
  SECTION("the new value passes") {
    checker.answered(b, ok("a"));
    CHECK_FALSE(findings.any());
    CHECK(checker.checked_reads() == 1);
  }
  SECTION("the old value does not") {
    checker.answered(b, failed());
    CHECK(first_finding(findings) == "linearizability");
  }
}

TEST_CASE_METHOD(CheckedOutcomes, "a read that overlaps a write may see either") {
  submit(a, put("k", "a"));
  submit(b, get("k"));
  order(1, a, put("k", "a"), ok());
  checker.answered(a, ok());
  SECTION("old") {
    checker.answered(b, failed());
  }
  SECTION("new") {
    checker.answered(b, ok("a"));
  }
  CHECK_FALSE(findings.any());
}

TEST_CASE_METHOD(CheckedOutcomes, "reads that go back in time are found") {
  submit(a, put("k", "a"));
  submit(b, get("k"));
  order(1, a, put("k", "a"), ok());  // never answered: it may stand anywhere
  checker.answered(b, ok("a"));
  submit(c, get("k"));
  checker.answered(c, failed());
  CHECK(first_finding(findings) == "linearizability");
}

TEST_CASE_METHOD(CheckedOutcomes, "a value that was never written is found") {
  submit(a, get("k"));
  checker.answered(a, ok("never"));
  CHECK(first_finding(findings) == "linearizability");
}

TEST_CASE_METHOD(CheckedOutcomes, "an operation that takes effect under two names breaks exactly-once") {
  submit(a, put("k", "a"));
  send(a, put("k", "a"), 2);
  order(1, a, put("k", "a"), ok());
  CHECK_FALSE(findings.any());
  order(2, {1, 2}, put("k", "a"), ok());
  CHECK(first_finding(findings) == "exactly-once");
}

TEST_CASE_METHOD(CheckedOutcomes, "equal operations of one process are told apart by their order") {
  KvOperation remove = get("k");
  remove.kind = KvOperation::Kind::remove;
  submit({1, 1}, remove);
  submit({1, 2}, remove);
  order(1, {1, 1}, remove, ok("0"));
  order(2, {1, 2}, remove, ok("0"));
  checker.answered({1, 2}, ok("0"));
  checker.answered({1, 1}, ok("0"));
  CHECK_FALSE(findings.any());
}

TEST_CASE_METHOD(CheckedOutcomes, "what a process sends without having been asked is found") {
  checker.sent(1, name(1, 1), put("k", "a").bytes());
  CHECK(first_finding(findings) == "client-honest");
}

TEST_CASE_METHOD(CheckedOutcomes, "an operation that was given up before it was sent is not taken for a later one") {
  KvOperation remove = get("k");
  remove.kind = KvOperation::Kind::remove;
  checker.submitted({1, 1}, remove);
  checker.given_up({1, 1});
  checker.submitted({1, 2}, remove);
  send({1, 2}, remove, 1);
  order(1, {1, 1}, remove, ok("0"));  // request number 1 is the second ticket
  checker.answered({1, 2}, ok("0"));
  CHECK_FALSE(findings.any());
}
