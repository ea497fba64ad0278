#include "tools/pbftctl/words.h"

#include <CLI/CLI.hpp>
#include <catch2/catch.hpp>

namespace pbft::ctl {
namespace {

using Words = std::vector<std::string>;

TEST_CASE("a line is split at white space, and quotation keeps it") {
  CHECK(*split_words("put a 1") == Words{"put", "a", "1"});
  CHECK(*split_words("  put\ta   1 ") == Words{"put", "a", "1"});
  CHECK(*split_words("put 'a b' \"c d\"") == Words{"put", "a b", "c d"});
  CHECK(*split_words("put a ''") == Words{"put", "a", ""});
  CHECK(*split_words("put a\\ b x\"y z\"w") == Words{"put", "a b", "xy zw"});
  CHECK(*split_words("put \"say \\\"hi\\\"\" '\\'") == Words{"put", "say \"hi\"", "\\"});
  CHECK(split_words("   ")->empty());
  CHECK(split_words("# a remark")->empty());
  CHECK(*split_words("put a#b # remark") == Words{"put", "a#b"});
}

TEST_CASE("what is not closed is said") {
  CHECK_THAT(split_words("put 'a").error(), Catch::Contains("not closed"));
  CHECK_THAT(split_words("put \"a\\\"").error(), Catch::Contains("not closed"));
  CHECK_THAT(split_words("put a\\").error(), Catch::Contains("backslash"));
}

TEST_CASE("from its first word on, everything belongs to the operation") {
  CLI::App app;
  app.require_subcommand(1, 1);
  CLI::App* command = app.add_subcommand("exec");
  (void)app.add_subcommand("status");
  bool json = false;
  command->add_flag("--json", json);
  command->prefix_command();

  SECTION("numbers below zero and words that look like options") {
    app.parse("exec --json incr k -5 --json --help");
    CHECK(json);
    CHECK(command->remaining() == Words{"incr", "k", "-5", "--json", "--help"});
  }
  SECTION("words that are names of commands") {
    app.parse("exec status exec");
    CHECK(command->remaining() == Words{"status", "exec"});
  }
}

}  // namespace
}  // namespace pbft::ctl
