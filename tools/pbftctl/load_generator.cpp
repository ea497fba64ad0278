#include "tools/pbftctl/load_generator.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <utility>

namespace pbft::ctl {
namespace {

using Clock = std::chrono::steady_clock;

struct Window {
  Clock::time_point from;
  Clock::time_point to;
  [[nodiscard]] bool holds(Clock::time_point time) const { return time >= from && time < to; }
};

// What ends the run before its time: an operation that the plugin refuses to make. Any thread.
class Failure {
 public:
  void set(std::string message) {
    const std::lock_guard lock{mutex_};
    if (!is_set_) message_ = std::move(message);
    is_set_ = true;
    changed_.notify_all();
  }
  [[nodiscard]] bool is_set() const { return is_set_; }
  [[nodiscard]] std::optional<std::string> message() {
    const std::lock_guard lock{mutex_};
    return is_set_ ? std::optional{message_} : std::nullopt;
  }
  // True: it is set.
  [[nodiscard]] bool wait_until(Clock::time_point time) {
    std::unique_lock lock{mutex_};
    return changed_.wait_until(lock, time, [this] { return is_set_.load(); });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::atomic<bool> is_set_{false};
  std::string message_;
};

// One connection and what came of its operations. Submissions come from the caller's thread and from the client's.
class Lane {
 public:
  Lane(client::Client& client, const execution::Plugin& plugin, OperationOptions options, Window window,
       std::chrono::milliseconds timeout, Failure& failure)
      : client_(client), window_(window), timeout_(timeout), failure_(failure), maker_(plugin, std::move(options)) {}

  // Keeps one more operation outstanding until the window ends.
  void keep_busy(Clock::time_point now) {
    if (now >= window_.to || failure_.is_set()) return;
    submit([this, now](const client::Outcome& outcome) {
      keep_busy(count(outcome, now));
      ended();
    });
  }
  void submit_once(Clock::time_point due) {
    submit([this, due](const client::Outcome& outcome) {
      static_cast<void>(count(outcome, due));
      ended();
    });
  }

  [[nodiscard]] std::uint64_t completed() const { return completed_; }
  void wait() {
    std::unique_lock lock{mutex_};
    idle_.wait(lock, [this] { return outstanding_ == 0; });
  }
  void add_to(LoadReport& report) {
    const std::lock_guard lock{mutex_};
    report.completed += counts_.completed;
    report.failed += counts_.failed;
    report.refused += counts_.refused;
    report.timed_out += counts_.timed_out;
    report.busy += counts_.busy;
    report.unknown += counts_.unknown;
    report.latency.merge(counts_.latency);
    if (report.first_trouble.empty()) report.first_trouble = counts_.first_trouble;
  }

 private:
  // `done` has to call ended().
  template <class Done>
  void submit(Done done) {
    execution::Plugin::Parsed operation;
    {
      const std::lock_guard lock{mutex_};
      auto made = maker_.next(number_++);
      if (!made) {  // the first one was parsed before anything began, so this is a rare choice of words
        failure_.set(fmt::format("operation {}: {}", number_ - 1, made.error()));
        return;
      }
      operation = std::move(*made);
      ++outstanding_;
    }
    if (operation.read_only) {
      client_.query(std::move(operation.operation), timeout_, done);
    } else {
      client_.submit(std::move(operation.operation), timeout_, done);
    }
  }

  void ended() {
    const std::lock_guard lock{mutex_};
    if (--outstanding_ == 0) idle_.notify_all();
  }

  // Gives the time at which it ended.
  Clock::time_point count(const client::Outcome& outcome, Clock::time_point due) {
    const auto now = Clock::now();
    const std::lock_guard lock{mutex_};
    if (outcome.kind == client::OutcomeKind::failed) ++counts_.failed;
    if (outcome.kind == client::OutcomeKind::ok || outcome.kind == client::OutcomeKind::failed) {
      ++completed_;
      if (window_.holds(now)) ++counts_.completed;
      if (window_.holds(due)) {
        const auto took = std::chrono::duration_cast<std::chrono::microseconds>(now - due);
        counts_.latency.add(static_cast<std::uint64_t>(took.count()));
      }
      return now;
    }
    if (outcome.kind == client::OutcomeKind::refused) ++counts_.refused;
    if (outcome.kind == client::OutcomeKind::timed_out) ++counts_.timed_out;
    if (outcome.kind == client::OutcomeKind::busy) ++counts_.busy;
    if (outcome.kind == client::OutcomeKind::unknown) ++counts_.unknown;
    if (counts_.first_trouble.empty()) {
      counts_.first_trouble = outcome.message.empty() ? std::string{as_text(outcome.result)} : outcome.message;
    }
    return now;
  }

  client::Client& client_;
  const Window window_;
  const std::chrono::milliseconds timeout_;
  Failure& failure_;
  std::atomic<std::uint64_t> completed_{0};  // ever

  std::mutex mutex_;
  std::condition_variable idle_;
  OperationMaker maker_;  // guarded by mutex_, and so is all below
  std::uint64_t number_ = 0;
  std::uint64_t outstanding_ = 0;
  LoadReport counts_;
};

// Tells about once a second how fast it goes.
class Teller {
 public:
  Teller(const std::vector<std::unique_ptr<Lane>>& lanes, const std::function<void(double, double)>& progress)
      : lanes_(lanes), progress_(progress) {}

  void tell_if_due() {
    const auto now = Clock::now();
    if (now < next_) return;
    std::uint64_t completed = 0;
    for (const auto& lane : lanes_) completed += lane->completed();
    const auto seconds = [](Clock::duration time) { return std::chrono::duration<double>(time).count(); };
    progress_(seconds(now - start_), static_cast<double>(completed - told_) / seconds(now - last_));
    told_ = completed;
    last_ = now;
    next_ = now + std::chrono::seconds{1};
  }
  [[nodiscard]] Clock::time_point next() const { return next_; }

 private:
  const std::vector<std::unique_ptr<Lane>>& lanes_;
  const std::function<void(double, double)>& progress_;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point last_ = start_;
  Clock::time_point next_ = start_ + std::chrono::seconds{1};
  std::uint64_t told_ = 0;
};

void run_closed(const std::vector<std::unique_ptr<Lane>>& lanes, std::size_t outstanding, Clock::time_point end,
                Teller& teller, Failure& failure) {
  for (std::size_t i = 0; i < outstanding; ++i) lanes[i % lanes.size()]->keep_busy(Clock::now());
  while (Clock::now() < end) {
    if (failure.wait_until(std::min(end, teller.next()))) return;
    teller.tell_if_due();
  }
}

void run_open(const std::vector<std::unique_ptr<Lane>>& lanes, double rate, Clock::time_point end, Teller& teller,
              Failure& failure) {
  const auto start = Clock::now();
  for (std::uint64_t i = 0;; ++i) {
    const auto after = std::chrono::duration<double>(static_cast<double>(i) / rate);
    const auto due = start + std::chrono::duration_cast<Clock::duration>(after);
    if (due >= end || failure.wait_until(due)) return;
    lanes[i % lanes.size()]->submit_once(due);
    teller.tell_if_due();
  }
}

// Before anything is sent.
Result<void> check_words(const execution::Plugin& plugin, const OperationOptions& options) {
  OperationOptions plain = options;
  plain.read_words.clear();
  if (auto write = OperationMaker{plugin, plain}.next(0); !write) return tl::unexpected(write.error());
  if (options.read_words.empty()) return {};
  plain.words = options.read_words;
  const auto read = OperationMaker{plugin, plain}.next(0);
  if (!read) return tl::unexpected(read.error());
  if (!read->read_only) return tl::unexpected("--read: `" + options.read_words.front() + "` is not read-only");
  return {};
}

}  // namespace

Result<LoadReport> run_load(const std::vector<std::unique_ptr<client::Client>>& clients,
                            const execution::Plugin& plugin, const LoadOptions& options,
                            const std::function<void(double, double)>& progress) {
  if (auto understood = check_words(plugin, options.operation); !understood) return tl::unexpected(understood.error());
  const auto start = Clock::now();
  const Window window{start + options.warm_up, start + options.warm_up + options.duration};
  Failure failure;
  std::vector<std::unique_ptr<Lane>> lanes;
  for (const auto& client : clients) {
    OperationOptions mine = options.operation;
    mine.seed += lanes.size() * 1'000'003;
    lanes.push_back(std::make_unique<Lane>(*client, plugin, std::move(mine), window, options.timeout, failure));
  }
  Teller teller{lanes, progress};
  if (options.rate > 0) {
    run_open(lanes, options.rate, window.to, teller, failure);
  } else {
    run_closed(lanes, options.outstanding, window.to, teller, failure);
  }
  LoadReport report;
  report.seconds = std::chrono::duration<double>(options.duration).count();
  // Every operation has a deadline, so that all of them end.
  for (const auto& lane : lanes) lane->wait();
  if (const auto message = failure.message()) return tl::unexpected(*message);
  for (const auto& lane : lanes) lane->add_to(report);
  return report;
}

}  // namespace pbft::ctl
