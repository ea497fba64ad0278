#include "tools/sim/liar_in_run.h"

#include <fmt/format.h>

namespace pbft::sim {
namespace {

class RunSetting final : public Setting {
 public:
  RunSetting(World& world, ReplicaId self) : world_(world), self_(self) {}

  [[nodiscard]] Microseconds now() const override { return world_.scheduler.now(); }
  [[nodiscard]] Conspiracy& conspiracy() override { return world_.conspiracy; }
  void told(Lie lie) override {
    ++world_.lies[static_cast<std::size_t>(lie)];
    world_.trace.say([&] { return fmt::format("   {} lies: {}", self_.value, to_string(lie)); });
  }

 private:
  World& world_;
  const ReplicaId self_;
};

LiarFacts facts_of(const World& world, ReplicaId self) {
  LiarFacts facts{world.plan.seed,
                  self,
                  world.roster,
                  world.replica_identities[self.value],
                  world.scheme,
                  world.cluster,
                  world.plan.local.view_timeout_ticks * world.plan.tick,
                  {}};
  for (const crypto::Identity& client : world.client_identities) facts.clients.push_back(client.client_id());
  return facts;
}

}  // namespace

std::unique_ptr<Liar> make_liar(World& world, ReplicaId self) {
  return std::make_unique<Liar>(facts_of(world, self), std::make_unique<RunSetting>(world, self),
                                world.plan.liars.at(self.value));
}

Mouth make_mouth(World& world, ReplicaId self) {
  return {facts_of(world, self), std::make_unique<RunSetting>(world, self)};
}

}  // namespace pbft::sim
