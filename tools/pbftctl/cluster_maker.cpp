#include "tools/pbftctl/cluster_maker.h"

#include <fmt/format.h>

#include <fstream>
#include <map>
#include <set>
#include <system_error>

#include "node/crypto/keys.h"
#include "node/execution/plugin.h"
#include "node/runtime/toml_reader.h"
#include "storage/rocksdb_engine.h"
#include "storage/store.h"
#include "tools/pbftctl/free_ports.h"

namespace pbft::ctl {

namespace {

namespace fs = std::filesystem;
using runtime::toml_quote;
template <class T>
using Made = tl::expected<T, std::string>;

constexpr std::uint32_t ports_per_replica = 10;  // 4100, 4110 ...: publish, peer, client, http are the first four

Made<void> write_file(const fs::path& file, const std::string& text) {
  std::ofstream stream{file, std::ios::binary};
  stream << text;
  stream.close();
  if (!stream) return tl::unexpected(fmt::format("{}: cannot be written", file.string()));
  return {};
}

Made<crypto::Identity> make_key(const fs::path& file) {
  crypto::Identity identity = crypto::Identity::generate();
  if (auto saved = identity.save(file); !saved) return tl::unexpected(saved.error());
  return identity;
}

std::string url_host(const std::string& host) {
  return host.find(':') == std::string::npos ? host : "[" + host + "]";
}

struct Ports {
  std::uint16_t publish, peer, client, http;
};

// Where the replica is to serve HTTP, if that was asked for.
std::optional<std::size_t> http_port_asked(const ClusterSpec& spec, std::size_t i) {
  if (spec.replicas[i].http_port) return *spec.replicas[i].http_port;
  if (spec.http_base_port) return *spec.http_base_port + i;
  return std::nullopt;
}

// Four for each replica, and none that was asked for.
Made<std::vector<std::uint16_t>> pick_ports(const ClusterSpec& spec) {
  std::set<std::size_t> asked;
  for (std::size_t i = 0; i < spec.replicas.size(); ++i) asked.insert(http_port_asked(spec, i).value_or(0));
  auto found = free_ports(spec.host, 5 * spec.replicas.size());
  if (found) std::erase_if(*found, [&](std::uint16_t port) { return asked.contains(port); });
  return found;
}

Made<void> check_distinct(const ClusterSpec& spec, const std::vector<Ports>& ports) {
  std::map<std::uint16_t, std::string> users;
  for (std::size_t i = 0; i < ports.size(); ++i) {
    for (const auto& [port, use] : {std::pair{ports[i].publish, "publish"}, std::pair{ports[i].peer, "peer"},
                                    std::pair{ports[i].client, "client"}, std::pair{ports[i].http, "HTTP"}}) {
      const std::string user = fmt::format("the {} port of {}", use, spec.replicas[i].name);
      const auto [first, fresh] = users.emplace(port, user);
      if (fresh) continue;
      return tl::unexpected(
          fmt::format("{} and {} would both be {}; choose another --base-port (base_port) or --http-base-port "
                      "(http_base_port, http_port of [[replica]]), or --ports pick",
                      first->second, user, port));
    }
  }
  return {};
}

Made<std::vector<Ports>> choose_ports(const ClusterSpec& spec) {
  const std::size_t n = spec.replicas.size();
  std::vector<Ports> ports(n);
  std::vector<std::uint16_t> picked;
  if (spec.pick_ports) {
    auto found = pick_ports(spec);
    if (!found) return tl::unexpected(found.error());
    picked = std::move(*found);
  }
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t base = spec.base_port + ports_per_replica * i;
    const auto http = http_port_asked(spec, i);
    if (std::max(spec.pick_ports ? 0 : base + 3, http.value_or(0)) > 65'535) {
      return tl::unexpected(fmt::format("the ports of replica {} would lie above 65535; choose a lower base port", i));
    }
    const auto at = [&](std::size_t k) {
      return spec.pick_ports ? picked[4 * i + k] : static_cast<std::uint16_t>(base + k);
    };
    ports[i] = {at(0), at(1), at(2), at(3)};
    if (http) ports[i].http = static_cast<std::uint16_t>(*http);
  }
  if (auto checked = check_distinct(spec, ports); !checked) return tl::unexpected(checked.error());
  return ports;
}

std::vector<runtime::ReplicaAddress> addresses_of(const ClusterSpec& spec, const std::vector<Ports>& ports) {
  std::vector<runtime::ReplicaAddress> addresses;
  const std::string host = url_host(spec.host);
  for (std::size_t i = 0; i < spec.replicas.size(); ++i) {
    addresses.push_back({spec.replicas[i].name, fmt::format("tcp://{}:{}", host, ports[i].publish),
                         fmt::format("tcp://{}:{}", host, ports[i].peer),
                         fmt::format("tcp://{}:{}", host, ports[i].client),
                         fmt::format("http://{}:{}", host, ports[i].http)});
  }
  return addresses;
}

std::string tuning_toml(const ClusterSpec& spec) {
  std::string text;
  for (const auto& [key, value] : {std::pair{"view_timeout_ticks", spec.view_timeout_ticks},
                                   std::pair{"view_timeout_max_ticks", spec.view_timeout_max_ticks},
                                   std::pair{"transfer_above", spec.transfer_above}}) {
    if (value) text += fmt::format("{} = {}\n", key, *value);
  }
  return text.empty() ? text : "\n[tuning]\n" + text;
}

std::string node_toml(const ClusterSpec& spec, const MadeCluster& made, std::size_t self, std::uint16_t http_port) {
  std::string text = fmt::format(
      "# Replica {0}. Relative paths are relative to this file.\n\n"
      "name = {0}\n"
      "genesis = \"../genesis.toml\"\n"
      "key = \"replica.key\"\n"
      "gateway_key = \"gateway.key\"   # the HTTP gateway acts as a client with this key\n"
      "data = \"data\"\n"
      "plugin = {1}\n"
      "durability = {2}              # \"fsync\" survives the loss of power, \"os\" the death of the process\n"
      "ledger_keep = {3}             # committed batches kept below the stable checkpoint; 0: all\n"
      "on_divergence = {4}           # \"repair\" a state that differs from the others', or \"stop\" and wait\n"
      "scrub_period_s = {5}           # what is stored is checked once in this time; 0: never\n",
      toml_quote(spec.replicas[self].name), toml_quote(made.plugin_file.string()), toml_quote(spec.durability),
      spec.ledger_keep, toml_quote(spec.on_divergence), spec.scrub_period_s);
  for (const runtime::ReplicaAddress& address : made.replicas) {
    text += fmt::format("\n[[replica]]\nname = {}\npublish = \"{}\"\npeer = \"{}\"\nclient = \"{}\"\nhttp = \"{}\"\n",
                        toml_quote(address.name), address.publish, address.peer, address.client, address.http);
  }
  text +=
      fmt::format("\n[http]\nbind = {}\nport = {}\ndemo_get = {}             # GET /req?name=value, loopback only\n",
                  toml_quote(spec.host), http_port, spec.demo_get);
  text += "\n[log]\nlevel = \"info\"\njson = false\n" + tuning_toml(spec);
  return text;
}

std::string client_toml(const MadeCluster& made) {
  std::string text = fmt::format(
      "# A client. Relative paths are relative to this file.\n\n"
      "genesis = \"../genesis.toml\"\n"
      "key = \"client.key\"\n"
      "plugin = {}   # for operations and results as text\n",
      toml_quote(made.plugin_file.string()));
  for (const runtime::ReplicaAddress& address : made.replicas) {
    text += fmt::format("\n[[replica]]\nname = {}\nclient = \"{}\"\nhttp = \"{}\"\n", toml_quote(address.name),
                        address.client, address.http);
  }
  return text;
}

Made<void> create_store(const fs::path& directory, const runtime::Genesis& genesis, ReplicaId replica) {
  const auto created = storage::create_store(directory, {genesis.cluster_id(), replica});
  if (!created) return tl::unexpected(created.error().message);
  return {};
}

std::string client_directory(std::size_t i) {
  return i == 0 ? "client" : fmt::format("client-{}", i + 1);
}

bool collides(const ClusterSpec& spec, const std::string& entry) {
  for (const auto& replica : spec.replicas) {
    if (replica.name == entry) return true;
  }
  return false;
}

Made<void> check_names(const ClusterSpec& spec) {
  std::vector<std::string> entries{"genesis.toml"};
  for (std::size_t i = 0; i < spec.clients; ++i) entries.push_back(client_directory(i));
  for (const std::string& entry : entries) {
    if (!collides(spec, entry)) continue;
    return tl::unexpected(
        fmt::format("a replica cannot be called \"{0}\": DIR/{0} is needed for something else", entry));
  }
  return {};
}

// Fills `made` and writes everything.
Made<void> make(const fs::path& directory, const ClusterSpec& spec, MadeCluster& made) {
  const std::size_t n = spec.replicas.size();
  runtime::Genesis& genesis = made.genesis;
  genesis.cluster_name = spec.cluster_name;
  genesis.parameters = spec.parameters;
  genesis.parameters.replicas = static_cast<std::uint32_t>(n);
  genesis.parameters.open_clients = spec.open_clients;
  genesis.plugin_config = spec.plugin_config;
  const auto admit = [&](const crypto::Identity& identity) {
    if (!spec.open_clients) genesis.parameters.clients.insert(identity.client_id());
  };

  for (const auto& replica : spec.replicas) {
    fs::create_directories(directory / replica.name);
    auto key = make_key(directory / replica.name / "replica.key");
    if (!key) return tl::unexpected(key.error());
    genesis.replicas.push_back({replica.name, key->public_key()});
    auto gateway = make_key(directory / replica.name / "gateway.key");
    if (!gateway) return tl::unexpected(gateway.error());
    admit(*gateway);
  }
  for (std::size_t i = 0; i < spec.clients; ++i) {
    fs::create_directories(directory / client_directory(i));
    auto key = make_key(directory / client_directory(i) / "client.key");
    if (!key) return tl::unexpected(key.error());
    admit(*key);
  }

  auto ports = choose_ports(spec);
  if (!ports) return tl::unexpected(ports.error());
  made.replicas = addresses_of(spec, *ports);
  if (auto written = write_file(directory / "genesis.toml", write_genesis(genesis)); !written) return written;
  for (std::size_t i = 0; i < spec.clients; ++i) {
    made.client_files.push_back(directory / client_directory(i) / "client.toml");
    if (auto written = write_file(made.client_files.back(), client_toml(made)); !written) return written;
  }
  for (std::size_t i = 0; i < n; ++i) {
    const fs::path home = directory / spec.replicas[i].name;
    if (auto written = write_file(home / "node.toml", node_toml(spec, made, i, (*ports)[i].http)); !written) {
      return written;
    }
    if (auto stored = create_store(home / "data", genesis, ReplicaId{static_cast<std::uint32_t>(i)}); !stored) {
      return stored;
    }
    // Whatever the options allowed, what was written must be what a node takes.
    if (auto loaded = runtime::load_node_config(home / "node.toml"); !loaded) return tl::unexpected(loaded.error());
  }
  return {};
}

}  // namespace

fs::path program_directory() {
  std::error_code error;
  return fs::read_symlink("/proc/self/exe", error).parent_path();
}

tl::expected<fs::path, std::string> find_plugin(const std::string& plugin, const fs::path& extra) {
  std::vector<fs::path> places;
  if (plugin.find('/') != std::string::npos || plugin.ends_with(".so")) {
    places.push_back(fs::absolute(plugin));
  } else {
    if (!extra.empty()) places.push_back(fs::absolute(extra) / (plugin + ".so"));
    places.push_back(program_directory() / (plugin + ".so"));
    places.push_back((program_directory() / "../lib/pbft/plugins" / (plugin + ".so")).lexically_normal());
  }
  std::string looked;
  for (const fs::path& place : places) {
    std::error_code error;
    if (fs::is_regular_file(place, error)) return place.lexically_normal();
    looked += "\n  " + place.string();
  }
  return tl::unexpected(fmt::format(
      "there is no plugin \"{}\". Looked for:{}\nGive the path of its .so, or --plugin-dir.", plugin, looked));
}

tl::expected<MadeCluster, std::string> make_cluster(const fs::path& directory, const ClusterSpec& asked) {
  ClusterSpec spec = asked;
  if (spec.replicas.empty()) spec.replicas = default_replicas(4);
  MadeCluster made;
  if (auto checked = check_names(spec); !checked) return tl::unexpected(checked.error());
  if (spec.demo_get && !runtime::is_loopback(spec.host)) {
    return tl::unexpected<std::string>("demo_get is allowed on loopback only; leave it out or use --host 127.0.0.1");
  }
  auto plugin_file = find_plugin(spec.plugin, spec.plugin_directory);
  if (!plugin_file) return tl::unexpected(plugin_file.error());
  made.plugin_file = *plugin_file;
  // A plugin that does not open with this configuration would only be found out when the replicas start.
  const auto plugin = execution::Plugin::load(made.plugin_file, spec.plugin_config);
  if (!plugin) return tl::unexpected(plugin.error());
  made.genesis.plugin = (*plugin)->name();

  std::error_code error;
  const bool existed = fs::exists(directory, error);
  if (existed && (!fs::is_directory(directory, error) || !fs::is_empty(directory, error))) {
    return tl::unexpected(fmt::format("{} exists and is not an empty directory; give a new one", directory.string()));
  }
  tl::expected<void, std::string> done;
  try {
    fs::create_directories(directory);
    done = make(directory, spec, made);
  } catch (const fs::filesystem_error& failure) {
    done = tl::unexpected<std::string>(failure.what());
  }
  if (done) return made;
  if (existed) {
    for (const auto& entry : fs::directory_iterator{directory, error}) fs::remove_all(entry.path(), error);
  } else {
    fs::remove_all(directory, error);
  }
  return tl::unexpected(done.error());
}

}  // namespace pbft::ctl
