// What the operations of a batch may read and write is bounded, and bounded alike on every replica.
#include "node/execution/work_budget.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <sstream>

#include "plugins/kv/operations.h"
#include "plugins/sdk/pbft/plugin.hpp"
#include "tests/execution/map_state.h"
#include "tests/execution/replica.h"

using namespace pbft;
using namespace pbft::execution;
using Catch::Matchers::Contains;
namespace kv = pbft::kv;

namespace {

// Counts what it is asked for. Operations: "walk" visits all of the state and gives how many pairs there are;
// "fill COUNT SIZE" writes values; "clear COUNT" erases them; "read COUNT" gets as often; "small" writes one.
struct Worker : pbft::plugin::StateMachine {
  static constexpr const char* name = "worker";
  static constexpr const char* version = "1.0.0";
  static inline std::size_t calls = 0;
  static inline std::size_t visits = 0;

  static std::string key(std::size_t i) { return "k" + std::to_string(100'000 + i); }

  std::string execute(const Context&, State& state, std::string_view operation) override {
    ++calls;
    std::istringstream in{std::string(operation)};
    std::string what;
    std::size_t first = 0;
    std::size_t second = 0;
    in >> what >> first >> second;
    std::size_t count = 0;
    if (what == "fill") {
      for (; count < first; ++count) state.put(key(count), std::string(second, 'v'));
    } else if (what == "clear") {
      for (; count < first; ++count) state.erase(key(count));
    } else if (what == "read") {
      for (; count < first; ++count) (void)state.get("k");
    } else if (what == "small") {
      state.put("small", "1");
    } else {
      return walk(state);
    }
    return std::to_string(count);
  }
  std::string query(const Context&, const ReadState& state, std::string_view) override {
    ++calls;
    return walk(state);
  }
  static std::string walk(const ReadState& state) {
    std::size_t count = 0;
    state.scan("", "", [&](std::string_view, std::string_view) {
      ++count;
      ++visits;
      return true;
    });
    return std::to_string(count);
  }
};

std::vector<Made> repeated(std::size_t count, const std::string& operation, RequestNumber::rep first = 1) {
  return std::vector<Made>(count, Made{first, operation});
}

struct WorkedReplica : Replica {
  WorkedReplica() : Replica(pbft::plugin::table<Worker>()) {
    Worker::calls = 0;
    Worker::visits = 0;
  }
  // `count` requests that are not kept with a session.
  std::vector<OutgoingReply> run_all(const std::vector<BundlePtr>& bundles) {
    Execute what = effect(bundles);
    for (RunRequest& entry : what.run) entry.cached = false;
    return run(what);
  }
};

std::size_t failures(const std::vector<OutgoingReply>& replies) {
  return static_cast<std::size_t>(
      std::count_if(replies.begin(), replies.end(), [](const auto& r) { return r.status == ReplyStatus::failed; }));
}

constexpr const char* too_much = "too much work at one time";

}  // namespace

TEST_CASE("work: a batch of scans ends where it has read enough", "[executor][work]") {
  WorkedReplica replica;
  CHECK(failures(replica.run_all({bundle(alice, 0, {{1, "fill 1000 1024"}})})) == 0);
  Worker::visits = 0;
  Worker::calls = 0;
  const auto replies = replica.run_all({bundle(alice, 0, repeated(1000, "walk")), bundle(bob, 0, {{1, "small"}})});
  constexpr std::size_t walk = 1000 * (1024 + 7 + WorkBudget::pair_bytes) + WorkBudget::call_bytes;
  constexpr std::size_t fit = WorkBudget::large_bytes / walk;
  CHECK(failures(replies) == 1000 - fit);
  CHECK(replies[fit - 1].status == ReplyStatus::ok);
  CHECK_THAT(text(replies[fit]), Contains(too_much));
  CHECK_FALSE(ResultBudget::is_large(replies[fit].result.size()));
  CHECK(Worker::calls == fit + 2);           // of alice's, the one that was ended was the last
  CHECK(Worker::visits < (fit + 1) * 1000);  // and it was ended on its way
  CHECK(replies.back().status == ReplyStatus::ok);
  CHECK(replica.state("small") == "1");
  // The next batch has as much again.
  CHECK(failures(replica.run_all({bundle(alice, 0, {{1, "walk"}})})) == 0);
}

TEST_CASE("work: an operation that is ended leaves nothing behind", "[executor][work]") {
  WorkedReplica replica;
  const auto replies = replica.run_all({bundle(alice, 0, {{1, "fill 49 1048576"}})});
  CHECK_THAT(text(replies[0]), Contains(too_much));
  CHECK(replica.state(Worker::key(0)) == "(none)");
  CHECK_THAT(text(replica.run_all({bundle(alice, 0, {{1, "read 100000"}})})[0]), Contains(too_much));
  CHECK(text(replica.run_all({bundle(alice, 0, {{1, "read 90000"}})})[0]) == "90000");
}

TEST_CASE("work: what the batch has erased costs the scans that come past it", "[executor][work]") {
  WorkedReplica replica;
  (void)replica.run_all({bundle(alice, 0, {{1, "fill 10000 1"}})});
  auto made = repeated(300, "walk");
  made.insert(made.begin(), Made{1, "clear 10000"});
  const auto replies = replica.run_all({bundle(alice, 0, made)});
  CHECK(replies[0].status == ReplyStatus::ok);
  CHECK(text(replies[1]) == "0");
  CHECK(failures(replies) > 200);
}

TEST_CASE("work: however much is asked for, all of a batch has its bound", "[executor][work]") {
  WorkBudget work;
  std::size_t taken = 0;
  while (!work.used_up()) {
    work.begin(0);
    while (work.take(WorkBudget::small_bytes / 4)) taken += WorkBudget::small_bytes / 4;
  }
  CHECK(taken <= WorkBudget::batch_bytes);
  work.begin(Limits::max_operation_bytes);
  CHECK_FALSE(work.take(0));
}

TEST_CASE("work: an operation writes what it brings with it in the last quarter", "[executor][work]") {
  WorkBudget work;
  work.begin(0);
  CHECK(work.take(WorkBudget::large_bytes));
  CHECK_FALSE(work.take(1));
  CHECK_FALSE(work.take(0));
  work.begin(1U << 20);
  CHECK(work.take(WorkBudget::call_bytes));
  CHECK(work.take(1U << 20));
  work.begin(100);
  CHECK_FALSE(work.take(1U << 20));
}

TEST_CASE("work: a read that runs alone has the same bound", "[executor][work]") {
  const auto plugin = *Plugin::from_table(pbft::plugin::table<Worker>(), "");
  MapState state;
  for (std::size_t i = 0; i < 50; ++i) state.put(as_bytes(Worker::key(i)), Bytes(1U << 20));
  const auto outcome = plugin->query({}, state, as_bytes("walk"));
  REQUIRE(outcome);
  CHECK_FALSE(outcome->ok);
  CHECK_THAT(std::string(as_text(outcome->result)), Contains(too_much));
}

TEST_CASE("work: the same operations fail after a restart", "[executor][work]") {
  const auto account = [](bool restarts) {
    Replica replica;
    const SessionId s = replica.open_session(alice, 1);
    std::vector<Made> puts;
    for (RequestNumber::rep i = 1; i <= 90; ++i)
      puts.push_back({i, kv::put("k" + std::to_string(i), std::string(90'000, 'x'))});
    replica.run({bundle(alice, s.value, puts)});
    if (restarts) replica.restart();
    std::vector<Made> scans;
    for (RequestNumber::rep i = 101; i <= 200; ++i) scans.push_back({i, kv::scan("", "", 0)});
    scans.push_back({201, kv::put("late", "1")});
    std::vector<std::string> said;
    for (const OutgoingReply& reply : replica.run({bundle(alice, s.value, scans)})) said.push_back(text(reply));
    CHECK_THAT(said.back(), Contains(too_much));
    if (restarts) replica.restart();
    CHECK(replica.state("late") == "(none)");
    return std::pair{said, *replica.disk.store->recompute_state_digest()};
  };
  CHECK(account(false) == account(true));
}
