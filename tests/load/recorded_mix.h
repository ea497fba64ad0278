// A mix of reads and writes on few keys, of which each operation is written down with its times, for the checkers of
// tools/sim/checkers/client_history.h.
#pragma once

#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "tests/load/workload.h"
#include "tools/sim/checkers/client_history.h"
#include "tools/sim/random.h"

namespace pbft::load {

// Registers are read, put, compared and swapped, and deleted; counters are incremented; and marks are created once
// each. All values are different. What the operations are follows from the seed and from the answers.
class RecordedMix final : public Workload {
 public:
  struct Options {
    std::filesystem::path file;  // the history
    std::uint64_t seed = 1;
    std::size_t registers = 8;
    std::size_t counters = 3;
  };
  RecordedMix(const Options& options, std::size_t lanes);

  [[nodiscard]] std::optional<Operation> next(std::size_t lane) override;
  void done(std::size_t lane, const Operation& operation, const client::Outcome& outcome) override;
  // Reads every key that was written, as the last entries of the history; a problem is only what could not be read.
  [[nodiscard]] std::vector<std::string> verify(client::Client& client) override;

 private:
  struct Lane {
    sim::Random random;
    std::uint64_t issued = 0;
    sim::ClientOperation current;
    // What each register held when this lane last saw it.
    std::map<std::string, std::optional<std::string>> seen;
  };

  [[nodiscard]] sim::KvOperation draw(std::size_t lane);
  [[nodiscard]] sim::KvOperation draw_write(std::size_t lane, const std::string& key);
  static void learn(Lane& lane);
  void record(const sim::ClientOperation& one);

  Options options_;
  std::vector<Lane> lanes_;  // each is used by one thread at a time
  std::mutex mutex_;
  std::ofstream stream_;        // guarded by mutex_
  std::set<std::string> keys_;  // guarded by mutex_
};

}  // namespace pbft::load
