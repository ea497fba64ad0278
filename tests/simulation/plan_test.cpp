#include "tools/sim/plan.h"

#include <catch2/catch.hpp>
#include <set>

using namespace pbft::sim;

TEST_CASE("plans stay inside of what the protocol allows") {
  std::set<std::uint32_t> sizes;
  std::set<std::uint32_t> dead;
  FaultCounts on{};
  for (std::uint64_t seed = 0; seed < 2'000; ++seed) {
    const Plan plan = draw_plan(seed);
    sizes.insert(plan.cluster.replicas);
    dead.insert(plan.dead);
    REQUIRE(plan.cluster.window >= 2 * plan.cluster.checkpoint_interval);
    REQUIRE(plan.cluster.window % plan.cluster.checkpoint_interval == 0);
    REQUIRE(plan.dead <= plan.f());
    REQUIRE(plan.clients.clients >= 1);
    REQUIRE(plan.clients.clients <= 8);
    REQUIRE(plan.clients.operations >= 1);
    REQUIRE(plan.network.loss <= 300);
    REQUIRE(plan.network.delay_min <= plan.network.delay_max);
    for (std::size_t i = 0; i < fault_count; ++i) on[i] += plan.cadence[i].mean > 0 ? 1 : 0;
  }
  CHECK(sizes == std::set<std::uint32_t>{1, 4, 5, 6, 7});
  CHECK(dead == std::set<std::uint32_t>{0, 1, 2});
  for (const Fault fault : {Fault::clog, Fault::partition, Fault::isolate, Fault::type_lost, Fault::crash,
                            Fault::crash_at_boundary, Fault::blackout, Fault::pause, Fault::disk_error}) {
    CHECK(on[static_cast<std::size_t>(fault)] > 100);
    CHECK(on[static_cast<std::size_t>(fault)] < 1'900);
  }
}

TEST_CASE("a seed gives one plan") {
  CHECK(describe(draw_plan(17)) == describe(draw_plan(17)));
}
