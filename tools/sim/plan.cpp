#include "tools/sim/plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "tools/sim/overlays.h"
#include "tools/sim/random.h"

namespace pbft::sim {
namespace {

void draw_cluster(Random& random, Plan& plan) {
  // Four is what most people run and gives the most seeds; 5 and 6 have quorums that are not 2f+1.
  const std::uint32_t sizes[] = {1, 4, 4, 4, 4, 4, 4, 5, 5, 6, 6, 7};
  plan.cluster.replicas = sizes[random.below(std::size(sizes))];
  plan.cluster.checkpoint_interval = random.between(4, 16);
  plan.cluster.window = plan.cluster.checkpoint_interval * random.between(2, 4);
  plan.cluster.session_window = random.chance(500) ? random.between(2, 8) : 64;
  plan.cluster.max_sessions = random.chance(250) ? random.between(2, 5) : 64;
  plan.cluster.max_clock_skew_us = random.between(1, 5) * second;
  plan.cluster.open_clients = random.chance(300);
  plan.cluster.signed_requests = random.chance(500);
  plan.final_blackout = random.chance(500);
  plan.ed25519 = random.chance(10);
}

// Some that are none of the others, and as many as the budget allows.
void draw_victims(Random& random, Plan& plan) {
  std::vector<std::uint32_t> free;
  for (std::uint32_t i = 0; i < plan.cluster.replicas; ++i) free.push_back(i);
  std::uint32_t budget = plan.f();
  const auto one = [&](bool rather_first = false) {
    const std::size_t at = rather_first && free.front() == 0 ? 0 : random.below(free.size());
    const std::uint32_t replica = free[at];
    free.erase(free.begin() + static_cast<std::ptrdiff_t>(at));
    --budget;
    return replica;
  };
  if (budget > 0 && random.chance(400)) {
    for (std::uint64_t count = random.between(1, budget); count > 0; --count) {
      // Most lies are worth more where the liar is the primary, and that begins as replica 0.
      std::vector<Lie>& lies = plan.liars[one(random.chance(400))];
      // One strategy alone shows what it can do; several meet in ways that nobody thinks of.
      const std::uint64_t kinds = random.chance(400) ? 1 : random.between(2, 5);
      for (std::uint64_t i = 0; i < kinds; ++i) {
        const auto lie = static_cast<Lie>(random.below(drawn_lie_count));
        if (std::find(lies.begin(), lies.end(), lie) == lies.end()) lies.push_back(lie);
      }
    }
  }
  if (budget > 0 && random.chance(200)) plan.wiped.insert(one());
  while (budget > 0 && random.chance(200)) plan.dead.insert(one());
  plan.dead_at = random.chance(500) ? random.below(plan.duration) : 0;
}

// The timers of the view change. The base is such that what an honest primary orders is through in time: four times
// the way of a batch and what waits before it, unless the seed is one of impatience. The maximum is bounded by the time
// that a healed cluster has: at worst f primaries in a row are bad, each costs a request's wait and then a wait for its
// new-view, and the first of these waits was begun before the healing: (2f + 1) maxima, 40 s at n = 7, and again as
// much where those who lag behind first have to join, are below the 120 s.
void draw_timeouts(Random& random, Plan& plan) {
  const ClientPlan& clients = plan.clients;
  const std::uint64_t in_flight = std::uint64_t{plan.local.pipeline} * plan.local.max_batch_requests;
  const std::uint64_t waits = 1 + std::uint64_t{clients.clients} * clients.outstanding / in_flight;
  const Microseconds way = 5 * (plan.network.delay_max + plan.turn_max) + 200 * millisecond;
  const Microseconds least = random.chance(100) ? 100 * millisecond : std::min(2 * way * waits, 2 * second);
  const Microseconds base = std::max(least, random.between(300, 2'000) * millisecond);
  const Microseconds most = random.between(4 * second, 8 * second);
  plan.local.view_timeout_ticks = static_cast<std::uint32_t>(base / plan.tick);
  plan.local.view_timeout_max_ticks = static_cast<std::uint32_t>(most / plan.tick);
}

// Where little of the ledger is kept, who falls behind needs the state itself.
void draw_history(Random& random, Plan& plan) {
  const std::uint64_t interval = plan.cluster.checkpoint_interval;
  plan.ledger_keep = random.chance(650) ? random.between(1, 2 * interval) : 0;
  plan.local.transfer_above = random.chance(500) ? random.between(interval, 3 * plan.cluster.window) : 100'000;
  plan.local.repair = random.chance(800);
}

void draw_local(Random& random, Plan& plan) {
  LocalParameters& local = plan.local;
  local.pipeline = static_cast<std::uint32_t>(random.between(1, 8));
  local.max_batch_requests = static_cast<std::uint32_t>(random.chance(500) ? random.between(1, 6) : 100);
  local.max_batch_bytes = random.chance(300) ? random.between(2'000, 6'000) : 1U << 20;
  local.max_queued_requests = random.chance(200) ? random.between(8, 32) : 10'000;
  local.max_queued_requests_per_client = random.chance(200) ? random.between(4, 8) : 1'000;
  local.status_interval_ticks = static_cast<std::uint32_t>(random.between(5, 40));
  local.idle_status_interval_ticks = static_cast<std::uint32_t>(random.between(30, 150));
  local.fetch_timeout_ticks = static_cast<std::uint32_t>(random.between(5, 40));
  plan.tick = random.between(5, 20) * millisecond;
  plan.turn_max = random.between(10, 1'000);
}

void draw_clients(Random& random, Plan& plan) {
  ClientPlan& clients = plan.clients;
  clients.clients = static_cast<std::uint32_t>(random.between(1, 8));
  clients.outstanding = static_cast<std::uint32_t>(random.between(1, 8));
  clients.operations = static_cast<std::uint32_t>(random.between(30, 400) / clients.clients) + 5;
  clients.keys = static_cast<std::uint32_t>(random.between(1, 6));
  // The work is spread over the time of the faults.
  clients.think_max = plan.duration * clients.outstanding / clients.operations;
  clients.reads = static_cast<std::uint32_t>(random.between(0, 600));
  clients.deadlines = random.chance(200) ? static_cast<std::uint32_t>(random.between(10, 300)) : 0;
  clients.max_value = random.chance(100) ? 4'000 : static_cast<std::uint32_t>(random.between(8, 64));
  clients.signatures = random.chance(200);
  if (random.chance(250)) clients.faulty = static_cast<std::uint32_t>(random.between(1, (clients.clients + 1) / 2));
}

void draw_network(Random& random, Plan& plan) {
  NetworkPlan& network = plan.network;
  network.delay_min = random.between(50, 500);
  network.delay_max = network.delay_min + (random.chance(300) ? random.between(1'000, 60'000) : random.below(3'000));
  if (random.chance(500))
    network.loss = static_cast<std::uint32_t>(random.chance(300) ? random.between(50, 300) : random.between(1, 50));
  if (random.chance(300)) network.duplicate = static_cast<std::uint32_t>(random.between(1, 200));
  if (random.chance(300)) network.slow = static_cast<std::uint32_t>(random.between(1, 100));
  network.slow_max = random.chance(300) ? 5 * second : random.between(10, 800) * millisecond;
  if (random.chance(200)) network.corrupt = static_cast<std::uint32_t>(random.between(1, 20));
  network.reorder = random.chance(500);
}

void draw_cadences(Random& random, Plan& plan) {
  const auto maybe = [&](Fault fault, std::uint64_t per_mille, Microseconds mean_min, Microseconds mean_max,
                         Microseconds longest) {
    const bool on = random.chance(per_mille);
    const Microseconds mean = random.between(mean_min, mean_max);
    const Microseconds lasts = longest == 0 ? 0 : random.between(longest / 20 + 1, longest);
    if (on) plan.of(fault) = {mean, lasts};
  };
  maybe(Fault::clog, 250, second, 8 * second, 3 * second);
  maybe(Fault::cut_one_way, 250, second, 8 * second, 5 * second);
  maybe(Fault::partition, 200, 2 * second, 10 * second, 6 * second);
  maybe(Fault::isolate, 250, 2 * second, 10 * second, 8 * second);
  maybe(Fault::client_cut, 200, second, 8 * second, 5 * second);
  maybe(Fault::type_lost, 200, second, 8 * second, 6 * second);
  maybe(Fault::late_subscription, 500, second, second, 500 * millisecond);
  maybe(Fault::crash, 350, 2 * second, 12 * second, 6 * second);
  maybe(Fault::crash_at_boundary, 350, 2 * second, 10 * second, 3 * second);
  maybe(Fault::blackout, 150, 5 * second, 15 * second, 3 * second);
  maybe(Fault::crash_loop, 150, 6 * second, 15 * second, 400 * millisecond);
  maybe(Fault::pause, 200, 2 * second, 10 * second, 4 * second);
  maybe(Fault::disk_error, 150, 5 * second, 15 * second, 3 * second);
  maybe(Fault::clock_jump, 150, 3 * second, 10 * second, 4 * second);
  maybe(Fault::client_restart, 150, 3 * second, 12 * second, 0);
  if (!plan.wiped.empty()) plan.of(Fault::wiped_disk) = {random.between(5, 15) * second, 3 * second};
  if (random.chance(300)) plan.clock_skew_max = random.chance(300) ? 8 * second : random.between(1, 900) * millisecond;
}

}  // namespace

Plan draw_plan(std::uint64_t seed, const Shares& shares) {
  Random random = Random::stream(seed, "plan");
  Plan plan;
  plan.seed = seed;
  plan.duration = random.between(12, 45) * second;
  draw_cluster(random, plan);
  draw_local(random, plan);
  draw_clients(random, plan);
  draw_network(random, plan);
  draw_timeouts(random, plan);
  draw_history(random, plan);
  draw_victims(random, plan);
  draw_cadences(random, plan);
  Random damage = Random::stream(seed, "damage");
  if (damage.chance(120)) plan.of(Fault::state_damaged) = {damage.between(3, 12) * second, 0};
  if (random.chance(30)) {  // now and then all is well: what goes wrong then is no matter of faults
    plan.network = NetworkPlan{};
    plan.cadence = {};
    plan.clock_skew_max = 0;
    plan.dead = {};
    plan.wiped = {};
    plan.liars = {};
    plan.clients.faulty = 0;
  }
  Random transfers = Random::stream(seed, "transfers");
  plan.local.transfer_bytes_per_tick = transfers.chance(500) ? transfers.between(32, 4'000) : 0;
  // A VIEW-CHANGE of these windows always has room; so it is taken to have none.
  Random crowds = Random::stream(seed, "crowds");
  if (crowds.chance(300)) plan.cluster.crowded_above = crowds.between(1, plan.cluster.window / 2);
  lay_over(plan, shares);
  return plan;
}

std::string describe(const Plan& plan) {
  std::string text = fmt::format(
      "n = {}, K = {}, L = {}, session window {}, sessions {}, pipeline {}, batch {} requests {} bytes, tick {} ms\n"
      "{} clients x {} operations, {} outstanding, {} keys, {} reads/1000, {}; signatures {}\n"
      "faults for {} s: delay {}..{} us, loss {}, duplicate {}, slow {} up to {} ms, corrupt {}, {}, skew {} ms{}\n"
      "view timeout {} to {} ms, ledger keeps {}, transfer above {} of {} bytes a tick; dead [{}]{}, wiped [{}], "
      "faulty clients {}\n",
      plan.cluster.replicas, plan.cluster.checkpoint_interval, plan.cluster.window, plan.cluster.session_window,
      plan.cluster.max_sessions, plan.local.pipeline, plan.local.max_batch_requests, plan.local.max_batch_bytes,
      plan.tick / millisecond, plan.clients.clients, plan.clients.operations, plan.clients.outstanding,
      plan.clients.keys, plan.clients.reads,
      plan.cluster.signed_requests ? "all sign"
      : plan.clients.signatures    ? "they sign"
                                   : "MACs",
      plan.ed25519 ? "Ed25519" : "simulated", plan.duration / second, plan.network.delay_min, plan.network.delay_max,
      plan.network.loss, plan.network.duplicate, plan.network.slow, plan.network.slow_max / millisecond,
      plan.network.corrupt, plan.network.reorder ? "reordering" : "in order", plan.clock_skew_max / millisecond,
      plan.final_blackout ? ", and a last loss of power" : "", plan.local.view_timeout_ticks * plan.tick / millisecond,
      plan.local.view_timeout_max_ticks * plan.tick / millisecond, plan.ledger_keep, plan.local.transfer_above,
      plan.local.transfer_bytes_per_tick, fmt::join(plan.dead, " "),
      plan.dead.empty() ? "" : fmt::format(" from {:.1f} s", static_cast<double>(plan.dead_at) / 1e6),
      fmt::join(plan.wiped, " "), plan.clients.faulty);
  text += fmt::format(
      "up to {} bytes of changes wait for a checkpoint, which writes {} pairs in a turn, {} bytes at once, and "
      "{} rows of the tree, or one for {} pairs; {} bytes of large results are kept\n",
      plan.gather_bytes, plan.checkpoint_pairs, plan.write_bytes, plan.tree_rows, plan.pairs_per_row, plan.table_bytes);
  if (plan.cluster.crowded_above > 0) {
    text += fmt::format("a view is crowded with more than {} votes in a view-change\n", plan.cluster.crowded_above);
  }
  if (plan.rocksdb) text += "stores on RocksDB, on a simulated file system\n";
  if (plan.pace > 1) {
    text += fmt::format("hours of it, with faults {} times as rare; rests of up to {} s after {} of 1000 answers\n",
                        plan.pace, plan.clients.rest_max / second, plan.clients.rests);
  }
  for (const auto& [replica, lies] : plan.liars) {
    text += fmt::format("  replica {} lies:", replica);
    for (const Lie lie : lies) text += fmt::format(" {},", to_string(lie));
    text.back() = '\n';
  }
  for (std::size_t i = 0; i < fault_count; ++i) {
    const Cadence& cadence = plan.cadence[i];
    if (cadence.mean == 0) continue;
    text += fmt::format("  {} about every {:.1f} s, up to {:.1f} s\n", to_string(static_cast<Fault>(i)),
                        static_cast<double>(cadence.mean) / 1e6, static_cast<double>(cadence.longest) / 1e6);
  }
  return text;
}

}  // namespace pbft::sim
