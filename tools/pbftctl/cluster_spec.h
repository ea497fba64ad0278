// What `pbftctl init` is asked to make: the spec file and the command line, merged and checked.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "node/runtime/config.h"

namespace pbft::ctl {

struct ClusterSpec {
  struct Replica {
    std::string name;
    std::optional<std::uint16_t> http_port;
  };
  std::string cluster_name = "pbft";
  std::vector<Replica> replicas;  // empty: four, A to D
  std::string plugin = "kv";      // a name, or the path of a .so
  std::string plugin_config;
  std::string host = "127.0.0.1";
  bool pick_ports = false;
  std::uint16_t base_port = 4100;
  std::optional<std::uint16_t> http_base_port;  // none: beside the other ports
  bool demo_get = false;
  bool open_clients = false;
  std::uint32_t clients = 1;     // client keys to make; when open, keys are no condition but still made
  ClusterParameters parameters;  // without the parts that follow from the rest
  std::string durability = "fsync";
  std::uint64_t ledger_keep = 100'000;
  std::string on_divergence = "repair";
  std::uint64_t scrub_period_s = 86'400;
  // Written into every node.toml where they are given; what they are otherwise is the node's business.
  std::optional<std::uint64_t> view_timeout_ticks, view_timeout_max_ticks, transfer_above;
  std::filesystem::path plugin_directory;  // searched first for a plugin that is given by name
};

// A TOML file such as configs/four-generals/cluster.toml; errors name file, line and key.
[[nodiscard]] tl::expected<ClusterSpec, std::string> load_spec(const std::filesystem::path& file);

// The replicas of a cluster of n without names: A to Z, then R27, R28 ...
[[nodiscard]] std::vector<ClusterSpec::Replica> default_replicas(std::uint32_t n);

}  // namespace pbft::ctl
