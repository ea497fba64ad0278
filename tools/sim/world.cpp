#include "tools/sim/world.h"

namespace pbft::sim {
namespace {

constexpr std::uint64_t start_of_time = 1'700'000'000'000'000;  // microseconds since the epoch, when a run starts

crypto::Identity draw_identity(Random& random) {
  std::array<std::uint8_t, 32> seed{};
  for (std::uint8_t& byte : seed) byte = static_cast<std::uint8_t>(random.below(256));
  return crypto::Identity::from_seed(seed);
}

std::vector<ReplicaId> second_copies(const Plan& plan) {
  std::vector<ReplicaId> copies;
  for (const auto& [replica, lies] : plan.liars) {
    if (plan.twins(replica)) copies.push_back(ReplicaId{replica});
  }
  return copies;
}

}  // namespace

Checkers::Checkers(Findings& findings, const Plan& plan)
    : model(findings),
      outcomes(findings, model),
      requests(findings),
      agreement(findings,
                [this](const RanBatch& batch) {
                  model.ordered(batch);
                  requests.ordered(batch);
                  outcomes.ordered(batch);
                }),
      promises(findings, plan.cluster),
      progress(findings, plan.cluster, plan.local) {}

World::World(const Plan& run_plan, bool verbose)
    : plan(run_plan),
      copies(second_copies(plan)),
      trace(scheduler, verbose),
      conspiracy(plan.seed),
      checkers(findings, plan),
      network(scheduler, trace, faults, plan,
              [this](Endpoint from, Endpoint to, const SharedBytes& frame) { deliver(from, to, frame); }),
      cluster(plan.cluster),
      scheme(plan.ed25519 ? crypto::ed25519() : crypto::insecure_signatures_for_simulation()),
      next_endpoint(plan.cluster.replicas + static_cast<Endpoint>(copies.size())) {
  crypto::initialize();
  Random random = Random::stream(plan.seed, "keys");
  for (std::uint8_t& byte : roster.cluster.bytes) byte = static_cast<std::uint8_t>(random.below(256));
  roster.epoch = cluster.epoch;
  roster.signed_requests = cluster.signed_requests;
  for (std::uint32_t i = 0; i < cluster.replicas; ++i) {
    replica_identities.push_back(draw_identity(random));
    roster.replicas.push_back(replica_identities.back().public_key());
  }
  for (std::uint32_t i = 0; i < plan.clients.clients; ++i) {
    client_identities.push_back(draw_identity(random));
    client_channels.push_back(client_identities.back().curve().public_key);
    if (plan.faulty_client(i)) checkers.requests.faulty(client_identities.back().client_id());
    if (!cluster.open_clients) cluster.clients.insert(client_identities.back().client_id());
  }
}

void World::send(Endpoint from, ReplicaId to, const SharedBytes& frame, TypeMask types) {
  network.send(from, to.value, frame, types);
  for (std::size_t i = 0; i < copies.size(); ++i) {
    if (copies[i] == to) network.send(from, cluster.replicas + static_cast<Endpoint>(i), frame, types);
  }
}

Timestamp World::wall_clock() const {
  return Timestamp{start_of_time + scheduler.now()};
}

}  // namespace pbft::sim
