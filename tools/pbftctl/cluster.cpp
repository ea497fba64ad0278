#include "tools/pbftctl/cluster.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <thread>

namespace pbft::ctl {

namespace fs = std::filesystem;

namespace {

std::string usages_of(const execution::Plugin& plugin) {
  std::vector<std::string> usages;
  for (const execution::Command& command : plugin.commands()) {
    usages.push_back(command.usage);
  }
  return fmt::format("{}", fmt::join(usages, ", "));
}

client::ClientOptions options_of(const runtime::ClientConfig& config, const crypto::Identity& identity) {
  client::ClientOptions options{config.genesis.roster(), identity, {}, {}};
  for (const runtime::ReplicaAddress& replica : config.replicas) {
    options.replicas.push_back({replica.name, replica.client});
  }
  options.core.session_window = config.genesis.parameters.session_window;
  return options;
}

std::string text_of(const fs::path& file) {
  std::ifstream in{file, std::ios::binary};
  return {std::istreambuf_iterator<char>{in}, {}};
}

// Parsing a genesis takes long, so a configuration beside `first` with the same text is not parsed again: it differs
// from `first` in the directory that its key is in.
Result<runtime::ClientConfig> load_beside(const runtime::ClientConfig& first, const std::string& text,
                                          const fs::path& file) {
  if (text_of(file) != text) return runtime::load_client_config(file);
  runtime::ClientConfig config = first;
  config.file = file;
  config.key_file =
      file.parent_path() / fs::absolute(first.key_file).lexically_relative(fs::absolute(first.file).parent_path());
  return config;
}

// The configuration and those beside it, as far as there are any and not more than `most`.
Result<std::vector<runtime::ClientConfig>> configs_of_clients(const runtime::ClientConfig& first, std::size_t most) {
  std::vector<runtime::ClientConfig> configs{first};
  const std::string text = text_of(first.file);
  const fs::path cluster = fs::absolute(first.file).parent_path().parent_path();
  while (configs.size() < most) {
    const fs::path file = cluster / fmt::format("client-{}", configs.size() + 1) / "client.toml";
    std::error_code ignored;
    if (!fs::exists(file, ignored)) break;
    auto further = load_beside(first, text, file);
    if (!further) return tl::unexpected(further.error());
    configs.push_back(std::move(*further));
  }
  return configs;
}

bool same_addresses(const runtime::ClientConfig& a, const runtime::ClientConfig& b) {
  return std::ranges::equal(a.replicas, b.replicas, {}, &runtime::ReplicaAddress::client,
                            &runtime::ReplicaAddress::client);
}

// A key that the cluster does not list gets no answer at all, which looks like a cluster that is down, and like an
// operation that may still take effect. So it is told from the genesis before anything is sent.
Result<crypto::Identity> load_key(const runtime::ClientConfig& config) {
  auto key = crypto::Identity::load(config.key_file);
  const ClusterParameters& parameters = config.genesis.parameters;
  if (!key || parameters.open_clients || parameters.clients.contains(key->client_id())) return key;
  return tl::unexpected(fmt::format(
      "{}: this key is none of those that {} lists as clients, so the cluster would not answer it; set key "
      "in {} to the file of one that is (`pbftctl init` made it), or genesis to that of the key's own cluster",
      config.key_file.string(), config.genesis_file.string(), config.file.string()));
}

}  // namespace

Result<fs::path> find_client_config(const Globals& globals) {
  if (!globals.config.empty()) {
    return globals.config;
  }
  if (!globals.directory.empty()) {
    return globals.directory / "client" / "client.toml";
  }
  if (const char* set = std::getenv("PBFT_CLIENT_CONFIG"); set != nullptr && *set != '\0') {
    return fs::path{set};
  }
  for (const char* candidate : {"client.toml", "client/client.toml", "cluster/client/client.toml"}) {
    std::error_code ignored;
    if (fs::exists(candidate, ignored)) {
      return fs::path{candidate};
    }
  }
  return tl::unexpected(std::string{
      "no client configuration found: looked at $PBFT_CLIENT_CONFIG (not set), ./client.toml, ./client/client.toml and "
      "./cluster/client/client.toml; give the cluster's directory with --dir DIR or the file with --config FILE "
      "(`pbftctl init DIR` makes a cluster)"});
}

Result<runtime::ClientConfig> load_client_config(const Globals& globals) {
  return find_client_config(globals).and_then([](const fs::path& file) { return runtime::load_client_config(file); });
}

Result<std::unique_ptr<client::Client>> connect(const runtime::ClientConfig& config) {
  return load_key(config).and_then(
      [&](const crypto::Identity& identity) { return client::Client::open(options_of(config, identity)); });
}

Result<std::vector<std::unique_ptr<client::Client>>> connect_many(const runtime::ClientConfig& config,
                                                                  std::size_t count, std::size_t skip) {
  const auto configs = configs_of_clients(config, count + skip);
  if (!configs) return tl::unexpected(configs.error());
  const std::size_t first = std::min(skip, configs->size() - 1);
  const auto config_of = [&](std::size_t client) -> const runtime::ClientConfig& {
    return (*configs)[first + client % (configs->size() - first)];
  };
  // Those that go to the same addresses share threads: half of the processors for all of them.
  const std::size_t threads = std::max<std::size_t>(std::thread::hardware_concurrency() / 2, 1);
  const std::size_t share = (count + threads - 1) / threads;
  std::vector<std::unique_ptr<client::Client>> clients;
  while (clients.size() < count) {
    const runtime::ClientConfig& theirs = config_of(clients.size());
    std::vector<crypto::Identity> keys;
    for (std::size_t next = clients.size(); next < count && keys.size() < share; ++next) {
      if (!same_addresses(config_of(next), theirs)) break;
      auto key = load_key(config_of(next));
      if (!key) return tl::unexpected(key.error());
      keys.push_back(std::move(*key));
    }
    auto opened = client::Client::open_many(options_of(theirs, keys.front()), keys);
    if (!opened) return tl::unexpected(opened.error());
    std::move(opened->begin(), opened->end(), std::back_inserter(clients));
  }
  return clients;
}

Result<std::unique_ptr<execution::Plugin>> load_text_form(const runtime::ClientConfig& config) {
  if (config.plugin_file.empty()) {
    return tl::unexpected(fmt::format(
        "{}: no plugin is configured, so operations cannot be written as text; set plugin to the file of the state "
        "machine `{}`",
        config.file.string(), config.genesis.plugin));
  }
  auto plugin = execution::Plugin::load(config.plugin_file, config.genesis.plugin_config);
  if (plugin && (*plugin)->commands().empty()) {
    return tl::unexpected(fmt::format("{}: the plugin `{}` has no text form, so pbftctl cannot talk to it",
                                      config.plugin_file.string(), (*plugin)->name()));
  }
  return plugin;
}

Result<execution::Plugin::Parsed> parse_operation(const execution::Plugin& plugin,
                                                  const std::vector<std::string>& words) {
  if (words.empty()) {
    return tl::unexpected(fmt::format("which operation? `{}` understands: {}", plugin.name(), usages_of(plugin)));
  }
  const std::vector<execution::Command>& commands = plugin.commands();
  if (std::none_of(commands.begin(), commands.end(), [&](const auto& known) { return known.name == words.front(); })) {
    return tl::unexpected(
        fmt::format("`{}` understands no `{}`, but: {}", plugin.name(), words.front(), usages_of(plugin)));
  }
  return plugin.parse(words);
}

Result<Connection> connect(const Globals& globals) {
  auto config = load_client_config(globals);
  if (!config) {
    return tl::unexpected(config.error());
  }
  auto plugin = load_text_form(*config);
  if (!plugin) {
    return tl::unexpected(plugin.error());
  }
  auto client = connect(*config);
  if (!client) {
    return tl::unexpected(client.error());
  }
  return Connection{std::move(*config), std::move(*plugin), std::move(*client)};
}

}  // namespace pbft::ctl
