// A replica that is so far behind that nothing but the state of the others helps it.
#pragma once

#include <catch2/catch.hpp>

#include "tests/pbft/views.h"

namespace pbft::testing {

using Flight = CoreCluster::InFlight;

// Replica 3 is down while the others go far beyond what they keep for it.
struct FarBehind {
  explicit FarBehind(std::uint64_t bytes_per_tick = 0)
      : cluster{4, 4, 8, true, 10, bytes_per_tick}, session(cluster.open(alice)) {
    for (std::uint32_t i = 0; i < 4; ++i) cluster.node(i).keeps_ledger = false;
    cluster.crash(3);
    fill(cluster, alice, session, 1, 50);
    cluster.restart(3);
  }
  CoreNode& node() { return cluster.node(3); }
  bool caught_up() {
    return node().status().executed == cluster.node(1).status().executed && !node().status().transferring &&
           node().status().last_root == cluster.node(1).status().last_root;
  }
  // Ticks on until the state is under way to replica 3, and holds it back.
  void hold_the_state() {
    for (int i = 0; i < 100 && held.empty(); ++i) cluster.settle(1, hold);
    REQUIRE_FALSE(held.empty());
  }
  // It comes when the others are far ahead again.
  void get_the_state_late() {
    fill(cluster, alice, session, 51, 90, 0, hold);
    for (const Flight& part : held) cluster.send(part.from.value, 3, part.message);
    REQUIRE(events_of<TransferFinished>(node()).size() == 1);
  }
  std::vector<BadSource> accused() { return events_of<BadSource>(node()); }

  CoreCluster cluster;
  SessionId session;
  std::vector<Flight> held;
  const CoreCluster::Filter hold = [this](const Flight& m) {
    if (is<BucketPart>(m)) held.push_back(m);
    return is<BucketPart>(m);
  };
};

}  // namespace pbft::testing
