#include "tools/sim/runner.h"

#include <catch2/catch.hpp>

#include "tools/sim/batch.h"

using namespace pbft::sim;

namespace {

Plan calm(std::uint64_t seed) {
  Plan plan = draw_plan(seed);
  plan.cluster.replicas = 4;
  plan.dead = {};
  plan.wiped = {};
  plan.liars = {};
  plan.clients.faulty = 0;
  plan.duration = 4 * second;
  plan.network = NetworkPlan{};
  plan.cadence = {};
  plan.clock_skew_max = 0;
  plan.clients.deadlines = 0;
  plan.cluster.max_sessions = 64;
  plan.clients.operations = 10;
  plan.clients.think_max = 100 * millisecond;
  return plan;
}

}  // namespace

TEST_CASE("without faults every operation is answered and no fault is counted") {
  Plan plan = calm(3);
  plan.final_blackout = false;
  const RunResult result = run_plan(plan, false);
  REQUIRE(result.findings.empty());
  CHECK(result.answered == plan.clients.clients * 10ULL);
  CHECK(result.abandoned == 0);
  CHECK(result.batches > 0);
  for (const std::uint64_t injected : result.faults) CHECK(injected == 0);
}

TEST_CASE("the same seed gives the same trace, another one another") {
  const std::string first = run_plan(draw_plan(5), false).hash;
  CHECK(run_plan(draw_plan(5), false).hash == first);
  CHECK(run_plan(draw_plan(6), false).hash != first);
}

TEST_CASE("a quorum that is gone for good shows as a stall") {
  Plan plan = calm(4);
  plan.dead = {0, 3};  // of four: beyond f
  plan.dead_at = second;
  plan.clients.think_max = second;
  const RunResult result = run_plan(plan, false);
  REQUIRE_FALSE(result.findings.empty());
  CHECK(result.findings.front().invariant == "liveness");
}

TEST_CASE("a batch runs each seed once, in processes of its own") {
  BatchOptions options;
  options.seeds = {11, 12, 13};
  options.jobs = 2;
  std::vector<std::uint64_t> done;
  run_batch(options, [&](const RunResult& result) { done.push_back(result.seed); });
  std::sort(done.begin(), done.end());
  CHECK(done == options.seeds);
}
