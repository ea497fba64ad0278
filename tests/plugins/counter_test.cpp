#include "plugins/counter/counter.h"

#include <catch2/catch.hpp>

#include "pbft/testing.hpp"

using pbft::plugin::Harness;

TEST_CASE("counter: adds and shows", "[counter]") {
  Harness h(pbft_counter_plugin());
  CHECK(h.run("get").text == "0");
  CHECK(h.execute("").text == "1");
  CHECK(h.run("add").text == "2");
  CHECK(h.run("add 40").text == "42");
  CHECK(h.run("add -2").text == "40");
  CHECK(h.query("get").text == "40");
  CHECK(h.execute("get").text == "40");
}

TEST_CASE("counter: what is no operation fails and changes nothing", "[counter]") {
  Harness h(pbft_counter_plugin());
  h.run("add 9223372036854775807");
  CHECK(h.run("add 1").bytes == "the sum does not fit into 64 bits");
  CHECK_FALSE(h.run("add x").ok);
  CHECK_FALSE(h.run("add 1 2").ok);
  CHECK_FALSE(h.run("subtract 1").ok);
  CHECK_FALSE(h.execute("add ").ok);
  CHECK_FALSE(h.execute("add 1 ").ok);
  CHECK_FALSE(h.execute("reset").ok);
  CHECK_FALSE(h.query("").ok);
  CHECK(h.run("get").text == "9223372036854775807");
}
