// One scripted run through the normal case, checkpoints, a view change and a state transfer; then the same again for
// each boundary of each replica, with a loss of power exactly there that takes all that was not synced. All checkers
// look on, and after the healing every request has to be answered and all replicas have to agree.
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>

#include "tests/simulation/stage.h"

using namespace pbft;
using namespace pbft::sim;

namespace {

constexpr std::uint32_t replicas = 4;
constexpr std::uint32_t laggard = 3;  // fetches a state

Plan stage() {
  Plan plan = quiet_plan(1, 2);
  plan.local.view_timeout_ticks = 8;
  plan.local.view_timeout_max_ticks = 40;
  plan.tick = 50 * millisecond;
  plan.final_blackout = false;
  plan.clients.clients = 2;
  plan.clients.outstanding = 1;
  plan.clients.operations = 9;
  plan.clients.think_max = 300 * millisecond;
  plan.clients.reads = 100;
  plan.duration = 4 * second;
  return plan;
}

// The laggard is cut off while the others take checkpoints, and is back; then the primary stands still until the others
// have gone on without it.
void play(World& world, Nodes& nodes) {
  world.scheduler.at(200 * millisecond, [&world] { cut_off(world, laggard, 1500 * millisecond); });
  world.scheduler.at(2200 * millisecond, [&nodes] { nodes[0]->pause(3200 * millisecond); });
}

struct Boundaries {
  std::array<std::vector<Boundary>, replicas> of;
};

RunResult count(Boundaries& found) {
  return run_plan(stage(), false, [&](World& world, Nodes& nodes) {
    play(world, nodes);
    for (std::uint32_t i = 0; i < replicas; ++i) {
      nodes[i]->watch_boundaries([&found, i](Boundary at) { found.of[i].push_back(at); });
    }
    // What comes after the healing is no part of the story.
    world.scheduler.at(stage().duration - 1, [&nodes] {
      for (auto& node : nodes) node->watch_boundaries({});
    });
  });
}

struct Crash {
  std::uint32_t replica = 0;
  std::uint64_t boundary = 0;  // from the start of the run, the first is 1
  std::uint64_t again = 0;     // and this one from the restart; 0: none
};

// The replica starts again within 100 ms.
void watch(World& world, Node& node, std::uint64_t again) {
  const std::uint64_t starts = node.starts();
  world.scheduler.after(100 * millisecond, [&world, &node, again, starts] {
    if (!node.running()) {
      node.start();
      if (again > 0 && starts == 1) node.crash_at_boundary(again, true);
    }
    watch(world, node, again);
  });
}

RunResult crash(const Crash& crash) {
  return run_plan(stage(), false, [&crash](World& world, Nodes& nodes) {
    play(world, nodes);
    nodes[crash.replica]->crash_at_boundary(crash.boundary, true);
    watch(world, *nodes[crash.replica], crash.again);
  });
}

std::uint64_t crashes(const RunResult& result) {
  return result.faults[static_cast<std::size_t>(Fault::crash_at_boundary)];
}

void report(const Boundaries& found) {
  fmt::print("crashes at each boundary:\n{:20}", "");
  for (std::uint32_t i = 0; i < replicas; ++i) fmt::print(" replica {}", i);
  fmt::print("\n");
  for (std::size_t kind = 0; kind < boundary_count; ++kind) {
    fmt::print("{:20}", to_string(static_cast<Boundary>(kind)));
    for (const auto& own : found.of) fmt::print("{:10}", std::ranges::count(own, static_cast<Boundary>(kind)));
    fmt::print("\n");
  }
  std::fflush(stdout);
}

Boundaries told() {
  Boundaries found;
  const RunResult result = count(found);
  REQUIRE(what(result) == "");
  REQUIRE(result.answered > 0);
  return found;
}

}  // namespace

TEST_CASE("the story has all of it: checkpoints, a view change, a state transfer") {
  Boundaries found;
  const RunResult result = count(found);
  CHECK(what(result) == "");
  CHECK(result.batches >= 8);
  CHECK(result.checkpoints >= 4);
  CHECK(result.sometimes.stable >= 8);
  CHECK(result.sometimes.view_entered >= 3);
  CHECK(result.sometimes.transfer_finished >= 1);
  for (const auto& own : found.of) {
    for (std::size_t kind = 0; kind < boundary_count; ++kind) {
      CHECK(std::ranges::count(own, static_cast<Boundary>(kind)) > 0);
    }
  }
}

TEST_CASE("power is lost at every boundary of every replica") {
  const Boundaries found = told();
  report(found);
  for (std::uint32_t replica = 0; replica < replicas; ++replica) {
    for (std::uint64_t k = 1; k <= found.of[replica].size(); ++k) {
      const std::string kind = to_string(found.of[replica][k - 1]);
      CAPTURE(replica, k, kind);
      const RunResult result = crash({replica, k});
      REQUIRE(what(result) == "");
      REQUIRE(crashes(result) == 1);
    }
  }
}

TEST_CASE("power is lost at every boundary, and again during the recovery", "[.long]") {
  const Boundaries found = told();
  std::uint64_t twice = 0;
  for (std::uint32_t replica = 0; replica < replicas; ++replica) {
    for (std::uint64_t k = 1; k <= found.of[replica].size(); ++k) {
      for (const std::uint64_t again : {1, 2, 3, 5, 8, 13}) {
        CAPTURE(replica, k, again);
        const RunResult result = crash({replica, k, again});
        REQUIRE(what(result) == "");
        if (crashes(result) == 2) ++twice;
      }
    }
  }
  fmt::print("{} runs with two crashes\n", twice);
  CHECK(twice > 100);
}
