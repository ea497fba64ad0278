#include "tools/sim/checkers/model.h"

#include <catch2/catch.hpp>

#include "tests/simulation/history_maker.h"

using namespace pbft;
using namespace pbft::sim;
using namespace pbft::sim::testing;

namespace {

struct CheckedModel {
  Findings findings;
  Model model{findings};
};

}  // namespace

TEST_CASE_METHOD(CheckedModel, "right results pass") {
  KvOperation cas = put("k", "b");
  cas.kind = KvOperation::Kind::cas;
  cas.expected = "a";
  KvOperation remove = get("k");
  remove.kind = KvOperation::Kind::remove;
  model.ordered(batch(
      1, {ran(name(1, 1), put("k", "a"), ok()), ran(name(1, 2), cas, ok()), ran(name(1, 3), cas, failed()),
          ran(name(1, 4), get("k"), ok("b")), ran(name(1, 5), incr("n", 5), ok("5")),
          ran(name(1, 6), incr("n", -7), ok("-2")), ran(name(1, 7), incr("k", 1), failed()),
          ran(name(1, 8), remove, ok("1")), ran(name(1, 9), remove, ok("0")), ran(name(1, 10), get("k"), failed())}));
  CHECK_FALSE(findings.any());
  CHECK(model.value("n") == "-2");
  CHECK(model.value("k") == std::nullopt);
  CHECK(model.operations() == 10);
}

TEST_CASE_METHOD(CheckedModel, "a wrong result is found") {
  model.ordered(batch(1, {ran(name(1, 1), incr("n", 5), ok("5"))}));
  model.ordered(batch(2, {ran(name(1, 2), incr("n", 5), ok("5"))}));
  REQUIRE(findings.any());
  CHECK(findings.all().front().invariant == "model");
  CHECK(findings.all().front().slot == 2);
}

TEST_CASE_METHOD(CheckedModel, "a failure in place of a success is found") {
  model.ordered(batch(1, {ran(name(1, 1), put("k", "a"), failed())}));
  CHECK(first_finding(findings) == "model");
}

TEST_CASE_METHOD(CheckedModel, "bytes that are no operation are found") {
  RanRequest odd = ran(name(1, 1), put("k", "a"), ok());
  odd.operation = to_bytes("?");
  model.ordered(batch(1, {odd}));
  CHECK(first_finding(findings) == "validity");
}

TEST_CASE_METHOD(CheckedModel, "a read is judged by what the key held from a point on") {
  model.ordered(batch(1, {ran(name(1, 1), put("k", "a"), ok())}));
  model.ordered(batch(2, {ran(name(1, 2), put("k", "b"), ok())}));
  CHECK(model.read_point(get("k"), failed(), {}) == Position{});
  CHECK(model.read_point(get("k"), ok("a"), {}) == Position{1, 1});
  CHECK(model.read_point(get("k"), ok("b"), {}) == Position{2, 1});
  CHECK(model.read_point(get("k"), ok("a"), {1, 1}) == Position{1, 1});
  CHECK(model.read_point(get("k"), ok("a"), {2, 1}) == std::nullopt);
  CHECK(model.read_point(get("k"), failed(), {1, 1}) == std::nullopt);
  CHECK(model.read_point(get("k"), ok("c"), {}) == std::nullopt);
  CHECK(model.read_point(get("other"), failed(), {2, 1}) == Position{2, 1});
}

TEST_CASE("operations survive their encoding") {
  KvOperation cas = put("k", "b");
  cas.kind = KvOperation::Kind::cas;
  KvOperation swap = cas;
  swap.expected = "old";
  KvOperation remove = get("k");
  remove.kind = KvOperation::Kind::remove;
  for (const KvOperation& operation : {get("k"), put("k", "v"), incr("n", -3), cas, swap, remove}) {
    CHECK(KvOperation::from(operation.bytes()) == operation);
  }
  CHECK_FALSE(KvOperation::from(to_bytes("")));
  CHECK_FALSE(KvOperation::from(to_bytes("p")));
  CHECK_FALSE(KvOperation::from(to_bytes("pxxxx")));
}
