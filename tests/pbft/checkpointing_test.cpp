// OSDI 1999, section 4.3.
#include "node/pbft/checkpointing.h"

#include <catch2/catch.hpp>

#include "tests/pbft/harness.h"

using namespace pbft;
using namespace pbft::testing;

namespace {

void fill(CoreCluster& cluster, SessionId session, std::uint64_t from, std::uint64_t to,
          const CoreCluster::Filter& drop = {}) {
  for (std::uint64_t i = from; i <= to; ++i) {
    cluster.request(0, make_bundle(alice, session, i, {i}));
    cluster.run(drop);
  }
}

Checkpoint vote(std::uint64_t n, const Digest& root) {
  return {SequenceNumber{n}, root, SharedBytes::own(to_bytes("signed"))};
}

}  // namespace

TEST_CASE("a quorum of CHECKPOINTs makes it stable and moves the window; the run goes on beyond it") {
  for (std::uint32_t n : {1U, 4U, 6U}) {
    CoreCluster cluster{n};
    const SessionId session = cluster.open(alice);
    fill(cluster, session, 1, 99);
    for (std::uint32_t i = 0; i < n; ++i) {
      CHECK(cluster.node(i).status().executed == SequenceNumber{100});
      CHECK(cluster.node(i).status().stable == SequenceNumber{100});
    }
  }
}

TEST_CASE("f+1 CHECKPOINTs, a quorum that differs, or what this replica does not hold are not stable") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  const auto no_checkpoints = [](const CoreCluster::InFlight& m) {
    return std::holds_alternative<Checkpoint>(m.message);
  };
  fill(cluster, session, 1, 3, no_checkpoints);
  CoreNode& node = cluster.node(1);
  const Digest root = node.status().last_root;
  Digest other;
  other.bytes.fill(9);
  cluster.send(0, 1, vote(4, root));
  cluster.send(0, 1, vote(4, root));   // the same vote again
  cluster.send(2, 1, vote(4, other));  // another root
  CHECK(node.status().stable == SequenceNumber{0});
  for (std::uint32_t from : {0U, 2U, 3U}) cluster.send(from, 1, vote(8, root));  // proven, but not held
  CHECK(node.status().stable == SequenceNumber{0});
  cluster.send(3, 1, vote(4, root));
  CHECK(node.status().stable == SequenceNumber{4});
}

TEST_CASE("a vote for no boundary, or from the past, counts for nothing") {
  CoreCluster cluster{4};
  cluster.send(0, 1, vote(3, {}));
  CHECK(cluster.node(1).count(Reject::checkpoint_not_boundary) == 1);
  cluster.send(0, 1, vote(0, {}));
  CHECK(cluster.node(1).count(Reject::outside_window) == 1);
}

TEST_CASE("votes far ahead do not fill the memory, and the highest few are kept") {
  CoreCluster cluster{4};
  for (std::uint64_t n = 4; n <= 40'000; n += 4) cluster.send(0, 1, vote(n, {}));
  cluster.node(1).core().invariants();  // asserts the bound
}

TEST_CASE("lost CHECKPOINTs stall everyone at the high water mark until they are sent again") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  const auto lost = [](const CoreCluster::InFlight& m) {
    return std::holds_alternative<Checkpoint>(m.message) || std::holds_alternative<StableCheckpoint>(m.message);
  };
  fill(cluster, session, 1, 12, lost);
  CHECK(cluster.node(0).status().executed == SequenceNumber{8});
  CHECK(cluster.node(0).status().waiting_for == "the window is full: waiting for 2 of 3 CHECKPOINTs at 8");
  CHECK(cluster.node(0).status().waiting_from == std::vector<ReplicaId>{ReplicaId{1}, ReplicaId{2}, ReplicaId{3}});
  cluster.settle();
  for (std::uint32_t i = 0; i < 4; ++i) {
    CHECK(cluster.node(i).status().stable == SequenceNumber{8});
    CHECK(cluster.node(i).replies.size() == 13);  // what waited came in one batch
  }
}

TEST_CASE("where no state has a quorum, each replica says that others have another one") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  for (const std::uint32_t i : {2U, 3U}) cluster.node(i).corrupt_state = true;
  fill(cluster, session, 1, 12);
  for (std::uint32_t i = 0; i < 4; ++i) {
    CHECK(cluster.node(i).status().executed == SequenceNumber{8});
    CHECK(cluster.node(i).status().waiting_for ==
          "the window is full: 2 replicas have another state at 8; waiting for 1 of 3 CHECKPOINTs at 8");
  }
}

TEST_CASE("a root that differs from the certified one stops execution and answers, and says so") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  cluster.node(3).corrupt_state = true;
  fill(cluster, session, 1, 20);
  const ReplicaStatus status = cluster.node(3).status();
  CHECK(status.diverged);
  CHECK(status.executed < SequenceNumber{21});
  CHECK(status.stable == SequenceNumber{0});
  CHECK(cluster.node(0).status().executed == SequenceNumber{21});
  std::size_t alarms = 0;
  for (const Event& event : cluster.node(3).events) alarms += std::holds_alternative<Diverged>(event) ? 1 : 0;
  CHECK(alarms == 1);
  const auto answers = cluster.node(3).step(
      ClientInput{Forge::client(alice, ClientRequest{make_bundle(alice, session, 1, {1})}), Origin{1}});
  CHECK(answers.empty());
}

TEST_CASE("the stable checkpoint never goes back, over a restart too") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  fill(cluster, session, 1, 10);
  CHECK(cluster.node(2).status().stable == SequenceNumber{8});
  cluster.restart(2);
  CHECK(cluster.node(2).status().stable == SequenceNumber{8});
  CHECK(cluster.node(2).status().executed == SequenceNumber{11});
  fill(cluster, session, 11, 30);
  CHECK(cluster.node(2).status().stable == SequenceNumber{28});
}

TEST_CASE("a boundary that was executed but whose checkpoint was not taken before a crash is taken at the start") {
  CoreCluster cluster{1};
  ClusterParameters parameters = cluster.parameters();
  Recovered recovered;
  recovered.executed = SequenceNumber{4};
  recovered.ledger_head = genesis_ledger_head();
  Replica restarted{parameters, cluster.node(0).local, recovered};
  // Whatever comes first: nothing may be executed before it is taken.
  const Effects effects = restarted.step(TurnEnd{});
  REQUIRE(effects.execute.size() == 1);
  CHECK(std::get<TakeCheckpoint>(effects.execute[0]).n == SequenceNumber{4});
}
