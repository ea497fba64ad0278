// Twins (Bano et al., "Twins: BFT Systems Made Robust"): a faulty replica is two correct copies with one key, and all
// that is faulty is which copy hears whom. Small schedules of partitions, one after the other, all of them: the copies
// vote twice, propose different batches for one number, open a view each, and forget what the other copy promised, in
// every combination that a few rounds can show. Then everything heals, and what must hold has to hold.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <iostream>

#include "tools/sim/runner.h"

using namespace pbft;
using namespace pbft::sim;

namespace {

constexpr Microseconds round_length = 1'200 * millisecond;
constexpr std::uint32_t n = 4;

// Which group each process is in during one round; processes of different groups do not reach each other. The second
// copies have the numbers from n on. Clients reach all.
using Groups = std::vector<std::uint32_t>;
using Schedule = std::vector<Groups>;

struct Totals {
  std::uint64_t schedules = 0;
  std::uint64_t frames_of_copies = 0;
  std::uint64_t two_proposals = 0;
  std::uint64_t views_opened = 0;
  std::uint64_t carried = 0;
};

// No chance but the turns' and the clients', and timers that let every round see a view change or two.
Plan stage(std::uint64_t seed, const std::vector<std::uint32_t>& twins, std::size_t rounds) {
  Plan plan;
  plan.seed = seed;
  plan.cluster.replicas = n;
  plan.cluster.checkpoint_interval = 4;
  plan.cluster.window = 16;
  plan.local.max_batch_requests = 2;
  plan.local.pipeline = 3;
  plan.local.status_interval_ticks = 5;
  plan.local.idle_status_interval_ticks = 50;
  plan.tick = 20 * millisecond;
  plan.local.view_timeout_ticks = 15;
  plan.local.view_timeout_max_ticks = 60;
  plan.network.delay_max = 10 * millisecond;
  plan.clients.clients = 2;
  plan.clients.outstanding = 2;
  plan.clients.operations = 6 * static_cast<std::uint32_t>(rounds);
  plan.clients.think_max = 150 * millisecond;
  plan.clients.reads = 200;
  plan.duration = rounds * round_length;
  for (const std::uint32_t twin : twins) plan.liars[twin] = {Lie::twins};
  return plan;
}

void cut(World& world, const Groups& groups, Microseconds until) {
  for (Endpoint a = 0; a < groups.size(); ++a) {
    for (Endpoint b = 0; b < groups.size(); ++b) {
      if (groups[a] != groups[b]) world.network.cut(a, b, until, Fault::partition);
    }
  }
}

RunResult run(const Schedule& schedule, const std::vector<std::uint32_t>& twins, std::uint64_t seed) {
  return run_plan(stage(seed, twins, schedule.size()), false, [&schedule](World& world, auto&) {
    for (std::size_t round = 0; round < schedule.size(); ++round) {
      const Microseconds start = round * round_length;
      world.scheduler.at(start,
                         [&world, &groups = schedule[round], start] { cut(world, groups, start + round_length); });
    }
  });
}

std::string to_text(const Schedule& schedule) {
  std::string text;
  for (const Groups& groups : schedule) {
    for (const std::uint32_t group : groups) text += static_cast<char>('A' + group);
    text += ' ';
  }
  return text;
}

// All together, and every way to part the twin's copies into two of `groups` groups with the three others anywhere.
std::vector<Groups> partitions(std::uint32_t twin, std::uint32_t groups) {
  std::vector<Groups> all{Groups(n + 1, 0)};
  std::uint32_t ways = 1;
  for (std::uint32_t i = 1; i < n; ++i) ways *= groups;
  for (std::uint32_t way = 0; way < ways; ++way) {
    Groups one(n + 1, 0);
    one[n] = 1;
    std::uint32_t rest = way;
    for (std::uint32_t i = 0; i < n; ++i) {
      if (i == twin) continue;
      one[i] = rest % groups;
      rest /= groups;
    }
    all.push_back(std::move(one));
  }
  return all;
}

// The number of a schedule, in the base of the number of partitions, says what its rounds are.
Schedule schedule_of(std::uint64_t number, const std::vector<Groups>& choices, std::size_t rounds) {
  Schedule schedule;
  for (std::size_t round = 0; round < rounds; ++round, number /= choices.size()) {
    schedule.push_back(choices[number % choices.size()]);
  }
  return schedule;
}

void all_hold(std::uint32_t twin, std::uint32_t groups, std::size_t rounds, std::uint64_t slice, std::uint64_t slices,
              Totals& totals) {
  const std::vector<Groups> choices = partitions(twin, groups);
  std::uint64_t count = 1;
  for (std::size_t round = 0; round < rounds; ++round) count *= choices.size();
  for (std::uint64_t number = slice; number < count; number += slices) {
    const Schedule schedule = schedule_of(number, choices, rounds);
    const RunResult result = run(schedule, {twin}, number);
    INFO("twin " << twin << ", schedule " << number << ": " << to_text(schedule));
    const std::string found =
        result.findings.empty() ? "" : result.findings.front().invariant + ": " + result.findings.front().what;
    REQUIRE(found == "");
    ++totals.schedules;
    totals.frames_of_copies += result.lies[static_cast<std::size_t>(Lie::twins)];
    totals.two_proposals += result.sometimes.twins_differ > 0 ? 1 : 0;
    totals.views_opened += result.new_views;
    totals.carried += result.sometimes.carried;
  }
}

void show(const char* what, const Totals& totals) {
  std::cout << what << ": " << totals.schedules << " schedules, " << totals.two_proposals
            << " with two batches proposed for one number, " << totals.frames_of_copies
            << " frames of second copies heard, " << totals.views_opened << " new views checked, " << totals.carried
            << " slots carried\n";
}

std::uint64_t number_from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

}  // namespace

TEST_CASE("twins: the first primary has a twin; three rounds of every way to part the two") {
  Totals totals;
  all_hold(0, 2, 3, 0, 1, totals);
  show("twins", totals);
  CHECK(totals.schedules == 729);
  // Schedules in which the copies never differ would show nothing.
  CHECK(totals.two_proposals > 100);
  // About one each: in a few of them what was parted comes together without a new view.
  CHECK(totals.views_opened + 4 >= totals.schedules);
  CHECK(totals.carried > 100);
}

TEST_CASE("twins, teeth: with one twin more than f the same schedules show two batches for one number") {
  const std::vector<Groups> choices = partitions(0, 2);
  std::set<std::string> broken;
  for (std::uint64_t number = 0; number < 200 && !broken.contains("agreement"); ++number) {
    Schedule schedule = schedule_of(number, choices, 2);
    for (Groups& groups : schedule) groups.push_back(groups.back());  // the copies of the second twin: 1 here, 5 there
    for (Groups& groups : schedule) groups[1] = 0;
    for (const Finding& finding : run(schedule, {0, 1}, number).findings) broken.insert(finding.invariant);
  }
  CHECK(broken.contains("agreement"));
}

// PBFT_TWINS_SLICES=50 PBFT_TWINS_SLICE=3 runs the fourth of fifty parts of it.
TEST_CASE("twins at length: each replica in turn, three groups", "[.long]") {
  const std::uint64_t slices = std::max<std::uint64_t>(1, number_from_environment("PBFT_TWINS_SLICES", 1));
  const std::uint64_t slice = number_from_environment("PBFT_TWINS_SLICE", 0);
  Totals totals;
  for (std::uint32_t twin = 0; twin < n; ++twin) all_hold(twin, 3, 3, slice, slices, totals);
  show("twins at length", totals);
  CHECK(totals.schedules > 0);
}
