#include "node/runtime/config.h"

#include <fmt/format.h>

#include <charconv>
#include <set>

#include "node/pbft/messages.h"
#include "node/runtime/toml_reader.h"

namespace pbft::runtime {

namespace {

std::filesystem::path beside(const std::filesystem::path& file, const std::string& path) {
  if (path.empty()) return {};
  return (std::filesystem::absolute(file).parent_path() / path).lexically_normal();
}

std::string read_endpoint(TomlSection& section, std::string_view key) {
  std::string endpoint = section.text(key);
  if (endpoint.empty()) return endpoint;
  if (const auto parsed = parse_endpoint(endpoint); !parsed) {
    section.problem(key, fmt::format("\"{}\": {}; write it as \"tcp://HOST:PORT\"", endpoint, parsed.error()));
  }
  return endpoint;
}

enum class AddressKind { for_replica, for_client };

// The addresses in the genesis' order. Every replica of the genesis has exactly one entry.
std::vector<ReplicaAddress> read_addresses(TomlSection& root, const Genesis& genesis, AddressKind kind) {
  std::vector<ReplicaAddress> addresses(genesis.replicas.size());
  std::set<std::string> endpoints;
  for (TomlSection& section : root.sections("replica")) {
    ReplicaAddress address;
    address.name = section.text("name");
    if (kind == AddressKind::for_replica) {
      address.publish = read_endpoint(section, "publish");
      address.peer = read_endpoint(section, "peer");
    }
    address.client = read_endpoint(section, "client");
    address.http = section.text_or("http", "");
    section.finish();
    for (const auto& [key, endpoint] : {std::pair{"publish", address.publish}, std::pair{"peer", address.peer},
                                        std::pair{"client", address.client}}) {
      if (!endpoint.empty() && !endpoints.insert(endpoint).second) {
        section.problem(key, fmt::format("{} is used twice; every socket needs an address of its own", endpoint));
      }
    }
    if (address.name.empty()) continue;
    std::vector<std::string> names;
    bool placed = false;
    for (std::size_t i = 0; i < genesis.replicas.size() && !placed; ++i) {
      names.push_back(genesis.replicas[i].name);
      if (names.back() != address.name) continue;
      if (!addresses[i].name.empty()) section.problem("name", fmt::format("\"{}\" has an entry already", address.name));
      addresses[i] = address;
      placed = true;
    }
    if (!placed) {
      section.problem("name", fmt::format("\"{}\" is no replica of the genesis; its replicas are: {}", address.name,
                                          fmt::join(names, ", ")));
    }
  }
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    if (!addresses[i].name.empty()) continue;
    root.problem("replica", fmt::format("there is no [[replica]] entry for \"{}\", a replica of the genesis",
                                        genesis.replicas[i].name));
  }
  return addresses;
}

HttpConfig read_http(TomlSection& root, bool has_gateway_key) {
  HttpConfig http;
  http.enabled = false;
  if (!root.has("http")) return http;
  TomlSection section = root.section("http");
  http.enabled = section.boolean_or("enabled", true);
  http.bind = section.text_or("bind", http.bind);
  http.port = static_cast<std::uint16_t>(http.enabled ? section.number("port", 0, 65'535)
                                                      : section.number_or("port", 0, 0, 65'535));
  http.demo_get = section.boolean_or("demo_get", false);
  if (http.bind.empty()) section.problem("bind", "must be an address of this machine, such as 127.0.0.1");
  if (http.demo_get && !is_loopback(http.bind)) {
    section.problem(
        "demo_get",
        fmt::format("is allowed on loopback only, and bind is \"{}\"; bind to 127.0.0.1 or leave it out", http.bind));
  }
  if (http.demo_get && !has_gateway_key) {
    section.problem("demo_get", "needs gateway_key: the gateway acts as a client with that key");
  }
  section.finish();
  return http;
}

LogConfig read_log(TomlSection& root) {
  LogConfig log;
  TomlSection section = root.section("log");
  log.level = section.choice_or("level", log.level, {"trace", "debug", "info", "warn", "error", "critical", "off"});
  log.json = section.boolean_or("json", false);
  section.finish();
  return log;
}

LocalParameters read_tuning(TomlSection& root) {
  LocalParameters local;
  TomlSection section = root.section("tuning");
  const auto number = [&section](std::string_view key, auto& value, std::uint64_t least, std::uint64_t most) {
    value = static_cast<std::remove_reference_t<decltype(value)>>(section.number_or(key, value, least, most));
  };
  number("pipeline", local.pipeline, 1, 4096);
  number("max_batch_requests", local.max_batch_requests, 1, Limits::max_batch_bundles * Limits::max_bundle_requests);
  number("max_batch_bytes", local.max_batch_bytes, 1, Limits::max_batch_bytes);
  number("max_queued_requests", local.max_queued_requests, 1, 10'000'000);
  number("max_queued_requests_per_client", local.max_queued_requests_per_client, 1, 10'000'000);
  number("status_interval_ticks", local.status_interval_ticks, 1, 100'000);
  number("idle_status_interval_ticks", local.idle_status_interval_ticks, 1, 100'000);
  number("fetch_timeout_ticks", local.fetch_timeout_ticks, 1, 100'000);
  number("view_timeout_ticks", local.view_timeout_ticks, view_timeout_allowed.least, view_timeout_allowed.most);
  number("view_timeout_max_ticks", local.view_timeout_max_ticks, view_timeout_max_allowed.least,
         view_timeout_max_allowed.most);
  number("transfer_above", local.transfer_above, transfer_above_allowed.least, transfer_above_allowed.most);
  number("transfer_bytes_per_tick", local.transfer_bytes_per_tick, 0, 1'000'000'000);
  if (local.view_timeout_max_ticks < local.view_timeout_ticks) {
    section.problem("view_timeout_max_ticks", fmt::format("is {}; it must be at least view_timeout_ticks, which is {}",
                                                          local.view_timeout_max_ticks, local.view_timeout_ticks));
  }
  section.finish();
  return local;
}

// The genesis that the file names. A genesis with problems ends the reading: little can be checked without it.
Loaded<Genesis> read_genesis(const TomlFile& opened, TomlSection& root, const std::filesystem::path& file,
                             std::filesystem::path& genesis_file) {
  genesis_file = beside(file, root.text("genesis"));
  if (genesis_file.empty()) return tl::unexpected(opened.verdict().error());
  return load_genesis(genesis_file);
}

void find_self(TomlSection& root, NodeConfig& config) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < config.genesis.replicas.size(); ++i) {
    names.push_back(config.genesis.replicas[i].name);
    if (names.back() != config.name) continue;
    config.id = ReplicaId{static_cast<std::uint32_t>(i)};
    return;
  }
  if (config.name.empty()) return;
  root.problem("name", fmt::format("\"{}\" is no replica of the genesis; its replicas are: {}", config.name,
                                   fmt::join(names, ", ")));
}

}  // namespace

Loaded<HostPort> parse_endpoint(std::string_view endpoint) {
  constexpr std::string_view scheme = "tcp://";
  if (!endpoint.starts_with(scheme)) return tl::unexpected<std::string>("does not start with tcp://");
  endpoint.remove_prefix(scheme.size());
  const std::size_t colon = endpoint.rfind(':');
  if (colon == std::string_view::npos) return tl::unexpected<std::string>("has no port");
  std::string_view host = endpoint.substr(0, colon);
  const std::string_view port = endpoint.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return tl::unexpected<std::string>("has an IPv6 address that is not in brackets");
  }
  if (host.empty() || host.find_first_of(" \t/") != std::string_view::npos) {
    return tl::unexpected<std::string>("has no usable host");
  }
  HostPort parsed{std::string{host}, 0};
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), parsed.port);
  if (error != std::errc{} || end != port.data() + port.size() || parsed.port == 0) {
    return tl::unexpected<std::string>("has a port that is not a number from 1 to 65535");
  }
  return parsed;
}

bool is_loopback(std::string_view host) {
  return host == "localhost" || host == "::1" ||
         (host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string_view::npos);
}

Loaded<NodeConfig> load_node_config(const std::filesystem::path& file) {
  auto opened = TomlFile::open(file);
  if (!opened) return tl::unexpected(opened.error());
  TomlSection root = opened->root();
  NodeConfig config;
  config.file = file;
  config.name = root.text("name");
  auto genesis = read_genesis(*opened, root, file, config.genesis_file);
  if (!genesis) return tl::unexpected(genesis.error());
  config.genesis = std::move(*genesis);
  find_self(root, config);
  config.key_file = beside(file, root.text("key"));
  config.gateway_key_file = beside(file, root.text_or("gateway_key", ""));
  config.data_directory = beside(file, root.text("data"));
  config.plugin_file = beside(file, root.text("plugin"));
  config.fsync = root.choice_or("durability", "fsync", {"fsync", "os"}) == "fsync";
  config.ledger_keep =
      root.number_or("ledger_keep", config.ledger_keep, ledger_keep_allowed.least, ledger_keep_allowed.most);
  config.block_cache_bytes = root.number_or("block_cache_mb", config.block_cache_bytes >> 20, 1, 1 << 20) << 20;
  config.scrub_period_s =
      root.number_or("scrub_period_s", config.scrub_period_s, scrub_period_allowed.least, scrub_period_allowed.most);
  const std::string on_divergence = root.choice_or("on_divergence", "repair", {"repair", "stop"});
  config.tick_ms = static_cast<std::uint32_t>(root.number_or("tick_ms", config.tick_ms, 1, 1000));
  config.replicas = read_addresses(root, config.genesis, AddressKind::for_replica);
  config.http = read_http(root, !config.gateway_key_file.empty());
  if (!root.has("http")) (void)root.section("http");  // so that it is known as allowed
  config.log = read_log(root);
  config.local = read_tuning(root);
  config.local.self = config.id;
  config.local.repair = on_divergence == "repair";
  root.finish();
  if (auto verdict = opened->verdict(); !verdict) return tl::unexpected(verdict.error());
  return config;
}

Loaded<ClientConfig> load_client_config(const std::filesystem::path& file) {
  auto opened = TomlFile::open(file);
  if (!opened) return tl::unexpected(opened.error());
  TomlSection root = opened->root();
  ClientConfig config;
  config.file = file;
  auto genesis = read_genesis(*opened, root, file, config.genesis_file);
  if (!genesis) return tl::unexpected(genesis.error());
  config.genesis = std::move(*genesis);
  config.key_file = beside(file, root.text("key"));
  config.plugin_file = beside(file, root.text_or("plugin", ""));
  config.replicas = read_addresses(root, config.genesis, AddressKind::for_client);
  root.finish();
  if (auto verdict = opened->verdict(); !verdict) return tl::unexpected(verdict.error());
  return config;
}

}  // namespace pbft::runtime
