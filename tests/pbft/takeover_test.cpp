// What a new view takes over: batches and states that are not at hand, slots that were executed already, null batches,
// and replicas that missed the change.
#include <catch2/catch.hpp>

#include "node/pbft/view_changer.h"
#include "tests/pbft/views.h"

using namespace pbft;
using namespace pbft::testing;

namespace {

using Flight = CoreCluster::InFlight;

// Slot 2 prepared at the replicas 0, 2 and 3 in view 0 and committed nowhere; replica `without` never saw its batch.
struct Lacking : PrimaryGone {
  explicit Lacking(std::uint32_t without)
      : PrimaryGone([without](const Flight& m) {
          return is<Commit>(m) || (is<PrePrepare>(m) && m.to == ReplicaId{without});
        }) {}
};

}  // namespace

TEST_CASE("rule 24: a new primary that lacks a batch delays its NEW-VIEW until it has fetched it", "[view]") {
  Lacking l{1};
  l.cluster.settle(40, is<BatchResponse>);
  CHECK_FALSE(l.cluster.node(1).status().active);
  CHECK(records_of<PersistNewView>(l.cluster.node(1)).empty());
  CHECK(l.cluster.node(1).status().waiting_for == "1 batches have to be here to open view 1");
  l.cluster.settle(60);
  for (std::uint32_t i = 1; i < 4; ++i) {
    CHECK(l.cluster.node(i).status().active);
    CHECK(l.cluster.node(i).executed.at(SequenceNumber{2}) == l.digest);
  }
}

TEST_CASE("rule 24: a backup that lacks a batch enters the view and delays its vote", "[view]") {
  Lacking l{3};
  l.cluster.settle(40, [](const Flight& m) {
    return is<BatchResponse>(m) || is<PrePrepare>(m) || is<Commit>(m) || (is<ViewChange>(m) && m.from == ReplicaId{0});
  });
  REQUIRE(l.cluster.node(3).status().view == View{1});
  CHECK(l.cluster.node(3).status().active);
  for (const PersistAccepted& mark : records_of<PersistAccepted>(l.cluster.node(3))) CHECK(mark.n == SequenceNumber{1});
  l.cluster.settle(60);
  for (std::uint32_t i = 1; i < 4; ++i) CHECK(l.cluster.node(i).executed.at(SequenceNumber{2}) == l.digest);
  CHECK(records_of<PersistAccepted>(l.cluster.node(3)).back().digest == l.digest);
}

TEST_CASE("rule 24: a new primary that lacks the state that its view starts from delays its NEW-VIEW", "[view]") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  const auto apart = [](const Flight& m) { return m.to == ReplicaId{1} && !is<ViewChange>(m) && !is<Status>(m); };
  fill(cluster, alice, session, 1, 6, 0, apart);
  REQUIRE(cluster.node(2).status().stable == SequenceNumber{4});
  REQUIRE(cluster.node(1).status().executed == SequenceNumber{1});
  cluster.crash(0);
  for (std::uint32_t i = 2; i < 4; ++i) cluster.request(i, make_bundle(alice, session, 7, {7}));
  cluster.settle(60, apart);
  CHECK_FALSE(cluster.node(1).status().active);
  CHECK(cluster.node(1).status().view >= View{1});
  CHECK(cluster.node(1).status().stable == SequenceNumber{0});
  CHECK(records_of<PersistNewView>(cluster.node(1)).empty());
  cluster.settle(300);
  for (std::uint32_t i = 1; i < 4; ++i) {
    CHECK(cluster.node(i).status().active);
    CHECK(runs_of(cluster.node(i), session, 7) == 1);
    CHECK(cluster.node(i).status().executed == cluster.node(2).status().executed);
  }
}

TEST_CASE("rule 25: slots that were executed are voted on again and not run again, whatever the clocks say", "[view]") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  fill(cluster, alice, session, 1, 2);
  const auto before = cluster.node(1).executed;
  REQUIRE(before.size() == 3);
  cluster.crash(0);
  cluster.clock_us += 3'600'000'000;  // far beyond the skew that a fresh proposal may have
  for (std::uint32_t i = 1; i < 4; ++i) cluster.request(i, make_bundle(alice, session, 3, {3}));
  cluster.settle(60);
  REQUIRE(all_in(cluster, {1, 2, 3}, 1));
  for (std::uint32_t i = 1; i < 4; ++i) {
    const CoreNode& node = cluster.node(i);
    for (std::uint64_t number = 1; number <= 3; ++number) CHECK(runs_of(node, session, number) == 1);
    for (const auto& [n, digest] : before) {
      CHECK(node.executed.at(n) == digest);
      const auto prepared = records_of<PersistPrepared>(node);
      CHECK(std::count_if(prepared.begin(), prepared.end(), [&, at = n](const PersistPrepared& mark) {
              return mark.view == View{1} && mark.n == at;
            }) == 1);
    }
    CHECK(node.count(Reject::time_behind) == 0);
  }
}

TEST_CASE("rule 7: a request that is ordered again after a view change runs once", "[view]") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  const BundlePtr bundle = make_bundle(alice, session, 1, {1});
  cluster.request(0, bundle);
  cluster.run();
  cluster.send(1, 3, empty_new_view(1));
  cluster.send(1, 2, empty_new_view(1));
  // The primary of view 1, which is faulty, takes slot 2 for free; what is committed there must not be replaced.
  CHECK(cluster.node(3).count(Reject::bad_new_view) == 1);
  CHECK(cluster.node(3).status().view == View{});
  // It may propose the same request again in the next slot, though.
  CoreCluster other{4};
  other.open(alice);
  other.request(0, bundle);
  other.run();
  const BatchPtr again = make_batch(other.clock_us + 5, {bundle});
  for (std::uint32_t i = 1; i < 4; ++i) other.send(0, i, PrePrepare{View{}, SequenceNumber{3}, again, {true}});
  for (std::uint32_t to = 1; to < 4; ++to) other.send(0, to, Commit{View{}, SequenceNumber{3}, again->digest});
  other.run();
  REQUIRE(other.node(3).executed.at(SequenceNumber{3}) == again->digest);
  CHECK(runs_of(other.node(3), session, 1) == 1);
}

TEST_CASE("rule 23: a gap becomes a null batch, which binds over the next view change and runs as nothing", "[view]") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  // Slot 2 reaches nobody, slot 3 prepares; then no view commits anything until the second change.
  const auto lost = [](const Flight& m) {
    const auto* proposal = std::get_if<PrePrepare>(&m.message);
    if (proposal != nullptr) return proposal->view == View{} && proposal->n == SequenceNumber{2};
    return is<Commit>(m) || (is<Status>(m) && m.to == ReplicaId{0});
  };
  for (std::uint64_t i = 1; i <= 2; ++i) {
    cluster.request(0, make_bundle(alice, session, 1, {i}));
    cluster.run(lost);
  }
  const Digest third = records_of<PersistPrepared>(cluster.node(1)).back().digest;
  REQUIRE(records_of<PersistPrepared>(cluster.node(1)).back().n == SequenceNumber{3});
  for (int round = 0; round < 300 && cluster.node(3).status().view < View{2}; ++round) {
    cluster.settle(1, [&](const Flight& m) { return lost(m) || is<Commit>(m); });
  }
  REQUIRE(cluster.node(3).status().view >= View{2});
  // In view 1 the null batch prepared: it is in everybody's P set now.
  const auto prepared = records_of<PersistPrepared>(cluster.node(3));
  CHECK(std::any_of(prepared.begin(), prepared.end(), [](const PersistPrepared& mark) {
    return mark.n == SequenceNumber{2} && mark.view == View{1} && mark.digest == null_batch_digest();
  }));
  cluster.settle(200);
  for (std::uint32_t i = 0; i < 4; ++i) {
    const CoreNode& node = cluster.node(i);
    CHECK(node.executed.at(SequenceNumber{2}) == null_batch_digest());
    CHECK(node.executed.at(SequenceNumber{3}) == third);
    CHECK(runs_of(node, session, 1) == 1);  // its client asked in vain at first, and it was reclaimed
    CHECK(runs_of(node, session, 2) == 1);
  }
  // It counts for checkpoints like any other.
  const std::uint64_t primary = cluster.node(0).status().view.value % 4;
  fill(cluster, alice, session, 3, 5, static_cast<std::uint32_t>(primary));
  CHECK(cluster.node(0).status().stable >= SequenceNumber{4});
}

TEST_CASE("rule 23: the COMMITs of a null batch teach it to a replica that saw nothing else", "[view]") {
  CoreCluster cluster{4};
  for (const std::uint32_t from : {0U, 1U, 2U}) {
    cluster.send(from, 3, Commit{View{1}, SequenceNumber{1}, null_batch_digest()});
  }
  CHECK(cluster.node(3).executed.at(SequenceNumber{1}) == null_batch_digest());
}

TEST_CASE("a replica that missed a view change comes to the view by its NEW-VIEW", "[view]") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  cluster.crash(3);
  // A primary that nobody hears is left; it has still to be heard of, or three would be one too few.
  const auto mute = [](const Flight& m) { return commits_view_0(m) || (is<PrePrepare>(m) && m.from == ReplicaId{0}); };
  for (std::uint32_t i = 1; i < 3; ++i) cluster.request(i, make_bundle(alice, session, 1, {1}));
  cluster.settle(60, mute);
  REQUIRE(all_in(cluster, {0, 1, 2}, cluster.node(1).status().view.value));
  REQUIRE(cluster.node(1).status().view > View{});
  cluster.restart(3);
  cluster.settle(40);
  CHECK(all_in(cluster, {3}, cluster.node(1).status().view.value));
  CHECK(records_of<PersistViewChange>(cluster.node(3)).empty());
  CHECK(cluster.node(3).executed == cluster.node(1).executed);
  cluster.crash(0);
  fill(cluster, alice, session, 2, 2, 1);
  CHECK(runs_of(cluster.node(3), session, 2) == 1);  // it votes
}

TEST_CASE("a replica that a liar made leave its view alone still learns what the others commit there", "[view]") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  const BatchPtr batch = make_batch(cluster.clock_us + 5, {make_open(client_id(2), 1)});
  Status liar;
  liar.suspects = true;
  cluster.send(2, 3, liar);
  cluster.send(0, 3, PrePrepare{View{}, SequenceNumber{2}, batch, {true}});  // makes it suspicious by the next one
  cluster.run([](const Flight&) { return true; });
  fill(cluster, alice, session, 1, 1, 0, [](const Flight& m) { return m.to == ReplicaId{3} && is<Commit>(m); });
  REQUIRE(cluster.node(3).status().view == View{1});
  REQUIRE(all_in(cluster, {0, 1, 2}, 0));
  REQUIRE(cluster.node(1).executed.size() == 2);
  cluster.settle(60);
  CHECK(all_in(cluster, {0, 1, 2}, 0));
  CHECK(cluster.node(3).executed == cluster.node(1).executed);
}

TEST_CASE("a request that is told to a backup during a view change is ordered by the next primary", "[view]") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  cluster.crash(0);
  for (std::uint32_t i = 1; i < 4; ++i) cluster.request(i, make_bundle(alice, session, 1, {1}));
  cluster.settle(60, is<NewView>);
  REQUIRE_FALSE(cluster.node(3).status().active);
  cluster.request(3, make_bundle(alice, session, 1, {2}));
  cluster.settle(200);
  for (std::uint32_t i = 1; i < 4; ++i) CHECK(runs_of(cluster.node(i), session, 2) == 1);
}

TEST_CASE("a bundle that is handed on is of use to the primary of the view alone") {
  CoreCluster cluster{4};
  const Forward handed_on{make_bundle(alice, SessionId{1}, 1, {1}), false};
  const auto expected_by = [&](std::uint32_t id) { return cluster.node(id).core().expects(ReplicaId{3}, handed_on); };
  CHECK(expected_by(0));
  CHECK_FALSE(expected_by(1));
  for (const std::uint32_t id : {0U, 1U, 2U}) cluster.send(3, id, empty_new_view(1));
  cluster.run();
  REQUIRE(all_in(cluster, {0, 2}, 1));
  CHECK_FALSE(expected_by(0));
  CHECK_FALSE(expected_by(2));
}
