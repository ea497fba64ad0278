#include "tools/sim/byzantine/liar.h"

#include <catch2/catch.hpp>

#include "node/crypto/authenticator.h"
#include "tests/simulation/history_maker.h"
#include "tools/sim/describe.h"
#include "tools/sim/liar_in_run.h"
#include "tools/sim/runner.h"

using namespace pbft;
using namespace pbft::sim;
using namespace pbft::sim::testing;

namespace {

Plan plan_with(std::vector<Lie> lies) {
  Plan plan = draw_plan(1);
  plan.cluster.replicas = 4;
  plan.dead = {};
  plan.wiped = {};
  plan.liars = {{0, std::move(lies)}};
  plan.clients.faulty = 0;
  plan.ed25519 = false;
  return plan;
}

// A lying replica 0, and what the others' authenticators make of its frames.
struct LiarInWorld {
  explicit LiarInWorld(std::vector<Lie> lies)
      : world(plan_with(std::move(lies)), false), liar(make_liar(world, ReplicaId{0})) {}

  std::vector<PeerMessage> heard(std::uint32_t by, const std::vector<PeerMessage>& said) {
    crypto::Authenticator receiver{world.roster, ReplicaId{by}, world.replica_identities[by], world.scheme};
    std::vector<PeerMessage> messages;
    for (const Liar::Outgoing& outgoing : liar->speak(ReplicaId{by}, said)) {
      const auto opened = receiver.open_peer(outgoing.frame, ReplicaId{0});
      if (!opened) ++refused;
      for (std::size_t i = 0; opened && i < opened->size(); ++i) messages.push_back((*opened)[i].message());
    }
    return messages;
  }
  [[nodiscard]] std::uint64_t told(Lie lie) const { return world.lies[static_cast<std::size_t>(lie)]; }
  // Says it over and over, until the strategy was tempted.
  template <class Said>
  std::vector<PeerMessage> until_told(Lie lie, const Said& said) {
    for (std::uint64_t i = 1; i < 1'000; ++i) {
      auto messages = heard(1, {said(i)});
      if (told(lie) > 0) return messages;
    }
    return {};
  }

  World world;
  std::unique_ptr<Liar> liar;
  std::size_t refused = 0;
};

}  // namespace

TEST_CASE("a liar's signatures and MACs are its own and hold") {
  LiarInWorld liar({Lie::wrong_checkpoint});
  const Checkpoint honest{SequenceNumber{8}, digest("root"), {}};
  const auto heard = liar.until_told(Lie::wrong_checkpoint, [&](std::uint64_t) {
    crypto::Authenticator own{liar.world.roster, ReplicaId{0}, liar.world.replica_identities[0], liar.world.scheme};
    return own.sign(honest).message();
  });
  REQUIRE(heard.size() == 1);
  const auto& checkpoint = std::get<Checkpoint>(heard.front());
  CHECK((checkpoint.root != honest.root || checkpoint.n != honest.n));
  CHECK(liar.refused == 0);
}

TEST_CASE("a forged view-change is taken for one of the liar's") {
  LiarInWorld liar({Lie::forge_view_change});
  crypto::Authenticator own{liar.world.roster, ReplicaId{0}, liar.world.replica_identities[0], liar.world.scheme};
  const auto honest = [&](std::uint64_t view) {
    ViewChange change;
    change.view = View{view};
    change.prepared = {{SequenceNumber{1}, digest("d"), View{}}};
    change.voted = change.prepared;
    return own.sign(change);
  };
  const auto heard = liar.until_told(Lie::forge_view_change, honest);
  REQUIRE(heard.size() == 1);
  const auto& forged = std::get<ViewChange>(heard.front());
  CHECK(forged.signed_bytes != honest(forged.view.value).signed_bytes);
  CHECK(liar.refused == 0);
}

TEST_CASE("a double vote tells some another digest") {
  LiarInWorld liar({Lie::double_vote});
  const auto heard = liar.until_told(Lie::double_vote, [](std::uint64_t n) {
    return Commit{View{}, SequenceNumber{n}, digest("d")};
  });
  REQUIRE_FALSE(heard.empty());
  CHECK(std::get<Commit>(heard.front()).digest != digest("d"));
}

TEST_CASE("malformed bytes come in an envelope that holds") {
  LiarInWorld liar({Lie::malformed});
  (void)liar.until_told(Lie::malformed, [](std::uint64_t n) { return Commit{View{}, SequenceNumber{n}, digest("d")}; });
  CHECK(liar.told(Lie::malformed) == 1);
}

TEST_CASE("every lie has a strategy, but for those that are a matter of the disk and of the world") {
  LiarInWorld fixture({});
  Mouth mouth = make_mouth(fixture.world, ReplicaId{0});
  for (std::size_t i = 0; i < lie_count; ++i) {
    const auto lie = static_cast<Lie>(i);
    INFO(to_string(lie));
    CHECK((make_strategy(lie, mouth) != nullptr) == (lie != Lie::amnesia && lie != Lie::twins));
  }
}
