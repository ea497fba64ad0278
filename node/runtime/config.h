// Genesis, node and client configuration (TOML). Errors name file, line, key and what is allowed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "node/crypto/authenticator.h"
#include "node/pbft/parameters.h"

namespace pbft::runtime {

class TomlSection;

template <class T>
using Loaded = tl::expected<T, std::string>;

// What all parties agree on. The cluster id is a digest over all of it in a canonical form, so a replica
// with another genesis is one of another cluster.
struct Genesis {
  struct Replica {
    std::string name;
    PublicKey key;
  };
  std::string cluster_name;
  std::vector<Replica> replicas;
  ClusterParameters parameters;  // replicas, clients filled from the genesis
  std::string plugin;            // name of the state machine, "kv"
  std::string plugin_config;     // text handed to its open()

  [[nodiscard]] ClusterId cluster_id() const;
  [[nodiscard]] crypto::Roster roster() const;
};
[[nodiscard]] Loaded<Genesis> load_genesis(const std::filesystem::path& file);
[[nodiscard]] std::string write_genesis(const Genesis& genesis);  // TOML text that load_genesis reads back
// Why this cannot name a replica (names are directories too), for people; empty: it can.
[[nodiscard]] std::string name_problem(std::string_view name);
// The [parameters] of a genesis, with defaults and checks; problems go to the section's file.
void read_parameters(TomlSection& section, ClusterParameters& parameters);

struct ReplicaAddress {
  std::string name;
  std::string publish;  // "tcp://127.0.0.1:4001"
  std::string peer;
  std::string client;
  std::string http;  // "http://127.0.0.1:1111"; informational, for people and pbftctl; may be empty
};

struct HttpConfig {
  bool enabled = true;  // false where the file has no [http]
  std::string bind = "127.0.0.1";
  std::uint16_t port = 0;  // 0: any free one; the log says which
  bool demo_get = false;   // GET /req?name=value changes state; on loopback only
};

struct LogConfig {
  std::string level = "info";
  bool json = false;
};

// What [tuning], ledger_keep and scrub_period_s take, also for who writes them.
struct Allowed {
  std::uint64_t least, most;
};
constexpr Allowed view_timeout_allowed{2, 1'000'000};
constexpr Allowed view_timeout_max_allowed{2, 10'000'000};
constexpr Allowed transfer_above_allowed{1, 1'000'000'000'000};
constexpr Allowed ledger_keep_allowed{0, 1'000'000'000'000};
constexpr Allowed scrub_period_allowed{0, 31'536'000};

// Host and port of "tcp://HOST:PORT" ("tcp://[::1]:4001" with an IPv6 address); the error says what is wrong.
struct HostPort {
  std::string host;  // without brackets
  std::uint16_t port = 0;
};
[[nodiscard]] Loaded<HostPort> parse_endpoint(std::string_view endpoint);
// Whether only this machine can reach what is bound there: 127.0.0.0/8, ::1, localhost.
[[nodiscard]] bool is_loopback(std::string_view host);

// One replica. Relative paths are relative to the file.
struct NodeConfig {
  std::filesystem::path file;
  std::string name;
  ReplicaId id;
  std::filesystem::path genesis_file;
  Genesis genesis;
  std::filesystem::path key_file;
  std::filesystem::path gateway_key_file;  // the HTTP gateway acts as a client with this key; may be empty
  std::filesystem::path data_directory;
  std::filesystem::path plugin_file;  // the .so
  bool fsync = true;                  // durability = "fsync" | "os"
  std::uint64_t ledger_keep = 100'000;
  std::size_t block_cache_bytes = 64U << 20;
  std::uint64_t scrub_period_s = 86'400;  // everything stored is compared with its digests once in it; 0: never
  std::uint32_t tick_ms = 10;
  LocalParameters local;
  std::vector<ReplicaAddress> replicas;  // index = ReplicaId; own entry: what to bind
  HttpConfig http;
  LogConfig log;
};
[[nodiscard]] Loaded<NodeConfig> load_node_config(const std::filesystem::path& file);

struct ClientConfig {
  std::filesystem::path file;
  std::filesystem::path genesis_file;
  Genesis genesis;
  std::filesystem::path key_file;
  std::filesystem::path plugin_file;  // for the text form; may be empty
  std::vector<ReplicaAddress> replicas;
};
[[nodiscard]] Loaded<ClientConfig> load_client_config(const std::filesystem::path& file);

}  // namespace pbft::runtime
