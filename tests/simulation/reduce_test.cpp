// What can be taken from a plan, and that shrinking ends with what is needed.
#include "tools/sim/reduce.h"

#include <catch2/catch.hpp>

using namespace pbft::sim;

TEST_CASE("each reduction that is offered fits, takes something away, and is not offered again") {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    const Plan whole = draw_plan(seed);
    for (const std::string& reduction : reductions_of(whole)) {
      CAPTURE(seed, reduction);
      Plan less = whole;
      REQUIRE(reduce(less, reduction));
      const auto left = reductions_of(less);
      CHECK(std::find(left.begin(), left.end(), reduction) == left.end());
      CHECK(describe(less) != describe(whole));
    }
  }
}

TEST_CASE("what is no reduction, or would add something, is refused") {
  Plan plan = draw_plan(3);
  for (const std::string_view bad :
       {"", "no-", "no-such", "clients", "clients=", "clients=0", "clients=x", "clients=2x", "clients=1000000",
        "clients=99999999999999999999", "seconds=0", "seconds=4000", "replicas=64", "size=1", "=1"}) {
    CAPTURE(bad);
    CHECK_FALSE(reduce(plan, bad));
  }
  CHECK_FALSE(reduced_plan(3, {"clients=1", "clients=1"}));
}

TEST_CASE("shrinking leaves what the failure needs, and no more") {
  std::size_t with_loss = 0;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    if (draw_plan(seed).network.loss == 0) continue;
    ++with_loss;
    const auto fails = [&](const std::vector<std::string>& reductions) {
      const Plan plan = *reduced_plan(seed, reductions);
      return plan.network.loss > 0 && plan.clients.operations >= 3;
    };
    const Plan plan = *reduced_plan(seed, shrink(seed, fails));
    CAPTURE(seed);
    CHECK(plan.network.loss > 0);
    CHECK(plan.clients.operations == 3);
    CHECK(plan.clients.clients == 1);
    CHECK(plan.duration == second);
    CHECK(reductions_of(plan).size() <= 3);  // the loss, fewer operations
  }
  CHECK(with_loss > 5);
}
