// One run: a cluster under a storm, then everything heals and has to come right.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

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

// Prints the timeline on standard output where `verbose`.
[[nodiscard]] RunResult run_seed(std::uint64_t seed, bool verbose);
[[nodiscard]] RunResult run_plan(const Plan& plan, bool verbose);

}  // namespace pbft::sim
