// pbftctl up: starts the replicas of a cluster on this machine.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <thread>

#include "tools/pbftctl/cluster_maker.h"
#include "tools/pbftctl/commands.h"
#include "tools/pbftctl/output.h"
#include "tools/pbftctl/replica_choice.h"

namespace pbft::ctl {

namespace {

using Clock = std::chrono::steady_clock;

struct UpOptions {
  ReplicaChoice choice;
  bool rejoin = false;
  bool repair = false;

  // What pbft-node is told besides its configuration.
  [[nodiscard]] std::vector<std::string> arguments() const {
    std::vector<std::string> made;
    if (rejoin) made.emplace_back("--rejoin");
    if (repair) made.emplace_back("--repair");
    return made;
  }
};

struct Starting {
  LocalReplica replica;
  runtime::NodeConfig config;
  std::optional<NodeProcess> process;
  Clock::time_point started{};
  std::uintmax_t log_start = 0;
  std::string state;  // "running", "started", "failed"; empty: not known yet
  std::string error;
  std::string note;  // it serves, but not all is well
};

class Connection {
 public:
  Connection(const std::string& host, std::uint16_t port) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) return;
    descriptor_ = ::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const timeval limit{1, 0};
    ::setsockopt(descriptor_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    ::setsockopt(descriptor_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    open_ = ::connect(descriptor_, found->ai_addr, found->ai_addrlen) == 0;
    freeaddrinfo(found);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

  [[nodiscard]] bool open() const { return open_; }
  // Sends, and reads to the end of the answer or to the time limit.
  [[nodiscard]] std::string ask(const std::string& request) const {
    std::string answer;
    if (!open_ || ::send(descriptor_, request.data(), request.size(), MSG_NOSIGNAL) < 0) return answer;
    char buffer[4096];
    for (ssize_t got = 0; (got = ::recv(descriptor_, buffer, sizeof(buffer), 0)) > 0 && answer.size() < 65'536;) {
      answer.append(buffer, static_cast<std::size_t>(got));
    }
    return answer;
  }

 private:
  int descriptor_ = -1;
  bool open_ = false;
};

std::string reachable_host(const std::string& host) {
  if (host == "0.0.0.0") return "127.0.0.1";
  if (host == "::") return "::1";
  return host;
}

// Whether this very process serves. Somebody else may listen on its port while it is about to fail for just that
// reason, so its health page has to name it; without HTTP, it has to live on for a moment after its port answered. A
// replica that says that it has diverged runs all the same: it waits for its operator.
bool serves(Starting& node) {
  const runtime::HttpConfig& http = node.config.http;
  if (http.enabled && http.port != 0) {
    const Connection connection{reachable_host(http.bind), http.port};
    const std::string answer = connection.ask(
        fmt::format("GET /healthz HTTP/1.1\r\nHost: localhost:{}\r\nConnection: close\r\n\r\n", http.port));
    if (answer.find(fmt::format("\r\nX-Pbft-Pid: {}\r\n", node.process->pid())) == std::string::npos) return false;
    if (const auto diverged = answer.find("\r\n\r\ndiverged"); diverged != std::string::npos) {
      node.note = answer.substr(diverged + 4);
      return true;
    }
    return answer.starts_with("HTTP/1.1 200");
  }
  const auto endpoint = runtime::parse_endpoint(node.config.replicas[node.config.id.value].client);
  return endpoint && Connection{reachable_host(endpoint->host), endpoint->port}.open() &&
         !node.process->wait(std::chrono::milliseconds{300});
}

void fail(Starting& node, const std::string& error) {
  node.state = "failed";
  node.error = error;
}

void launch(Starting& node, const std::filesystem::path& program, const std::vector<std::string>& arguments) {
  auto config = runtime::load_node_config(node.replica.config_file());
  if (!config) return fail(node, config.error());
  node.config = std::move(*config);
  const StartLock lock{node.replica.home};  // two `up` are not to start it twice
  if (auto running = NodeProcess::find(node.replica)) {
    node.process = std::move(running);
    node.state = "running";
    if (!arguments.empty()) {
      fail(node, fmt::format("it runs already (process {}), and {} is for its start; stop it first with `pbftctl down`",
                             node.process->pid(), fmt::join(arguments, " ")));
    }
    return;
  }
  std::error_code none;
  const std::uintmax_t size = std::filesystem::file_size(node.replica.log_file(), none);
  node.log_start = none ? 0 : size;
  auto process = NodeProcess::start(node.replica, program, arguments);
  if (!process) return fail(node, process.error());
  node.process = std::move(*process);
  node.started = Clock::now();
}

// For people: the last that a replica wrote since it was started here.
std::string end_of_log(const Starting& node) {
  const std::string tail = log_tail(node.replica, node.log_start);
  const std::string file = node.replica.log_file().string();
  return tail.empty() ? fmt::format("it wrote nothing to {}", file) : fmt::format("the end of {}:\n{}", file, tail);
}

void await(Starting& node, Clock::time_point deadline) {
  while (node.state.empty()) {
    if (node.process->wait(std::chrono::milliseconds{0})) {
      node.process->forget(node.replica);
      return fail(node, fmt::format("it ended right away ({}); {}", node.process->how_it_ended(), end_of_log(node)));
    }
    if (serves(node)) {
      node.state = "started";
    } else if (Clock::now() > deadline) {
      fail(node, fmt::format("it runs (process {}) but does not answer; {}", node.process->pid(), end_of_log(node)));
    } else {
      std::this_thread::sleep_for(std::chrono::milliseconds{20});
    }
  }
}

void print(const std::vector<Starting>& nodes, bool as_json) {
  nlohmann::json list = nlohmann::json::array();
  for (const Starting& node : nodes) {
    const int pid = node.process ? node.process->pid() : 0;
    if (as_json) {
      list.push_back({{"name", node.replica.name},
                      {"state", node.state},
                      {"pid", pid},
                      {"log", node.replica.log_file().string()},
                      {"error", node.error},
                      {"note", node.note}});
    } else if (node.state == "failed") {
      fmt::print(stderr, "{}: failed: {}\n", node.replica.name, node.error);
    } else {
      const auto& address = node.config.replicas[node.config.id.value];
      fmt::print("{:<12} {:<8} process {:<8} {}\n", node.replica.name, node.state == "running" ? "runs" : "started",
                 pid, address.http);
      if (!node.note.empty()) fmt::print(stderr, "{}: {}\n", node.replica.name, printable(node.note));
    }
  }
  if (as_json) print_json(list, 2);
}

int run(const UpOptions& options, const Globals& globals) {
  if (options.rejoin && options.choice.only.empty()) {
    fmt::print(stderr, "pbftctl up: --rejoin is for replicas that lost their store; name them with --only\n");
    return exit_usage;
  }
  const auto replicas = options.choice.replicas("up", globals);
  if (!replicas) return exit_usage;
  const std::filesystem::path program = program_directory() / "pbft-node";
  std::vector<Starting> nodes(replicas->size());
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    nodes[i].replica = (*replicas)[i];
    launch(nodes[i], program, options.arguments());
  }
  const auto deadline = Clock::now() + globals.timeout(std::chrono::seconds{30});
  bool all = true;
  for (Starting& node : nodes) {
    await(node, deadline);
    all = all && node.state != "failed";
  }
  print(nodes, globals.json);
  return all ? exit_ok : exit_failed;
}

}  // namespace

void add_up(CLI::App& app, Globals& globals, Action& action) {
  CLI::App* command = app.add_subcommand("up", "Start the replicas of a cluster on this machine, in the background");
  auto options = std::make_shared<UpOptions>();
  options->choice.add_to(*command);
  command->add_flag("--rejoin", options->rejoin,
                    "They lost their stores: make new ones, learn the state from the others, and vote on nothing until "
                    "that is safe; needs --only");
  command->add_flag("--repair", options->repair,
                    "Repair a state that differs from what a quorum certified, also where on_divergence is \"stop\"");
  add_global_options(*command, globals);
  command->callback([options, &globals, &action] { action = [options, &globals] { return run(*options, globals); }; });
}

}  // namespace pbft::ctl
