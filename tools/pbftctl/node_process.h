// The processes of a cluster that runs on this machine: DIR/<name>/node.pid names each replica's. A process is only
// ever signalled while it is certain that it is the one that was started: the file keeps its start time and the boot
// that this time counts from, and signals go through a pidfd, so a recycled process id is never hit. It also keeps the
// home that the process was started for: a copy of a cluster has the file too, but none of the processes.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "node/runtime/config.h"

namespace pbft::ctl {

struct LocalReplica {
  std::string name;
  std::filesystem::path home;  // DIR/<name>
  [[nodiscard]] std::filesystem::path config_file() const { return home / "node.toml"; }
  [[nodiscard]] std::filesystem::path log_file() const { return home / "node.log"; }
  [[nodiscard]] std::filesystem::path pid_file() const { return home / "node.pid"; }
};

// The replicas of the cluster in DIR that live in it; with `only`, just these. Errors name what is missing.
[[nodiscard]] tl::expected<std::vector<LocalReplica>, std::string> local_replicas(
    const std::filesystem::path& directory, const std::vector<std::string>& only);

// Held by whoever starts a replica or removes its pid file: nobody else does either meanwhile. Freed when the process
// ends, at the latest.
class StartLock {
 public:
  explicit StartLock(const std::filesystem::path& home);
  StartLock(const StartLock&) = delete;
  StartLock& operator=(const StartLock&) = delete;
  ~StartLock();

 private:
  int descriptor_;
};

// A running process, held by a pidfd.
class NodeProcess {
 public:
  // That of the pid file; nothing: it does not run (any more), or was started for another home.
  [[nodiscard]] static std::optional<NodeProcess> find(const LocalReplica& replica);
  // Starts `program` with the configuration and these arguments in a session of its own, in the root directory, with
  // its output in the log file and nothing else open, and writes the pid file. The caller holds the StartLock.
  [[nodiscard]] static tl::expected<NodeProcess, std::string> start(const LocalReplica& replica,
                                                                    const std::filesystem::path& program,
                                                                    const std::vector<std::string>& arguments);

  NodeProcess(NodeProcess&& other) noexcept;
  NodeProcess& operator=(NodeProcess&& other) noexcept;
  NodeProcess(const NodeProcess&) = delete;
  NodeProcess& operator=(const NodeProcess&) = delete;
  ~NodeProcess();

  [[nodiscard]] pid_t pid() const { return pid_; }
  void send_signal(int signal) const;
  // Waits until it has ended; false: it still runs after that time. Zero asks without waiting.
  [[nodiscard]] bool wait(std::chrono::milliseconds timeout);
  // "exit code 1", "killed by signal 11 (Segmentation fault)"; nothing: it runs, or somebody else started it.
  [[nodiscard]] std::string how_it_ended() const;
  // Removes the pid file of a process that has ended, unless it names the one of a later start. Takes the StartLock.
  void forget(const LocalReplica& replica) const;

 private:
  NodeProcess(pid_t pid, int descriptor) : pid_(pid), descriptor_(descriptor) {}

  pid_t pid_;
  int descriptor_;
  std::string record_;         // what the pid file says where it names this process
  std::optional<int> status_;  // that of waitpid, once it has ended; of children only
};

// The last lines of the log that were written after `from` (a size of the file).
[[nodiscard]] std::string log_tail(const LocalReplica& replica, std::uintmax_t from, std::size_t lines = 15);

}  // namespace pbft::ctl
