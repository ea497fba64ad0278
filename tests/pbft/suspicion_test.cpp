// Rules 12, 26, 36, 37 and 38: which replicas of a cluster come to suspect a primary, and what their suspicion does.
// Why one replica does: primary_watch_test.
#include <catch2/catch.hpp>
#include <set>

#include "node/pbft/message_log.h"
#include "tests/pbft/views.h"

using namespace pbft;
using namespace pbft::testing;

namespace {

using Flight = CoreCluster::InFlight;

}  // namespace

TEST_CASE("rule 26: a replica that is alone with its suspicion keeps its vote, and goes with the next one",
          "[suspicion]") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  // What waits at replica 3 reaches nobody else.
  const auto lost = [](const Flight& m) { return is<Forward>(m); };
  cluster.request(3, make_bundle(alice, session, 1, {1}));
  cluster.settle(200, lost);
  REQUIRE(events_of<PrimarySuspected>(cluster.node(3)).size() == 1);
  CHECK(all_in(cluster, {0, 1, 2, 3}, 0));
  CHECK(cluster.node(3).status().waiting_for ==
        "wants view 0 to be left, waiting for 1 more that do: nothing was executed for the timeout");
  // Where another one is gone, it takes all that are left.
  cluster.crash(2);
  cluster.request(0, make_bundle(alice, session, 1, {2}));
  cluster.settle(10, lost);
  for (const std::uint32_t i : {0U, 1U, 3U}) CHECK(runs_of(cluster.node(i), session, 2) == 1);
  CHECK(all_in(cluster, {0, 1, 3}, 0));
  // Progress does not take the suspicion back: the next one to have it is not alone.
  cluster.request(1, make_bundle(alice, session, 1, {3}));
  cluster.settle(100, lost);
  CHECK(all_in(cluster, {0, 1, 3}, 1));
  CHECK(runs_of(cluster.node(3), session, 3) == 1);
  CHECK(events_of<PrimarySuspected>(cluster.node(1)).size() == 1);
}

TEST_CASE("rule 26: f liars that suspect every primary change no view", "[suspicion]") {
  CoreCluster cluster{7};
  const SessionId session = cluster.open(alice);
  Status status;
  status.suspects = true;
  for (const std::uint32_t liar : {5U, 6U}) {
    cluster.crash(liar);
    for (std::uint32_t to = 0; to < 5; ++to) cluster.send(liar, to, status);
  }
  cluster.settle(200);
  fill(cluster, alice, session, 1, 1);
  CHECK(all_in(cluster, {0, 1, 2, 3, 4}, 0));
  CHECK(suspicions(cluster) == 0);
}

TEST_CASE("rule 36: a suspicion is told until the view is left, and forgotten with the view", "[suspicion]") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  cluster.crash(0);
  ask_all(cluster, session, 1);
  const auto suspects = [](const Flight& m) {
    const auto* status = std::get_if<Status>(&m.message);
    return status != nullptr && status->suspects;
  };
  std::vector<Ticks> said;  // by replica 1 to replica 2
  Ticks since = 0;
  for (Ticks tick = 1; tick <= 60; ++tick) {
    cluster.settle(1, [&](const Flight& m) {
      if (suspects(m) && m.from == ReplicaId{1} && m.to == ReplicaId{2}) said.push_back(tick);
      return suspects(m);
    });
    if (since == 0 && !events_of<PrimarySuspected>(cluster.node(1)).empty()) since = tick;
  }
  REQUIRE(since > 0);
  CHECK(said.front() == since);                                                      // at once
  CHECK(said.size() >= (60 - since) / cluster.node(1).local.status_interval_ticks);  // and as often as what is lacking
  CHECK(all_in(cluster, {1, 2, 3}, 0));
  cluster.settle(30);
  CHECK(all_in(cluster, {1, 2, 3}, 1));
  std::size_t told = 0;
  cluster.settle(200, [&](const Flight& m) {
    told += suspects(m) ? 1 : 0;
    return false;
  });
  CHECK(told == 0);
}

TEST_CASE("rule 37: a client that has more outstanding than a backup has room for is not starved for ever", "[watch]") {
  CoreCluster cluster{many_clients(4, true)};
  const SessionId session = cluster.open(alice);
  const SessionId other = cluster.open(bob);
  const SharedBytes large = SharedBytes::own(Bytes(2U << 20));
  std::vector<BundlePtr> outstanding;
  for (std::uint64_t i = 1; i <= 20; ++i) outstanding.push_back(with_body(make_bundle(alice, session, 1, {i}), large));
  // Replica 2, which is faulty, takes nothing of this client, and serves the other.
  const auto starves = [](const Flight& m) {
    const auto* forward = std::get_if<Forward>(&m.message);
    return forward != nullptr && m.to == ReplicaId{2} && forward->bundle->client == alice;
  };
  std::uint64_t asked = 0;
  std::optional<int> entered;
  std::optional<int> left;
  for (int tick = 0; !left && tick < 6000; ++tick) {
    const ReplicaStatus status = cluster.node(1).status();
    ++asked;
    const BundlePtr next = make_bundle(bob, other, asked > 500 ? asked - 500 : 1, {asked});
    for (std::uint32_t i = 0; i < 4; ++i) cluster.request(i, next);
    if (!entered && status.view == View{2} && status.active) entered = tick;
    if (entered && status.view > View{2}) left = tick;
    // All of them again and again, at different times.
    for (std::size_t i = 0; entered && i < outstanding.size(); ++i) {
      if ((static_cast<std::size_t>(tick) + 7 * i) % 48 != 0) continue;
      for (const std::uint32_t to : {0U, 1U, 3U}) cluster.request(to, outstanding[i]);
    }
    cluster.settle(1, starves);
  }
  REQUIRE(entered);
  REQUIRE(left);
  CHECK(*left - *entered <= 200);
  cluster.settle(100);
  for (std::uint32_t i = 0; i < 4; ++i) CHECK(runs_of(cluster.node(i), session, 1) == 1);
}

TEST_CASE("rule 37: no view change in an idle cluster, nor in one that is asked all the time", "[watch]") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  cluster.settle(2000);
  CHECK(suspicions(cluster) == 0);
  for (std::uint64_t i = 1; i <= 1000; ++i) {
    cluster.request(static_cast<std::uint32_t>(i % 4), make_bundle(alice, session, i, {i}));
    cluster.settle(2);
  }
  CHECK(suspicions(cluster) == 0);
  CHECK(all_in(cluster, {0, 1, 2, 3}, 0));
}

TEST_CASE("rule 12: a retransmission of an executed request starts no timer", "[watch]") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  fill(cluster, alice, session, 1, 1);
  cluster.crash(0);
  for (int round = 0; round < 200; ++round) {
    for (std::uint32_t i = 1; i < 4; ++i) cluster.request(i, make_bundle(alice, session, 1, {1}));
    cluster.settle(1);
  }
  for (std::uint32_t i = 1; i < 4; ++i) CHECK(cluster.node(i).status().waiting_clients == 0);
  CHECK(suspicions(cluster) == 0);
}

TEST_CASE("rule 38: a client that talks to backups only cannot cause view changes when it is served or refused",
          "[watch]") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  for (std::uint64_t i = 1; i <= 100; ++i) {
    for (std::uint32_t to = 1; to < 4; ++to) {
      cluster.request(to, make_bundle(alice, session, i, {i}));                   // served
      cluster.request(to, make_bundle(alice, session, i, {i + 500}));             // outside of the window
      cluster.request(to, make_bundle(alice, SessionId{i + 1'000'000}, 1, {1}));  // no such session
      cluster.request(to, make_bundle(client_id(77), session, 1, {i}));           // no client
      cluster.request(to, make_open(alice, 1));                                   // stale
    }
    cluster.settle(3);
  }
  for (std::uint32_t i = 0; i < 4; ++i) CHECK(cluster.node(i).status().waiting_clients == 0);
  CHECK(suspicions(cluster) == 0);
}

TEST_CASE("rule 38: what names a session that no batch to come can open waits for nothing", "[watch]") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  cluster.settle(10);
  // At first a batch may still open it; with the four before it, which are enough to wait with, it is settled.
  const SessionId next{cluster.node(2).status().executed.value + 1};
  for (const std::uint32_t to : {2U, 3U}) {
    for (std::uint64_t i = 1; i <= 4; ++i) cluster.request(to, make_bundle(alice, session, 1, {i}));
    cluster.request(to, make_bundle(alice, next, 1, {1}));
  }
  cluster.settle(500);
  CHECK(runs_of(cluster.node(0), session, 4) == 1);
  for (std::uint32_t i = 0; i < 4; ++i) {
    CHECK(cluster.node(i).status().waiting_clients == 0);
    CHECK(cluster.node(i).status().queued_requests == 0);
  }
  CHECK(suspicions(cluster) == 0);
}

TEST_CASE("rule 38: a backup waits only with what it has told the primary of", "[watch]") {
  CoreCluster cluster{many_clients(4, true)};
  std::vector<SessionId> sessions;
  for (std::uint8_t i = 1; i <= 60; ++i) sessions.push_back(cluster.open(client_id(i)));
  // The primary is gone when all come with as much as is waited with.
  cluster.crash(0);
  for (std::uint8_t i = 1; i <= 60; ++i) {
    for (std::uint64_t number = 1; number <= 4; ++number) {
      const BundlePtr bundle = make_bundle(client_id(i), sessions[i - 1U], 1, {number});
      for (std::uint32_t to = 1; to < 4; ++to) cluster.request(to, bundle);
    }
  }
  // The next one hears of nothing that it did not have itself.
  std::set<Digest> told;
  bool in_view_1 = false;
  for (int tick = 0; tick < 300 && told.size() < 240; ++tick) {
    cluster.settle(1, [&](const CoreCluster::InFlight& m) {
      in_view_1 = in_view_1 || cluster.node(2).status().view == View{1};
      if (const auto* forward = std::get_if<Forward>(&m.message);
          forward != nullptr && m.from == ReplicaId{2} && in_view_1) {
        told.insert(forward->bundle->digest);
      }
      return in_view_1 && (is<PrePrepare>(m) || is<Forward>(m));
    });
    if (!cluster.node(2).status().active || cluster.node(2).status().view != View{1}) continue;
    CHECK(4 * cluster.node(2).status().waiting_clients <= told.size() + 3);
  }
  CHECK(told.size() == 240);
}

TEST_CASE("rule 38: garbage that a backup hands on drives no primary out", "[watch]") {
  CoreCluster cluster{4, 4, 8, false};
  for (std::uint64_t i = 1; i <= 200; ++i) {
    for (std::uint32_t to = 0; to < 3; ++to) {
      cluster.send(3, to, Forward{make_bundle(alice, SessionId{1}, 1, {i}), false});
      cluster.send(3, to, Forward{make_bundle(client_id(99), SessionId{1}, 1, {i}), true});
    }
    cluster.settle(1);
  }
  CHECK(suspicions(cluster) == 0);
  CHECK(cluster.node(0).count(Reject::bundle_not_authentic) == 200);
  CHECK(cluster.node(1).count(Reject::not_primary) == 400);
  CHECK_FALSE(cluster.node(0).core().must_sign(alice));  // the word of one backup is not enough
}

TEST_CASE("a replica that hears too few of the others has nothing to hold against the primary", "[watch]") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  const auto cut_off = [](const Flight& m) { return m.to == ReplicaId{3} || m.from == ReplicaId{3}; };
  cluster.settle(40, cut_off);
  cluster.request(3, make_bundle(alice, session, 1, {1}));
  cluster.settle(300, cut_off);
  CHECK(cluster.node(3).status().view == View{});
  CHECK(cluster.node(3).status().waiting_clients == 1);
  cluster.request(3, make_bundle(alice, session, 1, {1}));  // its client asks again
  cluster.settle(10);
  for (std::uint32_t i = 0; i < 4; ++i) CHECK(runs_of(cluster.node(i), session, 1) == 1);
  CHECK(suspicions(cluster) == 0);
}

TEST_CASE("a primary that lets one backup run ahead and the others wait is left", "[watch]") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  // Replica 0, which is faulty, shows slot 2 to the replicas 1 and 2 only, and its COMMIT to 1 only; and says no more.
  const auto faulty = [](const Flight& m) {
    if (m.from != ReplicaId{0}) return false;
    if (is<Status>(m)) return false;
    if (is<PrePrepare>(m)) return m.to == ReplicaId{3};
    return !(is<Commit>(m) && m.to == ReplicaId{1});
  };
  cluster.request(0, make_bundle(alice, session, 1, {1}));
  cluster.run(faulty);
  REQUIRE(cluster.node(1).executed.size() == 2);
  REQUIRE(cluster.node(2).executed.size() == 1);
  REQUIRE(cluster.node(3).executed.size() == 1);
  for (std::uint32_t i = 1; i < 4; ++i) cluster.request(i, make_bundle(alice, session, 1, {2}));
  cluster.settle(300, [&](const Flight& m) { return faulty(m) || (is<PrePrepare>(m) && m.from == ReplicaId{0}); });
  for (std::uint32_t i = 1; i < 4; ++i) {
    CHECK(cluster.node(i).status().view > View{});
    CHECK(runs_of(cluster.node(i), session, 2) == 1);
  }
}
