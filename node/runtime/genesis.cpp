// Genesis: reading, writing, and the cluster id.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "node/crypto/keys.h"
#include "node/execution/result_budget.h"
#include "node/pbft/digests.h"
#include "node/pbft/messages.h"
#include "node/runtime/config.h"
#include "node/runtime/toml_reader.h"

namespace pbft::runtime {

namespace {

// The canonical form that the cluster id is taken over: integers as 8 bytes, most significant first; texts and
// lists with their length before them.
class CanonicalForm {
 public:
  void number(std::uint64_t value) {
    for (int shift = 56; shift >= 0; shift -= 8) bytes_.push_back(static_cast<std::uint8_t>(value >> shift));
  }
  void text(std::string_view value) {
    number(value.size());
    raw(as_bytes(value));
  }
  void raw(BytesView value) { bytes_.insert(bytes_.end(), value.begin(), value.end()); }
  [[nodiscard]] const Bytes& bytes() const { return bytes_; }

 private:
  Bytes bytes_;
};

PublicKey read_key(const TomlSection& section, std::string_view key, const std::string& hex) {
  const auto parsed = crypto::from_hex<PublicKey>(hex);
  if (!parsed) {
    section.problem(key,
                    fmt::format("\"{}\" is no public key: {}; 64 hexadecimal digits are needed", hex, parsed.error()));
    return {};
  }
  if (const auto curve = crypto::curve_public_key(*parsed); !curve) {
    section.problem(key, fmt::format("{} is not a usable Ed25519 public key: {}", hex, curve.error()));
  }
  return *parsed;
}

void read_replicas(TomlSection& root, Genesis& genesis) {
  std::set<std::string> names;
  std::set<PublicKey> keys;
  for (TomlSection& section : root.sections("replica")) {
    Genesis::Replica replica;
    replica.name = section.text("name");
    if (const std::string wrong = name_problem(replica.name); !replica.name.empty() && !wrong.empty()) {
      section.problem("name", wrong);
    }
    if (!replica.name.empty() && !names.insert(replica.name).second) {
      section.problem("name", fmt::format("\"{}\" names another replica already; names must differ", replica.name));
    }
    if (const std::string hex = section.text("key"); !hex.empty()) {
      replica.key = read_key(section, "key", hex);
      if (!keys.insert(replica.key).second) {
        section.problem("key", "is the key of another replica already; every replica needs a key of its own");
      }
    }
    section.finish();
    genesis.replicas.push_back(std::move(replica));
  }
  if (genesis.replicas.empty() || genesis.replicas.size() > Limits::max_replicas) {
    root.problem("replica", fmt::format("there are {} replicas; from 1 to {} [[replica]] tables are allowed",
                                        genesis.replicas.size(), Limits::max_replicas));
  }
}

void read_clients(TomlSection& root, ClusterParameters& parameters) {
  TomlSection section = root.section("clients");
  parameters.open_clients = section.boolean_or("open", false);
  for (const std::string& hex : section.texts("keys")) {
    ClientId client;
    client.bytes = read_key(section, "keys", hex).bytes;
    if (!parameters.clients.insert(client).second) section.problem("keys", fmt::format("{} is listed twice", hex));
  }
  if (parameters.open_clients && !parameters.clients.empty()) {
    section.problem("keys", "must be left out where open = true: any key may be a client there");
  }
  section.finish();
}

}  // namespace

std::string name_problem(std::string_view name) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
  };
  if (!name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), plain) && name[0] != '.' &&
      name[0] != '-') {
    return {};
  }
  return fmt::format("\"{}\" is not allowed: 1 to 64 of A-Z a-z 0-9 . _ - and neither . nor - in front", name);
}

void read_parameters(TomlSection& section, ClusterParameters& parameters) {
  const ClusterParameters defaults;
  // A range of the ledger between two checkpoints is fetched in one message, so K has its limit.
  parameters.checkpoint_interval =
      section.number_or("checkpoint_interval", defaults.checkpoint_interval, 1, Limits::max_ledger_range);
  parameters.window = section.number_or("window", 4 * parameters.checkpoint_interval, 2, 4 * Limits::max_ledger_range);
  parameters.session_window =
      section.number_or("session_window", defaults.session_window, 1, execution::ResultBudget::largest_session_window);
  parameters.max_sessions = section.number_or("max_sessions", defaults.max_sessions, 1, 1'000'000);
  parameters.max_clock_skew_us =
      1000 * section.number_or("max_clock_skew_ms", defaults.max_clock_skew_us / 1000, 1, 3'600'000);
  parameters.signed_requests = section.boolean_or("signed_requests", defaults.signed_requests);
  const std::uint64_t interval = parameters.checkpoint_interval;
  if (parameters.window % interval != 0 || parameters.window < 2 * interval) {
    section.problem("window", fmt::format("is {}; must be a multiple of checkpoint_interval ({}), and at least {}",
                                          parameters.window, interval, 2 * interval));
  }
  section.finish();
}

ClusterId Genesis::cluster_id() const {
  CanonicalForm form;
  form.text(cluster_name);
  form.number(replicas.size());
  for (const Replica& replica : replicas) {
    form.text(replica.name);
    form.raw(replica.key.view());
  }
  form.number(parameters.checkpoint_interval);
  form.number(parameters.window);
  form.number(parameters.session_window);
  form.number(parameters.max_sessions);
  form.number(parameters.max_clock_skew_us);
  form.number(parameters.epoch.value);
  form.number(parameters.signed_requests ? 1 : 0);
  form.number(parameters.open_clients ? 1 : 0);
  form.number(parameters.clients.size());
  for (const ClientId& client : parameters.clients) form.raw(client.view());
  form.text(plugin);
  form.text(plugin_config);
  const Digest digest = tagged_digest("pbft-genesis-1", form.bytes());
  ClusterId id;
  std::copy_n(digest.bytes.begin(), ClusterId::size, id.bytes.begin());
  return id;
}

crypto::Roster Genesis::roster() const {
  crypto::Roster roster;
  roster.cluster = cluster_id();
  roster.epoch = parameters.epoch;
  for (const Replica& replica : replicas) roster.replicas.push_back(replica.key);
  roster.signed_requests = parameters.signed_requests;
  if (!parameters.open_clients) {
    auto clients = std::make_shared<const std::set<ClientId>>(parameters.clients);  // shared by copies of the roster
    roster.admits = [clients = std::move(clients)](const ClientId& client) { return clients->contains(client); };
  }
  return roster;
}

namespace {

void check_window(TomlSection& section, const ClusterParameters& parameters) {
  if (parameters.replicas == 0 || parameters.replicas > Limits::max_replicas) return;  // said already
  const std::uint64_t most = Limits::largest_window(parameters.replicas);
  if (parameters.window <= most) return;
  section.problem("window", fmt::format("is {}; with {} replicas at most {} fit into a view change: lower it, and "
                                        "checkpoint_interval with it",
                                        parameters.window, parameters.replicas, most));
}

}  // namespace

Loaded<Genesis> load_genesis(const std::filesystem::path& file) {
  auto opened = TomlFile::open(file);
  if (!opened) return tl::unexpected(opened.error());
  TomlSection root = opened->root();
  Genesis genesis;
  genesis.cluster_name = root.text("cluster");
  read_replicas(root, genesis);
  TomlSection parameters = root.section("parameters");
  read_parameters(parameters, genesis.parameters);
  genesis.parameters.replicas = static_cast<std::uint32_t>(genesis.replicas.size());
  check_window(parameters, genesis.parameters);
  TomlSection plugin = root.section("plugin");
  genesis.plugin = plugin.text("name");
  genesis.plugin_config = plugin.text_or("config", "");
  plugin.finish();
  read_clients(root, genesis.parameters);
  root.finish();
  if (auto verdict = opened->verdict(); !verdict) return tl::unexpected(verdict.error());
  return genesis;
}

std::string write_genesis(const Genesis& genesis) {
  std::string text =
      "# What all replicas and clients of this cluster agree on. The cluster's id is a digest over all of it, so a\n"
      "# change here makes another cluster, which the existing stores refuse.\n\n";
  text += fmt::format("cluster = {}\n", toml_quote(genesis.cluster_name));
  for (const Genesis::Replica& replica : genesis.replicas) {
    text +=
        fmt::format("\n[[replica]]\nname = {}\nkey = \"{}\"\n", toml_quote(replica.name), crypto::to_hex(replica.key));
  }
  const ClusterParameters& parameters = genesis.parameters;
  text += fmt::format(
      "\n[parameters]\n"
      "checkpoint_interval = {}   # sequence numbers between checkpoints\n"
      "window = {}                # sequence numbers above the last stable checkpoint; a multiple of the interval\n"
      "session_window = {}        # requests that one client session may have outstanding\n"
      "max_sessions = {}          # over all clients; the least recently used one is evicted\n"
      "max_clock_skew_ms = {}     # how far the primary's clock may be ahead of a backup's\n"
      "signed_requests = {}       # true: clients' MACs do not count, each request has to carry a signature\n",
      parameters.checkpoint_interval, parameters.window, parameters.session_window, parameters.max_sessions,
      parameters.max_clock_skew_us / 1000, parameters.signed_requests);
  text += fmt::format("\n[plugin]\nname = {}\nconfig = {}\n", toml_quote(genesis.plugin),
                      toml_quote(genesis.plugin_config));
  text += fmt::format("\n[clients]\nopen = {}\n", parameters.open_clients);
  if (!parameters.open_clients) {
    text += "keys = [\n";
    for (const ClientId& client : parameters.clients) text += fmt::format("  \"{}\",\n", crypto::to_hex(client));
    text += "]\n";
  }
  return text;
}

}  // namespace pbft::runtime
