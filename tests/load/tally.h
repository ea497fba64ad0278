// What a load has come to so far. Thread-safe.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <mutex>

#include "tools/client/cpp/pbft/client_core.h"

namespace pbft::load {

using Clock = std::chrono::steady_clock;

class Tally {
 public:
  struct Counts {
    std::uint64_t acknowledged = 0;
    std::uint64_t unknown = 0;  // timed out: may have taken effect or not
    std::uint64_t busy = 0;     // the same, since the cluster had more work than it could take
    std::uint64_t refused = 0;  // by the cluster or by the state machine
    double seconds = 0;         // since the start
    // The longest time without an acknowledgement since the last reset, with the one that goes on.
    double longest_gap_ms = 0;
    double slowest_ms = 0;  // the longest that one acknowledged operation took, since the last reset
  };

  void count(client::OutcomeKind kind, Clock::time_point sent) {
    const auto now = Clock::now();
    const std::lock_guard lock{mutex_};
    if (kind == client::OutcomeKind::timed_out || kind == client::OutcomeKind::unknown) {
      ++counts_.unknown;
    } else if (kind == client::OutcomeKind::busy) {
      ++counts_.busy;
    } else if (kind != client::OutcomeKind::ok) {
      ++counts_.refused;
    } else {
      ++counts_.acknowledged;
      longest_gap_ = std::max(longest_gap_, now - last_);
      slowest_ = std::max(slowest_, now - sent);
      last_ = now;
    }
  }

  // What follows is measured from now on.
  void reset() {
    const std::lock_guard lock{mutex_};
    longest_gap_ = {};
    slowest_ = {};
    last_ = Clock::now();
  }

  [[nodiscard]] Counts counts() const {
    using Milliseconds = std::chrono::duration<double, std::milli>;
    const std::lock_guard lock{mutex_};
    Counts counts = counts_;
    const auto now = Clock::now();
    counts.seconds = std::chrono::duration<double>(now - start_).count();
    counts.longest_gap_ms = Milliseconds(std::max(longest_gap_, now - last_)).count();
    counts.slowest_ms = Milliseconds(slowest_).count();
    return counts;
  }

 private:
  mutable std::mutex mutex_;
  Counts counts_;
  Clock::time_point start_ = Clock::now();
  Clock::time_point last_ = start_;
  Clock::duration longest_gap_{};
  Clock::duration slowest_{};
};

}  // namespace pbft::load
