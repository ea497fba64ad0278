// pbft-byzantine CONFIG.toml --lie NAME...: a replica of a real cluster that lies, with valid keys. Only for tests.
// It runs what pbft-node runs, and the simulator's liars between that and the bus. On standard output it says how often
// each lie was told so far, as a line of JSON whenever that changes and once more at the end.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "node/crypto/keys.h"
#include "node/runtime/config.h"
#include "node/serve.h"
#include "tests/byzantine/lying_bus.h"

namespace pbft::byzantine {
namespace {

struct Options {
  std::filesystem::path config;
  std::vector<std::string> lies;
  std::uint64_t seed = 1;
  std::vector<std::filesystem::path> clients;
};

std::map<std::string, sim::Lie> lies_by_name() {
  std::map<std::string, sim::Lie> lies;
  for (std::size_t i = 0; i < sim::lie_count; ++i) {
    const auto lie = static_cast<sim::Lie>(i);
    if (lie != sim::Lie::amnesia) lies[sim::one_word(lie)] = lie;
  }
  return lies;
}

// One line, written at once, so that who reads along never sees a part of it.
void print(const sim::LieCounts& counts, const std::vector<std::string>& names) {
  nlohmann::ordered_json json;
  for (const std::string& name : names) json[name] = counts[static_cast<std::size_t>(lies_by_name().at(name))];
  const std::string line = json.dump() + "\n";
  std::fwrite(line.data(), 1, line.size(), stdout);
  std::fflush(stdout);
}

// Those that were named, or all of the genesis.
runtime::Loaded<std::vector<ClientId>> clients_of(const Options& options, const runtime::Genesis& genesis) {
  std::vector<ClientId> clients;
  for (const std::filesystem::path& file : options.clients) {
    const auto config = runtime::load_client_config(file);
    if (!config) return tl::unexpected(config.error());
    const auto identity = crypto::Identity::load(config->key_file);
    if (!identity) return tl::unexpected(identity.error());
    clients.push_back(identity->client_id());
  }
  if (clients.empty()) clients.assign(genesis.parameters.clients.begin(), genesis.parameters.clients.end());
  if (clients.empty()) return tl::unexpected<std::string>("the genesis names no clients; name some with --client");
  return clients;
}

runtime::Loaded<sim::LiarFacts> facts_of(const Options& options, const runtime::NodeInputs& inputs) {
  const runtime::NodeConfig& config = inputs.config;
  auto clients = clients_of(options, config.genesis);
  if (!clients) return tl::unexpected(clients.error());
  return sim::LiarFacts{options.seed,
                        config.id,
                        config.genesis.roster(),
                        inputs.identity,
                        crypto::ed25519(),
                        config.genesis.parameters,
                        std::uint64_t{config.local.view_timeout_ticks} * config.tick_ms * sim::millisecond,
                        std::move(*clients)};
}

int run(const Options& options) {
  auto inputs = prepare(options.config);
  if (!inputs) {
    fmt::print(stderr, "{}\n", inputs.error());
    return exit_usage;
  }
  const auto facts = facts_of(options, *inputs);
  if (!facts) {
    fmt::print(stderr, "{}\n", facts.error());
    return exit_usage;
  }
  std::vector<sim::Lie> lies;
  for (const std::string& name : options.lies) lies.push_back(lies_by_name().at(name));
  sim::LieCounts counts{};
  const auto tell = [&](const sim::LieCounts& now) { print(counts = now, options.lies); };
  const ExitCode ended = serve(std::move(*inputs), {}, [&](runtime::Transport& bus) {
    return std::make_unique<LyingBus>(*facts, lies, bus, tell);
  });
  print(counts, options.lies);
  return ended;
}

}  // namespace
}  // namespace pbft::byzantine

int main(int argc, char** argv) {
  CLI::App app{"pbft-byzantine: a replica that lies, for tests"};
  pbft::byzantine::Options options;
  std::vector<std::string> names;
  for (const auto& [name, lie] : pbft::byzantine::lies_by_name()) names.push_back(name);
  app.add_option("CONFIG", options.config, "The replica's configuration (node.toml)")->required();
  app.add_option("--lie", options.lies, "How it lies; may be given several times")
      ->required()
      ->check(CLI::IsMember(names));
  app.add_option("--seed", options.seed, "Of what it chooses")->capture_default_str();
  app.add_option("--client", options.clients,
                 "client.toml of a client to whom or of whom it lies (all of the genesis)");
  app.footer("Exit codes: as those of pbft-node.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? pbft::exit_ok : pbft::exit_usage;
  }
  try {
    return pbft::byzantine::run(options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "pbft-byzantine: {}\n", error.what());
    return pbft::exit_failed;
  }
}
