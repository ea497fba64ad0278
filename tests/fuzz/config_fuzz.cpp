// Genesis, node and client configuration: problems name the file, what loads keeps to the limits that are documented,
// and a genesis that is written again is the same one.
// Input: which file, and its text; the other file is a correct one.
#include "node/runtime/config.h"
#include "tests/fuzz/fuzz.h"
#include "tests/runtime/samples.h"
#include "tests/temporary_directory.h"

namespace pbft::fuzz {
namespace {

enum class Kind : std::uint8_t { genesis, node, client, count_ };

const testing::TemporaryDirectory& scratch() {
  static const testing::TemporaryDirectory made{scratch_parent()};
  return made;
}

void check_genesis(const runtime::Genesis& genesis) {
  const ClusterParameters& parameters = genesis.parameters;
  holds(!genesis.replicas.empty() && genesis.replicas.size() <= Limits::max_replicas, "the replicas are 1 to 64");
  holds(parameters.replicas == genesis.replicas.size(), "the parameters know the number of replicas");
  holds(parameters.checkpoint_interval > 0, "the interval is not 0");
  holds(parameters.window % parameters.checkpoint_interval == 0, "the window is a multiple of the interval");
  holds(parameters.window >= 2 * parameters.checkpoint_interval, "the window is two intervals at least");
  holds(!parameters.open_clients || parameters.clients.empty(), "where clients are open none is listed");
  for (const auto& replica : genesis.replicas) {
    holds(runtime::name_problem(replica.name).empty(), "the names can be names of directories");
    holds(crypto::curve_public_key(replica.key).has_value(), "the keys are keys");
  }
  const std::string text = runtime::write_genesis(genesis);
  const auto again = runtime::load_genesis(scratch().write("again.toml", text));
  holds(again.has_value(), "what is written loads");
  holds(again->cluster_id() == genesis.cluster_id(), "what is written is the same cluster");
  holds(runtime::write_genesis(*again) == text, "what is written is written in one way");
}

void check_addresses(const std::vector<runtime::ReplicaAddress>& addresses, const runtime::Genesis& genesis) {
  holds(addresses.size() == genesis.replicas.size(), "each replica has an address");
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    holds(addresses[i].name == genesis.replicas[i].name, "addresses are in the order of the genesis");
  }
}

void check_node(const runtime::NodeConfig& config) {
  holds(config.id.value < config.genesis.replicas.size(), "the node is one of the replicas");
  holds(config.genesis.replicas[config.id.value].name == config.name, "the node has its name");
  holds(config.local.self == config.id, "the core knows who it is");
  holds(config.tick_ms > 0 && config.local.pipeline > 0 && config.local.max_batch_requests > 0, "nothing is 0");
  holds(config.local.max_batch_bytes <= Limits::max_batch_bytes, "batches keep to their limit");
  holds(config.local.view_timeout_ticks <= config.local.view_timeout_max_ticks, "timeouts are in order");
  holds(!config.http.demo_get || runtime::is_loopback(config.http.bind), "the demo is on loopback only");
  check_addresses(config.replicas, config.genesis);
}

template <class Config>
bool loaded(const runtime::Loaded<Config>& result, const std::string& directory) {
  // The file, or one that it names by its whole path.
  const bool names = result || result.error().find(directory) != std::string::npos || result.error().starts_with("/");
  holds(names, "a problem names its file");
  return result.has_value();
}

}  // namespace

void run(BytesView input) {
  if (input.empty()) return;
  const std::string text{as_text(input.subspan(1))};
  const auto kind = static_cast<Kind>(input[0] % static_cast<std::uint8_t>(Kind::count_));
  scratch().write("genesis.toml", kind == Kind::genesis ? text : testing::sample_genesis());
  const std::string directory = (scratch() / "").string();
  if (kind == Kind::genesis) {
    const auto genesis = runtime::load_genesis(scratch() / "genesis.toml");
    if (loaded(genesis, directory)) check_genesis(*genesis);
  } else if (kind == Kind::node) {
    const auto config = runtime::load_node_config(scratch().write("node.toml", text));
    if (loaded(config, directory)) check_node(*config);
  } else {
    const auto config = runtime::load_client_config(scratch().write("client.toml", text));
    if (loaded(config, directory)) check_addresses(config->replicas, config->genesis);
  }
}

Seeds seeds() {
  const std::string client =
      "genesis = \"genesis.toml\"\nkey = \"client.key\"\n"
      "[[replica]]\nname = \"Apple\"\nclient = \"tcp://127.0.0.1:4102\"\n"
      "[[replica]]\nname = \"MS\"\nclient = \"tcp://[::1]:4112\"\nhttp = \"http://127.0.0.1:1112\"\n";
  Seeds made;
  std::uint8_t kind = 0;
  for (const std::string& text : {testing::sample_genesis(), testing::sample_node(), client}) {
    Bytes seed = to_bytes(text);
    seed.insert(seed.begin(), kind++);
    made.push_back(std::move(seed));
  }
  return made;
}

}  // namespace pbft::fuzz
