#include "node/serve.h"

#include <fmt/format.h>
#include <pthread.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "node/crypto/keys.h"
#include "node/http/server.h"
#include "node/runtime/log.h"

namespace pbft {
namespace {

constexpr const char* storage_failed = "stopped: storage failed, and what cannot be kept must not be promised: ";

sigset_t watched_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

// Waits for SIGTERM or SIGINT on a thread of its own and stops the node: nothing runs in a signal handler.
class SignalWatcher {
 public:
  explicit SignalWatcher(runtime::Node& node) : thread_([this, &node] { watch(node); }) {}
  SignalWatcher(const SignalWatcher&) = delete;
  SignalWatcher& operator=(const SignalWatcher&) = delete;
  ~SignalWatcher() {
    done_ = true;
    pthread_kill(thread_.native_handle(), SIGTERM);
    thread_.join();
  }

 private:
  void watch(runtime::Node& node) {
    const sigset_t signals = watched_signals();
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

void block_signals() {
  const sigset_t signals = watched_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

// Why the process ends with exit_failed. The log goes to standard error as well, but may be turned off, and nobody else
// says it.
void say_fatal(const std::string& reason) {
  if (spdlog::should_log(spdlog::level::critical)) {
    spdlog::critical("{}", reason);
  } else {
    fmt::print(stderr, "pbft-node: {}\n", reason);
  }
}

runtime::Loaded<void> run_until_signal(runtime::Node& node) {
  const SignalWatcher watcher{node};
  return node.run();
}

// Closes HTTP, which asks the node, and then the node. A client that sends its request a byte at a time keeps a thread
// of the server for as long as it likes; the process then ends without that thread.
ExitCode end(std::unique_ptr<runtime::Node> node, std::unique_ptr<http::Server> server, ExitCode code) {
  constexpr std::chrono::seconds limit{5};
  if (server && !server->stop(limit)) {
    spdlog::warn("leaves HTTP clients behind whose requests have not ended within {} s", limit.count());
    node.reset();
    if (code == exit_ok) spdlog::info("stopped");
    spdlog::default_logger()->flush();
    std::_Exit(code);
  }
  server.reset();
  node.reset();
  if (code == exit_ok) spdlog::info("stopped");
  return code;
}

}  // namespace

runtime::Loaded<runtime::NodeInputs> prepare(const std::filesystem::path& config) {
  block_signals();
  crypto::initialize();
  auto loaded = runtime::load_node_config(config);
  if (!loaded) return tl::unexpected(loaded.error());
  runtime::start_log(loaded->log, loaded->name);
  return runtime::load_inputs(std::move(*loaded));
}

ExitCode serve(runtime::NodeInputs inputs, runtime::StartOptions options,
               const runtime::MakeInterceptor& make_interceptor) {
  raise_descriptor_limit();
  options.on_lost_store = [](const std::string& reason) {
    say_fatal(storage_failed + reason);
    spdlog::default_logger()->flush();
    std::_Exit(exit_failed);
  };
  const auto gateway = inputs.gateway;
  auto node = runtime::Node::open(std::move(inputs), options, make_interceptor);
  if (!node) {
    say_fatal("cannot start: " + node.error());
    return exit_failed;
  }
  std::unique_ptr<http::Server> server;
  if ((*node)->config().http.enabled) {
    auto opened = serve_http(**node, gateway);
    if (!opened) {
      say_fatal("cannot start: " + opened.error());
      return exit_failed;
    }
    server = std::move(*opened);
    spdlog::info("serves HTTP on {}:{}", (*node)->config().http.bind, server->port());
  }
  const auto ended = run_until_signal(**node);
  if (!ended) {
    say_fatal(storage_failed + ended.error());
  }
  return end(std::move(*node), std::move(server), ended ? exit_ok : exit_failed);
}

}  // namespace pbft
