#include "tools/sim/storm.h"

#include <fmt/format.h>

#include <algorithm>

namespace pbft::sim {

Storm::Storm(World& world, std::vector<std::unique_ptr<Node>>& nodes, std::vector<std::unique_ptr<SimClient>>& clients)
    : world_(world), nodes_(nodes), clients_(clients), random_(Random::stream(world.plan.seed, "storm")) {}

void Storm::start() {
  for (auto& node : nodes_) {
    if (world_.plan.clock_skew_max > 0) set_clock(*node, false);
  }
  world_.scheduler.at(world_.plan.dead_at, [this] { bury(); });
  world_.scheduler.after(200 * millisecond, [this] { supervise(); });
  for (const auto& [replica, lies] : world_.plan.liars) {
    if (std::find(lies.begin(), lies.end(), Lie::amnesia) != lies.end()) forget_again(*nodes_[replica]);
  }
  if (world_.plan.twins_change > 0 && !world_.copies.empty()) split_twins();
  for (std::size_t i = 0; i < fault_count; ++i) again(static_cast<Fault>(i));
}

void Storm::again(Fault fault) {
  const Cadence& cadence = world_.plan.of(fault);
  if (cadence.mean == 0 || fault == Fault::late_subscription) return;
  world_.scheduler.after(random_.between(cadence.mean / 4, cadence.mean * 7 / 4), [this, fault] {
    if (over_) return;
    strike(fault);
    again(fault);
  });
}

// The disk is put back to what it was some seconds ago.
void Storm::forget_again(Node& node) {
  node.remember_disk();
  const std::uint64_t pace = world_.plan.pace;
  world_.scheduler.after(random_.between(2 * pace * second, 10 * pace * second), [this, &node] {
    if (over_) return;
    if (node.running()) node.crash();
    node.forget();
    restart_after(node, random_.below(second));
    forget_again(node);
  });
}

// Each of the others hears one copy of a twin, or the other, or both, and is heard by these.
void Storm::split_twins() {
  if (over_) return;
  const Microseconds until = world_.scheduler.now() + random_.between(1, 2 * world_.plan.twins_change);
  std::vector<Endpoint> others;
  for (const auto& node : nodes_) others.push_back(node->endpoint());
  for (const auto& client : clients_) others.push_back(client->endpoint());
  for (std::size_t i = 0; i < world_.copies.size(); ++i) {
    const Endpoint copies[] = {world_.copies[i].value, world_.cluster.replicas + static_cast<Endpoint>(i)};
    for (const Endpoint other : others) {
      if (other == copies[0] || other == copies[1] || random_.chance(300)) continue;
      const Endpoint unheard = copies[random_.below(2)];
      world_.network.cut(other, unheard, until, Fault::partition);
      world_.network.cut(unheard, other, until, Fault::partition);
    }
  }
  world_.scheduler.at(until, [this] { split_twins(); });
}

void Storm::bury() {
  buried_ = true;
  for (auto& node : nodes_) {
    if (!dead(node->id().value)) continue;
    world_.injected(Fault::dead_replica);
    node->crash();
  }
}

void Storm::supervise() {
  if (over_) return;
  for (auto& node : nodes_) {
    if (!node->running() && random_.chance(60)) restart_after(*node, 0);
  }
  world_.scheduler.after(200 * millisecond, [this] { supervise(); });
}

bool Storm::dead(std::uint32_t replica) const {
  return world_.plan.dead.contains(replica);
}

Node* Storm::primary() {
  View view;
  Node* primary = nullptr;
  for (const auto& node : nodes_) {
    if (!node->running() || world_.plan.lies(node->id().value)) continue;
    const ReplicaStatus status = node->status();
    if (primary != nullptr && status.view <= view) continue;
    view = status.view;
    primary = nodes_[status.primary.value].get();
  }
  return primary == nullptr || dead(primary->id().value) ? nullptr : primary;
}

Node& Storm::any_node() {
  if (random_.chance(250)) {
    if (Node* node = primary()) return *node;
  }
  std::vector<Node*> alive;
  for (const auto& node : nodes_) {
    if (!dead(node->id().value)) alive.push_back(node.get());
  }
  return *random_.pick(alive);
}
Endpoint Storm::any_replica() {
  return any_node().endpoint();
}

Microseconds Storm::lasts(Fault fault) {
  return random_.between(1, world_.plan.of(fault).longest);
}

void Storm::strike(Fault fault) {
  const Microseconds now = world_.scheduler.now();
  world_.trace.record(Trace::Kind::fault, static_cast<std::uint64_t>(fault), 0, 0);
  world_.trace.say([&] { return fmt::format("**** {}", to_string(fault)); });
  switch (fault) {
    case Fault::clog:
      return world_.network.clog(any_replica(), any_replica(), now + lasts(fault));
    case Fault::cut_one_way:
      return world_.network.cut(any_replica(), any_replica(), now + lasts(fault), fault);
    case Fault::partition: {
      std::vector<bool> inside(nodes_.size());
      for (std::size_t i = 0; i < inside.size(); ++i) inside[i] = random_.chance(500);
      return cut_group(inside, now + lasts(fault), fault);
    }
    case Fault::isolate:
      return isolate(any_replica(), now + lasts(fault));
    case Fault::client_cut: {
      const Endpoint client = clients_[random_.below(clients_.size())]->endpoint();
      const Endpoint replica = any_replica();
      const Microseconds until = now + lasts(fault);
      if (random_.chance(700)) world_.network.cut(client, replica, until, fault);
      if (random_.chance(700)) world_.network.cut(replica, client, until, fault);
      return;
    }
    case Fault::type_lost:
      return world_.network.lose_types(TypeMask{1} << random_.below(std::variant_size_v<PeerMessage>),
                                       now + lasts(fault));
    case Fault::crash:
      return crash_and_restart(any_node());
    case Fault::crash_at_boundary: {
      Node& node = any_node();
      if (!node.running()) return;
      node.crash_at_boundary(random_.between(1, 24));
      return;
    }
    case Fault::blackout:
      if (std::any_of(nodes_.begin(), nodes_.end(), [](const auto& node) { return node->running(); })) {
        world_.injected(fault);
      }
      for (auto& node : nodes_) {
        if (!node->running()) continue;
        node->crash();
        restart_after(*node, lasts(fault));
      }
      return;
    case Fault::crash_loop:
      return crash_loop(any_node(), random_.between(2, 5));
    case Fault::pause: {
      Node& node = any_node();
      if (!node.running()) return;
      return node.pause(now + lasts(fault));
    }
    case Fault::disk_error: {
      Node& node = any_node();
      if (node.running()) node.break_disk();
      return;
    }
    case Fault::clock_jump:
      return set_clock(any_node(), true);
    case Fault::wiped_disk:
      return wipe(
          *nodes_[random_.pick(std::vector<std::uint32_t>(world_.plan.wiped.begin(), world_.plan.wiped.end()))]);
    case Fault::client_restart:
      world_.injected(fault);
      return clients_[random_.below(clients_.size())]->restart();
    case Fault::state_damaged:
      return damage(any_node());
    default:
      return;
  }
}

// One at a time, and within what may be lost: a state that is damaged was synced. It is repaired from a stable
// checkpoint, so there has to be one.
void Storm::damage(Node& node) {
  const Plan& plan = world_.plan;
  const bool another = std::any_of(nodes_.begin(), nodes_.end(),
                                   [this](const auto& one) { return world_.checkers.progress.is_damaged(one->id()); });
  const bool room = plan.dead.size() + plan.liars.size() + plan.wiped.size() < plan.f();
  const std::uint32_t id = node.id().value;
  if (!node.running() || node.status().stable == SequenceNumber{}) return;
  if (!another && plan.local.repair && (plan.wiped.contains(id) || (room && !plan.lies(id)))) node.find_damage();
}

void Storm::cut_group(const std::vector<bool>& inside, Microseconds until, Fault cause) {
  for (Endpoint a = 0; a < inside.size(); ++a) {
    for (Endpoint b = 0; b < inside.size(); ++b) {
      if (inside[a] != inside[b]) world_.network.cut(a, b, until, cause);
    }
  }
}

void Storm::isolate(Endpoint replica, Microseconds until) {
  std::vector<Endpoint> others;
  for (const auto& node : nodes_) {
    if (node->endpoint() != replica) others.push_back(node->endpoint());
  }
  for (const auto& client : clients_) others.push_back(client->endpoint());
  for (const Endpoint other : others) {
    world_.network.cut(replica, other, until, Fault::isolate);
    world_.network.cut(other, replica, until, Fault::isolate);
  }
}

void Storm::crash_and_restart(Node& node) {
  if (!node.running()) return;
  world_.injected(Fault::crash);
  node.crash();
  restart_after(node, lasts(Fault::crash));
}

void Storm::restart_after(Node& node, Microseconds delay) {
  world_.scheduler.after(delay, [this, &node] {
    if (!node.running() && !(buried_ && dead(node.id().value))) node.start();
  });
}

void Storm::wipe(Node& node) {
  world_.injected(Fault::wiped_disk);
  if (node.running()) node.crash();
  node.wipe();
  restart_after(node, lasts(Fault::wiped_disk));
}

void Storm::crash_loop(Node& node, std::uint64_t times) {
  if (times == 0 || over_) return;
  if (node.running()) {
    world_.injected(Fault::crash_loop);
    node.crash();
  }
  restart_after(node, lasts(Fault::crash_loop) / 2);
  world_.scheduler.after(lasts(Fault::crash_loop) + millisecond, [this, &node, times] { crash_loop(node, times - 1); });
}

void Storm::set_clock(Node& node, bool jump) {
  const Microseconds most = jump ? world_.plan.of(Fault::clock_jump).longest : world_.plan.clock_skew_max;
  const auto offset = static_cast<std::int64_t>(random_.below(2 * most + 1)) - static_cast<std::int64_t>(most);
  const std::int64_t most_drift = 10'000 / static_cast<std::int64_t>(world_.plan.pace);
  const auto drift =
      jump ? 0 : static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(2 * most_drift + 1))) - most_drift;
  node.set_clock(offset, drift, jump ? Fault::clock_jump : Fault::clock_skew);
}

void Storm::heal() {
  over_ = true;
  world_.network.heal();
  for (auto& node : nodes_) {
    if (dead(node->id().value)) continue;
    node->mend();
    if (!node->running()) node->start();
  }
}

}  // namespace pbft::sim
