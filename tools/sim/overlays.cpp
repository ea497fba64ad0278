#include "tools/sim/overlays.h"

#include <algorithm>
#include <array>

#include "tools/sim/random.h"

namespace pbft::sim {
namespace {

std::size_t bad(const Plan& plan) {
  return plan.dead.size() + plan.wiped.size() + plan.liars.size();
}

std::uint32_t any_good(const Plan& plan, Random& random) {
  std::vector<std::uint32_t> good;
  for (std::uint32_t i = 0; i < plan.cluster.replicas; ++i) {
    if (!plan.dead.contains(i) && !plan.wiped.contains(i) && !plan.lies(i)) good.push_back(i);
  }
  return random.pick(good);
}

// ---- Sizes -------------------------------------------------------------------------------------------

// As many bad ones as the size allows, and none that are not there.
void fit_victims(Plan& plan) {
  const auto beyond = [&plan](std::uint32_t replica) { return replica >= plan.cluster.replicas; };
  std::erase_if(plan.dead, beyond);
  std::erase_if(plan.wiped, beyond);
  std::erase_if(plan.liars, [&](const auto& liar) { return beyond(liar.first); });
  while (bad(plan) > plan.f()) {
    if (!plan.dead.empty()) {
      plan.dead.erase(plan.dead.begin());
    } else if (!plan.wiped.empty()) {
      plan.wiped.erase(plan.wiped.begin());
    } else {
      plan.liars.erase(plan.liars.begin());
    }
  }
  if (plan.wiped.empty()) plan.of(Fault::wiped_disk) = {};
}

void lay_size(Plan& plan, const std::vector<std::uint32_t>& sizes, Random& random) {
  plan.cluster.replicas = random.pick(sizes);
  fit_victims(plan);
  while (bad(plan) < plan.f() && random.chance(700)) {
    const std::uint32_t replica = any_good(plan, random);
    if (random.chance(300)) {
      plan.dead.insert(replica);
    } else {
      plan.liars[replica] = {static_cast<Lie>(random.below(drawn_lie_count))};
    }
  }
  // The bound of draw_timeouts, for as many bad primaries in a row as there may be.
  const Microseconds most = 60 * second / (2 * plan.f() + 1);
  LocalParameters& local = plan.local;
  local.view_timeout_max_ticks =
      std::min(local.view_timeout_max_ticks, static_cast<std::uint32_t>(std::max(most, plan.tick) / plan.tick));
  local.view_timeout_ticks = std::min(local.view_timeout_ticks, local.view_timeout_max_ticks);
}

// ---- Hours -------------------------------------------------------------------------------------------

// What lasted so many ticks lasts as long with another tick.
void change_tick(Plan& plan, Microseconds tick) {
  LocalParameters& local = plan.local;
  for (std::uint32_t* ticks : {&local.status_interval_ticks, &local.idle_status_interval_ticks,
                               &local.fetch_timeout_ticks, &local.view_timeout_ticks, &local.view_timeout_max_ticks}) {
    *ticks = static_cast<std::uint32_t>(std::max<Microseconds>(2, *ticks * plan.tick / tick));
  }
  plan.tick = tick;
}

// About as many faults as in any other seed, and some times the work, in a hundred times the time: in between nothing
// goes wrong and at times nothing happens at all. What happens at a steady rate happens less often, for the cost.
void lay_hours(Plan& plan, Random& random) {
  const Microseconds usual = plan.duration;
  plan.duration = random.between(3'600, 7'200) * second;
  plan.pace = plan.duration / usual;
  for (Cadence& cadence : plan.cadence) {
    cadence.mean *= plan.pace;
    cadence.longest *= random.between(1, 10);
  }
  plan.dead_at *= plan.pace;
  // Clocks that are too far apart for any batch to be taken would stop everything, all the time.
  plan.clock_skew_max = std::min(plan.clock_skew_max, plan.cluster.max_clock_skew_us / 2);
  change_tick(plan, random.between(50, 100) * millisecond);
  plan.local.idle_status_interval_ticks = static_cast<std::uint32_t>(random.between(5, 15) * second / plan.tick);
  ClientPlan& clients = plan.clients;
  clients.operations = std::max(3 * clients.operations, 20 * clients.outstanding);
  clients.think_max = 200 * millisecond;
  clients.rests = static_cast<std::uint32_t>(random.between(20, 300));
  clients.rest_max = 2 * plan.duration * clients.outstanding / clients.operations * 1000 / clients.rests;
}

// ---- Lies --------------------------------------------------------------------------------------------

// Somebody tells this lie: one that lies anyway, or one more; the first primary more often than others.
void somebody_tells(Lie lie, Plan& plan, Random& random) {
  if (!plan.liars.empty() && (bad(plan) == plan.f() || random.chance(500))) {
    std::vector<Lie>& lies = plan.liars.begin()->second;
    if (std::find(lies.begin(), lies.end(), lie) == lies.end()) lies.push_back(lie);
    return;
  }
  if (bad(plan) == plan.f()) {
    (plan.dead.empty() ? plan.wiped : plan.dead).clear();
    if (plan.wiped.empty()) plan.of(Fault::wiped_disk) = {};
  }
  const bool first = random.chance(400) && !plan.dead.contains(0) && !plan.wiped.contains(0) && !plan.lies(0);
  plan.liars[first ? 0 : any_good(plan, random)] = {lie};
}

void lay_twins(Plan& plan, Random& random) {
  plan.twins_change = random.between(1, 6) * second * plan.pace;
  somebody_tells(Lie::twins, plan, random);
}

// Replicas that fall behind what is kept, and a source that lies to them.
void lay_transfers(Plan& plan, Random& random) {
  plan.ledger_keep = random.between(1, plan.cluster.checkpoint_interval);
  plan.local.transfer_above = plan.cluster.checkpoint_interval;
  if (plan.of(Fault::isolate).mean == 0) plan.of(Fault::isolate) = {4 * second * plan.pace, 8 * second};
  somebody_tells(Lie::wrong_transfer, plan, random);
}

}  // namespace

void lay_over(Plan& plan, const Shares& shares) {
  Random sizes = Random::stream(plan.seed, "sizes");
  if (!shares.sizes.empty()) lay_size(plan, shares.sizes, sizes);
  Random hours = Random::stream(plan.seed, "hours");
  if (hours.below(1000) < 10 * shares.hours) lay_hours(plan, hours);
  if (plan.f() > 0) {
    Random twins = Random::stream(plan.seed, "twins");
    if (twins.below(1000) < 40) lay_twins(plan, twins);
    Random transfers = Random::stream(plan.seed, "transfers");
    if (transfers.below(1000) < 40) lay_transfers(plan, transfers);
  }
  // Every batch is written, or in the course of an interval now and then, or only at checkpoints.
  constexpr std::array<std::size_t, 4> gathers{0, 2'000, 64U << 20, 64U << 20};
  Random storage = Random::stream(plan.seed, "gather");
  plan.gather_bytes = gathers[storage.below(gathers.size())];
  plan.checkpoint_pairs = storage.chance(500) ? storage.between(1, 4) : 128;
  if (storage.chance(300)) plan.write_bytes = storage.between(50, 2'000);
  // All are as old as the last checkpoint, as the last few, or of any age.
  constexpr std::array<std::size_t, 4> rows{4'096, 700, 16, 1};
  Random turns = Random::stream(plan.seed, "rows");
  plan.tree_rows = rows[turns.below(rows.size())];
  plan.pairs_per_row = turns.chance(500) ? 1 : 8;
  Random table = Random::stream(plan.seed, "table");
  if (table.chance(500)) plan.table_bytes = table.between(500, 6'000);
  plan.rocksdb = Random::stream(plan.seed, "rocksdb").below(100) < shares.rocksdb;
  if (shares.crypto) plan.ed25519 = Random::stream(plan.seed, "crypto").below(100) < *shares.crypto;
}

}  // namespace pbft::sim
