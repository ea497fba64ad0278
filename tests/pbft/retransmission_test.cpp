#include "node/pbft/retransmission.h"

#include <catch2/catch.hpp>

#include "tests/pbft/views.h"

using namespace pbft;
using namespace pbft::testing;

namespace {

template <class Message>
CoreCluster::Filter each_once() {
  // Every message of the type is lost the first time that it goes from one replica to another.
  auto seen = std::make_shared<std::map<std::tuple<ReplicaId, ReplicaId>, int>>();
  return [seen](const CoreCluster::InFlight& m) {
    return std::holds_alternative<Message>(m.message) && (*seen)[{m.from, m.to}]++ < 2;
  };
}

void check_recovers_from(const CoreCluster::Filter& drop) {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  for (std::uint64_t i = 1; i <= 10; ++i) {
    cluster.request(0, make_bundle(alice, session, i, {i}));
    cluster.run(drop);
    cluster.settle(3, drop);
  }
  cluster.settle(100);
  for (std::uint32_t i = 0; i < 4; ++i) {
    CHECK(cluster.node(i).executed.size() == 11);
    CHECK(cluster.node(i).executed == cluster.node(0).executed);
  }
}

}  // namespace

TEST_CASE("a loss of any one type of message is repaired", "[loss]") {
  SECTION("pre-prepare") {
    check_recovers_from(each_once<PrePrepare>());
  }
  SECTION("prepare") {
    check_recovers_from(each_once<Prepare>());
  }
  SECTION("commit") {
    check_recovers_from(each_once<Commit>());
  }
  SECTION("checkpoint") {
    check_recovers_from(each_once<Checkpoint>());
  }
  SECTION("status") {
    check_recovers_from(each_once<Status>());
  }
}

TEST_CASE("a proposal that reached nobody is proposed again, the same", "[loss]") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  cluster.request(0, make_bundle(alice, session, 1, {1}));
  const Digest proposed = std::get<PrePrepare>(cluster.network.front().message).batch->digest;
  cluster.network.clear();
  cluster.restart(0);  // after the crash of the primary, too
  cluster.settle();
  for (std::uint32_t i = 0; i < 4; ++i) CHECK(cluster.node(i).executed.at(SequenceNumber{2}) == proposed);
}

TEST_CASE("a replica that missed everything catches up from the votes that its peers hold") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  const auto cut_off = [](const CoreCluster::InFlight& m) { return m.to == ReplicaId{3} || m.from == ReplicaId{3}; };
  for (std::uint64_t i = 1; i <= 2; ++i) {
    cluster.request(0, make_bundle(alice, session, i, {i}));
    cluster.run(cut_off);
  }
  CHECK(cluster.node(3).executed.size() == 1);
  cluster.settle();
  CHECK(cluster.node(3).executed.size() == 3);
}

TEST_CASE("all replicas at once lose their memory and go on from their disks") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  // Prepared everywhere, committed nowhere.
  const auto no_commits = [](const CoreCluster::InFlight& m) { return std::holds_alternative<Commit>(m.message); };
  cluster.request(0, make_bundle(alice, session, 1, {1}));
  cluster.run(no_commits);
  CHECK(cluster.node(0).executed.size() == 1);
  cluster.network.clear();
  for (std::uint32_t i = 0; i < 4; ++i) cluster.restart(i);
  cluster.settle();
  for (std::uint32_t i = 0; i < 4; ++i) CHECK(cluster.node(i).executed.size() == 2);
}

TEST_CASE("a status is answered once a tick, and a fetch so many times") {
  CoreCluster cluster{4};
  cluster.tick(1);
  for (int i = 0; i < 10; ++i) cluster.send(2, 1, Status{});
  CHECK(cluster.node(1).count(Reject::rate_limited) == 9);
  for (std::uint64_t i = 0; i < 100; ++i) cluster.send(2, 1, FetchBatch{SequenceNumber{i}, {}});
  CHECK(cluster.node(1).count(Reject::rate_limited) == 9 + 36);
}

TEST_CASE("one replica that claims to be far ahead moves nobody") {
  CoreCluster cluster{4};
  Status liar;
  liar.executed = SequenceNumber{~0ULL - 10};
  liar.stable = SequenceNumber{~0ULL - 11};
  cluster.send(3, 1, liar);
  cluster.settle(30);
  CHECK(cluster.node(1).status().executed == SequenceNumber{0});
  CHECK(cluster.open(alice) == SessionId{1});
}

TEST_CASE("a replica that learnt a batch from COMMITs gets its vote after all, where a peer needs it") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  // Replica 1 does not get the pre-prepare, replica 2 gets no COMMIT, and then replica 3 is gone with its vote.
  cluster.request(0, make_bundle(alice, session, 1, {1}));
  cluster.run([](const CoreCluster::InFlight& m) {
    if (m.to == ReplicaId{1} && std::holds_alternative<PrePrepare>(m.message)) return true;
    return m.to == ReplicaId{2} && std::holds_alternative<Commit>(m.message);
  });
  cluster.crash(3);
  cluster.settle(2);  // replica 1 fetches the batch
  CHECK(cluster.node(1).executed.size() == 2);
  CHECK(cluster.node(2).executed.size() == 1);
  cluster.settle(60);
  CHECK(cluster.node(2).executed.size() == 2);
}

TEST_CASE("a learner asks for its vote although other things are lacking all the time") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  // Replica 1 learns slot 2 from COMMITs; that of replica 3 reaches it alone, and then replica 3 is gone. The slots up
  // to the checkpoint at 4 commit, so replica 1 waits for its stability from then on.
  cluster.request(0, make_bundle(alice, session, 1, {1}));
  cluster.run([](const CoreCluster::InFlight& m) {
    if (m.to == ReplicaId{1} && std::holds_alternative<PrePrepare>(m.message)) return true;
    return std::holds_alternative<Commit>(m.message) && m.from == ReplicaId{3} && m.to != ReplicaId{1};
  });
  cluster.crash(3);
  for (std::uint64_t i = 2; i <= 3; ++i) {
    cluster.request(0, make_bundle(alice, session, i, {i}));
    cluster.run();
  }
  cluster.settle(100);
  for (std::uint32_t i = 0; i < 3; ++i) CHECK(cluster.node(i).executed.size() == 4);
}

TEST_CASE("requests that the primary never orders do not keep a backup from handing on others") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  cluster.crash(0);
  for (std::uint64_t i = 1; i <= 12; ++i) cluster.request(2, make_bundle(alice, session, 1, {i}));
  cluster.network.clear();
  cluster.restart(0);
  cluster.request(2, make_open(bob, 1));
  cluster.run();
  CHECK(cluster.node(3).executed.size() == 2);
  // Nor, in the end, those of the same client.
  cluster.settle(20);
  for (std::uint64_t i = 1; i <= 12; ++i) CHECK(runs_of(cluster.node(3), session, i) == 1);
  CHECK(all_in(cluster, {0, 1, 2, 3}, 0));
  CHECK(suspicions(cluster) == 0);
}

TEST_CASE("what a client has given up keeps a backup from handing on nothing of what it asks for later") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  const auto no_forwards = [](const CoreCluster::InFlight& m) { return std::holds_alternative<Forward>(m.message); };
  for (std::uint64_t i = 1; i <= 8; ++i) cluster.request(2, make_bundle(alice, session, 1, {i}));
  cluster.run(no_forwards);
  cluster.request(0, make_bundle(alice, session, 9, {9}));  // it waits for nothing below
  cluster.run();
  cluster.request(2, make_bundle(alice, session, 9, {10}));
  cluster.settle(2);
  for (std::uint32_t i = 0; i < 4; ++i) {
    CHECK(runs_of(cluster.node(i), session, 8) == 0);
    CHECK(runs_of(cluster.node(i), session, 10) == 1);
  }
  CHECK(cluster.node(2).status().queued_requests == 0);
  CHECK(all_in(cluster, {0, 1, 2, 3}, 0));
  CHECK(suspicions(cluster) == 0);
}

TEST_CASE("a backup hands on the first few bundles of a client, and the next ones as those are executed") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  for (std::uint64_t i = 1; i <= 12; ++i) cluster.request(2, make_bundle(alice, session, 1, {i}));
  CHECK(under_way<Forward>(cluster, 2).size() == 4);
  cluster.request(2, make_bundle(alice, session, 1, {12}));  // asking again for what is not its turn
  CHECK(under_way<Forward>(cluster, 2).size() == 4);
  cluster.run();
  CHECK(runs_of(cluster.node(2), session, 4) == 1);
  CHECK(runs_of(cluster.node(2), session, 5) == 0);
  cluster.settle(1);
  CHECK(runs_of(cluster.node(2), session, 8) == 1);
  CHECK(runs_of(cluster.node(2), session, 9) == 0);
  cluster.settle(1);
  CHECK(runs_of(cluster.node(2), session, 12) == 1);
}

TEST_CASE("rule 35: a peer gets so many bytes of fetched batches in a tick, and one batch however large it is") {
  for (const std::size_t size : {3U << 20, 5U << 20}) {
    CoreCluster cluster{4, 4, 8};
    const SharedBytes body = SharedBytes::own(Bytes(size));
    std::vector<BatchPtr> batches;
    for (std::uint64_t n = 1; n <= 4; ++n) {
      batches.push_back(make_batch(cluster.clock_us + n, {with_body(make_open(alice, n), body)}));
      cluster.send(0, 1, PrePrepare{View{}, SequenceNumber{n}, batches.back(), {true}});
    }
    const auto fetch = [&](std::uint32_t peer) {
      cluster.network.clear();
      for (std::uint64_t n = 1; n <= 4; ++n) {
        cluster.send(peer, 1, FetchBatch{SequenceNumber{n}, batches[n - 1]->digest});
      }
      return under_way<BatchResponse>(cluster, 1).size();
    };
    const std::size_t at_once = size > (4U << 20) ? 1 : 2;
    CHECK(fetch(2) == at_once);
    CHECK(fetch(2) == 0);
    CHECK(fetch(3) == at_once);  // each peer has its own
    CHECK(cluster.node(1).count(Reject::rate_limited) == 2 * (4 - at_once) + 4);
    cluster.tick(1);
    CHECK(fetch(2) == at_once);
  }
}

// It may have had no room for it, or the message was lost; and the client may be gone.
TEST_CASE("what the primary was told of in vain is handed on again before it is left for it") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  cluster.request(2, make_bundle(alice, session, 1, {1}));
  cluster.run([](const CoreCluster::InFlight& m) { return std::holds_alternative<Forward>(m.message); });
  REQUIRE(cluster.node(2).executed.size() == 1);
  cluster.settle(90);
  CHECK(cluster.node(2).executed.size() == 2);
  CHECK(cluster.node(2).status().view == View{});
  CHECK(suspicions(cluster) == 0);
}

TEST_CASE("what waits for long is handed on again although others are served, once in a view") {
  CoreCluster cluster{many_clients(4, true)};
  const SessionId session = cluster.open(alice);
  const SessionId other = cluster.open(bob);
  std::size_t lost = 0;
  std::size_t most_lost = 1;
  const auto loses = [&](const CoreCluster::InFlight& m) {
    return std::holds_alternative<Forward>(m.message) && lost < most_lost && ++lost > 0;
  };
  cluster.request(2, make_bundle(alice, session, 1, {1}));
  for (std::uint64_t i = 1; i <= 70; ++i) {
    cluster.request(0, make_bundle(bob, other, 1, {i}));
    cluster.settle(1, loses);
  }
  CHECK(lost == 1);
  for (std::uint32_t i = 0; i < 4; ++i) CHECK(runs_of(cluster.node(i), session, 1) == 1);
  CHECK(all_in(cluster, {0, 1, 2, 3}, 0));
  CHECK(suspicions(cluster) == 0);
  // Where that is in vain, it is not said a third time.
  most_lost = 100;
  cluster.request(2, make_bundle(alice, session, 1, {2}));
  for (std::uint64_t i = 71; i <= 145; ++i) {
    cluster.request(0, make_bundle(bob, other, 1, {i}));
    cluster.settle(1, loses);
  }
  CHECK(lost == 3);
}

TEST_CASE("however much of one client waits, what others have waiting is handed on again with it") {
  CoreCluster cluster{many_clients(4, true)};
  const SessionId session = cluster.open(alice);
  const SessionId other = cluster.open(bob);
  const auto loses = [&](const CoreCluster::InFlight& m) {
    const auto* forward = std::get_if<Forward>(&m.message);
    return forward != nullptr && forward->bundle->client == alice;
  };
  for (std::uint64_t i = 1; i <= 100; ++i) cluster.request(2, make_bundle(alice, session, 1, {i}));
  cluster.request(2, make_bundle(bob, other, 1, {1}));
  cluster.network.clear();
  cluster.settle(15, loses);
  for (std::uint32_t i = 0; i < 4; ++i) CHECK(runs_of(cluster.node(i), other, 1) == 1);
}
