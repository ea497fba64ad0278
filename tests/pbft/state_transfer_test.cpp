// Rules 15 to 18: a state is taken over from others only as a quorum certified it.
#include "node/pbft/state_transfer.h"

#include <catch2/catch.hpp>

#include "tests/pbft/far_behind.h"

using namespace pbft;
using namespace pbft::testing;

namespace {

// What replica `from` sends passes `twist` on its way.
template <class Message>
CoreCluster::Filter twisted(std::uint32_t from, std::function<void(Message&)> twist) {
  return [from, twist](const Flight& m) {
    if (is<Message>(m) && m.from == ReplicaId{from}) {
      twist(const_cast<Message&>(std::get<Message>(m.message)));
    }
    return false;
  };
}

}  // namespace

TEST_CASE("a replica far behind takes over the state, and votes again", "[transfer]") {
  FarBehind b;
  b.cluster.settle(60);
  CHECK(b.caught_up());
  CHECK(b.node().status().stable == SequenceNumber{48});
  CHECK(events_of<TransferFinished>(b.node()).size() == 1);
  b.cluster.crash(2);
  fill(b.cluster, alice, b.session, 51, 60);
  CHECK(b.cluster.node(0).status().executed == SequenceNumber{61});
  CHECK(b.caught_up());
}

TEST_CASE("nothing that the state holds is executed on the way, and what follows runs once", "[transfer]") {
  FarBehind b;
  b.cluster.settle(60);
  // Slots of the transferred state never reached execution here, those above it once each.
  for (const auto& [n, digest] : b.node().executed) {
    CHECK((n == SequenceNumber{1} || n > SequenceNumber{48}));
    CHECK(digest == b.cluster.node(0).executed.at(n));
  }
  // The client table came with the state: what ran before does not run again here.
  b.cluster.request(0, make_bundle(alice, b.session, 50, {50}));
  b.cluster.run();
  CHECK(b.cluster.node(0).status().executed == b.node().status().executed);
}

TEST_CASE("rule 16: a wrong tree names its sender, which is asked no more", "[transfer]") {
  for (const std::uint32_t liar : {0U, 1U, 2U}) {
    FarBehind b;
    b.cluster.settle(60, twisted<Tree>(liar, [](Tree& tree) { tree.leaves[7].bytes.fill(1); }));
    CHECK(b.caught_up());
    for (const BadSource& bad : b.accused()) {
      CHECK(bad.source == ReplicaId{liar});
      CHECK(std::string{bad.what} == "wrong tree");
    }
    CHECK(b.accused().size() <= 1);
    CHECK(b.node().count(Reject::bad_tree) == b.accused().size());
  }
}

TEST_CASE("rule 16: a tree of another checkpoint, with a made-up summary, or cut short is refused", "[transfer]") {
  const std::function<void(Tree&)> lies[] = {[](Tree& tree) { tree.summary.time = Timestamp{1}; },
                                             [](Tree& tree) { tree.leaves.pop_back(); },
                                             [](Tree& tree) { tree.leaves.clear(); }};
  for (const auto& lie : lies) {
    FarBehind b;
    const auto everybody = [&](const Flight& m) {
      if (is<Tree>(m)) lie(const_cast<Tree&>(std::get<Tree>(m.message)));
      return false;
    };
    b.cluster.settle(30, everybody);
    CHECK(b.node().count(Reject::bad_tree) >= 3);
    CHECK(b.accused().size() >= 3);
    CHECK(b.node().status().executed == SequenceNumber{1});
    b.cluster.settle(60);  // even where all have lied, they are asked again
    CHECK(b.caught_up());
  }
}

TEST_CASE("rule 16: a wrong bucket names its sender and is not installed", "[transfer]") {
  std::size_t accused = 0;
  for (const std::uint32_t liar : {0U, 1U, 2U}) {
    FarBehind b;
    b.cluster.settle(80, twisted<BucketPart>(liar, [](BucketPart& part) { part.pairs.clear(); }));
    CHECK(b.caught_up());
    for (const BadSource& bad : b.accused()) {
      CHECK(bad.source == ReplicaId{liar});
      CHECK(std::string{bad.what} == "wrong bucket");
    }
    accused += b.accused().size();
  }
  CHECK(accused > 0);
}

TEST_CASE("rule 16: a source that trickles, part by part without an end, is named, and others are asked",
          "[transfer]") {
  for (const std::uint32_t liar : {0U, 1U, 2U}) {
    FarBehind b;
    std::vector<BucketPart> held;
    bool asked = false;
    for (int i = 0; i < 800; ++i) {
      for (const BucketPart& part : std::exchange(held, {})) b.cluster.send(liar, 3, part);
      b.cluster.settle(1, [&](const Flight& m) {
        if (!is<BucketPart>(m) || m.from != ReplicaId{liar}) return false;
        asked = true;
        held.push_back(std::get<BucketPart>(m.message));
        held.back().total = 1'000'000;
        return true;
      });
    }
    CHECK(b.caught_up());
    const auto accused = b.accused();
    CHECK(accused.size() == (asked ? 1 : 0));
    for (const BadSource& bad : accused) {
      CHECK(bad.source == ReplicaId{liar});
      CHECK(std::string{bad.what} == "too slow");
    }
  }
}

TEST_CASE("rule 16: a source that begins its answers and does not end them is named", "[transfer]") {
  FarBehind b;
  b.cluster.settle(300, [&](const Flight& m) {
    if (!is<BucketPart>(m) || m.from != ReplicaId{1}) return is<BucketPart>(m);
    auto& part = const_cast<BucketPart&>(std::get<BucketPart>(m.message));
    part.total = 1'000'000;
    return part.skip > 0;
  });
  const auto accused = b.accused();
  CHECK(std::ranges::any_of(accused, [](const BadSource& bad) { return bad.source == ReplicaId{1}; }));
  b.cluster.settle(100);
  CHECK(b.caught_up());
}

TEST_CASE("rule 16: where the only other source is silent, those that were slow are asked again", "[transfer]") {
  FarBehind b;
  std::vector<Flight> held;
  bool slow = true;
  const auto filter = [&](const Flight& m) {
    if (!is<BucketPart>(m)) return false;
    if (m.from == ReplicaId{0}) return true;
    if (!slow) return false;
    held.push_back(m);
    std::get<BucketPart>(held.back().message).total = 1'000'000;
    return true;
  };
  const auto named_slow = [&] {
    std::set<ReplicaId> named;
    for (const BadSource& bad : b.accused()) {
      if (std::string{bad.what} == "too slow") named.insert(bad.source);
    }
    return named.size() == 2;
  };
  for (int i = 0; i < 20'000 && !named_slow(); ++i) {
    for (const Flight& part : std::exchange(held, {})) b.cluster.send(part.from.value, 3, part.message);
    b.cluster.settle(1, filter);
  }
  REQUIRE(named_slow());
  slow = false;
  b.cluster.settle(300, filter);
  CHECK(b.caught_up());
}

TEST_CASE("rule 16: sources that do not answer are named, and others are asked", "[transfer]") {
  FarBehind b;
  b.cluster.settle(100, [](const Flight& m) { return (is<Tree>(m) || is<BucketPart>(m)) && m.from != ReplicaId{2}; });
  CHECK(b.caught_up());
  FarBehind silent;
  silent.cluster.settle(100, is<Tree>);
  CHECK(silent.accused().size() == 3);
  for (const BadSource& bad : silent.accused()) CHECK(std::string{bad.what} == "no answer");
}

TEST_CASE("rule 16: what was not asked for, or not of this replica, is not taken", "[transfer]") {
  FarBehind b;
  b.cluster.network.clear();
  const std::size_t before = b.node().count(Reject::not_asked_for);
  b.cluster.send(0, 3, Tree{});
  b.cluster.send(0, 3, BucketPart{});
  CHECK(b.node().count(Reject::not_asked_for) == before + 2);
  for (const Input& stray :
       {Input{TransferPlanned{SequenceNumber{48}, {}}}, Input{BucketStaged{}}, Input{StateInstalled{}}}) {
    b.cluster.input(3, stray);
  }
  CHECK(b.node().count(Reject::stray_completion) == 3);
}

TEST_CASE("rule 16: a crash at any step of a transfer does not harm it", "[transfer]") {
  for (int at = 0; at < 24; ++at) {
    CAPTURE(at);
    FarBehind b;
    int seen = 0;
    b.cluster.settle(80, [&](const Flight& m) {
      const bool of_transfer =
          is<FetchTree>(m) || is<Tree>(m) || is<FetchBucket>(m) || is<BucketPart>(m) || is<StableCheckpoint>(m);
      if (of_transfer && seen++ == at) b.cluster.restart(3);
      return false;
    });
    CHECK(b.caught_up());
  }
}

TEST_CASE("rule 17: the target is gone and moves; under load it is caught up with all the same", "[transfer]") {
  FarBehind b;
  // Every answer comes too late once: the others have gone on and dropped the checkpoint by then.
  for (std::uint64_t i = 51; i <= 90; ++i) {
    fill(b.cluster, alice, b.session, i, i, 0, is<BucketPart>);
    if (i % 3 == 0) b.cluster.settle(1, is<BucketPart>);
  }
  CHECK(b.node().status().transferring);
  CHECK(b.node().status().transfer_to < b.cluster.node(0).status().stable);
  for (std::uint64_t i = 91; i <= 200; ++i) {
    fill(b.cluster, alice, b.session, i, i);
    if (i % 2 == 0) b.cluster.settle(1);
  }
  b.cluster.settle(100);
  CHECK(b.caught_up());
}

TEST_CASE("rule 17: behind a state that was fetched come the batches, however far the others are by then",
          "[transfer]") {
  FarBehind b;
  b.hold_the_state();
  for (std::uint32_t i = 0; i < 4; ++i) b.cluster.node(i).keeps_ledger = true;
  b.get_the_state_late();
  b.cluster.settle(60);
  CHECK(b.caught_up());
  CHECK(events_of<TransferStarted>(b.node()).size() == 1);
  CHECK(events_of<CatchUpFinished>(b.node()).size() >= 1);
  // From then on a long way is one for the state again.
  CHECK(b.node().status().executed.value > 80);
}

TEST_CASE("rule 17: a peer that proves the way through the batches and gives none of them holds nobody up",
          "[transfer]") {
  FarBehind b;
  b.hold_the_state();
  b.cluster.node(2).keeps_ledger = true;
  b.get_the_state_late();
  b.cluster.settle(600, [](const Flight& m) { return is<BatchResponse>(m) && m.from == ReplicaId{2}; });
  CHECK(b.caught_up());
  CHECK(events_of<CatchUpStarted>(b.node()).size() >= 1);
  CHECK(events_of<TransferFinished>(b.node()).size() == 2);
}

namespace {

// A replica far behind that gets parts of a bucket without an end.
struct Endless : FarBehind {
  using FarBehind::FarBehind;
  static constexpr std::size_t most = 20;  // in a tick

  std::size_t parts_in_a_tick(std::size_t bytes) {
    cluster.settle(1, take);
    std::size_t parts = 0;
    for (; !asked.empty() && parts < most; ++parts) {
      const Flight question = asked.front();
      asked.pop_front();
      const auto& fetch = std::get<FetchBucket>(question.message);
      BucketPart part{fetch.n, fetch.bucket, fetch.skip, 1'000'000, {}, {}};
      part.pairs.push_back({Namespace::state, SharedBytes::own(to_bytes("key")), SharedBytes::own(Bytes(bytes))});
      cluster.send(question.to.value, 3, part);
      cluster.run(take);
    }
    return parts;
  }
  // While the others execute a request a tick.
  std::size_t parts_at_work(std::uint64_t ticks, std::size_t bytes) {
    std::size_t parts = 0;
    for (std::uint64_t i = 0; i < ticks; ++i, ++next_) {
      fill(cluster, alice, session, next_, next_, 0, take);
      parts += parts_in_a_tick(bytes);
    }
    return parts;
  }

  std::deque<Flight> asked;
  const CoreCluster::Filter take = [this](const Flight& m) {
    if (is<FetchBucket>(m)) asked.push_back(m);
    return is<FetchBucket>(m);
  };

 private:
  std::uint64_t next_ = 51;
};

}  // namespace

TEST_CASE("rule 17: while the others are at work a state comes in slowly, and as fast as it can where they rest",
          "[transfer]") {
  Endless b{2};
  b.cluster.settle(60, b.take);  // nobody works any more
  CHECK(b.parts_in_a_tick(8) == Endless::most);
  b.parts_at_work(20, 8);  // until that is known
  const std::size_t parts = b.parts_at_work(80, 8);
  CHECK(parts >= 80 * 2 / 8 - 3);
  CHECK(parts <= 80 * 2 / 8 + 1);
  for (int i = 0; i < 60; ++i) b.parts_in_a_tick(8);
  CHECK(b.parts_in_a_tick(8) == Endless::most);
}

TEST_CASE("rule 17: where a state has come in slowly for long, it comes in faster", "[transfer]") {
  Endless b{2};
  b.cluster.settle(6'000, b.take);
  REQUIRE(b.node().status().transferring);
  b.asked.clear();
  b.parts_at_work(20, 2);
  const std::size_t parts = b.parts_at_work(80, 2);
  CHECK(parts >= 80 * 2 - 3);
  CHECK(parts <= 80 * 2 + 1);
}

TEST_CASE("rule 17: however large the parts are, a source is not left without a question for long", "[transfer]") {
  Endless b{1};
  b.cluster.settle(1, b.take);
  b.parts_at_work(20, 100'000);
  const std::size_t parts = b.parts_at_work(1'000, 100'000);
  CHECK(parts >= 9);
  CHECK(parts <= 11);
}

// Who lags aims at the highest checkpoint that it has a proof of; those who hold the state at it may give it only once
// they have that proof, too.
TEST_CASE("rule 17: a proof that only a replica far behind has heard reaches those who hold the state", "[transfer]") {
  FarBehind b;
  const auto withheld = [](const Flight& m) {
    const bool vote = is<Checkpoint>(m) && m.from == ReplicaId{2};
    return m.to == ReplicaId{3} || vote || is<StableCheckpoint>(m);
  };
  fill(b.cluster, alice, b.session, 51, 51, 0, withheld);
  REQUIRE(b.cluster.node(2).status().stable == SequenceNumber{52});
  REQUIRE(b.cluster.node(0).status().stable == SequenceNumber{48});
  REQUIRE(b.cluster.node(1).status().stable == SequenceNumber{48});
  b.cluster.send(2, 3, b.cluster.node(2).recover().stable->proof);
  b.cluster.crash(2);
  b.cluster.settle(60);
  CHECK(b.cluster.node(0).status().stable == SequenceNumber{52});
  CHECK(b.caught_up());
  fill(b.cluster, alice, b.session, 52, 60);
  CHECK(b.node().status().executed == SequenceNumber{61});
}

TEST_CASE("rule 15: a replica whose state went wrong stops, is repaired, and goes on", "[transfer]") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  cluster.node(3).corrupt_state = true;
  fill(cluster, alice, session, 1, 4);
  REQUIRE(cluster.node(3).status().diverged);
  REQUIRE(events_of<Diverged>(cluster.node(3)).size() == 1);
  // It neither answers clients nor reads nor serves its state.
  const BundlePtr bundle = make_bundle(alice, session, 1, {1});
  CHECK(cluster.node(3).step(ClientInput{Forge::client(alice, ClientRequest{bundle}), Origin{1}}).empty());
  CHECK(cluster.node(3).step(PeerInput{Forge::peer(ReplicaId{0}, FetchTree{SequenceNumber{4}})}).empty());
  std::size_t answers = 0;
  cluster.node(3).on_step = [&](const CoreNode&, const Input&, const Effects& effects) {
    for (const ExecuteEffect& effect : effects.execute) answers += std::holds_alternative<AnswerRead>(effect) ? 1 : 0;
  };
  cluster.input(3, ClientInput{Forge::client(alice, ReadRequest{RequestNumber{1}, {}}), Origin{2}});
  CHECK(answers == 0);
  cluster.settle(60);
  CHECK_FALSE(cluster.node(3).status().diverged);
  CHECK(events_of<TransferFinished>(cluster.node(3)).size() == 1);
  fill(cluster, alice, session, 5, 20);
  cluster.settle(20);
  CHECK(cluster.node(3).status().last_root == cluster.node(0).status().last_root);
  CHECK(cluster.node(3).status().executed == cluster.node(0).status().executed);
  CHECK(cluster.node(3).status().stable == SequenceNumber{20});
}

TEST_CASE("rule 15: a damaged state is repaired from the stable checkpoint", "[transfer]") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  fill(cluster, alice, session, 1, 5);
  REQUIRE(cluster.node(3).status().stable == SequenceNumber{4});
  cluster.node(3).corrupt_state = true;
  cluster.input(3, StateDamaged{});
  CHECK(cluster.node(3).status().diverged);
  cluster.settle(60);
  CHECK_FALSE(cluster.node(3).status().diverged);
  // It went back to the checkpoint and has run the two slots above it again, on the right state.
  CHECK(cluster.node(3).status().executed == SequenceNumber{6});
  fill(cluster, alice, session, 6, 11);
  CHECK(cluster.node(3).status().stable == SequenceNumber{12});
  CHECK(cluster.node(3).status().last_root == cluster.node(0).status().last_root);
}

TEST_CASE("rule 15: damage that is found while a state is fetched lets it begin anew, and blames nobody",
          "[transfer]") {
  for (const auto& lost : {CoreCluster::Filter{is<Tree>}, CoreCluster::Filter{is<BucketPart>}}) {
    FarBehind b;
    b.cluster.settle(40, lost);
    REQUIRE(b.node().status().transferring);
    b.cluster.input(3, StateDamaged{});
    CHECK(b.node().status().diverged);
    CHECK_FALSE(b.node().status().transferring);
    const std::size_t accused = b.accused().size();
    b.cluster.settle(100);
    CHECK(b.caught_up());
    CHECK_FALSE(b.node().status().diverged);
    CHECK(b.accused().size() == accused);
  }
}

// An older state may be on its way, and what is here is not to be relied on: it would have to go back.
TEST_CASE("rule 13: a replica whose state is damaged makes no checkpoint stable", "[transfer]") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  const auto to_three = [](const Flight& m) { return is<Checkpoint>(m) && m.to == ReplicaId{3}; };
  fill(cluster, alice, session, 1, 3, 0, to_three);
  REQUIRE(cluster.node(3).status().last_checkpoint == SequenceNumber{4});
  REQUIRE(cluster.node(3).status().stable == SequenceNumber{});
  cluster.input(3, StateDamaged{});
  cluster.send(0, 3, cluster.node(0).recover().stable->proof);
  CHECK(cluster.node(3).status().stable == SequenceNumber{});
  cluster.settle(60);
  CHECK(cluster.node(3).status().stable == SequenceNumber{4});
  CHECK_FALSE(cluster.node(3).status().diverged);
}

TEST_CASE("rule 15: no repair without leave", "[transfer]") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  fill(cluster, alice, session, 1, 5);
  LocalParameters local = cluster.node(3).local;
  local.repair = false;
  Recovered recovered = cluster.node(3).recover();
  recovered.damaged = true;
  Replica replica{cluster.parameters(), local, recovered};
  for (int i = 0; i < 50; ++i) {
    for (const Send& send : replica.step(Tick{Timestamp{cluster.clock_us}}).send) {
      const auto* one = std::get_if<SendTo>(&send);
      CHECK((one == nullptr || !std::holds_alternative<FetchTree>(one->message)));
    }
  }
  CHECK(replica.status().waiting_for.find("--repair") != std::string::npos);
}

TEST_CASE("rule 18: a view change inside of a transfer, and nothing is proposed meanwhile", "[transfer]") {
  FarBehind b;
  // Replica 3 is fetching when the view changes, and is the primary of view 3 by then.
  b.cluster.settle(40, is<BucketPart>);
  REQUIRE(b.node().status().transferring);
  for (std::uint32_t i = 0; i < 3; ++i) {
    for (const std::uint32_t from : {0U, 1U, 2U}) {
      if (from != i) b.cluster.send(from, i, view_change(3, from));
    }
  }
  const auto waits = make_bundle(alice, b.session, 51, {51});
  b.cluster.settle(30, is<BucketPart>);
  b.cluster.request(3, waits);
  b.cluster.settle(5, is<BucketPart>);
  CHECK(under_way<PrePrepare>(b.cluster, 3).empty());
  CHECK(records_of<PersistAccepted>(b.node()).size() <= 1);
  b.cluster.settle(400);
  CHECK(b.caught_up());
  for (std::uint32_t i = 0; i < 3; ++i) CHECK(runs_of(b.cluster.node(i), b.session, 51) == 1);
  for (std::uint32_t i = 0; i < 4; ++i) CHECK(b.cluster.node(i).status().active);
}

TEST_CASE("rule 18: a new primary that is far behind opens its view once the transfer has ended", "[transfer]") {
  FarBehind b;
  for (std::uint32_t to = 0; to < 3; ++to) {
    b.cluster.send(3, to, view_change(3, 3));
    b.cluster.send((to + 1) % 3, to, view_change(3, (to + 1) % 3));
  }
  b.cluster.settle(8, is<Tree>);
  REQUIRE(b.node().status().view == View{3});
  CHECK_FALSE(b.node().status().active);
  CHECK(b.node().status().transferring);
  CHECK(records_of<PersistNewView>(b.node()).empty());
  b.cluster.settle(100);
  CHECK(b.caught_up());
  CHECK(all_in(b.cluster, {0, 1, 2, 3}, 3));
}

TEST_CASE("rule 18: what was prepared above the installed checkpoint stays", "[transfer]") {
  CoreCluster cluster{4};
  const SessionId session = cluster.open(alice);
  // Slots 2 to 6 prepare at replica 3, which sees no COMMIT and no CHECKPOINT.
  const auto no_commits = [](const Flight& m) {
    return m.to == ReplicaId{3} && (is<Commit>(m) || is<Checkpoint>(m) || is<StableCheckpoint>(m));
  };
  fill(cluster, alice, session, 1, 5, 0, no_commits);
  REQUIRE(cluster.node(3).status().executed == SequenceNumber{1});
  REQUIRE(cluster.node(0).status().stable == SequenceNumber{4});
  const auto prepared = records_of<PersistPrepared>(cluster.node(3));
  REQUIRE(prepared.back().n == SequenceNumber{6});
  // Its state is found to be damaged, so it has to be transferred.
  cluster.input(3, StateDamaged{});
  cluster.settle(40, [](const Flight& m) { return m.to == ReplicaId{3} && is<Commit>(m); });
  REQUIRE(cluster.node(3).status().stable == SequenceNumber{4});
  REQUIRE(events_of<TransferFinished>(cluster.node(3)).size() == 1);
  for (const std::uint32_t from : {0U, 1U}) cluster.send(from, 3, view_change(9, from));
  const auto sent = under_way<ViewChange>(cluster, 3);
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].low() == SequenceNumber{4});
  REQUIRE(sent[0].prepared.size() == 2);
  CHECK(sent[0].prepared.back() == SlotMark{SequenceNumber{6}, prepared.back().digest, View{}});
  CHECK(sent[0].voted.size() == 2);
}
