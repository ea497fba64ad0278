#include "node/pbft/reads.h"

#include <catch2/catch.hpp>

#include "tests/pbft/views.h"

using namespace pbft;
using namespace pbft::testing;

namespace {

std::size_t answers(const Effects& effects) {
  std::size_t count = 0;
  for (const auto& effect : effects.execute) count += std::holds_alternative<AnswerRead>(effect) ? 1 : 0;
  return count;
}

Effects read(CoreNode& node) {
  return node.core().step(ClientInput{Forge::client(alice, ReadRequest{RequestNumber{1}, {}}), Origin{7}});
}

// Whether replica 2 has answered what waited, with this message.
std::size_t answers_after(CoreCluster& cluster, std::uint32_t from, PeerMessage message) {
  return answers(cluster.node(2).core().step(PeerInput{Forge::peer(ReplicaId{from}, std::move(message))}));
}

}  // namespace

TEST_CASE("a read is answered at once where everything that prepared is executed") {
  CoreCluster cluster{4};
  cluster.open(alice);
  const Effects effects = read(cluster.node(2));
  REQUIRE(answers(effects) == 1);
  CHECK(std::get<AnswerRead>(effects.execute[0]).origin == Origin{7});
}

TEST_CASE("a read waits for what had prepared when it came, over a restart too") {
  for (const bool restart : {false, true}) {
    CoreCluster cluster{4};
    const SessionId session = cluster.open(alice);
    const auto no_commits = [](const CoreCluster::InFlight& m) { return std::holds_alternative<Commit>(m.message); };
    cluster.request(0, make_bundle(alice, session, 1, {1}));
    cluster.run(no_commits);
    CoreNode& node = cluster.node(2);
    if (restart) cluster.restart(2);
    CHECK(answers(read(node)) == 0);
    // The commits arrive: the answer comes behind the execution, in the same step.
    const Digest digest = std::get<PersistAccepted>(node.journal[4]).digest;
    (void)node.core().step(PeerInput{Forge::peer(ReplicaId{0}, Commit{View{}, SequenceNumber{2}, digest})});
    const Effects effects =
        node.core().step(PeerInput{Forge::peer(ReplicaId{1}, Commit{View{}, SequenceNumber{2}, digest})});
    REQUIRE(effects.execute.size() == 2);
    CHECK(std::holds_alternative<Execute>(effects.execute[0]));
    CHECK(std::holds_alternative<AnswerRead>(effects.execute[1]));
  }
}

// The mark of view 0 counts in every view until the slot is executed: marks of the present view alone give stale reads.
TEST_CASE("rule 11: what had prepared in an earlier view holds a read back, until it is executed in a later one") {
  PrimaryGone gone{is<Commit>};
  CoreNode& node = gone.cluster.node(2);
  CHECK(answers(read(node)) == 0);  // while the view is active
  for (const std::uint32_t from : {0U, 1U}) gone.cluster.send(from, 2, view_change(1, from));
  REQUIRE_FALSE(node.status().active);
  CHECK(answers(read(node)) == 0);  // while none is
  const SlotMark mark{SequenceNumber{2}, gone.digest, View{}};
  const SlotMark first{SequenceNumber{1}, node.executed.at(SequenceNumber{1}), View{}};
  std::vector<NewView::Signed> all;
  for (const std::uint32_t from : {0U, 1U, 2U}) {
    all.push_back({ReplicaId{from}, view_change(1, from, {first, mark}, {first, mark})});
  }
  CHECK(answers_after(gone.cluster, 1, new_view(1, 1, all)) == 0);
  REQUIRE(all_in(gone.cluster, {2}, 1));
  CHECK(answers(read(node)) == 0);  // in the view that has taken the slot over
  std::size_t answered = 0;
  for (const std::uint32_t from : {0U, 1U, 3U}) {
    answered += answers_after(gone.cluster, from, Commit{View{1}, SequenceNumber{2}, gone.digest});
  }
  CHECK(answered == 3);
}

TEST_CASE("rule 11: a read does not wait for a slot that a later NEW-VIEW has left free") {
  PrimaryGone gone{is<Commit>};
  CoreNode& node = gone.cluster.node(2);
  CHECK(answers(read(node)) == 0);
  const SlotMark first{SequenceNumber{1}, node.executed.at(SequenceNumber{1}), View{}};
  std::vector<NewView::Signed> all;
  for (const std::uint32_t from : {0U, 1U, 3U})
    all.push_back({ReplicaId{from}, view_change(1, from, {first}, {first})});
  CHECK(answers_after(gone.cluster, 1, new_view(1, 1, all)) == 1);
  CHECK(answers(read(node)) == 1);
}
