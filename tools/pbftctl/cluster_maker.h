// Makes the directory of a new cluster: keys, genesis, configurations, stores.
//
//   DIR/genesis.toml
//   DIR/<name>/{node.toml, replica.key, gateway.key, data/}    one per replica
//   DIR/client/{client.toml, client.key}, DIR/client-2/ ...    one per client key
#pragma once

#include <filesystem>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "tools/pbftctl/cluster_spec.h"

namespace pbft::ctl {

struct MadeCluster {
  runtime::Genesis genesis;
  std::vector<runtime::ReplicaAddress> replicas;
  std::vector<std::filesystem::path> client_files;  // client.toml of each client key
  std::filesystem::path plugin_file;
};

// Refuses a directory that is not empty. After an error the directory is as empty as it was.
[[nodiscard]] tl::expected<MadeCluster, std::string> make_cluster(const std::filesystem::path& directory,
                                                                  const ClusterSpec& spec);

// The .so of a plugin: a path as it is; a name in `extra` first, then in ../lib/pbft/plugins of the running program.
[[nodiscard]] tl::expected<std::filesystem::path, std::string> find_plugin(const std::string& plugin,
                                                                           const std::filesystem::path& extra);

// The directory of the running program, symbolic links resolved.
[[nodiscard]] std::filesystem::path program_directory();

}  // namespace pbft::ctl
