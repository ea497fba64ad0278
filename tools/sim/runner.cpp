#include "tools/sim/runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "tools/sim/client.h"
#include "tools/sim/storm.h"

namespace pbft::sim {
namespace {

constexpr Microseconds answer_limit = 120 * second;
constexpr Microseconds agree_limit = 180 * second;
constexpr Microseconds look_every = 50 * millisecond;

class Run {
 public:
  Run(const Plan& plan, bool verbose);
  RunResult go(const Script& script);

 private:
  void deliver(Endpoint from, Endpoint to, const SharedBytes& frame);
  // Runs until the time; false where something was found.
  bool run_until(Microseconds time);
  // Runs until `done` or the limit; false where something was found or the limit was reached.
  template <class Done>
  bool run_while_not(Microseconds limit, const Done& done);
  void heal_and_settle();
  void final_blackout();
  bool settle(const char* after);
  [[nodiscard]] bool bound(const Node& node) const;
  [[nodiscard]] bool agreed() const;
  [[nodiscard]] std::size_t outstanding() const;
  void compare_states();
  void stalled(const char* invariant, const std::string& what);
  [[nodiscard]] std::string standing() const;
  [[nodiscard]] RunResult result() const;

  World world_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<std::unique_ptr<SimClient>> clients_;
  std::unique_ptr<Storm> storm_;
};

Run::Run(const Plan& plan, bool verbose) : world_(plan, verbose) {
  world_.deliver = [this](Endpoint from, Endpoint to, const SharedBytes& frame) { deliver(from, to, frame); };
  for (std::uint32_t i = 0; i < plan.cluster.replicas; ++i) {
    nodes_.push_back(std::make_unique<Node>(world_, ReplicaId{i}, i));
  }
  for (const ReplicaId twin : world_.copies) {
    nodes_.push_back(std::make_unique<Node>(world_, twin, static_cast<Endpoint>(nodes_.size())));
  }
  for (std::uint32_t i = 0; i < plan.clients.clients; ++i) {
    clients_.push_back(std::make_unique<SimClient>(world_, i));
  }
  storm_ = std::make_unique<Storm>(world_, nodes_, clients_);
}

void Run::deliver(Endpoint from, Endpoint to, const SharedBytes& frame) {
  if (world_.is_copy(from)) ++world_.lies[static_cast<std::size_t>(Lie::twins)];
  if (world_.is_replica(to)) return nodes_[to]->receive(from, frame);
  clients_[world_.client_processes.at(to)]->receive(to, from, frame);
}

bool Run::run_until(Microseconds time) {
  while (!world_.findings.any() && world_.scheduler.run_one(time)) {
  }
  return !world_.findings.any();
}

template <class Done>
bool Run::run_while_not(Microseconds limit, const Done& done) {
  while (!done()) {
    if (world_.scheduler.now() >= limit || !run_until(world_.scheduler.now() + look_every)) return false;
  }
  return true;
}

RunResult Run::go(const Script& script) {
  for (auto& node : nodes_) node->start();
  for (auto& client : clients_) client->start();
  storm_->start();
  if (script) script(world_, nodes_);
  if (run_until(world_.plan.duration)) heal_and_settle();
  return result();
}

void Run::heal_and_settle() {
  world_.trace.say([] { return std::string{"**** everything heals"}; });
  storm_->heal();
  if (!run_until(world_.scheduler.now() + second)) return;
  for (auto& client : clients_) client->stop_submitting();
  if (!settle("the healing")) return;
  compare_states();
  if (world_.plan.final_blackout && !world_.findings.any()) final_blackout();
}

// What clients were told has to survive the loss of power at all replicas at once.
void Run::final_blackout() {
  world_.trace.say([] { return std::string{"**** the final blackout"}; });
  std::vector<Node*> down;
  for (auto& node : nodes_) {
    if (!node->running()) continue;
    node->crash(0);
    down.push_back(node.get());
  }
  if (!down.empty()) world_.injected(Fault::blackout);
  for (Node* node : down) node->start();
  if (settle("the final blackout")) compare_states();
}

bool Run::settle(const char* after) {
  const Microseconds start = world_.scheduler.now();
  if (!run_while_not(start + answer_limit, [this] { return outstanding() == 0; })) {
    stalled("liveness", fmt::format("{} requests are unanswered 120 s after {}", outstanding(), after));
    return false;
  }
  if (!run_while_not(start + agree_limit, [this] { return agreed(); })) {
    stalled("convergence", fmt::format("replicas stand apart 180 s after {}", after));
    return false;
  }
  return true;
}

// Whether anything is expected of it.
bool Run::bound(const Node& node) const {
  return node.running() && !world_.plan.lies(node.id().value);
}

bool Run::agreed() const {
  return std::all_of(nodes_.begin(), nodes_.end(), [this](const auto& node) {
    return !bound(*node) || node->status().executed.value == world_.checkers.agreement.last();
  });
}

std::size_t Run::outstanding() const {
  std::size_t count = 0;
  for (const auto& client : clients_) count += client->faulty() ? 0 : client->outstanding();
  return count;
}

void Run::stalled(const char* invariant, const std::string& what) {
  if (world_.findings.any()) return;
  std::vector<std::uint32_t> behind;
  for (const auto& node : nodes_) {
    if (bound(*node) && node->status().executed.value < world_.checkers.agreement.last()) {
      behind.push_back(node->id().value);
    }
  }
  world_.findings.report({invariant, world_.checkers.agreement.last(), behind, what + "\n" + standing()});
}

std::string Run::standing() const {
  std::string text;
  for (const auto& node : nodes_) {
    if (!node->running()) {
      text += fmt::format("    replica {}: down\n", node->id().value);
      continue;
    }
    const ReplicaStatus status = node->status();
    text += fmt::format(
        "    replica {}{}: view {}{} executed {} committed {} stable {} accepted {} queued {} sessions {}{} {}\n",
        node->id().value, world_.plan.lies(node->id().value) ? " (lies)" : "", status.view.value,
        status.active ? "" : " inactive", status.executed.value, status.committed.value, status.stable.value,
        status.last_accepted.value, status.queued_requests, status.sessions, status.catching_up ? " catching up" : "",
        status.waiting_for);
  }
  for (const auto& client : clients_) {
    if (client->outstanding() > 0 && !client->faulty()) {
      text += fmt::format("    {} outstanding, oldest: {}\n", client->outstanding(), client->oldest());
    }
  }
  return text;
}

void Run::compare_states() {
  const Node* first = nullptr;
  for (const auto& node : nodes_) {
    if (!bound(*node)) continue;
    for (const std::string& key : world_.checkers.model.keys()) {
      if (node->value(key) == world_.checkers.model.value(key)) continue;
      world_.findings.report(
          {"model",
           world_.checkers.agreement.last(),
           {node->id().value},
           fmt::format("key {} is \"{}\", the model says \"{}\"", key, node->value(key).value_or("(none)"),
                       world_.checkers.model.value(key).value_or("(none)"))});
    }
    if (first == nullptr) {
      first = node.get();
    } else if (node->state_digest() != first->state_digest()) {
      world_.findings.report({"state-digest",
                              world_.checkers.agreement.last(),
                              {first->id().value, node->id().value},
                              "states differ at the end"});
    }
  }
}

RunResult Run::result() const {
  RunResult result;
  result.seed = world_.plan.seed;
  result.plan = describe(world_.plan);
  result.hash = world_.trace.hash();
  result.findings = world_.findings.all();
  result.faults = world_.faults;
  result.lies = world_.lies;
  result.sometimes = world_.sometimes;
  result.sometimes.carried = world_.checkers.promises.carried();
  result.sometimes.gap_filled = world_.checkers.promises.filled();
  result.sometimes.view_crowded = world_.checkers.promises.crowded();
  result.simulated_us = world_.scheduler.now();
  result.events = world_.trace.events();
  result.frames = world_.network.frames();
  result.bytes = world_.network.bytes();
  result.batches = world_.checkers.agreement.last();
  result.checkpoints = world_.checkers.agreement.checkpoints();
  for (const auto& client : clients_) {
    result.answered += client->answered();
    result.abandoned += client->abandoned();
    result.latency_us += client->total_latency();
  }
  result.checked_reads = world_.checkers.outcomes.checked_reads();
  result.checked_writes = world_.checkers.outcomes.checked_writes();
  result.audited_promises = world_.checkers.promises.audited();
  result.new_views = world_.checkers.promises.new_views();
  for (const auto& node : nodes_) result.starts += node->starts();
  return result;
}

}  // namespace

RunResult run_plan(const Plan& plan, bool verbose, const Script& script) {
  return Run{plan, verbose}.go(script);
}
}  // namespace pbft::sim
