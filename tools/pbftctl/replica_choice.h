// Which replicas of a cluster on this machine a command is for: those of DIR, or the ones that --only names.
#pragma once

#include "tools/pbftctl/commands.h"
#include "tools/pbftctl/node_process.h"

namespace pbft::ctl {

struct ReplicaChoice {
  std::filesystem::path directory;
  std::vector<std::string> only;

  // The arguments DIR and --only. Must outlive the command.
  void add_to(CLI::App& command);
  // Nothing where the arguments name none; `command` has said why then, and its exit code is exit_usage.
  [[nodiscard]] std::optional<std::vector<LocalReplica>> replicas(const char* command, const Globals& globals) const;
};

}  // namespace pbft::ctl
