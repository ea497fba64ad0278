#include <catch2/catch.hpp>

#include "node/runtime/config.h"
#include "tests/runtime/samples.h"
#include "tests/temporary_directory.h"

using namespace pbft;
using namespace pbft::testing;
using runtime::load_genesis;

TEST_CASE("A genesis is read with everything that it says") {
  const TemporaryDirectory directory;
  const auto genesis = load_genesis(directory.write("genesis.toml", sample_genesis()));
  REQUIRE(genesis);
  CHECK(genesis->cluster_name == "sample");
  REQUIRE(genesis->replicas.size() == 2);
  CHECK(genesis->replicas[1].name == "MS");
  CHECK(crypto::to_hex(genesis->replicas[1].key) == sample_key(2));
  CHECK(genesis->parameters.replicas == 2);
  CHECK(genesis->parameters.checkpoint_interval == 10);
  CHECK(genesis->parameters.window == 40);
  CHECK(genesis->parameters.session_window == 100);
  CHECK(genesis->parameters.max_sessions == 50);
  CHECK(genesis->parameters.max_clock_skew_us == 1'500'000);
  CHECK_FALSE(genesis->parameters.open_clients);
  CHECK(genesis->parameters.clients.size() == 1);
  CHECK(genesis->plugin == "kv");
  CHECK(genesis->plugin_config == "a = 1");
  CHECK_FALSE(genesis->parameters.signed_requests);
  CHECK(genesis->roster().replicas[0] == genesis->replicas[0].key);
}

TEST_CASE("What is left out of a genesis has a default") {
  const TemporaryDirectory directory;
  const auto genesis = load_genesis(directory.write(
      "genesis.toml",
      fmt::format("cluster = \"c\"\nplugin.name = \"kv\"\n[[replica]]\nname = \"A\"\nkey = \"{}\"\n", sample_key(1))));
  REQUIRE(genesis);
  const ClusterParameters defaults;
  CHECK(genesis->parameters.checkpoint_interval == defaults.checkpoint_interval);
  CHECK(genesis->parameters.window == defaults.window);
  CHECK(genesis->parameters.replicas == 1);
  CHECK(genesis->parameters.clients.empty());
  CHECK_FALSE(genesis->parameters.signed_requests);
}

TEST_CASE("The roster has the genesis' rules for clients") {
  const TemporaryDirectory directory;
  const auto roster = [&](const std::string& text) {
    const auto genesis = load_genesis(directory.write("genesis.toml", text));
    INFO((genesis ? "" : genesis.error()));
    REQUIRE(genesis);
    return genesis->roster();
  };
  const auto client = [](std::uint8_t seed) { return crypto::from_hex<ClientId>(sample_key(seed)).value(); };
  const auto closed = roster(sample_genesis());
  CHECK_FALSE(closed.signed_requests);
  REQUIRE(closed.admits);
  CHECK(closed.admits(client(3)));
  CHECK_FALSE(closed.admits(client(4)));
  CHECK_FALSE(closed.admits(client(1)));

  CHECK(roster(with(sample_genesis(), "[plugin]", "signed_requests = true\n[plugin]")).signed_requests);
  CHECK_FALSE(roster(with(sample_genesis(), fmt::format("open = false\nkeys = [\"{}\"]", sample_key(3)), "open = true"))
                  .admits);
}

TEST_CASE("The cluster id is over the content, not over the text") {
  const TemporaryDirectory directory;
  const auto id = [&](const std::string& text) {
    const auto genesis = load_genesis(directory.write("genesis.toml", text));
    INFO((genesis ? "" : genesis.error()));
    REQUIRE(genesis);
    return crypto::to_hex(genesis->cluster_id());
  };
  const std::string original = id(sample_genesis());

  // Fixed for good: a cluster whose stores exist must be recognized by every later version.
  CHECK(original == "055c803a76eecd01b66a3e0655095d85");
  CHECK(id("# a comment\n\n" + sample_genesis()) == original);
  CHECK(id(with(sample_genesis(), "open = false\n", "")) == original);
  CHECK(id(with(sample_genesis(), "[plugin]", "signed_requests = false\n[plugin]")) == original);
  CHECK(id(with(sample_genesis(), "[plugin]", "signed_requests = true\n[plugin]")) ==
        "2adb624cf5e25a38c32d3ba3071547d0");

  const auto change = GENERATE(table<std::string, std::string>({
      {"\"sample\"", "\"simple\""},
      {"\"Apple\"", "\"Pear\""},
      {"checkpoint_interval = 10", "checkpoint_interval = 20"},
      {"window = 40", "window = 50"},
      {"session_window = 100", "session_window = 101"},
      {"max_sessions = 50", "max_sessions = 51"},
      {"skew_ms = 1500", "skew_ms = 1501"},
      {"\"kv\"", "\"counter\""},
      {"\"a = 1\"", "\"a = 2\""},
  }));
  CAPTURE(std::get<0>(change));
  CHECK(id(with(sample_genesis(), std::get<0>(change), std::get<1>(change))) != original);
  CHECK(id(with(sample_genesis(), sample_key(2), sample_key(9))) != original);
  CHECK(id(with(sample_genesis(), sample_key(3), sample_key(9))) != original);
  CHECK(id(with(sample_genesis(), fmt::format("open = false\nkeys = [\"{}\"]", sample_key(3)), "open = true")) !=
        original);
}

TEST_CASE("A genesis that is written reads back as the same cluster") {
  const TemporaryDirectory directory;
  auto genesis = load_genesis(directory.write("genesis.toml", sample_genesis()));
  REQUIRE(genesis);
  genesis->cluster_name = "quotes \" and \\ and \t";
  genesis->plugin_config = "line = 1\nother = \"x\"\n\x01";
  genesis->parameters.signed_requests = GENERATE(true, false);
  const auto again = load_genesis(directory.write("again.toml", write_genesis(*genesis)));
  INFO((again ? "" : again.error()));
  REQUIRE(again);
  CHECK(again->plugin_config == genesis->plugin_config);
  CHECK(again->cluster_id() == genesis->cluster_id());

  genesis->parameters.clients.clear();
  genesis->parameters.open_clients = true;
  const auto open = load_genesis(directory.write("open.toml", write_genesis(*genesis)));
  REQUIRE(open);
  CHECK(open->cluster_id() == genesis->cluster_id());
}

TEST_CASE("What is wrong in a genesis is named with line, key and what is allowed") {
  struct Case {
    std::string from, to, expected;
  };
  const std::string key1 = sample_key(1);
  const std::string key2 = sample_key(2);
  const auto [from, to, expected] = GENERATE_COPY(values<Case>({
      {"cluster = \"sample\"", "", ":1: cluster: is missing"},
      {"cluster = \"sample\"", "cluster = 5", ":1: cluster: is a whole number; must be a string in quotes"},
      {"cluster = \"sample\"", "cluster = \"\"", ":1: cluster: must not be empty"},
      {"cluster = \"sample\"", "cluster = \"s\"\nreplicas = 4", ":2: replicas: is unknown here; did you mean replica?"},
      {"name = \"MS\"", "name = \"Apple\"", ":6: replica[1].name: \"Apple\" names another replica already"},
      {"name = \"MS\"", "name = \"M/S\"", ":6: replica[1].name: \"M/S\" is not allowed"},
      {"name = \"MS\"", "", ":5: replica[1].name: is missing"},
      {"name = \"MS\"", "nam = \"MS\"", ":6: replica[1].nam: is unknown here; did you mean name?"},
      {key2, key1, ":7: replica[1].key: is the key of another replica already"},
      {key2, "abc", ":7: replica[1].key: \"abc\" is no public key"},
      {key2, std::string(64, '0'), ":7: replica[1].key: "},
      {"checkpoint_interval = 10", "checkpoint_interval = 0",
       ":9: parameters.checkpoint_interval: is 0; must be a whole number from 1 to 262144"},
      {"checkpoint_interval = 10", "checkpoint_intervall = 10",
       ":9: parameters.checkpoint_intervall: is unknown here; did you mean checkpoint_interval?"},
      {"window = 40", "window = 45",
       ":10: parameters.window: is 45; must be a multiple of checkpoint_interval (10), "
       "and at least 20"},
      {"window = 40", "window = 10", ":10: parameters.window: is 10; must be a multiple"},
      {"checkpoint_interval = 10\nwindow = 40", "checkpoint_interval = 65536\nwindow = 131072",
       ":10: parameters.window: is 131072; with 2 replicas at most 39560"},
      {"window = 40", "window = 40.5", ":10: parameters.window: is a number with a fraction; must be a whole number"},
      {"window = 40", "window = -40", ":10: parameters.window: is -40; must be a whole number"},
      {"max_sessions = 50", "signed_requests = 1", ":12: parameters.signed_requests: is a whole number; must be true"},
      {"session_window = 100", "session_window = \"100\"", ":11: parameters.session_window: is a string; must be"},
      {"session_window = 100", "session_window = 16385",
       ":11: parameters.session_window: is 16385; must be a whole number from 1 to 16384"},
      {"[plugin]\nname = \"kv\"", "[plugin]", ": plugin.name: is missing"},
      {"[plugin]", "[plugins]", ":14: plugins: is unknown here; did you mean plugin?"},
      {"open = false", "open = \"no\"", ":18: clients.open: is a string; must be true or false"},
      {"open = false", "open = true", ":19: clients.keys: must be left out where open = true"},
      {"keys = [\"", "keys = [\"x\", \"", ":19: clients.keys: \"x\" is no public key"},
      {"keys = [\"", "keys = [7, \"", ":19: clients.keys: element 1 is a whole number; must be a string"},
      {"window = 40", "window = ", ":10: is not valid TOML: "},
  }));
  const TemporaryDirectory directory;
  const auto file = directory.write("genesis.toml", with(sample_genesis(), from, to));
  const auto genesis = load_genesis(file);
  CAPTURE(from, to);
  REQUIRE_FALSE(genesis);
  CHECK_THAT(genesis.error(), Catch::StartsWith(file.string() + ":"));
  CHECK_THAT(genesis.error(), Catch::Contains(expected));
}

TEST_CASE("All problems of a file are told at once") {
  const TemporaryDirectory directory;
  const auto genesis = load_genesis(
      directory.write("genesis.toml", with(with(sample_genesis(), "window = 40", "window = 1"), "name = \"kv\"", "")));
  REQUIRE_FALSE(genesis);
  CHECK_THAT(genesis.error(), Catch::Contains("parameters.window") && Catch::Contains("plugin.name"));
}

TEST_CASE("A missing genesis is named") {
  const TemporaryDirectory directory;
  const auto genesis = load_genesis(directory.path() / "none.toml");
  REQUIRE_FALSE(genesis);
  CHECK_THAT(genesis.error(), Catch::Contains("none.toml: cannot be read"));
}
