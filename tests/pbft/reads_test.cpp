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

Effects read(CoreNode& node, const ClientId& client, std::uint64_t number, std::size_t bytes = 0) {
  const ReadRequest request{RequestNumber{number}, SharedBytes::own(Bytes(bytes))};
  return node.core().step(ClientInput{Forge::client(client, request), Origin{7}});
}

// Who is answered when a turn ends, in order.
std::vector<std::pair<ClientId, std::uint64_t>> answered(const Effects& effects) {
  std::vector<std::pair<ClientId, std::uint64_t>> result;
  for (const auto& effect : effects.execute) {
    const auto* answer = std::get_if<AnswerRead>(&effect);
    if (answer != nullptr) result.emplace_back(answer->client, answer->number.value);
  }
  return result;
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

TEST_CASE("a few reads are answered in a turn, and the rest in those that follow") {
  CoreCluster cluster{4};
  cluster.open(alice);
  CoreNode& node = cluster.node(2);
  (void)node.core().step(TurnEnd{});
  std::size_t count = 0;
  for (std::uint64_t i = 0; i < 2 * Reads::per_turn + 1; ++i) count += answers(read(node, alice, i));
  CHECK(count == Reads::per_turn);
  CHECK(node.core().reads_are_left());
  CHECK(answers(node.core().step(TurnEnd{})) == 0);
  CHECK(answers(node.core().step(TurnEnd{})) == Reads::per_turn);
  CHECK(node.core().reads_are_left());
  CHECK(answers(node.core().step(TurnEnd{})) == 1);
  CHECK_FALSE(node.core().reads_are_left());
}

TEST_CASE("clients take turns with their reads, those that come later too") {
  CoreCluster cluster{4};
  cluster.open(alice);
  cluster.open(bob, 2);
  CoreNode& node = cluster.node(2);
  (void)node.core().step(TurnEnd{});
  for (std::uint64_t i = 0; i < 3 * Reads::per_turn; ++i) (void)read(node, alice, i);
  (void)node.core().step(TurnEnd{});
  for (std::uint64_t i = 0; i < 2; ++i) {
    const auto next = answered(read(node, bob, i));
    REQUIRE(next.size() == Reads::per_turn);
    CHECK((next[0] == std::pair{alice, Reads::per_turn + i * (Reads::per_turn - 1)}));
    CHECK((next[1] == std::pair{bob, i}));
    (void)node.core().step(TurnEnd{});
  }
}

// A client whose reads stand in many rounds meets others that come anew with one read in every turn.
TEST_CASE("however many clients come with a read, one with several is answered as well") {
  CoreCluster cluster{4};
  cluster.open(alice);
  CoreNode& node = cluster.node(2);
  (void)node.core().step(TurnEnd{});
  std::size_t of_alice = 0;
  for (std::uint64_t turn = 0; turn < 20; ++turn) {
    const auto count = [&](const Effects& effects) {
      for (const auto& [client, number] : answered(effects)) of_alice += client == alice ? 1 : 0;
    };
    for (std::uint8_t i = 0; i < 2 * Reads::per_turn; ++i) {
      count(read(node, client_id(static_cast<std::uint8_t>(100 + i)), turn));
      if (turn == 0 && i == Reads::per_turn) {
        for (std::uint64_t of_her = 0; of_her < 5; ++of_her) count(read(node, alice, of_her));
      }
    }
    count(node.core().step(TurnEnd{}));
  }
  CHECK(of_alice == 5);
}

TEST_CASE("reads that are ready count against the quota of their client until they are answered") {
  CoreCluster cluster{4};
  cluster.open(alice);
  CoreNode& node = cluster.node(2);
  (void)node.core().step(TurnEnd{});
  const auto refused = [&] {
    for (const Event& event : read(node, alice, 1, 1U << 20).events) {
      const auto* rejected = std::get_if<Rejected>(&event);
      if (rejected != nullptr && rejected->reason == Reject::queue_full) return true;
    }
    return false;
  };
  for (std::uint64_t i = 0; i < Reads::per_turn + 3; ++i) CHECK_FALSE(refused());
  CHECK(refused());
  (void)node.core().step(TurnEnd{});
  CHECK(answers(node.core().step(TurnEnd{})) == 3);
  CHECK_FALSE(refused());
}

TEST_CASE("what is left of the reads of a replica that stopped is not answered, and keeps it from no rest") {
  CoreCluster cluster{4};
  cluster.open(alice);
  CoreNode& node = cluster.node(2);
  (void)node.core().step(TurnEnd{});
  for (std::uint64_t i = 0; i < Reads::per_turn + 1; ++i) (void)read(node, alice, i);
  REQUIRE(node.core().reads_are_left());
  (void)node.core().step(StateDamaged{});
  CHECK_FALSE(node.core().reads_are_left());
  CHECK(answers(node.core().step(TurnEnd{})) == 0);
  CHECK(answers(node.core().step(TurnEnd{})) == 0);
}
