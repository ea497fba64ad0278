// The template through the host, as a cluster would run it. Its own test runs in out_of_tree.
#include <catch2/catch.hpp>

#include "node/execution/plugin.h"
#include "tests/execution/map_state.h"

using namespace pbft;
using namespace pbft::execution;

TEST_CASE("template: a guest book", "[template]") {
  const auto loaded = Plugin::load(std::string(PLUGINS) + "/template.so", "");
  REQUIRE(loaded);
  Plugin& plugin = **loaded;
  MapState state;
  const auto run = [&](const std::vector<std::string>& words) {
    const auto parsed = plugin.parse(words);
    REQUIRE(parsed);
    const Context context{SequenceNumber{3}, Timestamp{7'000'000}, {}};
    const auto outcome = parsed->read_only ? plugin.query(context, state, parsed->operation)
                                           : plugin.execute(context, state, parsed->operation);
    REQUIRE(outcome);
    REQUIRE(outcome->ok);
    return plugin.format(parsed->operation, outcome->result);
  };
  CHECK(run({"sign", "first"}) == "signed");
  CHECK(run({"sign", "second one"}) == "signed");
  CHECK(run({"read"}) == "7 first\n7 second one\n");
  CHECK_FALSE(plugin.parse({"burn"}));
}
