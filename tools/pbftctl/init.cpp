// pbftctl init: makes keys, genesis, configurations and stores of a new cluster.
#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>

#include "node/crypto/keys.h"
#include "node/execution/result_budget.h"
#include "node/pbft/messages.h"
#include "tools/pbftctl/cluster_maker.h"
#include "tools/pbftctl/commands.h"
#include "tools/pbftctl/output.h"

namespace pbft::ctl {

namespace {

// What is set here was given on the command line and goes before the spec file.
struct InitOptions {
  std::filesystem::path directory;
  std::filesystem::path spec;
  std::optional<std::string> cluster, plugin, plugin_config, ports, clients, requests, durability, host, on_divergence;
  std::optional<std::uint32_t> n;
  std::vector<std::string> names;
  std::optional<std::uint16_t> base_port, http_base_port;
  std::optional<std::uint64_t> checkpoint_interval, window, session_window, max_sessions, ledger_keep, scrub_period_s;
  std::optional<std::uint64_t> view_timeout_ticks, view_timeout_max_ticks, transfer_above;
  std::filesystem::path plugin_directory;
  bool demo_get = false;
};

using Merged = tl::expected<ClusterSpec, std::string>;

tl::expected<void, std::string> merge_replicas(const InitOptions& options, ClusterSpec& spec) {
  if (options.n && !options.names.empty() && *options.n != options.names.size()) {
    return tl::unexpected(
        fmt::format("--n is {}, but --names gives {} names; one of them is enough", *options.n, options.names.size()));
  }
  if (options.n) spec.replicas = default_replicas(*options.n);
  if (options.names.empty()) return {};
  spec.replicas.clear();
  std::set<std::string> seen;
  for (const std::string& name : options.names) {
    if (const std::string wrong = runtime::name_problem(name); !wrong.empty()) {
      return tl::unexpected("--names: " + wrong);
    }
    if (!seen.insert(name).second) return tl::unexpected(fmt::format("--names: \"{}\" is there twice", name));
    spec.replicas.push_back({name, {}});
  }
  if (spec.replicas.size() > Limits::max_replicas) {
    return tl::unexpected(fmt::format("--names: at most {} replicas are allowed", Limits::max_replicas));
  }
  return {};
}

tl::expected<void, std::string> merge_clients(const InitOptions& options, ClusterSpec& spec) {
  if (!options.clients) return {};
  spec.open_clients = *options.clients == "open";
  spec.clients = 1;
  if (spec.open_clients) return {};
  const std::string& text = *options.clients;
  const bool digits = !text.empty() && text.size() <= 5 && text.find_first_not_of("0123456789") == std::string::npos;
  const unsigned long count = digits ? std::stoul(text) : 0;
  if (count < 1 || count > 10'000) {
    return tl::unexpected(
        fmt::format("--clients is \"{}\"; it must be \"open\" or a number of keys from 1 to 10000", text));
  }
  spec.clients = static_cast<std::uint32_t>(count);
  return {};
}

tl::expected<void, std::string> merge_parameters(const InitOptions& options, ClusterSpec& spec) {
  ClusterParameters& parameters = spec.parameters;
  if (options.session_window) parameters.session_window = *options.session_window;
  if (options.max_sessions) parameters.max_sessions = *options.max_sessions;
  if (options.requests) parameters.signed_requests = *options.requests == "signed";
  if (options.checkpoint_interval) {
    parameters.checkpoint_interval = *options.checkpoint_interval;
    parameters.window = 4 * parameters.checkpoint_interval;
  }
  if (options.window) parameters.window = *options.window;
  // What nobody asked for is made to fit many replicas.
  const std::size_t count = spec.replicas.empty() ? ClusterParameters{}.replicas : spec.replicas.size();
  const std::uint64_t most = Limits::largest_window(static_cast<std::uint32_t>(count));
  const bool asked = options.checkpoint_interval || options.window || parameters.window != ClusterParameters{}.window;
  while (!asked && parameters.window > most) {
    parameters.checkpoint_interval /= 2;
    parameters.window /= 2;
  }
  const std::uint64_t interval = parameters.checkpoint_interval;
  if (parameters.window % interval != 0 || parameters.window < 2 * interval) {
    return tl::unexpected(
        fmt::format("--window is {}; it must be a multiple of the checkpoint interval ({}), and at "
                    "least {}",
                    parameters.window, interval, 2 * interval));
  }
  if (parameters.window > most) {
    return tl::unexpected(
        fmt::format("the window is {}; with {} replicas at most {} fit into a view change: lower "
                    "--window and --checkpoint-interval",
                    parameters.window, count, most));
  }
  return {};
}

tl::expected<void, std::string> merge_recovery(const InitOptions& options, ClusterSpec& spec) {
  if (options.on_divergence) spec.on_divergence = *options.on_divergence;
  if (options.scrub_period_s) spec.scrub_period_s = *options.scrub_period_s;
  if (options.view_timeout_ticks) spec.view_timeout_ticks = options.view_timeout_ticks;
  if (options.view_timeout_max_ticks) spec.view_timeout_max_ticks = options.view_timeout_max_ticks;
  if (options.transfer_above) spec.transfer_above = options.transfer_above;
  const LocalParameters otherwise;
  const std::uint64_t first = spec.view_timeout_ticks.value_or(otherwise.view_timeout_ticks);
  const std::uint64_t most = spec.view_timeout_max_ticks.value_or(otherwise.view_timeout_max_ticks);
  if (most >= first) return {};
  return tl::unexpected(
      fmt::format("--view-timeout-max-ticks (view_timeout_max_ticks) is {}; it must be at least --view-timeout-ticks "
                  "(view_timeout_ticks), which is {}",
                  most, first));
}

tl::expected<void, std::string> merge_ports(const InitOptions& options, ClusterSpec& spec) {
  if (options.base_port && options.ports == "pick") {
    return tl::unexpected<std::string>(
        "--base-port says which ports to use, and --ports pick to find some; leave one of them out");
  }
  if (options.base_port) {
    spec.base_port = *options.base_port;
    spec.pick_ports = false;
  }
  if (options.ports) spec.pick_ports = *options.ports == "pick";
  return {};
}

Merged merge(const InitOptions& options) {
  ClusterSpec spec;
  if (!options.spec.empty()) {
    auto loaded = load_spec(options.spec);
    if (!loaded) return loaded;
    spec = std::move(*loaded);
  }
  if (options.cluster) spec.cluster_name = *options.cluster;
  if (options.plugin) {
    spec.plugin = *options.plugin;
    spec.plugin_config.clear();
  }
  if (options.plugin_config) spec.plugin_config = *options.plugin_config;
  if (options.host) spec.host = *options.host;
  if (auto merged = merge_ports(options, spec); !merged) return tl::unexpected(merged.error());
  if (options.durability) spec.durability = *options.durability;
  if (options.ledger_keep) spec.ledger_keep = *options.ledger_keep;
  if (options.demo_get) spec.demo_get = true;
  if (auto merged = merge_recovery(options, spec); !merged) return tl::unexpected(merged.error());
  spec.plugin_directory = options.plugin_directory;
  if (auto merged = merge_replicas(options, spec); !merged) return tl::unexpected(merged.error());
  if (options.http_base_port) {
    spec.http_base_port = *options.http_base_port;
    for (auto& replica : spec.replicas) replica.http_port.reset();
  }
  if (auto merged = merge_clients(options, spec); !merged) return tl::unexpected(merged.error());
  if (auto merged = merge_parameters(options, spec); !merged) return tl::unexpected(merged.error());
  return spec;
}

void print_as_json(const std::filesystem::path& directory, const MadeCluster& made) {
  nlohmann::json value{{"directory", std::filesystem::absolute(directory).string()},
                       {"cluster", made.genesis.cluster_name},
                       {"cluster_id", crypto::to_hex(made.genesis.cluster_id())},
                       {"plugin", made.genesis.plugin},
                       {"plugin_file", made.plugin_file.string()},
                       {"replicas", nlohmann::json::array()},
                       {"clients", nlohmann::json::array()}};
  for (const auto& replica : made.replicas) {
    value["replicas"].push_back({{"name", replica.name},
                                 {"publish", replica.publish},
                                 {"peer", replica.peer},
                                 {"client", replica.client},
                                 {"http", replica.http}});
  }
  for (const auto& file : made.client_files) value["clients"].push_back(std::filesystem::absolute(file).string());
  print_json(value, 2);
}

void print_text(const std::filesystem::path& directory, const ClusterSpec& spec, const MadeCluster& made) {
  const std::size_t n = made.replicas.size();
  fmt::print("Made the cluster \"{}\" in {}: {} replica{}, tolerates {} faulty; state machine {}.\n",
             made.genesis.cluster_name, directory.string(), n, n == 1 ? "" : "s", (n - 1) / 3, made.genesis.plugin);
  for (const auto& replica : made.replicas) {
    fmt::print("  {:<12} clients {:<28} {}\n", replica.name, replica.client, replica.http);
  }
  fmt::print("\nNext:\n  pbftctl up {0}\n  pbftctl status --dir {0}\n", directory.string());
  if (spec.demo_get) fmt::print("  curl '{}/req?warTime=1234'\n", made.replicas.front().http);
  fmt::print("  pbftctl down {}\n", directory.string());
}

int run(const InitOptions& options, const Globals& globals) {
  const auto spec = merge(options);
  if (!spec) {
    fmt::print(stderr, "pbftctl init: {}\n", spec.error());
    return exit_usage;
  }
  const auto made = make_cluster(options.directory, *spec);
  if (!made) {
    fmt::print(stderr, "pbftctl init: {}\n", made.error());
    return exit_usage;
  }
  if (globals.json) {
    print_as_json(options.directory, *made);
  } else {
    print_text(options.directory, *spec, *made);
  }
  return exit_ok;
}

CLI::Range range_of(runtime::Allowed allowed) {
  return {allowed.least, allowed.most};
}

// What replicas do about primaries that are slow, about being far behind, and about damage.
void add_recovery_options(CLI::App& command, InitOptions& options) {
  command
      .add_option(
          "--on-divergence", options.on_divergence,
          "repair (default): a replica whose state differs from the certified one repairs it; stop: it waits for "
          "`pbftctl up --repair`")
      ->check(CLI::IsMember({"repair", "stop"}));
  command
      .add_option("--scrub-period", options.scrub_period_s,
                  "Everything stored is compared with its digests once in this time (86400); 0: never")
      ->type_name("SECONDS")
      ->check(range_of(runtime::scrub_period_allowed));
  command
      .add_option("--view-timeout-ticks", options.view_timeout_ticks,
                  "How long a request may wait before the primary is suspected (100 ticks of 10 ms)")
      ->type_name("N")
      ->check(range_of(runtime::view_timeout_allowed));
  command
      .add_option("--view-timeout-max-ticks", options.view_timeout_max_ticks,
                  "The most that it grows to while views bring no progress (3000)")
      ->type_name("N")
      ->check(range_of(runtime::view_timeout_max_allowed));
  command
      .add_option("--transfer-above", options.transfer_above,
                  "So many batches behind, a replica fetches the state, and not the batches (512)")
      ->type_name("N")
      ->check(range_of(runtime::transfer_above_allowed));
}

}  // namespace

void add_init(CLI::App& app, Globals& globals, Action& action) {
  CLI::App* command = app.add_subcommand("init", "Make a new cluster: keys, genesis, configurations and stores");
  auto options = std::make_shared<InitOptions>();
  command->add_option("DIR", options->directory, "The directory to make; new or empty")->required();
  command->add_option("--spec", options->spec, "Take it all from a TOML file; other options override it")
      ->type_name("FILE");
  command->add_option("--cluster", options->cluster, "Name of the cluster")->type_name("NAME");
  command->add_option("--n", options->n, "Number of replicas, called A, B, C ... (default 4)")
      ->check(CLI::Range(std::size_t{1}, Limits::max_replicas));
  command->add_option("--names", options->names, "Names of the replicas, comma-separated")->delimiter(',');
  command->add_option("--plugin", options->plugin, "The state machine: kv (default), counter, generals, or a .so")
      ->type_name("NAME|FILE");
  command->add_option("--plugin-config", options->plugin_config, "Text that is handed to the state machine")
      ->type_name("TEXT");
  command->add_option("--plugin-dir", options->plugin_directory, "Where to look for the state machine first")
      ->type_name("DIR");
  command->add_option("--host", options->host, "The address that replicas bind (default 127.0.0.1)")->type_name("IP");
  command->add_option("--base-port", options->base_port, "First port; replica i uses the four from PORT + 10 i (4100)")
      ->type_name("PORT")
      ->check(CLI::Range(1, 65'535));
  command->add_option("--ports", options->ports, "pick: find free ports instead")
      ->check(CLI::IsMember({"base", "pick"}));
  command->add_option("--http-base-port", options->http_base_port, "Replica i serves HTTP on PORT + i")
      ->type_name("PORT")
      ->check(CLI::Range(1, 65'535));
  command->add_flag("--demo-get", options->demo_get, "Allow GET /req?name=value, which changes state; loopback only");
  command
      ->add_option("--clients", options->clients,
                   "Number of client keys to make (default 1), or open: any key may be a client")
      ->type_name("N|open");
  command
      ->add_option("--requests", options->requests,
                   "macs (default): requests carry MACs, and a faulty client, whose MACs hold for some replicas only, "
                   "costs a delay before it has to sign; signed: every request carries its client's signature")
      ->check(CLI::IsMember({"signed", "macs"}));
  command
      ->add_option("--checkpoint-interval", options->checkpoint_interval, "Sequence numbers between checkpoints (128)")
      ->type_name("K")
      ->check(CLI::Range(std::size_t{1}, Limits::max_ledger_range));
  command->add_option("--window", options->window, "Sequence numbers above a checkpoint: a multiple of K (4 K)")
      ->type_name("L")
      ->check(CLI::Range(std::size_t{2}, 4 * Limits::max_ledger_range));
  command->add_option("--session-window", options->session_window, "Requests a session may have outstanding (1024)")
      ->check(CLI::Range(std::uint64_t{1}, execution::ResultBudget::largest_session_window));
  command->add_option("--max-sessions", options->max_sessions, "Client sessions that are kept (10000)")
      ->check(CLI::Range(1, 1'000'000));
  command
      ->add_option("--durability", options->durability,
                   "fsync (default): survives the loss of power; os: survives the death of the process")
      ->check(CLI::IsMember({"fsync", "os"}));
  command->add_option("--ledger-keep", options->ledger_keep, "Committed batches that are kept (100000); 0: all")
      ->type_name("N")
      ->check(range_of(runtime::ledger_keep_allowed));
  add_recovery_options(*command, *options);
  add_global_options(*command, globals);
  command->callback([options, &globals, &action] { action = [options, &globals] { return run(*options, globals); }; });
}

}  // namespace pbft::ctl
