// Simulated time and what happens in it. Events run ordered by (time, order of scheduling), so a run is a function
// of its seed.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

namespace pbft::sim {

using Microseconds = std::uint64_t;
inline constexpr Microseconds millisecond = 1'000;
inline constexpr Microseconds second = 1'000'000;

class Scheduler {
 public:
  using Action = std::function<void()>;

  [[nodiscard]] Microseconds now() const { return now_; }

  // A time that has passed means now.
  void at(Microseconds time, Action action) {
    events_.push_back({time < now_ ? now_ : time, sequence_++, std::move(action)});
    std::push_heap(events_.begin(), events_.end(), later);
  }
  void after(Microseconds delay, Action action) { at(now_ + delay, std::move(action)); }

  // Runs the next event; false where there is none before `end`, and then it is `end`.
  bool run_one(Microseconds end) {
    if (events_.empty() || events_.front().time > end) {
      now_ = end;
      return false;
    }
    std::pop_heap(events_.begin(), events_.end(), later);
    Event event = std::move(events_.back());
    events_.pop_back();
    now_ = event.time;
    event.action();
    return true;
  }

 private:
  struct Event {
    Microseconds time;
    std::uint64_t sequence;
    Action action;
  };
  static bool later(const Event& a, const Event& b) {
    return a.time != b.time ? a.time > b.time : a.sequence > b.sequence;
  }

  Microseconds now_ = 0;
  std::uint64_t sequence_ = 0;
  std::vector<Event> events_;  // Invariant: a heap by `later`
};

}  // namespace pbft::sim
