// pbft-node CONFIG.toml: one replica. Parses the arguments, and serves until a signal.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "node/crypto/keys.h"
#include "node/runtime/config.h"
#include "node/serve.h"

namespace pbft {
namespace {

int check(const runtime::NodeInputs& inputs, const runtime::StartOptions& options) {
  const runtime::NodeConfig& config = inputs.config;
  std::error_code error;
  if (!options.rejoin && !std::filesystem::is_directory(config.data_directory, error)) {
    fmt::print(stderr,
               "{}: data: {} is not there; `pbftctl init` makes the store of a new cluster, --rejoin that of a replica "
               "which lost its own\n",
               config.file.string(), config.data_directory.string());
    return exit_usage;
  }
  fmt::print("{}: ok: {} is replica {} of {} in cluster {} ({}), state machine {}\n", config.file.string(), config.name,
             config.id.value, config.replicas.size(), config.genesis.cluster_name,
             crypto::to_hex(config.genesis.cluster_id()), inputs.plugin->name());
  return exit_ok;
}

int run(int argc, char** argv) {
  CLI::App app{"pbft-node: one replica of a Byzantine-fault-tolerant cluster"};
  std::filesystem::path file;
  bool only_check = false;
  runtime::StartOptions options;
  app.add_option("CONFIG", file, "The replica's configuration (node.toml)")->required();
  app.add_flag("--check", only_check, "Check configuration, keys and state machine, and end");
  app.add_flag("--rejoin", options.rejoin,
               "This replica has lost its store: make a new one, learn the state from the others, and vote on nothing "
               "until that is safe");
  app.add_flag("--repair", options.repair,
               "Repair a state that differs from what a quorum certified, also where on_divergence is \"stop\"");
  app.set_version_flag("--version", PBFT_VERSION);
  app.footer("Exit codes: 0 ended by a signal, or checked; 1 cannot start or had to stop; 2 wrong configuration.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? exit_ok : exit_usage;
  }
  auto inputs = prepare(file);
  if (!inputs) {
    fmt::print(stderr, "{}\n", inputs.error());
    return exit_usage;
  }
  return only_check ? check(*inputs, options) : serve(std::move(*inputs), options);
}

}  // namespace
}  // namespace pbft

int main(int argc, char** argv) {
  try {
    return pbft::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "pbft-node: {}\n", error.what());
    return pbft::exit_failed;
  }
}
