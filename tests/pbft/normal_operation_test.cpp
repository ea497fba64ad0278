// OSDI 1999, section 4.2, and the rules on votes.
#include "node/pbft/normal_operation.h"

#include <catch2/catch.hpp>
#include <numeric>

#include "tests/pbft/views.h"

using namespace pbft;
using namespace pbft::testing;

namespace {

// Replica 1 of n, which the test talks to as if it were all the others.
struct Backup {
  explicit Backup(std::uint32_t n) : cluster(n) {}

  PrePrepare proposal(std::uint64_t n, const BatchPtr& batch, bool authentic = true) {
    return {View{}, SequenceNumber{n}, batch, std::vector<bool>(batch->bundles.size(), authentic)};
  }
  BatchPtr batch(std::uint64_t tag) {
    return make_batch(cluster.clock_us + tag, {make_bundle(alice, SessionId{1}, 1, {tag})});
  }
  template <class Message>
  std::vector<Message> sent() {
    std::vector<Message> result;
    for (const auto& flight : cluster.network) {
      if (const auto* message = std::get_if<Message>(&flight.message); message && flight.to == ReplicaId{0}) {
        result.push_back(*message);
      }
    }
    return result;
  }
  void prepare(std::uint32_t from, std::uint64_t n, const Digest& digest, std::uint64_t view = 0) {
    cluster.send(from, 1, Prepare{View{view}, SequenceNumber{n}, digest});
  }
  void commit(std::uint32_t from, std::uint64_t n, const Digest& digest, std::uint64_t view = 0) {
    cluster.send(from, 1, Commit{View{view}, SequenceNumber{n}, digest});
  }
  CoreNode& node() { return cluster.node(1); }

  CoreCluster cluster;
};

}  // namespace

TEST_CASE("a request is executed once by all replicas, in one order", "[normal]") {
  for (std::uint32_t n : {1U, 4U, 5U, 6U, 7U, 10U, 13U}) {
    CAPTURE(n);
    CoreCluster cluster{n};
    const SessionId session = cluster.open(alice);
    REQUIRE(session == SessionId{1});
    for (std::uint64_t i = 1; i <= 5; ++i) {
      cluster.request(0, make_bundle(alice, session, i, {i}));
      cluster.run();
    }
    for (std::uint32_t i = 0; i < n; ++i) {
      CHECK(cluster.node(i).executed == cluster.node(0).executed);
      CHECK(cluster.node(i).executed.size() == 6);
    }
  }
}

TEST_CASE("the cluster goes on with f replicas down", "[normal]") {
  for (std::uint32_t n : {4U, 5U, 6U, 7U}) {
    CAPTURE(n);
    CoreCluster cluster{n};
    for (std::uint32_t i = 0; i < Quorum{n}.faults(); ++i) cluster.crash(n - 1 - i);
    CHECK(cluster.open(alice) == SessionId{1});
  }
}

TEST_CASE("nothing is executed with fewer than a quorum", "[normal]") {
  for (std::uint32_t n : {4U, 5U, 6U, 7U}) {
    CAPTURE(n);
    CoreCluster cluster{n};
    for (std::uint32_t i = 0; i <= n - Quorum{n}.quorum(); ++i) cluster.crash(n - 1 - i);
    cluster.open(alice);
    cluster.settle(50);
    CHECK(cluster.node(0).executed.empty());
  }
}

TEST_CASE("prepared takes PREPAREs of Q-1 distinct backups; the primary's own counts for nothing") {
  for (std::uint32_t n : {4U, 5U, 6U, 7U}) {
    CAPTURE(n);
    Backup b{n};
    const auto batch = b.batch(1);
    b.cluster.send(0, 1, b.proposal(1, batch));
    REQUIRE(b.sent<Prepare>().size() == 1);
    b.prepare(0, 1, batch->digest);
    CHECK(b.node().count(Reject::vote_from_primary) == 1);
    const std::uint32_t others = Quorum{n}.quorum() - 2;  // its own PREPARE is one of the Q-1
    for (std::uint32_t i = 0; i + 1 < others; ++i) b.prepare(2 + i, 1, batch->digest);
    CHECK(b.sent<Commit>().empty());
    if (others > 1) {
      b.prepare(2, 1, batch->digest);  // the same sender again
      CHECK(b.sent<Commit>().empty());
    }
    b.prepare(1 + others, 1, batch->digest);
    CHECK(b.sent<Commit>().size() == 1);
  }
}

TEST_CASE("one vote per view and number: the first pre-prepare is kept") {
  Backup b{4};
  const auto first = b.batch(1);
  const auto second = b.batch(2);
  b.cluster.send(0, 1, b.proposal(1, first));
  b.cluster.send(0, 1, b.proposal(1, first));
  CHECK(b.node().count(Reject::already_known) == 1);
  b.cluster.send(0, 1, b.proposal(1, second));
  CHECK(b.node().count(Reject::second_preprepare) == 1);
  REQUIRE(b.sent<Prepare>().size() == 1);
  CHECK(b.sent<Prepare>()[0].digest == first->digest);
}

TEST_CASE("the one vote holds over a restart") {
  Backup b{4};
  const auto first = b.batch(1);
  b.cluster.send(0, 1, b.proposal(1, first));
  b.cluster.restart(1);
  b.cluster.network.clear();
  b.cluster.send(0, 1, b.proposal(1, b.batch(2)));
  CHECK(b.node().count(Reject::second_preprepare) == 1);
  CHECK(b.sent<Prepare>().empty());
}

TEST_CASE("votes are counted by view, number, digest and sender") {
  Backup b{4};
  const auto batch = b.batch(1);
  const auto other = b.batch(2);
  // Early, mixed and repeated votes.
  b.commit(2, 1, other->digest);
  b.commit(2, 1, batch->digest);  // a second vote of the same sender
  b.commit(3, 1, batch->digest);
  b.commit(3, 1, batch->digest);
  b.prepare(2, 1, other->digest);
  b.prepare(2, 1, batch->digest);
  b.prepare(3, 2, batch->digest);     // for another number
  b.prepare(3, 3, batch->digest, 1);  // in another view
  b.cluster.send(0, 1, b.proposal(1, batch));
  CHECK(b.sent<Commit>().empty());
  CHECK(b.node().executed.empty());
  CHECK(b.node().count(Reject::second_vote) == 2);
  b.prepare(3, 1, batch->digest);
  CHECK(b.sent<Commit>().size() == 1);
  CHECK(b.node().executed.empty());
  b.commit(0, 1, batch->digest);
  CHECK(b.node().executed.size() == 1);
}

TEST_CASE("a pre-prepare counts only from the primary of the view") {
  Backup b{4};
  b.cluster.send(2, 1, b.proposal(1, b.batch(1)));
  CHECK(b.node().count(Reject::not_from_primary) == 1);
  PrePrepare later = b.proposal(1, b.batch(1));
  later.view = View{1};
  b.cluster.send(1, 1, later);
  CHECK(b.node().count(Reject::wrong_view) == 1);
  CHECK(b.sent<Prepare>().empty());
}

TEST_CASE("nothing outside of the water marks is taken") {
  Backup b{4};
  const auto batch = b.batch(1);
  for (std::uint64_t n : {std::uint64_t{0}, std::uint64_t{9}, ~std::uint64_t{0}}) {
    b.cluster.send(0, 1, b.proposal(n, batch));
    b.prepare(2, n, batch->digest);
    b.commit(2, n, batch->digest);
  }
  CHECK(b.node().count(Reject::outside_window) == 9);
  b.cluster.send(0, 1, b.proposal(8, batch));
  CHECK(b.sent<Prepare>().size() == 1);
}

TEST_CASE("a null batch, a stranger's bundle and a time out of bounds are no proposals") {
  Backup b{4};
  b.cluster.send(0, 1, b.proposal(1, null_batch()));
  CHECK(b.node().count(Reject::empty_batch) == 1);
  b.cluster.send(0, 1, b.proposal(1, make_batch(b.cluster.clock_us, {make_open(client_id(99), 1)})));
  CHECK(b.node().count(Reject::not_a_client) == 1);
  const std::uint64_t skew = b.cluster.parameters().max_clock_skew_us;
  b.cluster.send(0, 1, b.proposal(1, make_batch(b.cluster.clock_us + skew + 1, {make_open(alice, 1)})));
  CHECK(b.node().count(Reject::time_ahead) == 1);
  b.cluster.send(0, 1, b.proposal(2, make_batch(500, {make_open(alice, 1)})));
  b.cluster.send(0, 1, b.proposal(1, make_batch(500, {make_open(alice, 2)})));
  b.cluster.send(0, 1, b.proposal(3, make_batch(500, {make_open(alice, 3)})));
  CHECK(b.node().count(Reject::time_not_later) == 2);
  CHECK(b.sent<Prepare>().size() == 1);
}

TEST_CASE("a batch that is not authentic here is voted for once f+1 backups vouch for it") {
  for (std::uint32_t n : {4U, 7U}) {
    CAPTURE(n);
    Backup b{n};
    const auto batch = b.batch(1);
    b.cluster.send(0, 1, b.proposal(1, batch, false));
    CHECK(b.node().count(Reject::bundle_not_authentic) == 1);
    const std::uint32_t f = Quorum{n}.faults();
    for (std::uint32_t i = 0; i < f; ++i) b.prepare(2 + i, 1, batch->digest);
    CHECK(b.sent<Prepare>().empty());
    b.prepare(2 + f, 1, batch->digest);
    CHECK(b.sent<Prepare>().size() == 1);
  }
}

// The one that had voted has lost its memory, another was away then: only the primary and one backup can vouch.
TEST_CASE(
    "a proposal that comes when its time is behind is voted for once f+1 replicas vouch, the primary by its COMMIT") {
  Backup b{4};
  const auto batch = b.batch(1);
  b.cluster.clock_us += 60'000'000;
  b.cluster.tick(1);
  b.cluster.send(0, 1, b.proposal(1, batch));
  CHECK(b.node().count(Reject::time_behind) == 1);
  b.prepare(0, 1, batch->digest);  // the primary sends none
  SECTION("its COMMIT and the PREPARE of a backup") {
    b.prepare(2, 1, batch->digest);
    CHECK(b.sent<Prepare>().empty());
    b.commit(0, 1, batch->digest);
  }
  SECTION("in any order") {
    b.commit(0, 1, batch->digest);
    CHECK(b.sent<Prepare>().empty());
    b.prepare(2, 1, batch->digest);
  }
  SECTION("not that of a backup, which would have sent a PREPARE") {
    b.prepare(2, 1, batch->digest);
    b.commit(2, 1, batch->digest);
    b.commit(3, 1, batch->digest);
    CHECK(b.sent<Prepare>().empty());
    b.commit(0, 1, batch->digest);
  }
  SECTION("only of the present view, and for the same batch") {
    b.prepare(2, 1, batch->digest);
    b.commit(0, 1, b.batch(2)->digest);
    CHECK(b.sent<Prepare>().empty());
    b.prepare(3, 1, batch->digest);
  }
  b.cluster.send(0, 1, BatchResponse{SequenceNumber{1}, batch});
  REQUIRE(b.sent<Prepare>().size() == 1);
  CHECK(b.sent<Prepare>()[0].digest == batch->digest);
}

TEST_CASE("the primary takes nobody's word for a proposal of its own") {
  CoreCluster cluster{4};
  const BundlePtr bundle = make_open(client_id(1), 1);
  const BatchPtr batch = make_batch(cluster.clock_us, {bundle});
  for (const std::uint32_t from : {1U, 2U}) {
    cluster.send(from, 0, Prepare{View{}, SequenceNumber{1}, batch->digest});
    cluster.send(from, 0, BatchResponse{SequenceNumber{1}, batch});
  }
  CHECK(cluster.node(0).status().last_accepted == SequenceNumber{});
  cluster.request(0, bundle);
  CHECK(cluster.node(0).status().last_accepted == SequenceNumber{1});
}

TEST_CASE("vouching never makes a second vote") {
  Backup b{4};
  const auto mine = b.batch(1);
  const auto other = b.batch(2);
  b.cluster.send(0, 1, b.proposal(1, mine));
  b.cluster.send(0, 1, b.proposal(1, other, false));
  b.prepare(2, 1, other->digest);
  b.prepare(3, 1, other->digest);
  REQUIRE(b.sent<Prepare>().size() == 1);
  CHECK(b.sent<Prepare>()[0].digest == mine->digest);
}

TEST_CASE("vouching waits for the batch: PREPAREs alone are no reason to vote") {
  Backup b{4};
  const auto batch = b.batch(1);
  b.prepare(2, 1, batch->digest);
  b.prepare(3, 1, batch->digest);
  CHECK(b.sent<Prepare>().empty());
}

TEST_CASE("a quorum of COMMITs proves a batch whose pre-prepare was lost; its learner casts no vote") {
  Backup b{4};
  const auto batch = b.batch(1);
  for (std::uint32_t from : {0U, 2U, 3U}) b.commit(from, 1, batch->digest);
  CHECK(b.node().executed.empty());
  b.cluster.tick(1);
  const auto asked = b.sent<FetchBatch>();
  const auto flights = b.cluster.network;
  std::uint32_t holder = 99;
  for (const auto& flight : flights) {
    if (std::holds_alternative<FetchBatch>(flight.message)) holder = flight.to.value;
  }
  REQUIRE(holder != 99);
  b.cluster.send(holder, 1, BatchResponse{SequenceNumber{1}, b.batch(2)});  // not what was asked for
  CHECK(b.node().count(Reject::not_asked_for) == 1);
  b.cluster.send(holder, 1, BatchResponse{SequenceNumber{1}, batch});
  CHECK(b.node().executed.at(SequenceNumber{1}) == batch->digest);
  CHECK(b.sent<Prepare>().empty());
  CHECK(b.sent<Commit>().empty());
}

TEST_CASE("durable before audible: marks and batch are persisted by the step that sends") {
  CoreCluster cluster{4};
  Replica& core = cluster.node(1).core();
  const auto batch = make_batch(cluster.clock_us, {make_open(alice, 1)});
  const Effects accepted =
      core.step(PeerInput{Forge::peer(ReplicaId{0}, PrePrepare{View{}, SequenceNumber{1}, batch, {true}})});
  REQUIRE(accepted.persist.size() == 2);
  CHECK(std::get<PersistBatch>(accepted.persist[0]).batch == batch);
  CHECK(std::get<PersistAccepted>(accepted.persist[1]).digest == batch->digest);
  REQUIRE(accepted.send.size() == 1);
  const Effects prepared =
      core.step(PeerInput{Forge::peer(ReplicaId{2}, Prepare{View{}, SequenceNumber{1}, batch->digest})});
  REQUIRE(prepared.persist.size() == 1);
  CHECK(std::get<PersistPrepared>(prepared.persist[0]).digest == batch->digest);
  CHECK(std::holds_alternative<Commit>(std::get<Broadcast>(prepared.send.at(0)).message));
}

TEST_CASE("the primary stops at the pipeline's depth and at the high water mark") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  const auto nothing_arrives = [](const CoreCluster::InFlight&) { return true; };
  for (std::uint64_t i = 1; i <= 12; ++i) cluster.request(0, make_bundle(alice, session, 1, {i}));
  CHECK(cluster.node(0).status().last_accepted == SequenceNumber{8});  // window of 8: up to h + L
  CHECK(cluster.node(0).status().queued_requests == 5);
  cluster.run(nothing_arrives);
  CHECK(cluster.node(0).status().executed == SequenceNumber{1});
}

TEST_CASE("requests that wait are ordered in one batch") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  for (std::uint64_t i = 1; i <= 5; ++i) {
    cluster.input(0, ClientInput{Forge::client(alice, ClientRequest{make_bundle(alice, session, 1, {i})}), Origin{1}});
  }
  cluster.input(0, TurnEnd{});
  cluster.run();
  CHECK(cluster.node(2).executed.size() == 2);
}

TEST_CASE("while much is in flight, the primary gathers until as much waits, or all of it is done") {
  CoreCluster cluster{4};
  std::vector<SessionId> sessions;
  for (std::uint8_t i = 0; i < 4; ++i) sessions.push_back(cluster.open(client_id(i + 1)));
  const SequenceNumber before = cluster.node(0).status().executed;
  const auto proposed = [&] { return cluster.node(0).status().last_accepted.value - before.value; };
  const auto request = [&](std::uint8_t client, std::uint64_t first, std::uint64_t count) {
    std::vector<std::uint64_t> numbers(count);
    std::iota(numbers.begin(), numbers.end(), first);
    cluster.request(0, make_bundle(client_id(client + 1), sessions[client], 1, numbers));
  };
  request(0, 1, 16);
  request(1, 1, 16);
  CHECK(proposed() == 2);
  request(2, 1, 31);
  CHECK(proposed() == 2);
  request(3, 1, 1);
  CHECK(proposed() == 3);
  CHECK(cluster.node(0).status().queued_requests == 0);
  request(3, 2, 5);
  CHECK(proposed() == 3);
  cluster.run();
  for (std::uint32_t i = 0; i < 4; ++i) CHECK(cluster.node(i).status().executed.value == before.value + 4);
}

TEST_CASE("a backup hands a request on to the primary; a retransmission of an executed one is answered by all") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  const auto bundle = make_bundle(alice, session, 1, {1});
  cluster.request(2, bundle);
  cluster.run();
  CHECK(cluster.node(3).executed.size() == 2);
  for (std::uint32_t i = 0; i < 4; ++i) {
    const auto sends = cluster.node(i).step(ClientInput{Forge::client(alice, ClientRequest{bundle}), Origin{1}});
    REQUIRE(sends.size() == 1);
    CHECK(std::get<ResendReply>(sends[0]).number == RequestNumber{1});
  }
  CHECK(cluster.node(0).status().queued_requests == 0);
}

TEST_CASE("agreed time never goes back, whatever the primary's clock does") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  const Timestamp before = cluster.node(2).status().time;
  cluster.clock_us = 5;  // a jump back
  cluster.tick_all();
  cluster.request(0, make_bundle(alice, session, 1, {1}));
  cluster.run();
  CHECK(cluster.node(2).executed.size() == 2);
  CHECK(cluster.node(2).status().time > before);
}

TEST_CASE("rule 35: what a primary showed this replica alone is not in flight once another batch was ordered there") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  const auto kept_from_3 = [](const CoreCluster::InFlight& m) { return is<PrePrepare>(m) && m.to == ReplicaId{3}; };
  const BatchPtr shown = make_batch(cluster.clock_us + 1000, {make_open(bob, 1)});
  cluster.send(0, 3, PrePrepare{View{}, SequenceNumber{2}, shown, {true}});
  REQUIRE(records_of<PersistAccepted>(cluster.node(3)).back().digest == shown->digest);
  cluster.request(0, make_bundle(alice, session, 1, {1}));
  cluster.settle(10, kept_from_3);
  for (std::uint32_t i = 0; i < 4; ++i) CHECK(runs_of(cluster.node(i), session, 1) == 1);
  CHECK(suspicions(cluster) == 0);
  // It had still to be ordered, so this one has told the primary of it.
  CHECK(cluster.node(3).status().queued_requests == 0);
  for (std::uint32_t i = 0; i < 4; ++i) CHECK(runs_of(cluster.node(i), SessionId{}, 1) == 2);
}

namespace {

// Replica 1, for which each proposal may be as large as it likes.
CoreNode backup_with_large_window() {
  ClusterParameters cluster;
  cluster.window = 64;
  cluster.checkpoint_interval = 16;
  cluster.signed_requests = false;
  cluster.clients = {alice};
  LocalParameters local;
  local.self = ReplicaId{1};
  return CoreNode{cluster, local};
}

}  // namespace

TEST_CASE("rule 35: proposals that are not authentic here are held within a budget, and fetched beyond it") {
  CoreNode node = backup_with_large_window();
  const SharedBytes body = SharedBytes::own(Bytes(7U << 20));
  std::vector<BatchPtr> batches(21);
  const auto from = [&](std::uint32_t sender, const PeerMessage& message) {
    return node.step(PeerInput{Forge::peer(ReplicaId{sender}, message)});
  };
  static_cast<void>(node.step(Tick{Timestamp{1'000'000}}));
  for (std::uint64_t n = 20; n > 0; --n) {
    batches[n] = make_batch(1'000'000 + n, {with_body(make_bundle(alice, SessionId{1}, 1, {n}), body)});
    const PrePrepare proposal{View{}, SequenceNumber{n}, batches[n], {false}};
    static_cast<void>(from(0, proposal));
    static_cast<void>(from(0, proposal));
  }
  for (std::uint64_t n = 1; n <= 20; ++n) {
    for (const std::uint32_t voter : {2U, 3U}) {
      static_cast<void>(from(voter, Prepare{View{}, SequenceNumber{n}, batches[n]->digest}));
    }
  }
  // The four that are next, and of the others nine times 7 MiB.
  CHECK(records_of<PersistAccepted>(node).size() == 4 + 9);
  std::size_t fetched = 0;
  for (int tick = 0; tick < 10; ++tick) {
    for (const Send& send : node.step(Tick{Timestamp{1'000'000}})) {
      const auto* to = std::get_if<SendTo>(&send);
      const auto* fetch = to == nullptr ? nullptr : std::get_if<FetchBatch>(&to->message);
      if (fetch == nullptr) continue;
      ++fetched;
      static_cast<void>(from(to->to.value, BatchResponse{fetch->n, batches[fetch->n.value]}));
    }
  }
  CHECK(fetched == 7);
  CHECK(records_of<PersistAccepted>(node).size() == 20);
}

TEST_CASE("rule 35: what a primary has voted for far ahead is taken within a budget, and asked for again beyond it") {
  CoreNode node = backup_with_large_window();
  const SharedBytes body = SharedBytes::own(Bytes(7U << 20));
  static_cast<void>(node.step(Tick{Timestamp{1'000'000}}));
  const auto propose = [&](std::uint64_t n) {
    const auto batch = make_batch(1'000'000 + n, {with_body(make_bundle(alice, SessionId{1}, 1, {n}), body)});
    static_cast<void>(
        node.step(PeerInput{Forge::peer(ReplicaId{0}, PrePrepare{View{}, SequenceNumber{n}, batch, {true}})}));
  };
  for (std::uint64_t n = 60; n > 0; --n) propose(n);
  // The four that are next, and of the others so many as 256 MiB are for.
  CHECK(records_of<PersistAccepted>(node).size() == 4 + 36);
  CHECK(node.count(Reject::no_room) == 20);
  for (std::uint64_t n = 60; n > 0; --n) propose(n);
  CHECK(records_of<PersistAccepted>(node).size() == 4 + 36);
}
