// Slots that are open while nobody asks for anything: what one replica has executed, all that are there have to, also
// where one of those that had voted for it has lost its memory.
#include <catch2/catch.hpp>

#include "tests/pbft/views.h"

using namespace pbft;
using namespace pbft::testing;

namespace {

// Slot 2 is prepared by 0, 1 and 2 while 3 is away, and executed by `knowing` alone.
struct OnlyOneKnows {
  explicit OnlyOneKnows(std::uint32_t knowing) : knowing_(knowing), session(cluster.open(alice)) {
    cluster.crash(3);
    cluster.request(0, make_bundle(alice, session, 1, {1}));
    cluster.run([&](const CoreCluster::InFlight& flight) { return is<Commit>(flight) && flight.to.value != knowing_; });
    for (std::uint32_t i = 0; i < 3; ++i) REQUIRE(executed(i) == (i == knowing_));
  }
  bool executed(std::uint32_t id) { return cluster.node(id).executed.contains(SequenceNumber{2}); }
  // One loses its memory, 3 comes back. Who votes again has lost nothing, so everybody but the wiped one has it then.
  void settle_without(std::uint32_t wiped) {
    cluster.wipe(wiped);
    cluster.restart(3);
    for (int round = 0; round < 200; ++round) cluster.settle(20);
    const auto& digest = cluster.node(knowing_).executed.at(SequenceNumber{2});
    for (std::uint32_t i = 0; i < 4; ++i) {
      CAPTURE(i);
      if (i == wiped) continue;
      REQUIRE(executed(i));
      CHECK(cluster.node(i).executed.at(SequenceNumber{2}) == digest);
    }
  }

  CoreCluster cluster{4};
  std::uint32_t knowing_;
  SessionId session;
};

}  // namespace

TEST_CASE("what only the primary has executed is executed by all, where one that prepared it has lost its memory") {
  OnlyOneKnows at{0};
  if (GENERATE(false, true)) at.cluster.clock_us += 60'000'000;
  at.settle_without(2);
}

TEST_CASE("what only a backup has executed is executed by all, where another one has lost its memory") {
  OnlyOneKnows at{1};
  if (GENERATE(false, true)) at.cluster.clock_us += 60'000'000;
  at.settle_without(2);
}

TEST_CASE("what only a backup has executed is executed by all, where the primary has lost its memory") {
  OnlyOneKnows at{1};
  if (GENERATE(false, true)) at.cluster.clock_us += 60'000'000;
  at.settle_without(0);
}

TEST_CASE("who has left a view alone, with one that has lost its memory since, is followed where it lacks a slot") {
  OnlyOneKnows at{0};
  const auto only_to_one = [](const CoreCluster::InFlight& flight) {
    return !is<Status>(flight) || flight.from.value != 2 || flight.to.value != 1;
  };
  for (int i = 0; i < 1'000 && events_of<ViewLeft>(at.cluster.node(1)).empty(); ++i) at.cluster.settle(1, only_to_one);
  REQUIRE_FALSE(events_of<ViewLeft>(at.cluster.node(1)).empty());
  REQUIRE(events_of<ViewLeft>(at.cluster.node(2)).empty());
  at.settle_without(2);
}

TEST_CASE("one liar that has given up every view, and is always a slot behind, makes nobody leave it after a load") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  const auto drop_statuses = [](const CoreCluster::InFlight& flight) { return is<Status>(flight); };
  Status lie;
  lie.suspects = true;
  lie.active = true;
  for (std::uint64_t i = 1; i <= 700; ++i) {
    cluster.request(0, make_bundle(alice, session, i, {i}));
    lie.executed = SequenceNumber{cluster.node(0).executed.rbegin()->first.value - 1};
    for (std::uint32_t to = 0; to < 3; ++to) cluster.send(3, to, lie);
    // Statuses of the others come, but when they do more has been executed here.
    cluster.settle(1, [](const CoreCluster::InFlight& flight) { return is<Status>(flight) && flight.from.value == 3; });
  }
  REQUIRE(cluster.node(0).executed.size() > 600);
  lie.executed = SequenceNumber{cluster.node(0).executed.rbegin()->first.value - 1};
  for (std::uint32_t to = 0; to < 3; ++to) cluster.send(3, to, lie);
  // Not heard for a while, and then again.
  cluster.settle(120, drop_statuses);
  cluster.settle(2);
  for (std::uint32_t i = 0; i < 3; ++i) CHECK(events_of<PrimarySuspected>(cluster.node(i)).empty());
}

TEST_CASE("one liar that has given up every view makes nobody leave it where the others are level") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  for (int round = 0; round < 60; ++round) {
    const std::uint64_t number = 1U + static_cast<std::uint64_t>(round) / 20;
    if (round % 20 == 0) cluster.request(0, make_bundle(alice, session, number, {number}));
    Status lie;
    lie.suspects = true;
    lie.active = true;
    for (std::uint32_t to = 0; to < 3; ++to) cluster.send(3, to, lie);
    cluster.settle(40,
                   [](const CoreCluster::InFlight& flight) { return is<Status>(flight) && flight.from.value == 3; });
  }
  for (std::uint32_t i = 0; i < 3; ++i) CHECK(events_of<PrimarySuspected>(cluster.node(i)).empty());
}
