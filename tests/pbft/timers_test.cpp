// Rules 26 and 27: how correct replicas come to one view, whatever liars say and however slow the network is.
#include <catch2/catch.hpp>

#include "node/pbft/view_changer.h"
#include "tests/pbft/views.h"

using namespace pbft;
using namespace pbft::testing;

namespace {

using Flight = CoreCluster::InFlight;

}  // namespace

TEST_CASE("rule 26: from f+1 replicas in later views, the (f+1)-th highest of their views", "[join]") {
  CoreCluster cluster{7};
  const std::uint64_t huge = std::uint64_t{1} << 63;
  cluster.send(1, 6, view_change(huge, 1));
  cluster.send(2, 6, view_change(9, 2));
  CHECK(cluster.node(6).status().view == View{});
  cluster.send(3, 6, view_change(4, 3));
  CHECK(cluster.node(6).status().view == View{4});
  CHECK(std::string{events_of<ViewLeft>(cluster.node(6)).back().reason} == joined_reason);
  cluster.send(4, 6, view_change(7, 4));
  CHECK(cluster.node(6).status().view == View{7});
  cluster.send(4, 6, view_change(8, 4));
  CHECK(cluster.node(6).status().view == View{8});
}

TEST_CASE("rule 26: one liar far ahead keeps nobody from meeting", "[join]") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  for (const std::uint64_t far : {std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
    for (std::uint32_t to = 0; to < 3; ++to) cluster.send(3, to, view_change(far, 3));
  }
  cluster.crash(3);
  fill(cluster, alice, session, 1, 1);
  CHECK(all_in(cluster, {0, 1, 2}, 0));
  for (std::uint32_t i = 0; i < 3; ++i) CHECK(runs_of(cluster.node(i), session, 1) == 1);
}

TEST_CASE("rule 26: a liar, and correct replicas scattered over views, come together", "[join]") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  cluster.crash(0);
  for (std::uint32_t to = 1; to < 4; ++to) cluster.send(0, to, view_change(std::uint64_t{1} << 63, 0));
  ask_all(cluster, session, 1);
  // Replica 3 hears nothing of the others, and 2 nothing of 1: they drift apart.
  const auto deaf = [](const Flight& m) {
    return is<NewView>(m) || m.to == ReplicaId{3} || (m.to == ReplicaId{2} && m.from == ReplicaId{1});
  };
  cluster.settle(200, deaf);
  cluster.settle(400);
  const std::uint64_t view = cluster.node(1).status().view.value;
  CHECK(all_in(cluster, {1, 2, 3}, view));
  CHECK(view < 20);
  for (std::uint32_t i = 1; i < 4; ++i) CHECK(runs_of(cluster.node(i), session, 1) == 1);
}

TEST_CASE("rule 27: the new-view timer starts when a quorum has left, not before", "[timer]") {
  CoreCluster cluster{4};
  for (std::uint32_t from = 0; from < 2; ++from) cluster.send(from, 3, view_change(2, from));
  REQUIRE(cluster.node(3).status().view == View{2});
  // Three have left, and its own counts: the timer runs.
  for (int i = 0; i < 40; ++i) cluster.tick(3);
  CHECK(cluster.node(3).status().view == View{2});
  for (int i = 0; i < 5; ++i) cluster.tick(3);
  CHECK(cluster.node(3).status().view == View{3});
  // In view 3 it is alone: it waits for good.
  for (int i = 0; i < 2000; ++i) cluster.tick(3);
  CHECK(cluster.node(3).status().view == View{3});
}

TEST_CASE("rule 27: each view that is not opened doubles the timeout, up to the maximum; progress resets it",
          "[timer]") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  cluster.crash(0);
  ask_all(cluster, session, 1);
  std::vector<Ticks> seen;
  for (int round = 0; round < 1500; ++round) {
    cluster.settle(1, is<NewView>);
    const Ticks timeout = cluster.node(2).status().view_timeout_ticks;
    if (seen.empty() || seen.back() != timeout) seen.push_back(timeout);
  }
  CHECK(seen == std::vector<Ticks>{20, 40, 80, 160});
  cluster.settle(400);
  for (std::uint32_t i = 1; i < 4; ++i) {
    CHECK(runs_of(cluster.node(i), session, 1) == 1);
    CHECK(cluster.node(i).status().view_timeout_ticks == 20);
  }
}

TEST_CASE("rule 27: a delay just above every timeout converges", "[timer]") {
  for (const int delay : {21, 30, 45}) {
    CAPTURE(delay);
    CoreCluster cluster{4};
    const SessionId session = cluster.open(alice);
    ask_all(cluster, session, 1);
    std::map<int, std::deque<Flight>> later;
    const auto done = [&] {
      for (std::uint32_t i = 0; i < 4; ++i) {
        if (runs_of(cluster.node(i), session, 1) != 1) return false;
      }
      return true;
    };
    int now = 0;
    for (; now < 6000 && !done(); ++now) {
      cluster.tick_all();
      std::swap(later[now + delay], cluster.network);
      cluster.network = std::exchange(later[now], {});
      // One hop only: what they answer is delayed again.
      std::deque<Flight> arriving = std::exchange(cluster.network, {});
      for (Flight& flight : arriving) {
        if (auto* proposal = std::get_if<PrePrepare>(&flight.message)) {
          proposal->authentic.assign(proposal->batch->bundles.size(), true);
        }
        if (auto* forward = std::get_if<Forward>(&flight.message)) forward->authentic = true;
        cluster.input(flight.to.value, PeerInput{Forge::peer(flight.from, std::move(flight.message))});
        cluster.input(flight.to.value, TurnEnd{});
      }
      std::deque<Flight>& queue = later[now + delay];
      queue.insert(queue.end(), cluster.network.begin(), cluster.network.end());
      cluster.network.clear();
    }
    CHECK(done());
  }
}

TEST_CASE("rule 36: a view change gets through a network that loses a third of everything", "[view]") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    CoreCluster cluster{4};
    const SessionId session = cluster.open(alice);
    cluster.crash(0);
    ask_all(cluster, session, 1);
    std::uint64_t random = seed * 0x9E3779B97F4A7C15;
    cluster.settle(600, [&](const Flight&) {
      random ^= random << 13;
      random ^= random >> 7;
      random ^= random << 17;
      return random % 3 == 0;
    });
    ask_all(cluster, session, 2);
    cluster.settle(400);
    for (std::uint32_t i = 1; i < 4; ++i) {
      CHECK(cluster.node(i).status().active);
      CHECK(runs_of(cluster.node(i), session, 1) == 1);
      CHECK(runs_of(cluster.node(i), session, 2) == 1);
    }
  }
}

TEST_CASE("rule 36: each type of message of a view change may be lost once", "[view]") {
  for (int type = 0; type < 3; ++type) {
    CAPTURE(type);
    CoreCluster cluster{4};
    const SessionId session = cluster.open(alice);
    cluster.crash(0);
    ask_all(cluster, session, 1);
    std::set<std::pair<std::uint32_t, std::uint32_t>> lost;
    cluster.settle(200, [&](const Flight& m) {
      const bool this_one = type == 0 ? is<ViewChange>(m) : type == 1 ? is<NewView>(m) : is<Prepare>(m);
      return this_one && lost.emplace(m.from.value, m.to.value).second;
    });
    CHECK(!lost.empty());
    for (std::uint32_t i = 1; i < 4; ++i) CHECK(runs_of(cluster.node(i), session, 1) == 1);
  }
}

// One backup has executed what the others lack and waits for nothing; one alone does not suffice. Only the primary can
// make up the f+1 that suspect it.
TEST_CASE("a primary leaves its own view where its slots do not get through", "[timers]") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(client_id(1));
  cluster.crash(3);
  const auto lost = [](const CoreCluster::InFlight& m) { return commits_view_0(m) && m.to != ReplicaId{1}; };
  cluster.request(0, make_bundle(client_id(1), session, 1, {1}));
  cluster.run(lost);
  REQUIRE(runs_of(cluster.node(1), session, 1) == 1);
  REQUIRE(runs_of(cluster.node(0), session, 1) == 0);
  cluster.settle(80, lost);
  CHECK(cluster.node(0).status().view > View{});
  for (std::uint32_t i = 0; i < 3; ++i) {
    CHECK(runs_of(cluster.node(i), session, 1) == 1);
    CHECK(cluster.node(i).status().active);
  }
  // Nothing more to do, no reason to leave: an idle primary stays.
  const View view = cluster.node(0).status().view;
  cluster.settle(200);
  CHECK(cluster.node(0).status().view == view);
}
