#include "node/pbft/reads.h"

#include <catch2/catch.hpp>

#include "tests/pbft/harness.h"

using namespace pbft;
using namespace pbft::testing;

namespace {

const ClientId alice = client_id(1);

std::size_t answers(const Effects& effects) {
  std::size_t count = 0;
  for (const auto& effect : effects.execute) count += std::holds_alternative<AnswerRead>(effect) ? 1 : 0;
  return count;
}

Effects read(CoreNode& node) {
  return node.core().step(ClientInput{Forge::client(alice, ReadRequest{RequestNumber{1}, {}}), Origin{7}});
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
