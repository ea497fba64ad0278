#include "tools/sim/network.h"

#include <catch2/catch.hpp>

using namespace pbft;
using namespace pbft::sim;

namespace {

struct TestNetwork {
  static Plan quick() {
    Plan plan;
    plan.network.delay_min = 10;
    plan.network.delay_max = 20;
    return plan;
  }
  explicit TestNetwork(const Plan& of = quick()) : plan(of) {}

  void send(Endpoint from, Endpoint to, std::uint8_t what, TypeMask types = 1) {
    network.send(from, to, SharedBytes::own({what, what, what}), types);
  }
  std::vector<int> all() {
    const Microseconds end = scheduler.now() + 100 * second;
    while (scheduler.run_one(end)) {
    }
    return arrived;
  }

  Plan plan;
  Scheduler scheduler;
  Trace trace{scheduler, false};
  FaultCounts faults{};
  std::vector<int> arrived;
  Network network{scheduler, trace, faults, plan,
                  [this](Endpoint, Endpoint, const SharedBytes& frame) { arrived.push_back(frame.view()[0]); }};

  std::uint64_t count(Fault fault) const { return faults[static_cast<std::size_t>(fault)]; }
};

}  // namespace

TEST_CASE("a quiet network delivers in order") {
  TestNetwork f;
  for (std::uint8_t i = 0; i < 50; ++i) f.send(0, 1, i);
  const std::vector<int> got = f.all();
  CHECK(got.size() == 50);
  CHECK(std::is_sorted(got.begin(), got.end()));
  for (const std::uint64_t injected : f.faults) CHECK(injected == 0);
}

TEST_CASE("a cut is for one direction and for a time") {
  TestNetwork f;
  f.network.cut(0, 1, second, Fault::cut_one_way);
  f.send(0, 1, 1);
  f.send(1, 0, 2);
  CHECK(f.all() == std::vector<int>{2});
  CHECK(f.count(Fault::cut_one_way) == 1);
  f.send(0, 1, 3);  // the time has passed
  CHECK(f.all() == std::vector<int>{2, 3});
}

TEST_CASE("a clog holds back and then delivers") {
  TestNetwork f;
  f.network.clog(0, 1, second);
  f.send(0, 1, 1);
  f.scheduler.run_one(second / 2);
  CHECK(f.arrived.empty());
  CHECK(f.all() == std::vector<int>{1});
  CHECK(f.count(Fault::clog) == 1);
}

TEST_CASE("one kind of message can be lost") {
  TestNetwork f;
  f.network.lose_types(4, second);
  f.send(0, 1, 1, 4 | 1);
  f.send(0, 1, 2, 1);
  CHECK(f.all() == std::vector<int>{2});
  CHECK(f.count(Fault::type_lost) == 1);
}

TEST_CASE("a replica that has just started hears and says nothing for a moment") {
  TestNetwork f;
  f.network.quiet(1, second);
  f.send(0, 1, 1);
  f.send(1, 2, 2);
  f.send(0, 2, 3);
  CHECK(f.all() == std::vector<int>{3});
  CHECK(f.count(Fault::late_subscription) == 2);
}

TEST_CASE("loss, duplication and corruption hit about as often as planned") {
  Plan plan = TestNetwork::quick();
  plan.network.loss = 300;
  plan.network.duplicate = 500;
  plan.network.corrupt = 100;
  plan.network.reorder = true;
  TestNetwork f{plan};
  for (int i = 0; i < 2000; ++i) f.send(0, 1, 7);
  const std::size_t got = f.all().size();
  CHECK(f.count(Fault::loss) > 500);
  CHECK(f.count(Fault::loss) < 700);
  CHECK(got == 2000 - f.count(Fault::loss) + f.count(Fault::duplicate));
  CHECK(f.count(Fault::corrupt) > 80);
  CHECK(f.count(Fault::reorder) > 0);
}

TEST_CASE("healing ends all of it") {
  Plan plan = TestNetwork::quick();
  plan.network.loss = 999;
  TestNetwork f{plan};
  f.network.cut(0, 1, 50 * second, Fault::partition);
  f.network.clog(0, 1, 50 * second);
  f.network.lose_types(1, 50 * second);
  f.network.heal();
  for (std::uint8_t i = 0; i < 20; ++i) f.send(0, 1, i);
  CHECK(f.all().size() == 20);
}
