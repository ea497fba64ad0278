// pbftctl down: stops the replicas that `up` started.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "tools/pbftctl/commands.h"
#include "tools/pbftctl/output.h"
#include "tools/pbftctl/replica_choice.h"

namespace pbft::ctl {

namespace {

struct DownOptions {
  ReplicaChoice choice;
  bool kill = false;
};

int run(const DownOptions& options, const Globals& globals) {
  const auto replicas = options.choice.replicas("down", globals);
  if (!replicas) return exit_usage;
  // All are signalled before any is waited for: they end side by side.
  std::vector<std::optional<NodeProcess>> processes;
  for (const LocalReplica& replica : *replicas) {
    processes.push_back(NodeProcess::find(replica));
    if (processes.back()) processes.back()->send_signal(options.kill ? SIGKILL : SIGTERM);
  }
  const auto deadline = std::chrono::steady_clock::now() + globals.timeout(std::chrono::seconds{20});
  nlohmann::json list = nlohmann::json::array();
  bool all = true;
  for (std::size_t i = 0; i < replicas->size(); ++i) {
    const LocalReplica& replica = (*replicas)[i];
    std::string state = "not running";
    if (processes[i]) {
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
      const bool ended = processes[i]->wait(std::max(left, std::chrono::milliseconds{0}));
      state = !ended ? "still running" : options.kill ? "killed" : "stopped";
      if (ended) processes[i]->forget(replica);
      all = all && ended;
    }
    list.push_back({{"name", replica.name}, {"state", state}});
    if (!globals.json) fmt::print("{:<12} {}\n", replica.name, state);
  }
  if (globals.json) print_json(list, 2);
  if (!all) fmt::print(stderr, "pbftctl down: not all have ended; --kill ends them at once\n");
  return all ? exit_ok : exit_failed;
}

}  // namespace

void add_down(CLI::App& app, Globals& globals, Action& action) {
  CLI::App* command = app.add_subcommand("down", "Stop the replicas of a cluster that `up` started");
  auto options = std::make_shared<DownOptions>();
  options->choice.add_to(*command);
  command->add_flag("--kill", options->kill, "End them at once (SIGKILL), as a crash would");
  add_global_options(*command, globals);
  command->callback([options, &globals, &action] { action = [options, &globals] { return run(*options, globals); }; });
}

}  // namespace pbft::ctl
