#include "tools/pbftctl/node_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <deque>
#include <fstream>
#include <sstream>
#include <utility>

#include "node/runtime/toml_reader.h"

namespace pbft::ctl {

namespace {

namespace fs = std::filesystem;

std::string first_line(const fs::path& file) {
  std::ifstream stream{file};
  std::string line;
  std::getline(stream, line);
  return line;
}

std::string boot_id() {
  return first_line("/proc/sys/kernel/random/boot_id");
}

// Start time in clock ticks since boot; nothing: no such process, or it has ended and only waits to be reaped.
std::optional<unsigned long long> start_time(pid_t pid) {
  const std::string stat = first_line(fmt::format("/proc/{}/stat", pid));
  // The second field is the program's name in parentheses and may hold anything, so count from its end.
  const std::size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields{stat.substr(name_end + 1)};
  std::string field;
  fields >> field;
  if (field == "Z" || field == "X") return std::nullopt;
  for (int i = 4; i <= 22; ++i) fields >> field;
  if (!fields) return std::nullopt;
  return std::stoull(field);
}

int open_pidfd(pid_t pid) {
  return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
}

// Device and inode of the directory, which a copy does not share and a move keeps; nothing: it is not there.
std::string directory_id(const fs::path& directory) {
  struct stat found {};
  if (::stat(directory.c_str(), &found) != 0) return {};
  return fmt::format("{}:{}", found.st_dev, found.st_ino);
}

// One line: process id, its start time, the boot that this counts from, and the home that it was started for.
struct PidRecord {
  pid_t pid = 0;
  unsigned long long start = 0;
  std::string boot;
  std::string home;

  [[nodiscard]] std::string text() const { return fmt::format("{} {} {} {}", pid, start, boot, home); }
};

std::optional<PidRecord> read_pid_file(const fs::path& file) {
  std::ifstream stream{file};
  PidRecord record;
  if (!(stream >> record.pid >> record.start >> record.boot >> record.home) || record.pid <= 1) return std::nullopt;
  return record;
}

// Between fork and exec nothing may be allocated, so `arguments` is ready, program first, null at the end; its paths
// are absolute. Of what the caller has open nothing goes along (a replica would hold its pipes and locks for good), nor
// its working directory (which could not be unmounted).
[[noreturn]] void run_child(const std::vector<char*>& arguments, int log) {
  ::setsid();
  const int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ::dup2(nothing, STDIN_FILENO);
  ::dup2(log, STDOUT_FILENO);
  ::dup2(log, STDERR_FILENO);
  ::close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
  (void)!::chdir("/");
  ::execv(arguments[0], arguments.data());
  const char* reason = std::strerror(errno);
  (void)!::write(STDERR_FILENO, reason, std::strlen(reason));
  ::_exit(127);
}

std::string errno_text(const fs::path& file) {
  return fmt::format("{}: {}", file.string(), std::strerror(errno));
}

}  // namespace

tl::expected<std::vector<LocalReplica>, std::string> local_replicas(const fs::path& directory,
                                                                    const std::vector<std::string>& only) {
  if (!fs::is_regular_file(directory / "genesis.toml")) {
    return tl::unexpected(fmt::format("{} is no cluster: it has no genesis.toml; `pbftctl init {}` makes one",
                                      directory.string(), directory.string()));
  }
  const auto genesis = runtime::load_genesis(directory / "genesis.toml");
  if (!genesis) return tl::unexpected(genesis.error());
  std::vector<LocalReplica> replicas;
  std::vector<std::string> names;
  for (const auto& replica : genesis->replicas) {
    names.push_back(replica.name);
    const bool asked = only.empty() || std::find(only.begin(), only.end(), replica.name) != only.end();
    LocalReplica local{replica.name, directory / replica.name};
    // A replica whose directory was moved to another machine is none of ours.
    if (asked && (fs::exists(local.config_file()) || !only.empty())) replicas.push_back(std::move(local));
  }
  for (const std::string& name : only) {
    if (std::find(names.begin(), names.end(), name) != names.end()) continue;
    const std::string near = runtime::nearest(name, names);
    return tl::unexpected(near.empty()
                              ? fmt::format("there is no replica \"{}\"; there are: {}", name, fmt::join(names, ", "))
                              : fmt::format("there is no replica \"{}\"; did you mean {}?", name, near));
  }
  if (replicas.empty()) {
    return tl::unexpected(fmt::format("{}: no replica of this cluster has its directory here", directory.string()));
  }
  return replicas;
}

StartLock::StartLock(const fs::path& home) : descriptor_(::open(home.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (descriptor_ >= 0) ::flock(descriptor_, LOCK_EX);
}

StartLock::~StartLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

std::optional<NodeProcess> NodeProcess::find(const LocalReplica& replica) {
  const auto record = read_pid_file(replica.pid_file());
  if (!record || record->boot != boot_id() || record->home != directory_id(replica.home)) return std::nullopt;
  // The descriptor first: what it holds cannot be replaced between the check and the signal.
  const int descriptor = open_pidfd(record->pid);
  if (descriptor < 0) return std::nullopt;
  NodeProcess process{record->pid, descriptor};
  process.record_ = record->text();
  if (start_time(record->pid) != record->start) return std::nullopt;
  return process;
}

tl::expected<NodeProcess, std::string> NodeProcess::start(const LocalReplica& replica, const fs::path& program,
                                                          const std::vector<std::string>& arguments) {
  if (::access(program.c_str(), X_OK) != 0) return tl::unexpected(errno_text(program));
  std::vector<std::string> line{fs::absolute(program).string(), fs::absolute(replica.config_file()).string()};
  line.insert(line.end(), arguments.begin(), arguments.end());
  std::vector<char*> raw;
  for (std::string& argument : line) raw.push_back(argument.data());
  raw.push_back(nullptr);
  const int log = ::open(replica.log_file().c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (log < 0) return tl::unexpected(errno_text(replica.log_file()));
  const pid_t pid = ::fork();
  if (pid == 0) run_child(raw, log);
  const std::string failure = pid < 0 ? fmt::format("cannot start a process: {}", std::strerror(errno)) : "";
  ::close(log);
  if (pid < 0) return tl::unexpected(failure);
  NodeProcess process{pid, open_pidfd(pid)};
  if (process.descriptor_ < 0) {
    const std::string reason = fmt::format("pidfd_open: {}", std::strerror(errno));
    ::kill(pid, SIGKILL);  // our own child, not reaped yet: the id is still its
    return tl::unexpected(reason);
  }
  process.record_ = PidRecord{pid, start_time(pid).value_or(0), boot_id(), directory_id(replica.home)}.text();
  // Written aside and renamed, so that a reader never sees half of it.
  const fs::path fresh = replica.pid_file().string() + ".new";
  std::ofstream stream{fresh};
  stream << process.record_ << '\n';
  stream.close();
  std::error_code error;
  fs::rename(fresh, replica.pid_file(), error);
  if (!stream || error) {
    process.send_signal(SIGKILL);
    return tl::unexpected(fmt::format("{}: cannot be written", replica.pid_file().string()));
  }
  return process;
}

NodeProcess::NodeProcess(NodeProcess&& other) noexcept
    : pid_(other.pid_),
      descriptor_(std::exchange(other.descriptor_, -1)),
      record_(std::move(other.record_)),
      status_(other.status_) {}

NodeProcess& NodeProcess::operator=(NodeProcess&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(record_, other.record_);
  std::swap(status_, other.status_);
  return *this;
}

NodeProcess::~NodeProcess() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void NodeProcess::send_signal(int signal) const {
  ::syscall(SYS_pidfd_send_signal, descriptor_, signal, nullptr, 0);
}

bool NodeProcess::wait(std::chrono::milliseconds timeout) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    pollfd entry{descriptor_, POLLIN, 0};
    const int ready = ::poll(&entry, 1, static_cast<int>(std::max<std::int64_t>(0, left.count())));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return false;
    // Reaps it where it is a child of ours, which gives its status just once.
    if (int status = 0; ::waitpid(pid_, &status, WNOHANG) == pid_) status_ = status;
    return true;
  }
}

std::string NodeProcess::how_it_ended() const {
  if (!status_) return {};
  if (!WIFSIGNALED(*status_)) return fmt::format("exit code {}", WEXITSTATUS(*status_));
  return fmt::format("killed by signal {} ({})", WTERMSIG(*status_), ::strsignal(WTERMSIG(*status_)));
}

void NodeProcess::forget(const LocalReplica& replica) const {
  const StartLock lock{replica.home};
  std::error_code error;
  if (first_line(replica.pid_file()) == record_) fs::remove(replica.pid_file(), error);
}

std::string log_tail(const LocalReplica& replica, std::uintmax_t from, std::size_t lines) {
  std::ifstream stream{replica.log_file()};
  stream.seekg(static_cast<std::streamoff>(from));
  std::deque<std::string> kept;
  for (std::string line; std::getline(stream, line);) {
    kept.push_back(line);
    if (kept.size() > lines) kept.pop_front();
  }
  return fmt::format("{}", fmt::join(kept, "\n"));
}

}  // namespace pbft::ctl
