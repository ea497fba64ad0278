// pbft-node CONFIG.toml: one replica. Parses the configuration, wires the parts, runs until a signal.
#include <fmt/format.h>
#include <pthread.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <thread>

#include "node/crypto/keys.h"
#include "node/http/server.h"
#include "node/runtime/config.h"
#include "node/runtime/log.h"
#include "node/runtime/node.h"

namespace pbft {
namespace {

enum ExitCode : int { exit_ok = 0, exit_failed = 1, exit_usage = 2 };

// Waits for SIGTERM or SIGINT on a thread of its own and stops the node: nothing runs in a signal handler.
class SignalWatcher {
 public:
  // Before any thread is started, so that all of them leave the signals to the watcher.
  static void block() {
    const sigset_t signals = watched();
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
  }

  explicit SignalWatcher(runtime::Node& node) : thread_([this, &node] { watch(node); }) {}
  SignalWatcher(const SignalWatcher&) = delete;
  SignalWatcher& operator=(const SignalWatcher&) = delete;
  ~SignalWatcher() {
    done_ = true;
    pthread_kill(thread_.native_handle(), SIGTERM);
    thread_.join();
  }

 private:
  static sigset_t watched() {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    return signals;
  }

  void watch(runtime::Node& node) {
    const sigset_t signals = watched();
    while (!done_) {
      int signal = 0;
      if (sigwait(&signals, &signal) != 0 || done_) continue;
      spdlog::info("stopping: {}", signal == SIGINT ? "SIGINT" : "SIGTERM");
      node.stop();
    }
  }

  std::atomic<bool> done_{false};
  std::thread thread_;
};

// Every connection takes a descriptor, also of somebody who is not admitted, and a store that cannot open its files
// ends the node. The usual soft limit of 1024 is meant for programs that use select(), which nothing here does.
void raise_descriptor_limit() {
  constexpr rlim_t comfortable = 4096;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlim_t before = limit.rlim_cur;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) limit.rlim_cur = before;
  spdlog::info("may open {} files and connections (was {})", limit.rlim_cur, before);
  if (limit.rlim_cur < comfortable) {
    spdlog::warn(
        "the limit of {} open files is low: connections can use it up, and the replica stops when its store "
        "cannot open a file; raise the hard limit to {} or more (ulimit -Hn, LimitNOFILE= of systemd)",
        limit.rlim_cur, comfortable);
  }
}

// The gateway's own client, with a plugin instance of its own: the replica's is used by the event loop.
runtime::Loaded<std::unique_ptr<http::Server>> serve_http(const runtime::Node& node,
                                                          const std::optional<crypto::Identity>& gateway) {
  const runtime::NodeConfig& config = node.config();
  http::ServerParts parts;
  parts.config = config.http;
  parts.status = [&node] { return node.status_json(); };
  parts.unhealthy = [&node] { return node.unhealthy(); };
  if (gateway) {
    auto plugin = execution::Plugin::load(config.plugin_file, config.genesis.plugin_config);
    if (!plugin) return tl::unexpected(plugin.error());
    parts.plugin = std::move(*plugin);
    client::ClientOptions options{config.genesis.roster(), *gateway, {}, {}};
    options.core.session_window = config.genesis.parameters.session_window;
    for (const runtime::ReplicaAddress& address : config.replicas) {
      options.replicas.push_back({address.name, address.client});
    }
    auto client = client::Client::open(std::move(options));
    if (!client) return tl::unexpected(client.error());
    parts.client = std::move(*client);
  }
  return http::Server::open(std::move(parts));
}

int check(const runtime::NodeInputs& inputs) {
  const runtime::NodeConfig& config = inputs.config;
  std::error_code error;
  if (!std::filesystem::is_directory(config.data_directory, error)) {
    fmt::print(stderr, "{}: data: {} is not there; `pbftctl init` creates the store\n", config.file.string(),
               config.data_directory.string());
    return exit_usage;
  }
  fmt::print("{}: ok: {} is replica {} of {} in cluster {} ({}), state machine {}\n", config.file.string(), config.name,
             config.id.value, config.replicas.size(), config.genesis.cluster_name,
             crypto::to_hex(config.genesis.cluster_id()), inputs.plugin->name());
  return exit_ok;
}

int serve(runtime::NodeInputs inputs, runtime::StartOptions options) {
  raise_descriptor_limit();
  const auto gateway = inputs.gateway;
  auto node = runtime::Node::open(std::move(inputs), options);
  if (!node) {
    spdlog::critical("cannot start: {}", node.error());
    return exit_failed;
  }
  std::unique_ptr<http::Server> server;
  if ((*node)->config().http.enabled) {
    auto opened = serve_http(**node, gateway);
    if (!opened) {
      spdlog::critical("cannot start: {}", opened.error());
      return exit_failed;
    }
    server = std::move(*opened);
    spdlog::info("serves HTTP on {}:{}", (*node)->config().http.bind, server->port());
  }
  const SignalWatcher watcher{**node};
  if (const auto ended = (*node)->run(); !ended) {
    spdlog::critical("stopped: storage failed, and what cannot be kept must not be promised: {}", ended.error());
    return exit_failed;
  }
  server.reset();
  spdlog::info("stopped");
  return exit_ok;
}

int run(int argc, char** argv) {
  CLI::App app{"pbft-node: one replica of a Byzantine-fault-tolerant cluster"};
  std::filesystem::path file;
  bool only_check = false;
  runtime::StartOptions options;
  app.add_option("CONFIG", file, "The replica's configuration (node.toml)")->required();
  app.add_flag("--check", only_check, "Check configuration, keys and state machine, and end");
  app.add_flag("--rejoin", options.rejoin,
               "This replica has lost its store: make a new one, learn the state from the others, and vote on nothing "
               "until that is safe");
  app.add_flag("--repair", options.repair,
               "Repair a state that differs from what a quorum certified, also where on_divergence is \"stop\"");
  app.set_version_flag("--version", PBFT_VERSION);
  app.footer("Exit codes: 0 ended by a signal, or checked; 1 cannot start or had to stop; 2 wrong configuration.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? exit_ok : exit_usage;
  }
  SignalWatcher::block();
  crypto::initialize();
  auto config = runtime::load_node_config(file);
  if (!config) {
    fmt::print(stderr, "{}\n", config.error());
    return exit_usage;
  }
  runtime::start_log(config->log, config->name);
  auto inputs = runtime::load_inputs(std::move(*config));
  if (!inputs) {
    fmt::print(stderr, "{}\n", inputs.error());
    return exit_usage;
  }
  return only_check ? check(*inputs) : serve(std::move(*inputs), options);
}

}  // namespace
}  // namespace pbft

int main(int argc, char** argv) {
  try {
    return pbft::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "pbft-node: {}\n", error.what());
    return pbft::exit_failed;
  }
}
