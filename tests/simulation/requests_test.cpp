#include "tools/sim/checkers/requests.h"

#include <catch2/catch.hpp>

#include "tests/simulation/history_maker.h"

using namespace pbft;
using namespace pbft::sim;
using namespace pbft::sim::testing;

namespace {

struct CheckedRequests {
  Findings findings;
  RequestChecker checker{findings};

  RanBatch ordered(std::uint64_t n, const RequestName& request, const KvOperation& operation) {
    RanBatch made = batch(n, {ran(request, operation, ok())});
    made.bundles = {bundle(request, operation).digest};
    return made;
  }
};

}  // namespace

TEST_CASE_METHOD(CheckedRequests, "what a client sent may be ordered") {
  checker.sent(bundle(name(1, 1), put("k", "a")));
  checker.ordered(ordered(1, name(1, 1), put("k", "a")));
  CHECK_FALSE(findings.any());
}

TEST_CASE_METHOD(CheckedRequests, "a bundle that no client sent breaks validity") {
  checker.ordered(ordered(1, name(1, 1), put("k", "a")));
  CHECK(first_finding(findings) == "validity");
}

TEST_CASE_METHOD(CheckedRequests, "an operation that differs from the one sent breaks validity") {
  checker.sent(bundle(name(1, 1), put("k", "a")));
  RanBatch made = ordered(1, name(1, 1), put("k", "a"));
  made.run.front().operation = put("k", "b").bytes();
  checker.ordered(made);
  CHECK(first_finding(findings) == "validity");
}

TEST_CASE_METHOD(CheckedRequests, "a request that takes effect twice breaks exactly-once") {
  checker.sent(bundle(name(1, 1), put("k", "a")));
  checker.ordered(ordered(1, name(1, 1), put("k", "a")));
  checker.ordered(ordered(2, name(1, 1), put("k", "a")));
  CHECK(first_finding(findings) == "exactly-once");
}

TEST_CASE_METHOD(CheckedRequests, "a duplicate that does nothing is fine") {
  checker.sent(bundle(name(1, 1), put("k", "a")));
  checker.ordered(ordered(1, name(1, 1), put("k", "a")));
  RanBatch again = ordered(2, name(1, 1), put("k", "a"));
  again.run.clear();
  checker.ordered(again);
  CHECK_FALSE(findings.any());
}

TEST_CASE_METHOD(CheckedRequests, "a refusal may be given twice, an opening may not") {
  checker.sent(bundle(name(1, 1), put("k", "a")));
  for (const std::uint64_t n : {1, 2}) {
    RanBatch refused = ordered(n, name(1, 1), put("k", "a"));
    refused.run.front().decided = true;
    refused.run.front().status = ReplyStatus::unknown_session;
    checker.ordered(refused);
  }
  CHECK_FALSE(findings.any());
  for (const std::uint64_t n : {3, 4}) {
    RanBatch opened = ordered(n, name(1, 1), put("k", "a"));
    opened.run.front().decided = true;
    checker.ordered(opened);
  }
  CHECK(first_finding(findings) == "exactly-once");
}

TEST_CASE_METHOD(CheckedRequests, "a client that uses one number for two operations is found") {
  checker.sent(bundle(name(1, 1), put("k", "a")));
  checker.sent(bundle(name(1, 1), put("k", "b")));
  CHECK(first_finding(findings) == "client-honest");
}

TEST_CASE_METHOD(CheckedRequests, "one number with two operations is found, unless the client is known to be faulty") {
  checker.sent(bundle(name(1, 1), put("k", "a")));
  SECTION("an honest one") {
    checker.sent(bundle(name(1, 1), put("k", "b")));
    CHECK(first_finding(findings) == "client-honest");
  }
  SECTION("a faulty one, whichever of them is ordered") {
    checker.faulty(client(1));
    checker.sent(bundle(name(1, 1), put("k", "b")));
    checker.ordered(ordered(1, name(1, 1), put("k", "b")));
    CHECK_FALSE(findings.any());
    checker.ordered(ordered(2, name(1, 1), put("k", "a")));
    CHECK(first_finding(findings) == "exactly-once");
  }
}
