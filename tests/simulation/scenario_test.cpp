// Stories that chance tells too seldom, each to its end: after the healing every request has to be answered and all
// replicas have to agree, or the run reports it.
#include <catch2/catch.hpp>

#include "tests/simulation/stage.h"

using namespace pbft;
using namespace pbft::sim;

namespace {

// A checkpoint every four batches.
Plan stage(std::uint64_t seed) {
  Plan plan = quiet_plan(seed, 4);
  plan.tick = 10 * millisecond;
  plan.local.view_timeout_ticks = 80;
  plan.local.view_timeout_max_ticks = 400;
  plan.clients.operations = 250;
  plan.clients.think_max = 400 * millisecond;
  plan.duration = 20 * second;
  return plan;
}

}  // namespace

TEST_CASE("three of four lose power, one of them behind what is kept, the fourth is gone for good") {
  Plan plan = stage(1);
  plan.dead = {3};
  plan.dead_at = 8 * second;
  std::uint64_t behind = 0;
  const RunResult result = run_plan(plan, false, [&](World& world, Nodes& nodes) {
    world.scheduler.at(second, [&] { cut_off(world, 2, 9 * second); });
    world.scheduler.at(8 * second + millisecond, [&] {
      behind = nodes[0]->status().stable.value - nodes[2]->status().executed.value;
      for (std::uint32_t i = 0; i < 3; ++i) nodes[i]->crash(0);
    });
    world.scheduler.at(9 * second, [&] {
      for (std::uint32_t i = 0; i < 3; ++i) {
        if (!nodes[i]->running()) nodes[i]->start();
      }
    });
  });
  CHECK(what(result) == "");
  CHECK(behind > 8);
  CHECK(result.sometimes.transfer_finished >= 1);
}

TEST_CASE("a replica that was cut off during three view changes converges") {
  Plan plan = stage(2);
  std::uint64_t view = 0;
  std::uint64_t own = 0;
  const RunResult result = run_plan(plan, false, [&](World& world, Nodes& nodes) {
    world.scheduler.at(second, [&] { cut_off(world, 3, 15 * second); });
    for (std::uint32_t i = 0; i < 3; ++i) {
      const Microseconds at = (2 + 4 * i) * second;
      world.scheduler.at(at, [&nodes, i, at] { nodes[i]->pause(at + 2 * second); });
    }
    world.scheduler.at(14 * second, [&] {
      view = nodes[0]->status().view.value;
      own = nodes[3]->status().executed.value;
    });
  });
  CHECK(what(result) == "");
  CHECK(view >= 3);
  CHECK(own < result.batches);
}

TEST_CASE("a new primary that lacks batches and the state to start from fetches both") {
  Plan plan = stage(3);
  plan.dead = {0};
  plan.dead_at = 9 * second;
  std::uint64_t behind = 0;
  const RunResult result = run_plan(plan, false, [&](World& world, Nodes& nodes) {
    world.scheduler.at(second, [&] { cut_off(world, 1, 9 * second); });
    world.scheduler.at(9 * second - millisecond,
                       [&] { behind = nodes[0]->status().stable.value - nodes[1]->status().executed.value; });
  });
  CHECK(what(result) == "");
  CHECK(behind > 8);
  CHECK(result.sometimes.view_entered >= 3);
  CHECK(result.sometimes.transfer_finished >= 1);
}

// Slots of one request each that are executed between 40 and 60 seconds, under load all the time.
std::uint64_t late_throughput(std::map<std::uint32_t, std::vector<Lie>> liars, std::uint64_t& lies) {
  Plan plan = stage(4);
  plan.cluster.checkpoint_interval = 32;
  plan.cluster.window = 64;
  plan.local.max_batch_requests = 1;
  plan.network.delay_min = 10 * millisecond;
  plan.network.delay_max = 15 * millisecond;
  plan.clients.operations = 5'000;
  plan.clients.think_max = millisecond;
  plan.clients.reads = 0;
  plan.duration = 60 * second;
  plan.liars = std::move(liars);
  std::uint64_t at_40 = 0;
  std::uint64_t at_60 = 0;
  const RunResult result = run_plan(plan, false, [&](World& world, Nodes& nodes) {
    world.scheduler.at(40 * second, [&] { at_40 = nodes[1]->status().executed.value; });
    world.scheduler.at(60 * second, [&] { at_60 = nodes[1]->status().executed.value; });
  });
  CHECK(what(result) == "");
  for (const std::uint64_t count : result.lies) lies += count;
  return at_60 - at_40;
}

TEST_CASE(
    "rule 37: a primary that is slow on purpose, or starves a client, costs no more than half of the throughput") {
  std::uint64_t lies = 0;
  const std::uint64_t honest = late_throughput({}, lies);
  REQUIRE(lies == 0);
  REQUIRE(honest > 200);
  for (const Lie lie : {Lie::slow, Lie::starve_client}) {
    std::uint64_t told = 0;
    const std::uint64_t reached = late_throughput({{0, {lie}}}, told);
    CAPTURE(static_cast<int>(lie), honest, reached, told);
    CHECK(told > 0);
    CHECK(2 * reached >= honest);
  }
}

TEST_CASE("clusters of 10, 13 and 16 under the storms of the smaller ones") {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    Plan plan = draw_plan(seed);
    plan.cluster.replicas = 10 + 3 * static_cast<std::uint32_t>(seed % 3);
    // Who is bad in the plan stays so; others are added up to f.
    for (std::uint32_t i = plan.cluster.replicas - 1;
         plan.dead.size() + plan.wiped.size() + plan.liars.size() < plan.f(); --i) {
      if (plan.wiped.contains(i) || plan.lies(i)) continue;
      if (seed % 2 == 0) {
        plan.dead.insert(i);
      } else {
        plan.liars[i] = {static_cast<Lie>((seed + i) % drawn_lie_count)};
      }
    }
    const RunResult result = run_plan(plan, false);
    CAPTURE(seed, plan.cluster.replicas, result.plan);
    CHECK(what(result) == "");
    CHECK(result.answered > 0);
  }
}
