// pbftctl: what it makes of its arguments, and what it promises of its results, without a cluster that answers.
#include <fmt/format.h>

#include <catch2/catch.hpp>

#include "node/crypto/keys.h"
#include "tests/runtime/made_cluster.h"
#include "tests/runtime/samples.h"
#include "tests/temporary_directory.h"

using namespace pbft;
using namespace pbft::testing;
using ctl::ClusterSpec;

TEST_CASE("An option that there is not is no word of an operation") {
  int exit_code = 0;
  const auto output_of = [&](const std::string& rest) { return run(std::string{PBFTCTL_PROGRAM} + rest, exit_code); };
  for (const char* command : {"exec", "query", "bench"}) {
    CHECK_THAT(output_of(fmt::format(" {} --tiemout 5 put a 1", command)),
               Catch::Contains(fmt::format("{} has no option --tiemout; did you mean --timeout?", command)) &&
                   Catch::Contains("before the words"));
    CHECK(exit_code == 2);
  }
  CHECK_THAT(output_of(" query --eahc=yes get a"), Catch::Contains("no option --eahc; did you mean --each?"));
  CHECK_THAT(output_of(" exec --quite-another-thing"),
             Catch::Contains("exec has no option --quite-another-thing.") && !Catch::Contains("did you mean"));
}

TEST_CASE("Results that cannot be written are no success") {
  int exit_code = 0;
  const std::string program{PBFTCTL_PROGRAM};
  const auto lost = Catch::Contains("the results cannot be written: No space left on device");
  for (const char* arguments : {" completion bash", " --help", " init --help"}) {
    // The error has to come by another way than the results.
    CHECK_THAT(run("(" + program + arguments + " 2>&1 >/dev/full)", exit_code), lost);
    CHECK(exit_code == 5);
    run(program + arguments, exit_code);
    CHECK(exit_code == 0);
  }
  CHECK_THAT(run("(" + program + " completion bash 2>&1 >&-)", exit_code),
             Catch::Contains("the results cannot be written"));
  CHECK(exit_code == 5);
  const TemporaryDirectory directory;
  REQUIRE(ctl::make_cluster(directory.path(), picked("kv")));
  const std::string status = program + " status --json --timeout 0.1 --dir " + directory.path().string();
  CHECK_THAT(run("(" + status + " 2>&1 >/dev/full)", exit_code), Catch::Contains("the results cannot be written: "));
  CHECK(exit_code == 3);  // what went wrong before is told as it is
}

TEST_CASE("A key that the genesis does not list is found out before anything is sent") {
  const TemporaryDirectory directory;
  const auto home = directory.path() / "cluster";
  ClusterSpec spec = picked("kv");
  const auto output_of = [&](const char* command, int& exit_code) {
    REQUIRE(ctl::make_cluster(home, spec));
    const auto key = home / "client" / "client.key";
    std::filesystem::remove(key);
    REQUIRE(crypto::Identity::generate().save(key));
    const std::string output =
        run(fmt::format("{} --timeout 0.2 --dir {} {}", PBFTCTL_PROGRAM, home.string(), command), exit_code);
    std::filesystem::remove_all(home);
    return output;
  };
  int exit_code = 0;
  for (const char* command : {"exec put a 1", "query --each get a", "status", "bench put a 1"}) {
    INFO(command);
    CHECK_THAT(output_of(command, exit_code), Catch::Contains("client.key: this key is none of those") &&
                                                  Catch::Contains("genesis.toml lists as clients") &&
                                                  Catch::Contains("client.toml to the file of one that is"));
    CHECK(exit_code == 2);
  }
  spec.open_clients = true;
  CHECK_THAT(output_of("exec put a 1", exit_code), !Catch::Contains("client.key"));
  CHECK(exit_code == 3);
}

TEST_CASE("An option that would have no effect is refused") {
  int exit_code = 0;
  const auto output_of = [&](const std::string& rest) {
    return run(std::string{PBFTCTL_PROGRAM} + " --config /nonexistent/client.toml " + rest, exit_code);
  };
  const std::string names[] = {"--clients", "--connections", "--pipeline", "--rate", "--duration", "--warm-up"};
  for (const std::string& option : names) {
    CHECK_THAT(output_of("bench --sequential 3 " + option + " 2 put a 1"), Catch::Contains("excludes"));
    CHECK(exit_code == 2);
    CHECK_THAT(output_of("bench " + option + " 2 put a 1"), Catch::Contains("/nonexistent/client.toml"));
  }
  CHECK_THAT(output_of("bench --sequential 3 --reads 5 --read 'get a' put a 1"), Catch::Contains("excludes"));
  CHECK_THAT(output_of("bench --sequential 3 --size 5 --keys 5 --seed 2 put a 1"),
             Catch::Contains("/nonexistent/client.toml"));
  CHECK_THAT(output_of("bench --read 'get a' put a 1"), Catch::Contains("--read requires --reads"));
  CHECK_THAT(output_of("bench --reads 5 put a 1"), Catch::Contains("--reads requires --read"));
  CHECK_THAT(output_of("bench --reads 5 --read 'get a' put a 1"), Catch::Contains("/nonexistent/client.toml"));
  const TemporaryDirectory directory;
  const std::filesystem::path home = directory.path() / "cluster";
  CHECK_THAT(output_of("init " + home.string() + " --base-port 5000 --ports pick"),
             Catch::Contains("leave one of them out"));
  CHECK(exit_code == 2);
  CHECK_FALSE(std::filesystem::exists(home));
}

TEST_CASE("--only takes one value each time, and DIR may follow") {
  const TemporaryDirectory directory;
  REQUIRE(ctl::make_cluster(directory.path(), picked("kv")));
  const std::string home = directory.path().string();
  int exit_code = 0;
  const auto names_of = [&](const std::string& rest) {
    const std::string output = run(std::string{PBFTCTL_PROGRAM} + rest, exit_code);
    INFO(output);
    CHECK(exit_code == 0);
    std::string named;
    for (const char* name : {"A", "B", "C", "D"}) {
      if (output.find(fmt::format("{:<12} not running", name)) != std::string::npos) named += name;
    }
    return named;
  };
  CHECK(names_of(" down --only B " + home) == "B");
  CHECK(names_of(" down --only B --only C " + home) == "BC");
  CHECK(names_of(" down " + home + " --only A,D") == "AD");
  CHECK(names_of(" down " + home) == "ABCD");
  CHECK_THAT(run(std::string{PBFTCTL_PROGRAM} + " up --only A " + home + " --rejoin", exit_code),
             Catch::Contains("holds this replica's store"));
  CHECK_THAT(run(std::string{PBFTCTL_PROGRAM} + " down " + home + " --only A B", exit_code), Catch::Contains("B"));
  CHECK(exit_code == 2);
}

TEST_CASE("--rejoin wants to be told for whom") {
  const TemporaryDirectory directory;
  const auto made = ctl::make_cluster(directory.path(), picked("kv"));
  REQUIRE(made);
  int exit_code = 0;
  const std::string up = std::string{PBFTCTL_PROGRAM} + " up " + directory.path().string() + " --rejoin";
  CHECK_THAT(run(up, exit_code), Catch::Contains("name them with --only"));
  CHECK(exit_code == 2);
  // A store that is there is not thrown away.
  CHECK_THAT(run(up + " --only A", exit_code), Catch::Contains("holds this replica's store"));
  CHECK(exit_code == 1);
}

TEST_CASE("up and down take --dir for their directory, and say so where there is none") {
  const TemporaryDirectory directory;
  REQUIRE(ctl::make_cluster(directory.path(), picked("kv")));
  int exit_code = 0;
  const std::string program{PBFTCTL_PROGRAM};
  const std::string with_dir = program + " --dir " + directory.path().string();
  CHECK_THAT(run(with_dir + " up --only A --rejoin", exit_code), Catch::Contains("holds this replica's store"));
  CHECK(exit_code == 1);
  CHECK_THAT(run(with_dir + " down", exit_code), Catch::Contains("not running"));
  CHECK(exit_code == 0);
  for (const char* command : {" up", " down"}) {
    CHECK_THAT(run(program + command, exit_code), Catch::Contains("DIR is missing"));
    CHECK(exit_code == 2);
  }
}

TEST_CASE("What up prints as JSON may have bytes in it that are no UTF-8") {
  const TemporaryDirectory directory;
  const std::filesystem::path home = directory.path() / "\xff";
  REQUIRE(ctl::make_cluster(home, picked("kv")));
  int exit_code = 0;
  const std::string output =
      run(std::string{PBFTCTL_PROGRAM} + " up " + home.string() + " --only A --rejoin --json", exit_code);
  CHECK_THAT(output, Catch::Contains("\"state\": \"failed\"") && !Catch::Contains("json.exception"));
  CHECK(exit_code == 1);
}
