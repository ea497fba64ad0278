#include "tools/sim/batch.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>

#include "tools/sim/reduce.h"
#include "tools/sim/report.h"
#include "tools/sim/rocks_disk.h"

namespace pbft::sim {
namespace {

constexpr unsigned most_jobs = 256;
constexpr std::size_t nothing = ~std::size_t{0};

// What the processes share: which seed is next, and which each of them is at.
struct Board {
  std::atomic<std::size_t> next{0};
  std::atomic<std::size_t> at[most_jobs];
};

struct Worker {
  pid_t pid = 0;
  int pipe = -1;
  std::string received;
};

RunResult run_one(const BatchOptions& options, std::uint64_t seed) {
  const auto plan = reduced_plan(seed, options.reductions, options.shares);
  if (!plan) {
    RunResult refused;
    refused.seed = seed;
    refused.findings.push_back({"usage", 0, {}, "a reduction does not fit this seed"});
    return refused;
  }
  RunResult result = run_plan(*plan, options.verbose);
  if (plan->rocksdb || !options.twice || !options.twice(seed)) return result;
  const RunResult again = run_plan(*plan, false);
  if (again.hash != result.hash) {
    result.findings.push_back({"determinism", 0, {}, "trace " + result.hash + ", the second time " + again.hash});
  }
  return result;
}

class SeedBatch {
 public:
  SeedBatch(const BatchOptions& options, const std::function<void(const RunResult&)>& done);
  ~SeedBatch();
  SeedBatch(const SeedBatch&) = delete;
  SeedBatch& operator=(const SeedBatch&) = delete;
  void run();

 private:
  void start(unsigned slot);
  [[noreturn]] void work(unsigned slot, int out);
  void read(unsigned slot);
  void ended(unsigned slot);
  void take(const RunResult& result);

  const BatchOptions& options_;
  const std::function<void(const RunResult&)>& done_;
  Board* board_;
  std::vector<Worker> workers_;
  std::size_t failures_ = 0;
};

SeedBatch::SeedBatch(const BatchOptions& options, const std::function<void(const RunResult&)>& done)
    : options_(options), done_(done), workers_(std::min(options.jobs, most_jobs)) {
  void* shared = mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) throw std::runtime_error("mmap: " + std::string(std::strerror(errno)));
  board_ = new (shared) Board;
}

SeedBatch::~SeedBatch() {
  munmap(board_, sizeof(Board));
}

void SeedBatch::start(unsigned slot) {
  int ends[2];
  if (pipe(ends) != 0) throw std::runtime_error("pipe: " + std::string(std::strerror(errno)));
  board_->at[slot] = nothing;
  std::fflush(stdout);
  const pid_t pid = fork();
  if (pid < 0) throw std::runtime_error("fork: " + std::string(std::strerror(errno)));
  if (pid == 0) {
    close(ends[0]);
    work(slot, ends[1]);
  }
  close(ends[1]);
  workers_[slot] = {pid, ends[0], {}};
}

void SeedBatch::work(unsigned slot, int out) {
  // A process that dies must not take the timeline with it.
  if (options_.verbose) std::setvbuf(stdout, nullptr, _IOLBF, 1 << 16);
  for (std::size_t i = board_->next++; i < options_.seeds.size(); i = board_->next++) {
    board_->at[slot] = i;
    const std::string line = to_json(run_one(options_, options_.seeds[i])).dump() + "\n";
    for (std::size_t sent = 0; sent < line.size();) {
      const ssize_t wrote = write(out, line.data() + sent, line.size() - sent);
      if (wrote < 0) _exit(3);
      sent += static_cast<std::size_t>(wrote);
    }
    board_->at[slot] = nothing;
  }
  std::fflush(stdout);
  _exit(0);
}

void SeedBatch::take(const RunResult& result) {
  done_(result);
  if (!result.findings.empty() && ++failures_ >= options_.stop_after) board_->next = options_.seeds.size();
}

void SeedBatch::read(unsigned slot) {
  Worker& worker = workers_[slot];
  char buffer[65536];
  const ssize_t got = ::read(worker.pipe, buffer, sizeof buffer);
  if (got <= 0) return ended(slot);
  worker.received.append(buffer, static_cast<std::size_t>(got));
  for (std::size_t end = worker.received.find('\n'); end != std::string::npos; end = worker.received.find('\n')) {
    const std::string line = worker.received.substr(0, end);
    worker.received.erase(0, end + 1);
    take(from_json(nlohmann::json::parse(line)));
  }
}

void SeedBatch::ended(unsigned slot) {
  Worker& worker = workers_[slot];
  close(worker.pipe);
  int status = 0;
  waitpid(worker.pid, &status, 0);
  worker = {};
  const std::size_t at = board_->at[slot];
  if (at != nothing) {
    RunResult result;
    result.seed = options_.seeds[at];
    result.findings.push_back({"no-crash",
                               0,
                               {},
                               WIFSIGNALED(status) ? fmt::format("the process died of signal {} ({})", WTERMSIG(status),
                                                                 strsignal(WTERMSIG(status)))
                                                   : fmt::format("the process ended with {}", WEXITSTATUS(status))});
    take(result);
  }
  if (board_->next < options_.seeds.size()) start(slot);
}

void SeedBatch::run() {
  for (unsigned slot = 0; slot < workers_.size(); ++slot) start(slot);
  for (;;) {
    std::vector<pollfd> wait;
    std::vector<unsigned> slots;
    for (unsigned slot = 0; slot < workers_.size(); ++slot) {
      if (workers_[slot].pipe < 0) continue;
      wait.push_back({workers_[slot].pipe, POLLIN, 0});
      slots.push_back(slot);
    }
    if (wait.empty()) return;
    if (poll(wait.data(), wait.size(), -1) < 0) continue;
    for (std::size_t i = 0; i < wait.size(); ++i) {
      if (wait[i].revents != 0) read(slots[i]);
    }
  }
}

}  // namespace

void run_batch(const BatchOptions& options, const std::function<void(const RunResult&)>& done) {
  SeedBatch(options, done).run();
}

}  // namespace pbft::sim
