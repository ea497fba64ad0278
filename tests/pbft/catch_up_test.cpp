#include "node/pbft/catch_up.h"

#include <catch2/catch.hpp>

#include "tests/pbft/harness.h"

using namespace pbft;
using namespace pbft::testing;

namespace {

// Replica 3 is down while the others go far beyond its window.
struct Behind {
  Behind() : session(cluster.open(alice)) {
    cluster.crash(3);
    for (std::uint64_t i = 1; i <= 50; ++i) {
      cluster.request(0, make_bundle(alice, session, i, {i}));
      cluster.run();
    }
    cluster.restart(3);
  }
  CoreCluster cluster{4};
  SessionId session;
};

bool lies(CoreCluster::InFlight& flight) {
  auto* range = std::get_if<LedgerRange>(&flight.message);
  if (range == nullptr || flight.from != ReplicaId{0}) return false;
  range->digests.back().bytes.fill(0xEE);
  return true;
}

}  // namespace

TEST_CASE("a replica behind the truncated checkpoint catches up through the ledger, and then votes again") {
  Behind b;
  CHECK(b.cluster.node(3).executed.size() == 1);
  b.cluster.settle();
  CHECK(b.cluster.node(3).executed == b.cluster.node(0).executed);
  CHECK(b.cluster.node(3).status().stable == SequenceNumber{48});
  b.cluster.crash(2);
  b.cluster.request(0, make_bundle(alice, b.session, 51, {51}));
  b.cluster.run();
  b.cluster.settle();
  CHECK(b.cluster.node(0).executed.size() == 52);
}

TEST_CASE("a request that ran before is not run again by catching up") {
  Behind b;
  b.cluster.settle();
  std::map<std::uint64_t, int> runs;
  for (const ReplyRecord& reply : b.cluster.node(3).replies) {
    if (reply.session == b.session) ++runs[reply.number.value];
  }
  CHECK(runs.size() == 50);
  for (const auto& [number, count] : runs) CHECK(count == 1);
}

TEST_CASE("a ledger range that does not chain to the proven root is refused, and another peer is asked") {
  Behind b;
  int lied = 0;
  for (int round = 0; round < 100; ++round) {
    b.cluster.tick_all();
    for (auto& flight : b.cluster.network) lied += lies(flight) ? 1 : 0;
    while (!b.cluster.network.empty()) {
      auto flight = b.cluster.network.front();
      b.cluster.network.pop_front();
      lied += lies(flight) ? 1 : 0;
      b.cluster.input(flight.to.value, PeerInput{Forge::peer(flight.from, flight.message)});
      for (auto& next : b.cluster.network) lied += lies(next) ? 1 : 0;
    }
  }
  CHECK(lied > 0);
  CHECK(b.cluster.node(3).count(Reject::bad_ledger_range) > 0);
  CHECK(b.cluster.node(3).executed == b.cluster.node(0).executed);
}

TEST_CASE("a ledger range or a batch that was not asked for is not taken") {
  Behind b;
  b.cluster.network.clear();
  LedgerRange range;
  range.first = SequenceNumber{2};
  b.cluster.send(0, 3, range);
  CHECK(b.cluster.node(3).count(Reject::not_asked_for) == 1);
  b.cluster.send(0, 3, BatchResponse{SequenceNumber{2}, make_batch(1, {make_open(alice, 7)})});
  CHECK(b.cluster.node(3).count(Reject::not_asked_for) == 2);
  CHECK(b.cluster.node(3).executed.size() == 1);
}

TEST_CASE("the target moves: peers go on while one replica catches up") {
  Behind b;
  for (std::uint64_t i = 51; i <= 120; ++i) {
    b.cluster.request(0, make_bundle(alice, b.session, i, {i}));
    b.cluster.run();
    if (i % 5 == 0) b.cluster.tick_all();
  }
  b.cluster.settle(100);
  CHECK(b.cluster.node(3).executed == b.cluster.node(0).executed);
}

TEST_CASE("a replica that crashes while it catches up goes on from where it was") {
  Behind b;
  for (int round = 0; round < 30; ++round) {
    b.cluster.settle(1);
    if (round % 3 == 0) b.cluster.restart(3);
  }
  b.cluster.settle();
  CHECK(b.cluster.node(3).executed == b.cluster.node(0).executed);
}
