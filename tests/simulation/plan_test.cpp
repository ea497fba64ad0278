#include "tools/sim/plan.h"

#include <catch2/catch.hpp>
#include <set>

using namespace pbft::sim;

TEST_CASE("plans stay inside of what the protocol allows") {
  std::set<std::uint32_t> sizes;
  std::set<std::size_t> dead;
  std::set<std::uint32_t> victims;
  std::uint64_t with_liars = 0;
  std::uint64_t with_faults_allowed = 0;
  LieCounts lies{};
  FaultCounts on{};
  for (std::uint64_t seed = 0; seed < 2'000; ++seed) {
    const Plan plan = draw_plan(seed);
    sizes.insert(plan.cluster.replicas);
    dead.insert(plan.dead.size());
    victims.insert(plan.dead.begin(), plan.dead.end());
    with_faults_allowed += plan.f() > 0 ? 1 : 0;
    with_liars += plan.liars.empty() ? 0 : 1;
    for (const auto& [replica, kinds] : plan.liars) {
      for (const Lie lie : kinds) ++lies[static_cast<std::size_t>(lie)];
    }
    REQUIRE(plan.cluster.window >= 2 * plan.cluster.checkpoint_interval);
    REQUIRE(plan.cluster.window % plan.cluster.checkpoint_interval == 0);
    std::set<std::uint32_t> all = plan.dead;
    all.insert(plan.wiped.begin(), plan.wiped.end());
    for (const auto& [replica, kinds] : plan.liars) all.insert(replica);
    REQUIRE(all.size() == plan.dead.size() + plan.wiped.size() + plan.liars.size());
    REQUIRE(all.size() <= plan.f());
    REQUIRE(plan.local.view_timeout_ticks * plan.tick >= 100 * millisecond);
    REQUIRE(plan.local.view_timeout_ticks <= plan.local.view_timeout_max_ticks);
    REQUIRE(plan.local.view_timeout_max_ticks * plan.tick <= 8 * second);
    REQUIRE(plan.clients.faulty <= plan.clients.clients);
    REQUIRE(plan.clients.clients >= 1);
    REQUIRE(plan.clients.clients <= 8);
    REQUIRE(plan.clients.operations >= 1);
    REQUIRE(plan.network.loss <= 300);
    REQUIRE(plan.network.delay_min <= plan.network.delay_max);
    for (std::size_t i = 0; i < fault_count; ++i) on[i] += plan.cadence[i].mean > 0 ? 1 : 0;
  }
  CHECK(sizes == std::set<std::uint32_t>{1, 4, 5, 6, 7});
  CHECK(dead == std::set<std::size_t>{0, 1, 2});
  CHECK(victims.contains(0));  // the first primary as well
  CHECK(with_liars * 1000 / with_faults_allowed > 330);
  CHECK(with_liars * 1000 / with_faults_allowed < 450);
  for (const std::uint64_t seeds : lies) CHECK(seeds > 20);
  for (const Fault fault : {Fault::clog, Fault::partition, Fault::isolate, Fault::type_lost, Fault::crash,
                            Fault::crash_at_boundary, Fault::blackout, Fault::pause, Fault::disk_error}) {
    CHECK(on[static_cast<std::size_t>(fault)] > 100);
    CHECK(on[static_cast<std::size_t>(fault)] < 1'900);
  }
}

TEST_CASE("a seed gives one plan") {
  CHECK(describe(draw_plan(17)) == describe(draw_plan(17)));
}
