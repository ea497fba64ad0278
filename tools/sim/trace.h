// A running hash over everything that happens in a run, and the readable timeline of it when asked for. Two runs are
// the same if their hashes are.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "node/pbft/types.h"
#include "tools/sim/scheduler.h"

namespace pbft::sim {

// Fast, not cryptographic; the same on every little-endian machine.
[[nodiscard]] std::uint64_t fast_hash(BytesView bytes);

class Trace {
 public:
  Trace(const Scheduler& scheduler, bool verbose) : scheduler_(scheduler), verbose_(verbose) {}

  enum class Kind : std::uint8_t { send, deliver, drop, turn, executed, checkpoint, outcome, fault, process, event };

  // `a` and `b` are who it concerns; `detail` is what.
  void record(Kind kind, std::uint64_t a, std::uint64_t b, std::uint64_t detail);
  // A line of the timeline; the text is made only where somebody reads it.
  void say(const std::function<std::string()>& text) const;

  [[nodiscard]] bool verbose() const { return verbose_; }
  [[nodiscard]] std::string hash() const;  // 32 hex digits
  [[nodiscard]] std::uint64_t events() const { return events_; }

 private:
  const Scheduler& scheduler_;
  const bool verbose_;
  std::uint64_t low_ = 0x243f6a8885a308d3ULL;
  std::uint64_t high_ = 0x13198a2e03707344ULL;
  std::uint64_t events_ = 0;
};

}  // namespace pbft::sim
