// A load on a cluster, and how long its operations took.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tools/pbftctl/histogram.h"
#include "tools/pbftctl/operation_maker.h"

namespace pbft::ctl {

struct LoadOptions {
  OperationOptions operation;
  // Closed loop: what is kept outstanding, spread over the clients. Where `rate` is given it is not used.
  std::size_t outstanding = 1;
  // Open loop: operations a second, by all clients together, each at its time whatever became of those before. An
  // operation's latency counts from when it was due, so that a cluster that stands still does not hide it (coordinated
  // omission). 0: closed loop.
  double rate = 0;
  std::chrono::milliseconds warm_up{2'000};  // not counted
  std::chrono::milliseconds duration{10'000};
  std::chrono::milliseconds timeout{10'000};  // of one operation
};

struct LoadReport {
  double seconds = 0;           // that were measured
  std::uint64_t completed = 0;  // with a result that the cluster agreed on, while it was measured
  std::uint64_t failed = 0;     // of all results, those that are a failure to the state machine (no such key)
  std::uint64_t refused = 0;    // by the cluster; this and the next are of the whole run, too
  std::uint64_t timed_out = 0;
  std::uint64_t busy = 0;
  std::uint64_t unknown = 0;  // sent, and the result is lost
  std::string first_trouble;  // what the first that did not end well said
  Histogram latency;          // microseconds, of those that were due while it was measured and completed

  [[nodiscard]] double per_second() const { return seconds == 0 ? 0 : static_cast<double>(completed) / seconds; }
};

// Runs the load to its end. `progress` is called about once a second on the caller's thread with what has completed
// since the last time and the seconds since the start. The error says which operation the plugin does not understand:
// where there is one, the run ends with it.
[[nodiscard]] Result<LoadReport> run_load(const std::vector<std::unique_ptr<client::Client>>& clients,
                                          const execution::Plugin& plugin, const LoadOptions& options,
                                          const std::function<void(double seconds, double per_second)>& progress);

}  // namespace pbft::ctl
