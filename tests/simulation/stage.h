// Where stories are told: a cluster of four without faults, in which little is kept, so that a few batches suffice for
// whatever a test is about.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tools/sim/runner.h"

namespace pbft::sim {

using Nodes = std::vector<std::unique_ptr<Node>>;

// No chance but the clients', a checkpoint every `interval` batches, and a history of two intervals.
inline Plan quiet_plan(std::uint64_t seed, std::uint32_t interval) {
  Plan plan = draw_plan(seed);
  plan.cluster = ClusterParameters{};
  plan.cluster.checkpoint_interval = interval;
  plan.cluster.window = 2 * interval;
  plan.local = LocalParameters{};
  plan.local.max_batch_requests = 4;
  plan.local.transfer_above = 2 * interval;
  plan.ledger_keep = interval;
  plan.network = NetworkPlan{};
  plan.cadence = {};
  plan.clock_skew_max = 0;
  plan.dead = {};
  plan.wiped = {};
  plan.liars = {};
  plan.ed25519 = false;
  plan.clients = ClientPlan{};
  return plan;
}

// From all other replicas.
inline void cut_off(World& world, Endpoint replica, Microseconds until) {
  for (Endpoint other = 0; other < world.cluster.replicas; ++other) {
    world.network.cut(replica, other, until, Fault::isolate);
    world.network.cut(other, replica, until, Fault::isolate);
  }
}

// The first violation; empty where there is none.
inline std::string what(const RunResult& result) {
  return result.findings.empty() ? std::string{}
                                 : result.findings.front().invariant + ": " + result.findings.front().what;
}

}  // namespace pbft::sim
