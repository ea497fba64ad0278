// What `pbftctl init` writes, read back by what the node and the clients use.
#include <fmt/format.h>
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <set>

#include "node/crypto/keys.h"
#include "storage/rocksdb_engine.h"
#include "storage/store.h"
#include "tests/runtime/made_cluster.h"
#include "tests/runtime/samples.h"
#include "tests/temporary_directory.h"

using namespace pbft;
using namespace pbft::testing;
using ctl::ClusterSpec;

TEST_CASE("A made cluster loads: configurations, keys, stores") {
  const TemporaryDirectory directory;
  const auto home = directory.path() / "cluster";
  ClusterSpec spec = picked("kv");
  spec.clients = 2;
  const auto made = ctl::make_cluster(home, spec);
  INFO((made ? "" : made.error()));
  REQUIRE(made);

  std::set<std::string> endpoints;
  for (const char* name : {"A", "B", "C", "D"}) {
    const auto config = runtime::load_node_config(home / name / "node.toml");
    INFO((config ? "" : config.error()));
    REQUIRE(config);
    CHECK(config->name == name);
    CHECK(config->genesis.cluster_id() == made->genesis.cluster_id());
    CHECK(std::filesystem::is_regular_file(config->plugin_file));
    const auto key = crypto::Identity::load(config->key_file);
    REQUIRE(key);
    CHECK(key->public_key() == config->genesis.replicas[config->id.value].key);
    const auto gateway = crypto::Identity::load(config->gateway_key_file);
    REQUIRE(gateway);
    CHECK(config->genesis.parameters.clients.contains(gateway->client_id()));
    const auto& own = config->replicas[config->id.value];
    for (const auto& endpoint : {own.publish, own.peer, own.client}) CHECK(endpoints.insert(endpoint).second);

    auto engine = storage::open_rocksdb(config->data_directory, storage::OpenMode::existing);
    REQUIRE(engine);
    CHECK(storage::Store::open(*engine, {config->genesis.cluster_id(), config->id}, {}));
    CHECK_FALSE(storage::Store::open(*engine, {config->genesis.cluster_id(), ReplicaId{9}}, {}));
  }
  for (const char* name : {"client", "client-2"}) {
    const auto config = runtime::load_client_config(home / name / "client.toml");
    INFO((config ? "" : config.error()));
    REQUIRE(config);
    CHECK(config->replicas.size() == 4);
    const auto key = crypto::Identity::load(config->key_file);
    REQUIRE(key);
    CHECK(config->genesis.parameters.clients.contains(key->client_id()));
  }
  CHECK(made->genesis.parameters.clients.size() == 6);

  SECTION("a second time it is refused, and nothing is touched") {
    const auto again = ctl::make_cluster(home, spec);
    REQUIRE_FALSE(again);
    CHECK_THAT(again.error(), Catch::Contains("not an empty directory"));
    CHECK(runtime::load_node_config(home / "A" / "node.toml"));
  }
}

TEST_CASE("The example of the four generals") {
  auto spec = ctl::load_spec(SOURCE_DIRECTORY "/configs/four-generals/cluster.toml");
  INFO((spec ? "" : spec.error()));
  REQUIRE(spec);
  spec->plugin_directory = PLUGIN_DIRECTORY;
  spec->pick_ports = true;
  const TemporaryDirectory directory;
  const auto made = ctl::make_cluster(directory.path(), *spec);
  INFO((made ? "" : made.error()));
  REQUIRE(made);
  REQUIRE(made->replicas.size() == 4);
  CHECK(made->replicas[0].name == "Apple");
  CHECK(made->replicas[1].http == "http://127.0.0.1:1112");
  CHECK(made->genesis.plugin == "generals");
  const auto config = runtime::load_node_config(directory.path() / "IBM" / "node.toml");
  REQUIRE(config);
  CHECK(config->http.port == 1114);
  CHECK(config->http.demo_get);
}

TEST_CASE("What is wrong in a spec is named with line and key") {
  const TemporaryDirectory directory;
  const auto problem = [&](const std::string& text) {
    const auto spec = ctl::load_spec(directory.write("cluster.toml", text));
    REQUIRE_FALSE(spec);
    return spec.error();
  };
  CHECK_THAT(problem("[[replica]]\nname = \"A\"\n[[replica]]\nname = \"A\"\n"),
             Catch::Contains("cluster.toml:4: replica[1].name: names another replica already"));
  CHECK_THAT(problem("base_prt = 1\n"),
             Catch::Contains("cluster.toml:1: base_prt: is unknown here; did you mean base_port?"));
  CHECK_THAT(problem("n = 0\n"), Catch::Contains("cluster.toml:1: n: is 0; must be a whole number from 1 to 64"));
  CHECK_THAT(problem("[parameters]\nsigned_requests = \"yes\"\n"),
             Catch::Contains("cluster.toml:2: parameters.signed_requests: is a string; must be true or false"));
  CHECK_THAT(problem("[parameters]\nwindow = 100\n"), Catch::Contains("cluster.toml:2: parameters.window: is 100"));
}

TEST_CASE("Requests are signed unless init is told otherwise") {
  const TemporaryDirectory directory;
  const auto home = directory.path() / "cluster";
  const auto signed_after = [&](const std::string& options) {
    std::filesystem::remove_all(home);
    int exit_code = 0;
    const std::string output = run(std::string{PBFTCTL_PROGRAM} + " init " + home.string() +
                                       " --ports pick --plugin-dir " PLUGIN_DIRECTORY " " + options,
                                   exit_code);
    INFO(output);
    REQUIRE(exit_code == 0);
    const auto config = runtime::load_client_config(home / "client" / "client.toml");
    REQUIRE(config);
    return config->genesis.roster().signed_requests;
  };
  CHECK_FALSE(signed_after(""));
  CHECK(signed_after("--requests signed"));
  CHECK_FALSE(signed_after("--requests macs"));
  const std::string spec =
      "--spec " + directory.write("cluster.toml", "[parameters]\nsigned_requests = true\n").string();
  CHECK(signed_after(spec));
  CHECK_FALSE(signed_after(spec + " --requests macs"));

  int exit_code = 0;
  const std::string other = (directory.path() / "other").string();
  CHECK_THAT(run(std::string{PBFTCTL_PROGRAM} + " init " + other + " --requests some", exit_code),
             Catch::Contains("--requests"));
  CHECK(exit_code == 2);
}

TEST_CASE("What replicas do about slow primaries, about being behind and about damage is written where it is given") {
  const TemporaryDirectory directory;
  const auto home = directory.path() / "cluster";
  const auto made_with = [&](const std::string& options) {
    std::filesystem::remove_all(home);
    int exit_code = 0;
    const std::string output = run(std::string{PBFTCTL_PROGRAM} + " init " + home.string() +
                                       " --ports pick --plugin-dir " PLUGIN_DIRECTORY " " + options,
                                   exit_code);
    INFO(output);
    REQUIRE(exit_code == 0);
    const auto config = runtime::load_node_config(home / "D" / "node.toml");
    REQUIRE(config);
    return *config;
  };
  const LocalParameters otherwise;
  const runtime::NodeConfig plain = made_with("");
  CHECK(plain.local.repair);
  CHECK(plain.scrub_period_s == 86'400);
  CHECK(plain.local.view_timeout_ticks == otherwise.view_timeout_ticks);
  CHECK(plain.local.transfer_above == otherwise.transfer_above);

  const std::string spec = "--spec " + directory
                                           .write("cluster.toml",
                                                  "on_divergence = \"stop\"\nscrub_period_s = 60\n[tuning]\n"
                                                  "view_timeout_ticks = 30\nview_timeout_max_ticks = 400\n")
                                           .string();
  const runtime::NodeConfig of_spec = made_with(spec);
  CHECK_FALSE(of_spec.local.repair);
  CHECK(of_spec.scrub_period_s == 60);
  CHECK(of_spec.local.view_timeout_ticks == 30);
  CHECK(of_spec.local.view_timeout_max_ticks == 400);
  CHECK(of_spec.local.transfer_above == otherwise.transfer_above);

  const runtime::NodeConfig overridden =
      made_with(spec +
                " --on-divergence repair --scrub-period 0 --view-timeout-ticks 50 --view-timeout-max-ticks 60"
                " --transfer-above 7");
  CHECK(overridden.local.repair);
  CHECK(overridden.scrub_period_s == 0);
  CHECK(overridden.local.view_timeout_ticks == 50);
  CHECK(overridden.local.view_timeout_max_ticks == 60);
  CHECK(overridden.local.transfer_above == 7);

  // Each number may be right by itself; what a node would not start with is not written.
  std::filesystem::remove_all(home);
  int exit_code = 0;
  CHECK_THAT(run(std::string{PBFTCTL_PROGRAM} + " init " + home.string() +
                     " --ports pick --plugin-dir " PLUGIN_DIRECTORY " --view-timeout-max-ticks 10",
                 exit_code),
             Catch::Contains("--view-timeout-max-ticks (view_timeout_max_ticks) is 10; it must be at least") &&
                 Catch::Contains("which is 100"));
  CHECK(exit_code == 2);
  CHECK_FALSE(std::filesystem::exists(home));
}

TEST_CASE("An option of init that is out of its range is named, and no file that is gone again") {
  const TemporaryDirectory directory;
  const auto home = directory.path() / "cluster";
  const std::string init = std::string{PBFTCTL_PROGRAM} + " init " + home.string() + " --ports pick ";
  for (const std::string& option :
       {std::string{"--view-timeout-ticks 1"}, std::string{"--view-timeout-max-ticks 10000001"},
        std::string{"--scrub-period 31536001"}, std::string{"--ledger-keep 1000000000001"},
        std::string{"--transfer-above 0"}}) {
    int exit_code = 0;
    const std::string output = run(init + option, exit_code);
    CHECK_THAT(output, Catch::Contains(option.substr(0, option.find(' '))) && !Catch::Contains("node.toml"));
    CHECK(exit_code == 2);
    CHECK_FALSE(std::filesystem::exists(home));
  }
  const auto spec = directory.write("cluster.toml", "[tuning]\nview_timeout_ticks = 1\n");
  const auto loaded = ctl::load_spec(spec);
  REQUIRE_FALSE(loaded);
  CHECK_THAT(loaded.error(), Catch::Contains("cluster.toml:2: tuning.view_timeout_ticks: is 1"));
}

TEST_CASE("A cluster that cannot be made leaves nothing behind") {
  const TemporaryDirectory directory;
  const auto refused = [&](const ClusterSpec& spec, const std::string& expected) {
    const auto made = ctl::make_cluster(directory.path() / "cluster", spec);
    REQUIRE_FALSE(made);
    CHECK_THAT(made.error(), Catch::Contains(expected));
    CHECK_FALSE(std::filesystem::exists(directory.path() / "cluster"));
  };
  refused(picked("no-such"), "there is no plugin \"no-such\"");
  ClusterSpec spec = picked("kv");
  spec.replicas = {{"client", {}}};
  refused(spec, "cannot be called \"client\"");
  spec = picked("kv");
  spec.host = "192.0.2.1";  // reserved for documentation: no machine has it
  refused(spec, "192.0.2.1");
  spec = picked("kv");
  spec.pick_ports = false;
  spec.base_port = 65'530;
  refused(spec, "lower base port");
  spec = picked("kv");
  spec.http_base_port = 65'534;  // A and B have room, C has not
  refused(spec, "lower base port");
}

TEST_CASE("A port that would be used twice is refused with both its users") {
  const TemporaryDirectory directory;
  const auto problem = [&](const ClusterSpec& spec) {
    const auto made = ctl::make_cluster(directory.path() / "cluster", spec);
    return made ? std::string{} : made.error();
  };
  ClusterSpec spec = picked("kv");
  spec.pick_ports = false;
  spec.base_port = 4100;
  spec.http_base_port = 4100;
  CHECK_THAT(problem(spec), Catch::Contains("the publish port of A and the HTTP port of A would both be 4100") &&
                                Catch::Contains("--http-base-port") && Catch::Contains("--ports pick"));
  spec.http_base_port = 4109;
  CHECK_THAT(problem(spec), Catch::Contains("the publish port of B and the HTTP port of B would both be 4110"));
  spec.http_base_port.reset();
  spec.replicas = {{"A", 1111}, {"B", {}}, {"C", 1111}};
  CHECK_THAT(problem(spec), Catch::Contains("the HTTP port of A and the HTTP port of C would both be 1111"));
  spec.replicas = {{"A", 4113}, {"B", 4103}};  // each has the other's usual one
  CHECK(problem(spec).empty());
}

TEST_CASE("pbft-node --check names what does not fit") {
  const TemporaryDirectory directory;
  const auto made = ctl::make_cluster(directory.path(), picked("counter"));
  INFO((made ? "" : made.error()));
  REQUIRE(made);
  const std::filesystem::path home = directory.path() / "B";
  const std::string check = std::string{NODE_PROGRAM} + " --check " + (home / "node.toml").string();
  int exit_code = 0;

  SECTION("all is well") {
    CHECK_THAT(run(check, exit_code), Catch::Contains("ok: B is replica 1 of 4") && Catch::Contains("counter"));
    CHECK(exit_code == 0);
  }
  SECTION("the key of another replica") {
    std::filesystem::copy_file(directory.path() / "C" / "replica.key", home / "replica.key",
                               std::filesystem::copy_options::overwrite_existing);
    CHECK_THAT(run(check, exit_code), Catch::Contains("replica.key: its public key is") && Catch::Contains("for B") &&
                                          Catch::Contains("correct key or name in"));
    CHECK(exit_code == 2);
  }
  SECTION("a key that others may read") {
    ::chmod((home / "replica.key").c_str(), 0644);
    CHECK_THAT(run(check, exit_code), Catch::Contains("replica.key"));
    CHECK(exit_code == 2);
  }
  SECTION("another state machine than the genesis wants") {
    const auto other = ctl::find_plugin("kv", PLUGIN_DIRECTORY);
    REQUIRE(other);
    std::ifstream stream{home / "node.toml"};
    const std::string text{std::istreambuf_iterator<char>{stream}, {}};
    directory.write("B/node.toml", with(text, made->plugin_file.string(), other->string()));
    CHECK_THAT(run(check, exit_code), Catch::Contains("is the state machine \"kv\"") && Catch::Contains("\"counter\""));
    CHECK(exit_code == 2);
  }
  SECTION("a gateway key that is no client") {
    std::filesystem::remove(home / "gateway.key");
    REQUIRE(crypto::Identity::generate().save(home / "gateway.key"));
    CHECK_THAT(run(check, exit_code), Catch::Contains("gateway.key") && Catch::Contains("not among the clients"));
    CHECK(exit_code == 2);
  }
  SECTION("no store") {
    std::filesystem::remove_all(home / "data");
    CHECK_THAT(run(check, exit_code), Catch::Contains("pbftctl init"));
    CHECK(exit_code == 2);
  }
}
