// What the host says about files that are no plugins, or broken ones: each by name and by its own message.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "node/execution/plugin.h"
#include "tests/execution/map_state.h"
#include "tests/temporary_directory.h"

using namespace pbft;
using namespace pbft::execution;
using Catch::Matchers::Contains;
using pbft::testing::TemporaryDirectory;
namespace fs = std::filesystem;

namespace {

fs::path bad(const std::string& name) {
  return fs::path(BAD_PLUGINS) / (name + ".so");
}

// The message with which the file is refused. It always starts with the file.
std::string refusal(const fs::path& file, const std::string& config = "") {
  const auto plugin = Plugin::load(file, config);
  REQUIRE_FALSE(plugin);
  const std::string start = "plugin " + file.string() + ": ";
  CHECK(plugin.error().substr(0, start.size()) == start);
  return plugin.error().substr(start.size());
}

Outcome run(Plugin& plugin) {
  MapState state;
  const auto outcome = plugin.execute({SequenceNumber{1}, Timestamp{1}, {}}, state, {});
  REQUIRE(outcome);
  return *outcome;
}

}  // namespace

TEST_CASE("files that are no plugins", "[loader]") {
  const TemporaryDirectory directory;
  CHECK_THAT(refusal(directory / "none.so"), Contains("there is no such file"));
  CHECK_THAT(refusal(directory.path()), Contains("is not a regular file"));

  const fs::path text = directory / "text.so";
  std::ofstream(text) << "#!/bin/sh\necho hello\n";
  CHECK_THAT(refusal(text), Contains("is not a shared library"));
  const fs::path empty = directory / "empty.so";
  std::ofstream{empty};
  CHECK_THAT(refusal(empty), Contains("is not a shared library"));

  const fs::path cut = directory / "cut.so";
  fs::copy_file(bad("minimal"), cut);
  fs::resize_file(cut, 100);
  CHECK_THAT(refusal(cut), Contains("cannot be loaded"));

  if (geteuid() != 0) {
    const fs::path closed = directory / "closed.so";
    fs::copy_file(bad("minimal"), closed);
    fs::permissions(closed, fs::perms::none);
    CHECK_THAT(refusal(closed), Contains("cannot be read"));
  }
}

TEST_CASE("libraries that are no plugins", "[loader]") {
  CHECK_THAT(refusal(bad("no_symbol")), Contains("no symbol pbft_plugin"));
  CHECK_THAT(refusal(bad("unresolved")), Contains("cannot be loaded") && Contains("a_function_that_is_nowhere"));
  CHECK_THAT(refusal(bad("null_table")), Contains("returns no table"));
  CHECK_THAT(refusal(bad("entry_throws")), Contains("exception left pbft_plugin") && Contains("thrown by pbft_plugin"));
}

TEST_CASE("tables that cannot be used", "[loader]") {
  CHECK_THAT(refusal(bad("wrong_abi")), Contains("version 7") && Contains("has version 1"));
  CHECK_THAT(refusal(bad("small_table")), Contains("has 16 bytes"));
  CHECK_THAT(refusal(bad("no_name")), Contains("no name"));
  CHECK_THAT(refusal(bad("no_version")), Contains("no version"));
  CHECK_THAT(refusal(bad("no_execute")), Contains("no execute function"));
  CHECK_THAT(refusal(bad("bad_command")), Contains("command 0"));
}

TEST_CASE("plugins that do not open", "[loader]") {
  CHECK_THAT(refusal(bad("open_fails")), Contains("colour must be red or blue"));
  CHECK_THAT(refusal(bad("open_silent")), Contains("gives no reason"));
  CHECK_THAT(refusal(bad("open_throws")), Contains("exception left its open") && Contains("thrown by open"));
  CHECK_THAT(refusal(bad("minimal"), "colour = red"), Contains("takes no configuration"));
  CHECK_THAT(refusal(fs::path(PLUGINS) / "kv.so", "colour = red"), Contains("it takes no configuration"));
}

TEST_CASE("a plugin with the required functions only", "[loader]") {
  const auto plugin = Plugin::load(bad("minimal"), "");
  REQUIRE(plugin);
  CHECK(as_text(run(**plugin).result) == "done");
  CHECK((*plugin)->commands().empty());
  CHECK_THAT((*plugin)->parse({"go"}).error(), Contains("no text form"));
  CHECK((*plugin)->format({}, as_bytes("as it is")) == "as it is");

  const MapState state;
  const auto answer = (*plugin)->query({}, state, {});
  REQUIRE(answer);
  CHECK_FALSE(answer->ok);
  CHECK_THAT(std::string(as_text(answer->result)), Contains("answers no queries"));
}

TEST_CASE("a plugin whose functions throw or return nonsense", "[loader]") {
  const auto thrower = Plugin::load(bad("raw_throws"), "");
  REQUIRE(thrower);
  const Outcome outcome = run(**thrower);
  CHECK_FALSE(outcome.ok);
  CHECK(as_text(outcome.result) == "an exception left the plugin's execute: thrown by execute");
  CHECK_THAT((*thrower)->parse({"go"}).error(), Contains("exception left its parse"));
  CHECK((*thrower)->format({}, as_bytes("raw")) == "raw");

  const auto odd = Plugin::load(bad("unknown_status"), "");
  REQUIRE(odd);
  CHECK_FALSE(run(**odd).ok);
  CHECK_THAT(std::string(as_text(run(**odd).result)), Contains("unknown status 77"));

  auto closer = Plugin::load(bad("close_throws"), "");
  REQUIRE(closer);
  CHECK_NOTHROW(closer->reset());
}

TEST_CASE("the plugins that come with the node load, side by side", "[loader]") {
  std::vector<std::unique_ptr<Plugin>> loaded;
  std::vector<Digest> identities;
  for (const std::string name : {"kv", "counter", "generals", "template"}) {
    auto plugin = Plugin::load(fs::path(PLUGINS) / (name + ".so"), "");
    INFO((plugin ? "" : plugin.error()));
    REQUIRE(plugin);
    CHECK((*plugin)->name() == name);
    CHECK((*plugin)->version() == "1.0.0");
    CHECK_FALSE((*plugin)->commands().empty());
    identities.push_back((*plugin)->identity());
    loaded.push_back(*std::move(plugin));
  }
  std::sort(identities.begin(), identities.end());
  CHECK(std::adjacent_find(identities.begin(), identities.end()) == identities.end());

  const fs::path relative = fs::relative(fs::path(PLUGINS) / "kv.so");
  const auto again = Plugin::load(relative, "");
  REQUIRE(again);
  CHECK((*again)->identity() == loaded[0]->identity());
}
