// Rule 30: a restart at any step of a view change resumes exactly, "view inactive" included.
#include <catch2/catch.hpp>

#include "node/pbft/view_changer.h"
#include "tests/pbft/views.h"

using namespace pbft;
using namespace pbft::testing;

namespace {

using Flight = CoreCluster::InFlight;

// What a correct replica never says twice differently: each vote, view-change and new-view of a view.
class Promises {
 public:
  void hear(const Flight& m) {
    if (const auto* vote = std::get_if<PrePrepare>(&m.message)) say(m, vote->view, vote->n, vote->batch->digest);
    if (const auto* vote = std::get_if<Prepare>(&m.message)) say(m, vote->view, vote->n, vote->digest);
    if (const auto* vote = std::get_if<Commit>(&m.message)) say(m, vote->view, vote->n, vote->digest);
    if (const auto* change = std::get_if<ViewChange>(&m.message)) {
      marks(m.from, change->view, change->prepared, change->voted);
    }
  }
  std::size_t broken = 0;

 private:
  void say(const Flight& m, View view, SequenceNumber n, const Digest& digest) {
    if (m.from == ReplicaId{0}) return;  // it is down, or plays the faulty one
    const auto [place, fresh] = said_.try_emplace({m.from, m.message.index(), view, n}, digest);
    broken += !fresh && place->second != digest ? 1U : 0U;
  }
  void marks(ReplicaId from, View view, const std::vector<SlotMark>& prepared, const std::vector<SlotMark>& voted) {
    const auto [place, fresh] = changes_.try_emplace({from, view}, prepared, voted);
    broken += !fresh && place->second != std::pair{prepared, voted} ? 1U : 0U;
  }
  std::map<std::tuple<ReplicaId, std::size_t, View, SequenceNumber>, Digest> said_;
  std::map<std::pair<ReplicaId, View>, std::pair<std::vector<SlotMark>, std::vector<SlotMark>>> changes_;
};

// Slot 2 prepared at all, and the primary is gone: a view change is due.
struct Due : PrimaryGone {
  Due() : PrimaryGone(is<Commit>) {}
};

}  // namespace

TEST_CASE("rule 30: a replica that had left its view is still in none after a restart", "[restart]") {
  CoreCluster cluster{4};
  for (const std::uint32_t from : {0U, 1U}) cluster.send(from, 3, view_change(2, from));
  const auto sent = under_way<ViewChange>(cluster, 3);
  REQUIRE(sent.size() == 1);
  for (int times = 0; times < 2; ++times) {
    cluster.restart(3);
    CHECK(cluster.node(3).status().view == View{2});
    CHECK_FALSE(cluster.node(3).status().active);
  }
  // It says so again, in the same bytes, to those who do not know.
  cluster.network.clear();
  Status status;
  cluster.send(1, 3, status);
  const auto again = under_way<ViewChange>(cluster, 3);
  REQUIRE(again.size() == 1);
  CHECK(again[0].signed_bytes == sent[0].signed_bytes);
  CHECK(again[0].prepared == sent[0].prepared);
  CHECK(again[0].voted == sent[0].voted);
}

TEST_CASE("what was executed can be told to others after a restart", "[restart]") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  fill(cluster, alice, session, 1, 1);
  const Digest digest = cluster.node(1).executed.at(SequenceNumber{2});
  cluster.restart(1);
  Status status;
  status.lacks.push_back({SequenceNumber{2}, false, false, true});
  cluster.network.clear();
  cluster.send(3, 1, status);
  const auto told = under_way<Committed>(cluster, 1);
  REQUIRE(told.size() == 1);
  CHECK(told[0].n == SequenceNumber{2});
  CHECK(told[0].digest == digest);
}

TEST_CASE("rule 30: an open view is open after a restart, with its slots and the votes cast in it", "[restart]") {
  CoreCluster cluster{4};
  const BatchPtr batch = make_batch(cluster.clock_us, {make_open(alice, 1)});
  const SlotMark mark{SequenceNumber{2}, batch->digest, View{}};
  std::vector<NewView::Signed> all;
  for (const std::uint32_t from : {0U, 1U, 2U}) all.push_back({ReplicaId{from}, view_change(1, from, {mark}, {mark})});
  cluster.send(1, 3, new_view(1, 1, all));
  REQUIRE(under_way<Prepare>(cluster, 3).size() == 1);  // for the null batch; the other one is missing
  for (int times = 0; times < 2; ++times) {
    cluster.restart(3);
    CHECK(all_in(cluster, {3}, 1));
  }
  cluster.network.clear();
  const BatchPtr other = make_batch(cluster.clock_us, {make_open(alice, 2)});
  cluster.send(1, 3, PrePrepare{View{1}, SequenceNumber{1}, other, {true}});
  CHECK(cluster.node(3).count(Reject::second_preprepare) == 1);
  CHECK(under_way<Prepare>(cluster, 3).empty());
}

TEST_CASE("rule 30: the primary of a view says the same NEW-VIEW after a restart", "[restart]") {
  Due d;
  const auto unopened = [](const Flight& m) { return is<NewView>(m) || commits_view_0(m); };
  d.cluster.settle(60, unopened);
  const auto opened = records_of<PersistNewView>(d.cluster.node(1));
  REQUIRE(!opened.empty());
  for (int times = 0; times < 2; ++times) {
    d.cluster.restart(1);
    d.cluster.settle(3, unopened);
  }
  d.cluster.settle(300, commits_view_0);
  for (std::uint32_t i = 1; i < 4; ++i) CHECK(d.cluster.node(i).executed.at(SequenceNumber{2}) == d.digest);
  std::set<View> views;
  for (const PersistNewView& record : records_of<PersistNewView>(d.cluster.node(1))) {
    CHECK(views.insert(record.message.view).second);  // one for each view
  }
}

TEST_CASE("rule 30: a restart at each step of a view change, twice", "[restart]") {
  for (std::uint32_t victim = 1; victim < 4; ++victim) {
    for (int at = 0; at < 60; ++at) {
      CAPTURE(victim, at);
      Due d;
      Promises promises;
      int seen = 0;
      d.cluster.settle(140, [&](const Flight& m) {
        promises.hear(m);
        if (commits_view_0(m)) return true;
        if (is<Status>(m)) return false;
        if (seen == at || seen == at + 3) d.cluster.restart(victim);
        ++seen;
        return false;
      });
      d.cluster.settle(300, commits_view_0);
      CHECK(promises.broken == 0);
      for (std::uint32_t i = 1; i < 4; ++i) {
        REQUIRE(d.cluster.node(i).status().active);
        REQUIRE(d.cluster.node(i).status().view > View{});
        REQUIRE(d.cluster.node(i).executed.at(SequenceNumber{2}) == d.digest);
        REQUIRE(runs_of(d.cluster.node(i), d.session, 1) == 1);
      }
    }
  }
}

TEST_CASE("rule 30: all lose their memory of what is under way, at any step of a view change", "[restart]") {
  for (int at = 0; at < 60; at += 2) {
    CAPTURE(at);
    Due d;
    int seen = 0;
    d.cluster.settle(100, [&](const Flight& m) {
      if (commits_view_0(m)) return true;
      if (seen++ == at) {
        for (std::uint32_t i = 1; i < 4; ++i) d.cluster.restart(i);
      }
      return false;
    });
    // Their clients ask again.
    for (std::uint32_t i = 1; i < 4; ++i) d.cluster.request(i, d.bundle);
    d.cluster.settle(300);
    for (std::uint32_t i = 1; i < 4; ++i) {
      REQUIRE(d.cluster.node(i).status().active);
      REQUIRE(runs_of(d.cluster.node(i), d.session, 1) == 1);
      REQUIRE(d.cluster.node(i).executed.at(SequenceNumber{2}) == d.digest);
    }
  }
}
