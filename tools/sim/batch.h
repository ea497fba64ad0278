// Runs many seeds on several processes. Each run is in a process that may die: a failed assertion or a signal becomes
// a finding of its seed.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "tools/sim/runner.h"

namespace pbft::sim {

struct BatchOptions {
  std::vector<std::uint64_t> seeds;
  unsigned jobs = 1;
  bool verbose = false;
  // Which of the runs are done twice, to compare the trace hashes; not those on RocksDB.
  std::function<bool(std::uint64_t seed)> twice;
  std::size_t stop_after = 20;          // failures
  std::vector<std::string> reductions;  // of the plan of each seed, as reduce.h knows them
  Shares shares;
};

// `done` is called in this process for each seed, in the order in which they end.
void run_batch(const BatchOptions& options, const std::function<void(const RunResult&)>& done);

}  // namespace pbft::sim
