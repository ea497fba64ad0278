// Rule 22: whoever receives a NEW-VIEW recomputes all of it. Which slots follow from which view-changes is tested where
// new_view_rules is; here it is what a replica does about a NEW-VIEW that it must not take.
#include <catch2/catch.hpp>

#include "node/pbft/new_view_rules.h"
#include "tests/pbft/views.h"

using namespace pbft;
using namespace pbft::testing;

namespace {

NewView::Signed by(std::uint32_t sender, ViewChange message) {
  return {ReplicaId{sender}, std::move(message)};
}

// Replica 3 of four, to which view 1 is to be opened with one batch in slot 2; slot 1 is a gap.
struct Listener {
  Listener() {
    mark = {SequenceNumber{2}, batch->digest, View{}};
    for (const std::uint32_t sender : {0U, 1U, 2U}) all.push_back(by(sender, view_change(1, sender, {mark}, {mark})));
  }
  NewView message() const { return new_view(1, 1, all); }
  CoreNode& node() { return cluster.node(3); }
  void refused(const NewView& bad, Reject reason = Reject::bad_new_view) {
    const std::size_t before = node().count(reason);
    const std::size_t durable = node().journal.size();
    cluster.send(1, 3, bad);
    CHECK(node().count(reason) == before + 1);
    CHECK(node().journal.size() == durable);
    CHECK(node().status().view == View{});
  }

  CoreCluster cluster{4};
  BatchPtr batch = make_batch(cluster.clock_us, {make_open(alice, 1)});
  SlotMark mark;
  std::vector<NewView::Signed> all;
};

}  // namespace

TEST_CASE("a NEW-VIEW fills the slots that follow from its view-changes, gaps with the null batch", "[new_view]") {
  Listener l;
  l.cluster.send(1, 3, l.message());
  REQUIRE(all_in(l.cluster, {3}, 1));
  // The gap is voted for at once; the batch has to come first.
  auto votes = under_way<Prepare>(l.cluster, 3);
  REQUIRE(votes.size() == 1);
  CHECK(votes[0].n == SequenceNumber{1});
  CHECK(votes[0].digest == null_batch_digest());
  l.cluster.tick(3);
  REQUIRE(under_way<FetchBatch>(l.cluster, 3).size() == 1);
  l.cluster.send(1, 3, BatchResponse{SequenceNumber{2}, l.batch});
  votes = under_way<Prepare>(l.cluster, 3);
  REQUIRE(votes.size() == 2);
  CHECK(votes[1].n == SequenceNumber{2});
  CHECK(votes[1].digest == l.batch->digest);
  CHECK(votes[1].view == View{1});
}

TEST_CASE("rule 22: view-changes left out, swapped, added or made up are refused", "[new_view]") {
  Listener l;
  NewView bad = l.message();
  bad.view_changes.pop_back();  // fewer than a quorum
  l.refused(bad);
  bad = l.message();
  bad.view_changes[1] = bad.view_changes[0];  // one sender twice
  l.refused(bad);
  bad = l.message();
  std::swap(bad.view_changes[0], bad.view_changes[1]);
  l.refused(bad);
  bad = l.message();
  bad.view_changes[1].message.view = View{2};  // for another view
  l.refused(bad);
  bad = l.message();
  bad.view_changes.push_back(by(3, view_change(1, 3, {{SequenceNumber{2}, l.batch->digest, View{1}}})));  // not valid
  l.refused(bad);
  bad = l.message();
  bad.view_changes[2].message.stable = proof_of(4, l.batch->digest, {0, 1});  // h is not proven
  l.refused(bad);
  bad = l.message();
  bad.view_changes.clear();
  l.refused(bad);
  l.cluster.send(1, 3, l.message());  // and none of this hides the good one
  CHECK(all_in(l.cluster, {3}, 1));
}

TEST_CASE("rule 22: view-changes that do not decide a slot open no view", "[new_view]") {
  Listener l;
  // Two digests prepared in one slot, each with a single voice: not enough for either, nor for the null batch.
  const Digest other = make_batch(7, {})->digest;
  NewView bad = l.message();
  bad.view_changes[0].message = view_change(1, 0, {l.mark}, {l.mark});
  bad.view_changes[1].message = view_change(1, 1, {{SequenceNumber{2}, other, View{}}});
  bad.view_changes[2].message = view_change(1, 2);
  l.refused(bad);
}

TEST_CASE("rule 22: only the primary of the view opens it", "[new_view]") {
  Listener l;
  for (const std::uint32_t other : {0U, 2U, 3U}) {
    NewView bad = l.message();
    bad.primary = ReplicaId{other};
    l.refused(bad);
  }
  l.refused(new_view(0, 0, l.all), Reject::already_known);  // view 0 has none
  // Anybody may hand on what the primary signed.
  l.cluster.send(2, 3, l.message());
  CHECK(all_in(l.cluster, {3}, 1));
}

TEST_CASE("rule 22: nobody opens a view in another primary's name, nor in this replica's own", "[new_view]") {
  Listener l;
  std::vector<NewView::Signed> all;
  for (const std::uint32_t sender : {0U, 1U, 2U}) all.push_back(by(sender, view_change(3, sender)));
  l.refused(new_view(3, 3, all));
}

TEST_CASE("rule 22: one NEW-VIEW for each view, over a restart too", "[new_view]") {
  Listener l;
  l.cluster.send(1, 3, l.message());
  NewView second = l.message();
  for (auto& one : second.view_changes) one.message.prepared.clear();  // would leave all slots free
  for (const bool restarted : {false, true}) {
    CAPTURE(restarted);
    if (restarted) l.cluster.restart(3);
    const std::size_t before = l.node().count(Reject::already_known);
    l.cluster.send(1, 3, second);
    CHECK(l.node().count(Reject::already_known) == before + 1);
    CHECK(records_of<PersistNewView>(l.node()).size() == 1);
    // Slot 2 is still that of the first one.
    const BatchPtr other = make_batch(l.cluster.clock_us + 9, {make_open(alice, 2)});
    if (restarted) {
      l.cluster.send(1, 3, PrePrepare{View{1}, SequenceNumber{2}, other, {true}});
      CHECK(l.node().count(Reject::second_preprepare) == 1);
      CHECK(events_of<PrimarySuspected>(l.node()).size() == 1);
    }
  }
}

TEST_CASE("a NEW-VIEW of a view that was left is not entered", "[new_view]") {
  Listener l;
  for (const std::uint32_t from : {0U, 2U}) l.cluster.send(from, 3, view_change(2, from));
  REQUIRE(l.node().status().view == View{2});
  l.cluster.send(1, 3, l.message());
  CHECK(l.node().count(Reject::wrong_view) == 1);
  CHECK(records_of<PersistNewView>(l.node()).empty());
}

TEST_CASE("a NEW-VIEW that speaks against what is known to be committed is refused", "[new_view]") {
  Listener l;
  const BatchPtr other = make_batch(l.cluster.clock_us + 9, {make_open(alice, 2)});
  for (const std::uint32_t from : {0U, 1U, 2U})
    l.cluster.send(from, 3, Commit{View{}, SequenceNumber{2}, other->digest});
  l.refused(l.message());
}

TEST_CASE("what committed in a view may be told before its NEW-VIEW comes", "[new_view]") {
  CoreCluster cluster{4};
  const BatchPtr batch = make_batch(cluster.clock_us, {make_open(client_id(1), 1)});
  const Digest digest = batch->digest;
  for (const std::uint32_t from : {1U, 2U}) cluster.send(from, 3, Committed{SequenceNumber{1}, digest});
  CHECK(cluster.node(3).status().waiting_for == "waiting for the batch of 1");
  cluster.send(1, 3, empty_new_view(1));
  CHECK(all_in(cluster, {3}, 1));
  CHECK(cluster.node(3).count(Reject::bad_new_view) == 0);
  // One that puts something else there is still refused.
  CoreCluster other{4};
  for (const std::uint32_t from : {1U, 2U}) other.send(from, 3, Committed{SequenceNumber{1}, digest});
  const SlotMark mark{SequenceNumber{1}, make_batch(other.clock_us + 1, {make_open(client_id(1), 1)})->digest, View{}};
  std::vector<NewView::Signed> all;
  for (const std::uint32_t from : {0U, 1U, 2U}) all.push_back({ReplicaId{from}, view_change(1, from, {mark}, {mark})});
  other.send(1, 3, new_view(1, 1, all));
  CHECK(other.node(3).count(Reject::bad_new_view) == 1);
}

TEST_CASE("the start of a view is the highest proven checkpoint; what lies below is nobody's to propose",
          "[new_view]") {
  Listener l;
  const Digest root = make_batch(3, {})->digest;
  NewView message = l.message();
  message.view_changes[0].message = view_change(1, 0);
  message.view_changes[0].message.stable = proof_of(4, root, {0, 1, 2});
  l.cluster.send(1, 3, message);
  REQUIRE(all_in(l.cluster, {3}, 1));
  l.cluster.send(1, 3, PrePrepare{View{1}, SequenceNumber{3}, l.batch, {true}});
  CHECK(l.node().count(Reject::outside_window) == 1);
  CHECK(under_way<Prepare>(l.cluster, 3).empty());
  l.cluster.send(1, 3, PrePrepare{View{1}, SequenceNumber{5}, l.batch, {true}});
  CHECK(under_way<Prepare>(l.cluster, 3).size() == 1);
}

TEST_CASE("a new primary waits for more view-changes where those at hand do not decide", "[new_view]") {
  CoreCluster cluster{4};
  const SlotMark mine{SequenceNumber{1}, make_batch(7, {})->digest, View{}};
  cluster.send(0, 1, view_change(1, 0, {mine}, {mine}));
  cluster.send(2, 1, view_change(1, 2));
  REQUIRE(cluster.node(1).status().view == View{1});
  CHECK_FALSE(cluster.node(1).status().active);
  CHECK(records_of<PersistNewView>(cluster.node(1)).empty());
  CHECK(cluster.node(1).status().waiting_for == "waiting for more VIEW-CHANGEs for view 1");
  cluster.send(3, 1, view_change(1, 3));  // now a quorum has no entry
  REQUIRE(all_in(cluster, {1}, 1));
  const auto opened = records_of<PersistNewView>(cluster.node(1));
  REQUIRE(opened.size() == 1);
  CHECK(opened[0].message.view_changes.size() == 4);
  CHECK(under_way<PrePrepare>(cluster, 1).empty());  // the slot is free, and nothing waits
}
