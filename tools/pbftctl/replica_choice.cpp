#include "tools/pbftctl/replica_choice.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "tools/pbftctl/output.h"

namespace pbft::ctl {

void ReplicaChoice::add_to(CLI::App& command) {
  command.add_option("DIR", directory, "The directory that `pbftctl init` made; or --dir DIR");
  // One value each time: what follows may be DIR.
  command.add_option("--only", only, "Just this replica; may be repeated, or name several: A,B")
      ->type_name("NAME")
      ->delimiter(',')
      ->allow_extra_args(false);
}

std::optional<std::vector<LocalReplica>> ReplicaChoice::replicas(const char* command, const Globals& globals) const {
  const std::filesystem::path& chosen = directory.empty() ? globals.directory : directory;
  if (chosen.empty()) {
    print_error(fmt::format("{}: DIR is missing; give the directory that `pbftctl init` made", command));
    return std::nullopt;
  }
  auto replicas = local_replicas(chosen, only);
  if (!replicas) {
    fmt::print(stderr, "pbftctl {}: {}\n", command, replicas.error());
    return std::nullopt;
  }
  return *std::move(replicas);
}

}  // namespace pbft::ctl
