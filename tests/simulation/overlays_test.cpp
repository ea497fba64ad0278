// What is laid over the plans of some seeds, and that all other seeds stay as they are.
#include "tools/sim/overlays.h"

#include <catch2/catch.hpp>

using namespace pbft::sim;

namespace {

std::size_t bad_replicas(const Plan& plan) {
  return plan.dead.size() + plan.wiped.size() + plan.liars.size();
}

}  // namespace

TEST_CASE("a share of the seeds runs for hours, the same ones whenever the share is as large or larger") {
  std::size_t long_ones = 0;
  for (std::uint64_t seed = 1; seed <= 1'000; ++seed) {
    CAPTURE(seed);
    const Plan plan = draw_plan(seed);
    const Plan short_one = draw_plan(seed, {.hours = 0});
    const Plan long_one = draw_plan(seed, {.hours = 100});
    REQUIRE(short_one.duration <= 45 * second);
    REQUIRE(long_one.duration >= 3'600 * second);
    REQUIRE(long_one.duration <= 7'200 * second);
    REQUIRE(long_one.local.view_timeout_max_ticks * long_one.tick <= 8 * second);
    REQUIRE(describe(plan) == describe(plan.pace > 1 ? long_one : short_one));
    long_ones += plan.pace > 1 ? 1 : 0;
  }
  CHECK(long_ones > 20);
  CHECK(long_ones < 60);
}

TEST_CASE("twins and liars of transfers count toward f") {
  std::size_t with_twins = 0;
  for (std::uint64_t seed = 1; seed <= 2'000; ++seed) {
    CAPTURE(seed);
    const Plan plan = draw_plan(seed);
    REQUIRE(bad_replicas(plan) <= plan.f());
    REQUIRE(plan.wiped.empty() == (plan.of(Fault::wiped_disk).mean == 0));
    for (const auto& [replica, lies] : plan.liars) {
      with_twins += plan.twins(replica) ? 1 : 0;
      REQUIRE_FALSE(lies.empty());
      REQUIRE_FALSE(plan.dead.contains(replica));
      REQUIRE_FALSE(plan.wiped.contains(replica));
    }
  }
  CHECK(with_twins > 40);
  CHECK(with_twins < 120);
}

TEST_CASE("a seed takes one of the sizes that it is given, with at most f bad ones and timers that fit") {
  std::set<std::uint32_t> sizes;
  std::set<std::size_t> bad_ones;
  for (std::uint64_t seed = 1; seed <= 500; ++seed) {
    CAPTURE(seed);
    const Plan plan = draw_plan(seed, {.sizes = {4, 10, 13, 16}});
    sizes.insert(plan.cluster.replicas);
    bad_ones.insert(bad_replicas(plan));
    REQUIRE(bad_replicas(plan) <= plan.f());
    REQUIRE((2 * plan.f() + 1) * plan.local.view_timeout_max_ticks * plan.tick <= 60 * second);
    REQUIRE(plan.local.view_timeout_ticks <= plan.local.view_timeout_max_ticks);
    for (const std::uint32_t replica : plan.dead) REQUIRE(replica < plan.cluster.replicas);
    for (const std::uint32_t replica : plan.wiped) REQUIRE(replica < plan.cluster.replicas);
    for (const auto& [replica, lies] : plan.liars) REQUIRE(replica < plan.cluster.replicas);
  }
  CHECK(sizes == std::set<std::uint32_t>{4, 10, 13, 16});
  CHECK(bad_ones.contains(5));
}

TEST_CASE("a share of the seeds signs with Ed25519") {
  std::size_t real = 0;
  for (std::uint64_t seed = 1; seed <= 1'000; ++seed) {
    REQUIRE_FALSE(draw_plan(seed, {.crypto = 0}).ed25519);
    REQUIRE(draw_plan(seed, {.crypto = 100}).ed25519);
    real += draw_plan(seed, {.crypto = 10}).ed25519 ? 1 : 0;
  }
  CHECK(real > 60);
  CHECK(real < 140);
}
