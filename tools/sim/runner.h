// One run: a cluster under a storm, then everything heals and has to come right.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tools/sim/node.h"
#include "tools/sim/world.h"

namespace pbft::sim {

struct RunResult {
  std::uint64_t seed = 0;
  std::string plan;  // described
  std::string hash;
  std::vector<Finding> findings;  // empty: all is well
  FaultCounts faults{};
  LieCounts lies{};
  Sometimes sometimes;
  std::uint64_t simulated_us = 0;
  std::uint64_t events = 0;
  std::uint64_t frames = 0;
  std::uint64_t bytes = 0;
  std::uint64_t batches = 0;
  std::uint64_t checkpoints = 0;
  std::uint64_t answered = 0;
  std::uint64_t abandoned = 0;
  std::uint64_t checked_reads = 0;
  std::uint64_t checked_writes = 0;
  std::uint64_t audited_promises = 0;
  std::uint64_t new_views = 0;
  std::uint64_t starts = 0;
  std::uint64_t latency_us = 0;  // sum over the answered
};

// Sets things going before a run starts, in place of chance: what it schedules happens at its time.
using Script = std::function<void(World&, std::vector<std::unique_ptr<Node>>&)>;

// Prints the timeline on standard output where `verbose`.
[[nodiscard]] RunResult run_plan(const Plan& plan, bool verbose, const Script& script = {});

}  // namespace pbft::sim
