// Rule 31: a replica that has lost its memory is a faulty one until what it could have voted on has passed.
#include "node/pbft/rejoining.h"

#include <catch2/catch.hpp>

#include "tests/pbft/views.h"

using namespace pbft;
using namespace pbft::testing;

namespace {

using Flight = CoreCluster::InFlight;

// Four replicas at slot 6 with the checkpoint 4 stable; replica 3 loses its disk.
struct Wiped {
  explicit Wiped(std::uint64_t requests = 5) : session(cluster.open(alice)) {
    fill(cluster, alice, session, 1, requests);
    cluster.node(3).journal.clear();
    cluster.wipe(3);
  }
  CoreNode& node() { return cluster.node(3); }
  std::uint32_t primary() { return cluster.node(0).status().primary.value; }
  // Runs requests on, with time between them.
  void go_on(std::uint64_t from, std::uint64_t to) {
    for (std::uint64_t i = from; i <= to; ++i) {
      for (std::uint32_t at = 0; at < 3; ++at) cluster.request(at, make_bundle(alice, session, i, {i}));
      cluster.run();
      cluster.settle(4);
    }
  }
  std::size_t votes() {
    return records_of<PersistAccepted>(node()).size() + records_of<PersistPrepared>(node()).size() +
           records_of<PersistViewChange>(node()).size();
  }

  CoreCluster cluster{4};
  SessionId session;
};

}  // namespace

TEST_CASE("rule 31: it learns from the others how far it could have been, and writes that down", "[rejoin]") {
  Wiped w;
  w.cluster.settle(20);
  const auto records = records_of<PersistRejoin>(w.node());
  REQUIRE(records.size() == 1);
  CHECK(records[0].known);
  CHECK(records[0].view == View{});
  CHECK(records[0].above == SequenceNumber{6 + 8});  // their highest slot, and a window
  CHECK(w.node().status().rejoining);
}

TEST_CASE("rule 31: it does not vote until a stable checkpoint and a view have passed what it forgot", "[rejoin]") {
  Wiped w;
  w.go_on(6, 12);
  CHECK(w.node().status().rejoining);
  CHECK(w.node().executed == w.cluster.node(0).executed);  // it follows
  CHECK(w.votes() == 0);
  CHECK(w.node().status().view == View{});
  w.go_on(13, 40);  // a stable checkpoint above 14, and the others grant it another view
  CHECK_FALSE(w.node().status().rejoining);
  CHECK(events_of<Rejoined>(w.node()).size() == 1);
  CHECK(events_of<Rejoined>(w.node())[0].stable >= SequenceNumber{14});
  CHECK(w.node().status().view == View{1});
  for (const PersistAccepted& mark : records_of<PersistAccepted>(w.node())) {
    CHECK(mark.view >= View{1});
    CHECK(mark.n > SequenceNumber{14});
  }
  // From here on it is a replica like any other: with another one down, its votes are needed.
  w.cluster.crash(2);
  w.go_on(41, 45);
  CHECK(runs_of(w.cluster.node(0), w.session, 45) == 1);
}

TEST_CASE("rule 31: an equivocating primary gets no second vote out of it", "[rejoin]") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  // Slot 2 commits with the votes of 0, 2 and 3; replica 1 sees none of it.
  const auto apart = [](const Flight& m) { return m.to == ReplicaId{1}; };
  fill(cluster, alice, session, 1, 1, 0, apart);
  REQUIRE(cluster.node(2).executed.size() == 2);
  cluster.node(3).journal.clear();
  cluster.wipe(3);
  cluster.settle(10, [](const Flight& m) { return m.to == ReplicaId{1} || is<Commit>(m); });
  cluster.crash(2);
  // Now the primary proposes another batch in that slot to those who do not know of the first.
  const BatchPtr other = make_batch(cluster.clock_us + 5, {make_bundle(alice, session, 1, {9})});
  for (const std::uint32_t to : {1U, 3U}) {
    cluster.send(0, to, PrePrepare{View{}, SequenceNumber{2}, other, {true}});
    cluster.send(to == 1 ? 3 : 1, to, Prepare{View{}, SequenceNumber{2}, other->digest});
  }
  CHECK(cluster.node(3).count(Reject::rejoining) == 1);
  CHECK(under_way<Prepare>(cluster, 3).empty());
  CHECK(under_way<Commit>(cluster, 3).empty());
  CHECK(records_of<PersistAccepted>(cluster.node(3)).empty());
}

TEST_CASE("rule 31: without its memory it answers no reads and joins no view changes", "[rejoin]") {
  CoreCluster cluster{4};
  cluster.wipe(3);
  CoreNode& node = cluster.node(3);
  cluster.settle(20);
  cluster.input(3, ClientInput{Forge::client(alice, ReadRequest{RequestNumber{1}, {}}), Origin{2}});
  CHECK(node.count(Reject::rejoining) == 1);
  for (const std::uint32_t from : {0U, 1U, 2U}) cluster.send(from, 3, view_change(2, from));
  CHECK(node.status().view == View{});
  CHECK(under_way<ViewChange>(cluster, 3).empty());
  // But it follows the views that the others have opened, those that it opened itself before included.
  for (const std::uint64_t view : {2U, 3U}) {
    cluster.send(1, 3, empty_new_view(view));
    CHECK(all_in(cluster, {3}, view));
  }
  cluster.request(3, make_open(alice, 1));
  CHECK(under_way<PrePrepare>(cluster, 3).empty());
  CHECK(records_of<PersistAccepted>(node).empty());
}

TEST_CASE("rule 31: what it has to pass survives its restarts", "[rejoin]") {
  Wiped w;
  w.cluster.settle(20);
  for (std::uint64_t i = 6; i <= 40; ++i) {
    w.go_on(i, i);
    if (w.node().status().rejoining) {
      w.cluster.restart(3);
      CHECK(w.node().status().rejoining);
      CHECK(w.votes() == 0);
    }
  }
  CHECK_FALSE(w.node().status().rejoining);
  CHECK(records_of<PersistRejoin>(w.node()).front().above == records_of<PersistRejoin>(w.node()).back().above);
  w.cluster.restart(3);
  CHECK_FALSE(w.node().status().rejoining);  // and it is over for good
}

TEST_CASE("rule 31: the others grant it one view, and not again soon", "[rejoin]") {
  CoreCluster cluster{4};
  const auto ask = [&](std::uint64_t view) {
    Status status;
    status.view = View{view - 1};
    status.rejoins_in = View{view};
    for (std::uint32_t to = 0; to < 3; ++to) cluster.send(3, to, status);
    cluster.settle(10);
  };
  ask(5);  // far ahead: nobody goes there
  CHECK(all_in(cluster, {0, 1, 2}, 0));
  ask(1);
  CHECK(all_in(cluster, {0, 1, 2}, 1));
  for (int i = 0; i < 50; ++i) ask(2);
  CHECK(all_in(cluster, {0, 1, 2}, 1));
  cluster.settle(1200);
  ask(2);
  CHECK(all_in(cluster, {0, 1, 2}, 2));
}

TEST_CASE("rule 31: a wiped primary is left, and comes back in", "[rejoin]") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  fill(cluster, alice, session, 1, 5);
  cluster.node(0).journal.clear();
  cluster.wipe(0);
  for (std::uint64_t i = 6; i <= 60; ++i) {
    for (std::uint32_t at = 0; at < 4; ++at) cluster.request(at, make_bundle(alice, session, i, {i}));
    cluster.settle(6);
  }
  cluster.settle(200);
  for (std::uint32_t i = 1; i < 4; ++i) CHECK(runs_of(cluster.node(i), session, 60) == 1);
  CHECK(cluster.node(0).status().executed == cluster.node(1).status().executed);
  CHECK_FALSE(cluster.node(0).status().rejoining);
  for (const PersistAccepted& mark : records_of<PersistAccepted>(cluster.node(0))) CHECK(mark.view > View{});
}

TEST_CASE("rule 31: it waits for enough of the others, and one liar among them cannot put it off for ever (n = 7)",
          "[rejoin]") {
  CoreCluster cluster{7};
  cluster.wipe(6);
  cluster.network.clear();
  const auto says = [&](std::uint32_t from, std::uint64_t view, std::uint64_t executed) {
    Status status;
    status.view = View{view};
    status.executed = SequenceNumber{executed};
    cluster.send(from, 6, status);
  };
  says(0, std::uint64_t{1} << 63, std::uint64_t{1} << 62);
  says(1, 3, 10);
  says(2, 2, 12);
  says(2, 2, 12);
  CHECK(records_of<PersistRejoin>(cluster.node(6)).empty());
  says(3, 2, 9);
  says(4, 3, 11);
  const auto records = records_of<PersistRejoin>(cluster.node(6));
  REQUIRE(records.size() == 1);
  CHECK(records[0].view == View{3});
  CHECK(records[0].above == SequenceNumber{12 + 8});
}
