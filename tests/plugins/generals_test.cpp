#include "plugins/generals/generals.h"

#include <catch2/catch.hpp>

#include "pbft/testing.hpp"

using pbft::plugin::Harness;

TEST_CASE("generals: the war time", "[generals]") {
  Harness h(pbft_generals_plugin());
  CHECK_FALSE(h.run("get").ok);
  CHECK(h.run("get").text == "no war time has been set yet");
  CHECK(h.run("warTime 1234").text == "ok");
  CHECK(h.run("get").text == "1234");
  CHECK(h.run("warTime").text == "1234");
  CHECK(h.run("warTime 0530").text == "ok");
  CHECK(h.run("get").text == "0530");
}

TEST_CASE("generals: only numbers are times", "[generals]") {
  Harness h(pbft_generals_plugin());
  h.run("warTime 1234");
  for (const char* time : {"noon", "-1", "+1", "12:30", " 1", "1 ", "0x10", "", "1234567890123456789"}) {
    CAPTURE(time);
    CHECK_FALSE(h.run({"warTime", time}).ok);
    CHECK_FALSE(h.execute(std::string("warTime ") + time).ok);
  }
  CHECK_FALSE(h.run("peaceTime 1").ok);
  CHECK_FALSE(h.execute("").ok);
  CHECK_FALSE(h.query("warTime 1").ok);
  CHECK(h.run("get").text == "1234");
}
