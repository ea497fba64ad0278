// TOCS 2002, section 4.4: leaving a primary, and what the next one takes over.
#include <catch2/catch.hpp>

#include "node/pbft/view_changer.h"
#include "tests/pbft/views.h"

using namespace pbft;
using namespace pbft::testing;

namespace {

using Flight = CoreCluster::InFlight;

// A cluster of four in which slot 2 prepared everywhere in view 0, and committed nowhere.
struct Prepared {
  explicit Prepared(std::uint32_t n = 4) : cluster(n), session(cluster.open(alice)) {
    cluster.request(0, bundle);
    cluster.run(is<Commit>);
    digest = records_of<PersistPrepared>(cluster.node(1)).back().digest;
  }
  // The request is known at all backups, so that they watch the primary.
  void ask_backups() {
    for (std::uint32_t i = 1; i < cluster.size(); ++i) cluster.request(i, bundle);
    cluster.network.clear();
  }
  CoreCluster cluster;
  SessionId session;
  BundlePtr bundle = make_bundle(alice, session, 1, {1});
  Digest digest;
};

bool of_normal_case(const Flight& m) {
  return is<PrePrepare>(m) || is<Prepare>(m) || is<Commit>(m);
}

std::uint64_t view_of(const Flight& m) {
  return std::visit(
      [](const auto& message) -> std::uint64_t {
        if constexpr (requires { message.view; }) return message.view.value;
        return 0;
      },
      m.message);
}

}  // namespace

TEST_CASE("the cluster goes on without its primary", "[view]") {
  for (const std::uint32_t n : {4U, 5U, 6U, 7U, 10U, 13U}) {
    CAPTURE(n);
    CoreCluster cluster{n};
    const SessionId session = cluster.open(alice);
    cluster.crash(0);
    for (std::uint32_t i = 1; i < n; ++i) cluster.request(i, make_bundle(alice, session, 1, {1}));
    cluster.settle(60);
    for (std::uint32_t i = 1; i < n; ++i) {
      CHECK(cluster.node(i).status().view == View{1});
      CHECK(cluster.node(i).status().active);
      CHECK(cluster.node(i).executed.size() == 2);
    }
  }
}

TEST_CASE("two primaries in a row are down", "[view]") {
  CoreCluster cluster{7};
  const SessionId session = cluster.open(alice);
  cluster.crash(0);
  cluster.crash(1);
  for (std::uint32_t i = 2; i < 7; ++i) cluster.request(i, make_bundle(alice, session, 1, {1}));
  cluster.settle(120);
  CHECK(all_in(cluster, {2, 3, 4, 5, 6}, 2));
  for (std::uint32_t i = 2; i < 7; ++i) CHECK(runs_of(cluster.node(i), session, 1) == 1);
}

TEST_CASE("what prepared is taken over, in the same slot", "[view]") {
  Prepared p;
  p.cluster.crash(0);
  p.cluster.settle(60, commits_view_0);
  CHECK(all_in(p.cluster, {1, 2, 3}, 1));
  for (std::uint32_t i = 1; i < 4; ++i) CHECK(p.cluster.node(i).executed.at(SequenceNumber{2}) == p.digest);
}

TEST_CASE("rule 20: prepared in view 0, three view changes without a commit, then committed as it was", "[view]") {
  for (const std::uint32_t n : {4U, 6U, 7U}) {
    CAPTURE(n);
    Prepared p{n};
    // Nothing prepares in the views 1 and 2, and nothing commits in view 3: only view 0 speaks for the slot until then.
    const auto drop = [](const Flight& m) {
      const std::uint64_t view = view_of(m);
      if (view < 3) return is<Prepare>(m) || is<Commit>(m);
      return view == 3 && is<Commit>(m);
    };
    for (int round = 0; round < 600 && p.cluster.node(1).status().view < View{4}; ++round) p.cluster.settle(1, drop);
    REQUIRE(p.cluster.node(1).status().view >= View{4});
    p.cluster.settle(100, drop);
    for (std::uint32_t i = 0; i < n; ++i) CHECK(p.cluster.node(i).executed.at(SequenceNumber{2}) == p.digest);
  }
}

TEST_CASE("rule 20: three views with three digests in one slot are three entries of Q", "[view]") {
  CoreCluster cluster{4};
  std::vector<SlotMark> expected;
  for (std::uint64_t view = 0; view < 3; ++view) {
    const auto primary = static_cast<std::uint32_t>(view);
    if (view > 0) cluster.send(primary, 3, empty_new_view(view));
    const BatchPtr batch = make_batch(cluster.clock_us + view, {make_open(alice, view + 1)});
    cluster.send(primary, 3, PrePrepare{View{view}, SequenceNumber{1}, batch, {true}});
    expected.push_back({SequenceNumber{1}, batch->digest, View{view}});
  }
  cluster.network.clear();
  for (const std::uint32_t from : {0U, 1U}) cluster.send(from, 3, view_change(5, from));
  const auto sent = under_way<ViewChange>(cluster, 3);
  REQUIRE(sent.size() == 1);
  std::sort(expected.begin(), expected.end(), [](const auto& a, const auto& b) { return a.digest < b.digest; });
  CHECK(sent[0].voted == expected);
  CHECK(sent[0].prepared.empty());
}

TEST_CASE("rule 20: a vouched vote is an entry of Q like any other (n = 7)", "[view]") {
  CoreCluster cluster{7, 4, 8, false};
  const BatchPtr batch = make_batch(cluster.clock_us, {make_open(alice, 1)});
  cluster.send(0, 6, PrePrepare{View{}, SequenceNumber{1}, batch, {false}});
  for (const std::uint32_t from : {1U, 2U}) cluster.send(from, 6, Prepare{View{}, SequenceNumber{1}, batch->digest});
  CHECK(under_way<Prepare>(cluster, 6).empty());
  cluster.send(3, 6, Prepare{View{}, SequenceNumber{1}, batch->digest});
  CHECK(under_way<Prepare>(cluster, 6).size() == 1);
  for (const std::uint32_t from : {1U, 2U, 3U}) cluster.send(from, 6, view_change(1, from));
  const auto sent = under_way<ViewChange>(cluster, 6);
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].voted == std::vector<SlotMark>{{SequenceNumber{1}, batch->digest, View{}}});
}

TEST_CASE("rule 20: every slot of an own NEW-VIEW is an entry of Q, and only a stable checkpoint empties the sets",
          "[view]") {
  Prepared p;
  p.cluster.settle(60, is<Commit>);
  REQUIRE(p.cluster.node(1).status().view > View{});
  const auto opened = records_of<PersistNewView>(p.cluster.node(1));
  REQUIRE(!opened.empty());
  REQUIRE(opened[0].message.primary == ReplicaId{1});
  const auto accepted = records_of<PersistAccepted>(p.cluster.node(1));
  CHECK(std::any_of(accepted.begin(), accepted.end(), [&](const PersistAccepted& mark) {
    return mark.view == View{1} && mark.n == SequenceNumber{2} && mark.digest == p.digest;
  }));
  p.cluster.settle(200);
  const std::uint64_t view = p.cluster.node(1).status().view.value;
  fill(p.cluster, alice, p.session, 2, 7, static_cast<std::uint32_t>(view % 4));
  REQUIRE(p.cluster.node(2).status().stable == SequenceNumber{8});
  for (const std::uint32_t from : {0U, 1U}) p.cluster.send(from, 2, view_change(view + 9, from));
  const auto sent = under_way<ViewChange>(p.cluster, 2);
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].low() == SequenceNumber{8});
  CHECK(sent[0].prepared.empty());
  CHECK(sent[0].voted.empty());
}

TEST_CASE("rule 19: no vote leaves for a view below an own VIEW-CHANGE, after a restart too", "[view]") {
  for (const bool restarted : {false, true}) {
    CAPTURE(restarted);
    CoreCluster cluster{4};
    const BatchPtr batch = make_batch(cluster.clock_us, {make_open(alice, 1)});
    const BatchPtr other = make_batch(cluster.clock_us + 1, {make_open(alice, 2)});
    cluster.send(0, 3, PrePrepare{View{}, SequenceNumber{1}, batch, {true}});
    for (const std::uint32_t from : {0U, 1U}) cluster.send(from, 3, view_change(1, from));
    REQUIRE_FALSE(cluster.node(3).status().active);
    if (restarted) cluster.restart(3);
    cluster.network.clear();
    // What view 0 still had under way would have made it prepare slot 1 and accept slot 2.
    for (const std::uint32_t from : {1U, 2U}) cluster.send(from, 3, Prepare{View{}, SequenceNumber{1}, batch->digest});
    cluster.send(0, 3, PrePrepare{View{}, SequenceNumber{2}, other, {true}});
    cluster.settle(30, [](const Flight& m) { return m.from != ReplicaId{3} || !of_normal_case(m); });
    CHECK(under_way<Prepare>(cluster, 3).empty());
    CHECK(records_of<PersistPrepared>(cluster.node(3)).empty());
    CHECK(cluster.node(3).count(Reject::wrong_view) == 3);
    // But Q COMMITs of the view that was left still teach.
    for (const std::uint32_t from : {0U, 1U, 2U})
      cluster.send(from, 3, Commit{View{}, SequenceNumber{1}, batch->digest});
    CHECK(cluster.node(3).executed.at(SequenceNumber{1}) == batch->digest);
    CHECK(under_way<Commit>(cluster, 3).empty());
  }
}

TEST_CASE("rule 4: votes of an old view that come after the view change count for nothing in the new one", "[view]") {
  CoreCluster cluster{4};
  const BatchPtr batch = make_batch(cluster.clock_us, {make_open(alice, 1)});
  cluster.send(1, 3, empty_new_view(1));
  cluster.send(1, 3, PrePrepare{View{1}, SequenceNumber{1}, batch, {true}});
  for (const std::uint32_t from : {1U, 2U}) cluster.send(from, 3, Prepare{View{}, SequenceNumber{1}, batch->digest});
  CHECK(cluster.node(3).count(Reject::wrong_view) == 2);
  CHECK(under_way<Commit>(cluster, 3).empty());
  // COMMITs of two views do not make a quorum together.
  cluster.send(0, 3, Commit{View{}, SequenceNumber{1}, batch->digest});
  cluster.send(1, 3, Commit{View{1}, SequenceNumber{1}, batch->digest});
  cluster.send(2, 3, Commit{View{1}, SequenceNumber{1}, batch->digest});
  CHECK(cluster.node(3).executed.empty());
  for (const std::uint32_t from : {0U, 2U}) cluster.send(from, 3, Prepare{View{1}, SequenceNumber{1}, batch->digest});
  CHECK(under_way<Commit>(cluster, 3).size() == 1);
  CHECK(cluster.node(3).executed.at(SequenceNumber{1}) == batch->digest);
}

TEST_CASE("rule 3: a primary that proposes two batches for one slot is suspected, and left for it", "[view]") {
  CoreCluster cluster{4};
  for (std::uint64_t i = 1; i <= 2; ++i) {
    const BatchPtr batch = make_batch(cluster.clock_us + i, {make_open(alice, i)});
    cluster.send(0, 3, PrePrepare{View{}, SequenceNumber{1}, batch, {true}});
  }
  CHECK(events_of<PrimarySuspected>(cluster.node(3)).size() == 1);
  CHECK(cluster.node(3).status().view == View{});
  Status other;
  other.suspects = true;
  cluster.send(2, 3, other);
  CHECK(cluster.node(3).status().view == View{1});
  CHECK(under_way<ViewChange>(cluster, 3).size() == 1);
}

TEST_CASE("rule 21: every invalid VIEW-CHANGE is refused, changes nothing, and hides no good one", "[view]") {
  CoreCluster cluster{4};
  const Digest d = make_batch(1, {})->digest;
  std::vector<ViewChange> bad;
  bad.push_back(view_change(0, 1));                                                    // no view to enter
  bad.push_back(view_change(5, 1, {{SequenceNumber{1}, d, View{5}}}));                 // P: its own view
  bad.push_back(view_change(5, 1, {}, {{SequenceNumber{1}, d, View{7}}}));             // Q: a later view
  bad.push_back(view_change(5, 1, {{SequenceNumber{0}, d, View{1}}}));                 // P: below the window
  bad.push_back(view_change(5, 1, {{SequenceNumber{9}, d, View{1}}}));                 // P: above it
  bad.push_back(view_change(5, 1, {}, {{SequenceNumber{~std::uint64_t{0}}, d, {}}}));  // Q: at the end of the range
  bad.push_back(view_change(5, 1, {{SequenceNumber{1}, d, View{1}}, {SequenceNumber{1}, d, View{2}}}));
  bad.push_back(view_change(5, 1, {{SequenceNumber{2}, d, View{1}}, {SequenceNumber{1}, d, View{1}}}));
  bad.push_back(view_change(5, 1, {}, {{SequenceNumber{1}, d, View{1}}, {SequenceNumber{1}, d, View{2}}}));
  const auto with_proof = [&](std::uint64_t n, const std::vector<std::uint32_t>& voters) {
    ViewChange message = view_change(5, 1);
    message.stable = proof_of(n, d, voters);
    bad.push_back(message);
  };
  with_proof(4, {0, 1});     // no quorum
  with_proof(4, {0, 1, 1});  // one voter twice
  with_proof(4, {0, 1, 4});  // no replica
  with_proof(3, {0, 1, 2});  // no checkpoint is taken there
  with_proof(0, {0, 1, 2});  // the genesis has no proof
  for (std::size_t i = 0; i < bad.size(); ++i) {
    CAPTURE(i);
    cluster.send(1, 3, bad[i]);
    CHECK(cluster.node(3).count(Reject::bad_view_change) == i + 1);
  }
  CHECK(cluster.node(3).journal.empty());
  cluster.send(2, 3, view_change(1, 2));
  CHECK(cluster.node(3).status().view == View{});  // none of the bad ones counts for joining
  cluster.send(1, 3, view_change(1, 1));
  CHECK(cluster.node(3).status().view == View{1});
}
