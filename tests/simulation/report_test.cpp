#include "tools/sim/report.h"

#include <algorithm>
#include <catch2/catch.hpp>

using namespace pbft::sim;

namespace {

RunResult some_result() {
  RunResult result;
  result.seed = 77;
  result.hash = "abc";
  result.plan = "plan";
  result.answered = 5;
  result.sometimes.catch_up = 2;
  result.faults[static_cast<std::size_t>(Fault::loss)] = 9;
  result.lies[static_cast<std::size_t>(Lie::equivocate)] = 3;
  return result;
}

}  // namespace

TEST_CASE("a result survives its JSON") {
  RunResult result = some_result();
  result.findings.push_back({"agreement", 3, {0, 2}, "two batches"});
  const RunResult back = from_json(to_json(result));
  CHECK(to_json(back) == to_json(result));
  CHECK(back.findings.front().replicas == std::vector<std::uint32_t>{0, 2});
}

TEST_CASE("a summary adds up and keeps what failed") {
  Summary summary;
  summary.add(some_result());
  RunResult bad = some_result();
  bad.findings.push_back({"agreement", 3, {0, 2}, "two batches"});
  summary.add(bad);
  CHECK(summary.runs == 2);
  CHECK(summary.total.answered == 10);
  CHECK(summary.total.sometimes.catch_up == 4);
  CHECK(summary.total.faults[static_cast<std::size_t>(Fault::loss)] == 18);
  CHECK(summary.total.lies[static_cast<std::size_t>(Lie::equivocate)] == 6);
  REQUIRE(summary.failed.size() == 1);
}

TEST_CASE("a failure says how to replay it, what broke, where and at whom") {
  RunResult bad = some_result();
  bad.findings.push_back({"agreement", 3, {0, 2}, "two batches"});
  const std::string text = describe_failure(bad);
  for (const char* part : {"pbft-sim --seed 77", "agreement", "slot 3", "replicas: 0 2", "two batches"}) {
    CHECK(text.find(part) != std::string::npos);
  }
}

TEST_CASE("what came up less than it has to is named, with its count") {
  Summary summary;
  RunResult result = some_result();
  for (std::uint64_t& count : result.faults) count = 50;
  for (std::uint64_t& count : result.lies) count = 50;
  summary.add(result);
  const auto names = [&](const std::string& what) {
    const std::vector<std::string> rare = rarer_than(50, summary);
    return std::find(rare.begin(), rare.end(), what) != rare.end();
  };
  CHECK(rarer_than(0, summary).empty());
  CHECK_FALSE(names("fault clog: 50"));
  summary.total.faults[static_cast<std::size_t>(Fault::clog)] = 49;
  summary.total.lies[static_cast<std::size_t>(Lie::twins)] = 0;
  summary.total.sometimes.null_batch = 3;
  CHECK(names("fault clog: 49"));
  CHECK(names("lie twins: 0"));
  CHECK(names("sometimes null batch: 3"));
}
