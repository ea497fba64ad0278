#include "plugins/kv/kv.h"

#include <catch2/catch.hpp>

#include "pbft/testing.hpp"
#include "plugins/kv/operations.h"

using pbft::plugin::Harness;
using pbft::plugin::Result;
namespace kv = pbft::kv;

namespace {

std::string failure(const Result& result) {
  CHECK_FALSE(result.ok);
  return result.text;
}
std::string success(const Result& result) {
  INFO(result.text);
  CHECK(result.ok);
  return result.text;
}

}  // namespace

TEST_CASE("kv: put, get, delete", "[kv]") {
  Harness h(pbft_kv_plugin());
  CHECK(failure(h.run("get a")) == "no such key");
  CHECK(success(h.run("put a 1")) == "ok");
  CHECK(success(h.run("get a")) == "1");
  CHECK(success(h.run("put a 2")) == "ok");
  CHECK(success(h.run("get a")) == "2");
  CHECK(success(h.run("delete a")) == "deleted");
  CHECK(success(h.run("delete a")) == "no such key");
  CHECK(failure(h.run("get a")) == "no such key");
  CHECK(success(h.run({"put", "a", ""})) == "ok");
  CHECK(success(h.run("get a")).empty());
}

TEST_CASE("kv: compare and swap, create", "[kv]") {
  Harness h(pbft_kv_plugin());
  CHECK(failure(h.run("cas a 1 2")) == "no such key");
  CHECK(success(h.run("create a 1")) == "ok");
  CHECK(failure(h.run("create a 9")) == "the key exists already");
  CHECK(failure(h.run("cas a 7 2")) == "the key has another value than the expected one");
  CHECK(success(h.run("get a")) == "1");
  CHECK(success(h.run("cas a 1 2")) == "ok");
  CHECK(success(h.run("get a")) == "2");
}

TEST_CASE("kv: incr", "[kv]") {
  Harness h(pbft_kv_plugin());
  CHECK(success(h.run("incr n")) == "1");
  CHECK(success(h.run("incr n 41")) == "42");
  CHECK(success(h.run("incr n -50")) == "-8");
  h.run("put n 9223372036854775807");
  CHECK(failure(h.run("incr n")) == "the sum does not fit into 64 bits");
  CHECK(success(h.run("get n")) == "9223372036854775807");
  h.run("put n 12x");
  CHECK(failure(h.run("incr n")) == "the key's value is no whole number of at most 64 bits");
  CHECK_FALSE(h.run("incr n x").ok);
}

TEST_CASE("kv: scan", "[kv]") {
  Harness h(pbft_kv_plugin());
  for (const char* key : {"b/2", "a", "b/1", "c", "b/3"}) h.run({"put", key, std::string("of ") + key});
  CHECK(success(h.run("scan b/")) == "b/1\tof b/1\nb/2\tof b/2\nb/3\tof b/3");
  CHECK(success(h.run("scan b/2 c 10")) == "b/2\tof b/2\nb/3\tof b/3");
  CHECK(success(h.run({"scan", "b/2", "", "2"})) == "b/2\tof b/2\nb/3\tof b/3\n(more)");
  CHECK(success(h.run({"scan", "b/3", "", "2"})) == "b/3\tof b/3\nc\tof c");
  CHECK(success(h.run("scan z")).empty());
  CHECK(kv::read_scan(h.run("scan").bytes)->pairs.size() == 5);

  h.run({"put", "\xff\xff", "last"});
  CHECK(success(h.run({"scan", "\xff"})) == "\xff\xff\tlast");
  CHECK(kv::after_prefix("a\xff") == "b");
  CHECK(kv::after_prefix("\xff").empty());
}

TEST_CASE("kv: a scan stops where its result is full and can go on from there", "[kv]") {
  Harness h(pbft_kv_plugin());
  const std::string value(300'000, 'v');
  for (int i = 0; i < 8; ++i) REQUIRE(h.execute(kv::put("k" + std::to_string(i), value)).ok);
  std::string from = "k";
  int seen = 0;
  for (bool more = true; more;) {
    const Result result = h.query(kv::scan(from, "", 0));
    REQUIRE(result.ok);
    REQUIRE(result.bytes.size() <= PBFT_MAX_RESULT_BYTES);
    const auto part = kv::read_scan(result.bytes);
    REQUIRE(part);
    REQUIRE_FALSE(part->pairs.empty());
    seen += static_cast<int>(part->pairs.size());
    more = part->more;
    from = part->pairs.back().first + '\0';
  }
  CHECK(seen == 8);
}

TEST_CASE("kv: keys and values are any bytes", "[kv]") {
  Harness h(pbft_kv_plugin());
  const std::string key("\0k\n\xfe", 4);
  const std::string value("\x01\0\\ \x7f", 5);
  REQUIRE(h.execute(kv::put(key, value)).ok);
  CHECK(h.query(kv::get(key)).bytes == value);
  CHECK(h.query(kv::get(key)).text == "\\x01\\x00\\\\ \\x7f");
  const auto all = kv::read_scan(h.query(kv::scan("", "", 0)).bytes);
  REQUIRE(all);
  CHECK(all->pairs == std::vector<std::pair<std::string, std::string>>{{key, value}});
}

TEST_CASE("kv: limits", "[kv]") {
  Harness h(pbft_kv_plugin());
  CHECK(h.execute(kv::put(std::string(PBFT_MAX_KEY_BYTES, 'k'), "v")).ok);
  CHECK_FALSE(h.execute(kv::put(std::string(PBFT_MAX_KEY_BYTES + 1, 'k'), "v")).ok);
  CHECK_FALSE(h.execute(kv::put("", "v")).ok);
  CHECK(h.state().size() == 1);
}

TEST_CASE("kv: malformed operations fail", "[kv]") {
  Harness h(pbft_kv_plugin());
  const std::string put = kv::put("key", "value");
  for (std::size_t size = 0; size < put.size(); ++size) CHECK_FALSE(h.execute(put.substr(0, size)).ok);
  CHECK_FALSE(h.execute(put + "x").ok);
  CHECK_FALSE(h.execute("zzzz").ok);
  CHECK_FALSE(h.execute(std::string("p\xff\xff\xff\xff", 5)).ok);
  CHECK_FALSE(h.execute(kv::operation(kv::Code::scan, {"", "", "-1"})).ok);
  CHECK_FALSE(h.execute(kv::operation(kv::Code::increment, {"n", ""})).ok);
  CHECK(h.state().empty());
  CHECK_FALSE(h.query(put).ok);
  CHECK(h.execute(kv::put("a", "1")).ok);
  CHECK(h.execute(kv::get("a")).bytes == "1");
}

TEST_CASE("kv: words that are no command", "[kv]") {
  Harness h(pbft_kv_plugin());
  CHECK(failure(h.run("put a")) == "usage: put KEY VALUE");
  CHECK(failure(h.run("scan a b")) == "usage: scan [PREFIX] | scan FROM TO LIMIT");
  CHECK(failure(h.run("scan a b x")).find("LIMIT must be") == 0);
  CHECK(failure(h.run("fetch a")).find("commands: put, get") == 0);
  CHECK_FALSE(h.run("").ok);
}

TEST_CASE("kv: the documented bytes of an operation", "[kv]") {
  CHECK(kv::put("k", "vw") == std::string("p\0\0\0\x01k\0\0\0\x02vw", 12));
  CHECK(kv::scan("a", "", 5) == std::string("s\0\0\0\x01"
                                            "a\0\0\0\0\0\0\0\x01"
                                            "5",
                                            15));
}
