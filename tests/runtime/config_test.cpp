#include "node/runtime/config.h"

#include <catch2/catch.hpp>

#include "node/runtime/toml_reader.h"
#include "tests/runtime/samples.h"
#include "tests/temporary_directory.h"

using namespace pbft;
using namespace pbft::testing;
using namespace pbft::runtime;

TEST_CASE("A node's configuration is read with everything that it says") {
  const TemporaryDirectory directory;
  directory.write("genesis.toml", sample_genesis());
  const auto config = load_node_config(directory.write("node.toml", sample_node()));
  INFO((config ? "" : config.error()));
  REQUIRE(config);
  CHECK(config->name == "MS");
  CHECK(config->id == ReplicaId{1});
  CHECK(config->local.self == ReplicaId{1});
  CHECK(config->genesis.cluster_name == "sample");
  CHECK_FALSE(config->fsync);
  CHECK(config->tick_ms == 20);
  CHECK(config->http.enabled);
  CHECK(config->http.port == 1112);
  CHECK(config->http.bind == "127.0.0.1");
  CHECK(config->http.demo_get);
  CHECK(config->log.level == "debug");
  CHECK(config->local.pipeline == 3);
  CHECK(config->local.max_batch_requests == LocalParameters{}.max_batch_requests);

  SECTION("addresses are in the genesis' order") {
    REQUIRE(config->replicas.size() == 2);
    CHECK(config->replicas[0].name == "Apple");
    CHECK(config->replicas[0].http == "http://127.0.0.1:1111");
    CHECK(config->replicas[1].publish == "tcp://127.0.0.1:4110");
  }
  SECTION("relative paths are relative to the file, absolute ones stay") {
    CHECK(config->key_file == directory.path() / "replica.key");
    CHECK(config->data_directory == directory.path() / "data");
    CHECK(config->plugin_file == "/plugins/kv.so");
  }
}

TEST_CASE("Without [http] there is no HTTP") {
  const TemporaryDirectory directory;
  directory.write("genesis.toml", sample_genesis());
  const auto config =
      load_node_config(directory.write("node.toml", with(sample_node(), "[http]\nport = 1112\ndemo_get = true\n", "")));
  REQUIRE(config);
  CHECK_FALSE(config->http.enabled);
  CHECK(config->fsync == false);
}

TEST_CASE("What is wrong in a node's configuration is named with line, key and what is allowed") {
  struct Case {
    std::string from, to, expected;
  };
  const auto [from, to, expected] = GENERATE(values<Case>({
      {"name = \"MS\"\ngen", "gen", "node.toml:1: name: is missing"},
      {"name = \"MS\"\ngen", "name = \"IBM\"\ngen",
       "node.toml:1: name: \"IBM\" is no replica of the genesis; its "
       "replicas are: Apple, MS"},
      {"genesis = \"genesis.toml\"", "", "genesis: is missing"},
      {"genesis = \"genesis.toml\"", "genesis = \"x.toml\"", "x.toml: cannot be read"},
      {"\"os\"", "\"ssd\"", "node.toml:7: durability: is \"ssd\"; must be one of \"fsync\", \"os\""},
      {"tick_ms = 20", "tick_ms = 0", "node.toml:8: tick_ms: is 0; must be a whole number from 1 to 1000"},
      {"tick_ms = 20", "tickms = 20", "node.toml:8: tickms: is unknown here; did you mean tick_ms?"},
      {"publish = \"tcp://127.0.0.1:4110\"", "", "node.toml:9: replica[0].publish: is missing"},
      {"tcp://127.0.0.1:4110", "udp://127.0.0.1:4110",
       "node.toml:11: replica[0].publish: \"udp://127.0.0.1:4110\": "
       "does not start with tcp://"},
      {"tcp://127.0.0.1:4110", "tcp://127.0.0.1", "node.toml:11: replica[0].publish: "},
      {"tcp://127.0.0.1:4110", "tcp://127.0.0.1:70000", "a port that is not a number from 1 to 65535"},
      {"tcp://127.0.0.1:4110", "tcp://127.0.0.1:4100", "is used twice"},
      {"\"Apple\"", "\"MS\"", "node.toml:15: replica[1].name: \"MS\" has an entry already"},
      {"\"Apple\"", "\"Aple\"", "node.toml:15: replica[1].name: \"Aple\" is no replica of the genesis"},
      {"\"Apple\"", "\"MS\"", "there is no [[replica]] entry for \"Apple\""},
      {"port = 1112", "", "node.toml:20: http.port: is missing"},
      {"port = 1112", "port = 1112\nbind = \"0.0.0.0\"", "node.toml:23: http.demo_get: is allowed on loopback only"},
      {"gateway_key = \"gateway.key\"", "", "node.toml:22: http.demo_get: needs gateway_key"},
      {"\"debug\"", "\"loud\"", "node.toml:24: log.level: is \"loud\"; must be one of \"trace\""},
      {"pipeline = 3", "pipe = 3", "node.toml:26: tuning.pipe: is unknown here"},
      {"[tuning]", "[tuninig]", "node.toml:25: tuninig: is unknown here; did you mean tuning?"},
  }));
  const TemporaryDirectory directory;
  directory.write("genesis.toml", sample_genesis());
  const auto config = load_node_config(directory.write("node.toml", with(sample_node(), from, to)));
  CAPTURE(from, to);
  REQUIRE_FALSE(config);
  CHECK_THAT(config.error(), Catch::Contains(expected));
}

TEST_CASE("What a replica does about slow primaries, about being behind and about damage") {
  const TemporaryDirectory directory;
  directory.write("genesis.toml", sample_genesis());
  const auto load = [&](const std::string& top, const std::string& tuning) {
    return load_node_config(directory.write("node.toml", top + sample_node() + tuning));
  };
  const auto otherwise = load("", "");
  REQUIRE(otherwise);
  CHECK(otherwise->local.repair);
  CHECK(otherwise->scrub_period_s == 86'400);
  CHECK(otherwise->local.view_timeout_ticks == 100);
  CHECK(otherwise->local.view_timeout_max_ticks == 3'000);
  CHECK(otherwise->local.transfer_above == 512);
  CHECK(otherwise->local.transfer_bytes_per_tick == 32'768);

  const auto told = load("on_divergence = \"stop\"\nscrub_period_s = 0\n",
                         "view_timeout_ticks = 20\nview_timeout_max_ticks = 40\ntransfer_above = 8\n"
                         "transfer_bytes_per_tick = 0\n");
  INFO((told ? "" : told.error()));
  REQUIRE(told);
  CHECK_FALSE(told->local.repair);
  CHECK(told->scrub_period_s == 0);
  CHECK(told->local.view_timeout_ticks == 20);
  CHECK(told->local.view_timeout_max_ticks == 40);
  CHECK(told->local.transfer_above == 8);
  CHECK(told->local.transfer_bytes_per_tick == 0);

  const auto problem = [&](const std::string& top, const std::string& tuning) {
    const auto config = load(top, tuning);
    REQUIRE_FALSE(config);
    return config.error();
  };
  CHECK_THAT(problem("on_divergence = \"ignore\"\n", ""),
             Catch::Contains("node.toml:1: on_divergence: is \"ignore\"; must be one of \"repair\", \"stop\""));
  CHECK_THAT(problem("scrub_period_s = 40000000\n", ""), Catch::Contains("node.toml:1: scrub_period_s: "));
  CHECK_THAT(problem("", "view_timeout_ticks = 1\n"), Catch::Contains("node.toml:27: tuning.view_timeout_ticks: is 1"));
  CHECK_THAT(problem("", "view_timeout_ticks = 50\nview_timeout_max_ticks = 49\n"),
             Catch::Contains("node.toml:28: tuning.view_timeout_max_ticks: is 49; it must be at least "
                             "view_timeout_ticks, which is 50"));
  CHECK_THAT(problem("", "transfer_above = 0\n"), Catch::Contains("node.toml:27: tuning.transfer_above: is 0"));
}

TEST_CASE("A wrong genesis is told as such, by its own file") {
  const TemporaryDirectory directory;
  directory.write("genesis.toml", with(sample_genesis(), "window = 40", "window = 45"));
  const auto config = load_node_config(directory.write("node.toml", sample_node()));
  REQUIRE_FALSE(config);
  CHECK_THAT(config.error(), Catch::Contains("genesis.toml:10: parameters.window"));
}

TEST_CASE("A client's configuration knows the clients' addresses only") {
  const TemporaryDirectory directory;
  directory.write("genesis.toml", sample_genesis());
  const std::string text =
      "genesis = \"genesis.toml\"\nkey = \"client.key\"\n"
      "[[replica]]\nname = \"Apple\"\nclient = \"tcp://127.0.0.1:4102\"\n"
      "[[replica]]\nname = \"MS\"\nclient = \"tcp://[::1]:4112\"\n";
  const auto config = load_client_config(directory.write("client.toml", text));
  INFO((config ? "" : config.error()));
  REQUIRE(config);
  CHECK(config->replicas[1].client == "tcp://[::1]:4112");
  CHECK(config->plugin_file.empty());
  CHECK(config->key_file == directory.path() / "client.key");

  const auto wrong =
      load_client_config(directory.write("client.toml", with(text, "name = \"MS\"", "name = \"MS\"\npeer = \"x\"")));
  REQUIRE_FALSE(wrong);
  CHECK_THAT(wrong.error(), Catch::Contains("client.toml:8: replica[1].peer: is unknown here"));
}

TEST_CASE("Endpoints") {
  CHECK(parse_endpoint("tcp://127.0.0.1:4100")->port == 4100);
  CHECK(parse_endpoint("tcp://[::1]:4100")->host == "::1");
  CHECK(parse_endpoint("tcp://node-3.example:1")->host == "node-3.example");
  for (const char* wrong : {"", "127.0.0.1:4100", "tcp://127.0.0.1:", "tcp://:4100", "tcp://::1:4100", "tcp://a:0",
                            "tcp://a:12x", "tcp://a:65536", "tcp://a:-1", "tcp://a b:1"}) {
    CAPTURE(wrong);
    CHECK_FALSE(parse_endpoint(wrong));
  }
}

TEST_CASE("Loopback") {
  for (const char* loopback : {"127.0.0.1", "127.9.9.9", "::1", "localhost"}) CHECK(is_loopback(loopback));
  for (const char* other : {"0.0.0.0", "10.0.0.1", "127.evil.example", "example.org", "::", ""}) {
    CHECK_FALSE(is_loopback(other));
  }
}

TEST_CASE("A misspelt key is found, a strange one is not guessed") {
  CHECK(nearest("windw", {"window", "open"}) == "window");
  CHECK(nearest("xyzzy", {"window", "open"}).empty());
}
