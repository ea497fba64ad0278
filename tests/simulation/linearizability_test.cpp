#include "tools/sim/checkers/linearizability.h"

#include <catch2/catch.hpp>

#include "tests/simulation/history_maker.h"
#include "tools/sim/checkers/exactly_once.h"
#include "tools/sim/random.h"

using namespace pbft;
using namespace pbft::sim;
using namespace pbft::sim::testing;

namespace {

using Times = std::pair<std::uint64_t, std::uint64_t>;

ClientOperation known(Times times, const KvOperation& operation, const KvAnswer& answer) {
  return {0, operation, times.first, times.second, answer};
}
ClientOperation unknown(std::uint64_t called, const KvOperation& operation) {
  return {0, operation, called, std::nullopt, {}};
}
KvOperation cas(const std::string& key, std::optional<std::string> expected, const std::string& value) {
  KvOperation operation = put(key, value);
  operation.kind = KvOperation::Kind::cas;
  operation.expected = std::move(expected);
  return operation;
}
KvOperation removal(const std::string& key) {
  KvOperation operation = get(key);
  operation.kind = KvOperation::Kind::remove;
  return operation;
}

std::string judge(const std::vector<ClientOperation>& history, std::size_t possibilities = 1'000'000) {
  Findings findings;
  check_linearizability(history, findings, {possibilities});
  return first_finding(findings);
}
std::string count_effects(const std::vector<ClientOperation>& history) {
  Findings findings;
  check_exactly_once(history, findings);
  return first_finding(findings);
}

const std::string good;
const std::string bad = "linearizability";

}  // namespace

TEST_CASE("operations one after the other") {
  CHECK(judge({}) == good);
  CHECK(judge({known({1, 2}, put("k", "a"), ok()), known({3, 4}, get("k"), ok("a"))}) == good);
  CHECK(judge({known({1, 2}, get("k"), failed())}) == good);
  CHECK(judge({known({1, 2}, put("k", "a"), ok()), known({3, 4}, put("other", "b"), ok()),
               known({5, 6}, get("k"), ok("a"))}) == good);
}

TEST_CASE("a read that misses a write that was answered before it") {
  const auto first = known({1, 2}, put("k", "a"), ok());
  const auto second = known({3, 4}, put("k", "b"), ok());
  CHECK(judge({first, second, known({5, 6}, get("k"), ok("a"))}) == bad);
  CHECK(judge({first, second, known({5, 6}, get("k"), failed())}) == bad);
  CHECK(judge({first, second, known({4, 6}, get("k"), ok("a"))}) == good);  // it overlaps by an instant
  CHECK(judge({first, second, known({5, 6}, get("k"), ok("b"))}) == good);
}

TEST_CASE("reads go back in time") {
  const auto write = known({1, 10}, put("k", "a"), ok());
  CHECK(judge({write, known({2, 3}, get("k"), ok("a")), known({4, 5}, get("k"), failed())}) == bad);
  CHECK(judge({write, known({2, 3}, get("k"), failed()), known({4, 5}, get("k"), ok("a"))}) == good);
  CHECK(judge({write, known({2, 5}, get("k"), ok("a")), known({4, 6}, get("k"), failed())}) == good);
}

TEST_CASE("a value that nobody wrote, or not yet") {
  CHECK(judge({known({1, 2}, get("k"), ok("never"))}) == bad);
  CHECK(judge({known({1, 2}, get("k"), ok("a")), known({3, 4}, put("k", "a"), ok())}) == bad);
  CHECK(judge({known({1, 2}, get("k"), ok("a")), unknown(3, put("k", "a"))}) == bad);
}

TEST_CASE("a write that was acknowledged is lost") {
  const auto first = known({1, 2}, put("k", "a"), ok());
  CHECK(judge({first, known({3, 4}, removal("k"), ok("0"))}) == bad);
  CHECK(judge({first, known({3, 4}, cas("k", std::nullopt, "b"), ok())}) == bad);
  CHECK(judge({known({1, 2}, incr("n", 1), ok("1")), known({3, 4}, incr("n", 1), ok("1"))}) == bad);
}

TEST_CASE("a double effect") {
  CHECK(judge({known({1, 2}, incr("n", 1), ok("1")), known({3, 4}, get("n"), ok("2"))}) == bad);
  CHECK(judge({known({1, 2}, incr("n", 1), ok("2"))}) == bad);
  // The unknown one accounts for one further effect, and not for two.
  const auto maybe = unknown(1, incr("n", 1));
  CHECK(judge({known({1, 2}, incr("n", 1), ok("1")), maybe, known({3, 4}, get("n"), ok("2"))}) == good);
  CHECK(judge({known({1, 2}, incr("n", 1), ok("1")), maybe, known({3, 4}, get("n"), ok("3"))}) == bad);
  // A put comes back after it was overwritten.
  CHECK(judge({known({1, 2}, put("k", "a"), ok()), known({3, 4}, put("k", "b"), ok()), known({5, 6}, get("k"), ok("b")),
               known({7, 8}, get("k"), ok("a"))}) == bad);
}

TEST_CASE("an unknown operation takes effect late, once, or never") {
  const auto maybe = unknown(1, put("k", "late"));
  const auto write = known({2, 3}, put("k", "a"), ok());
  const auto see = [](std::uint64_t at, const std::string& value) { return known({at, at + 1}, get("k"), ok(value)); };
  CHECK(judge({maybe, write, see(4, "a"), see(6, "a")}) == good);
  CHECK(judge({maybe, write, see(4, "a"), see(6, "late"), see(8, "late")}) == good);
  CHECK(judge({maybe, write, see(4, "late"), see(6, "a")}) == bad);
  CHECK(judge({maybe, write, see(4, "late"), known({6, 7}, put("k", "b"), ok()), see(8, "late")}) == bad);
}

TEST_CASE("a value that nobody saw explains a comparison that fails") {
  const auto write = known({1, 2}, put("k", "a"), ok());
  const auto fails = known({4, 5}, cas("k", "a", "b"), failed());
  CHECK(judge({write, fails}) == bad);
  CHECK(judge({write, unknown(3, put("k", "unseen")), fails}) == good);
  CHECK(judge({write, unknown(6, put("k", "unseen")), fails}) == bad);
  CHECK(judge({write, unknown(3, removal("k")), fails}) == good);
  CHECK(judge({write, unknown(3, cas("k", "other", "c")), fails}) == bad);
}

TEST_CASE("comparisons that overlap: one of them wins") {
  const auto write = known({1, 2}, put("k", "a"), ok());
  CHECK(judge({write, known({3, 9}, cas("k", "a", "b"), ok()), known({3, 9}, cas("k", "a", "c"), failed())}) == good);
  CHECK(judge({write, known({3, 9}, cas("k", "a", "b"), ok()), known({3, 9}, cas("k", "a", "c"), ok())}) == bad);
  CHECK(judge({write, known({3, 9}, cas("k", "a", "b"), ok()), known({3, 9}, cas("k", "b", "a"), ok())}) == good);
}

TEST_CASE("many unknown operations do not multiply the possibilities") {
  std::vector<ClientOperation> history;
  for (std::uint64_t i = 0; i < 60; ++i) {
    history.push_back(unknown(i, put("k", "unknown" + std::to_string(i))));
    history.push_back(unknown(i, incr("n", 1)));
  }
  for (std::uint64_t i = 0; i < 60; ++i) {
    const std::uint64_t at = 100 + 10 * i;
    history.push_back(known({at, at + 1}, put("k", "known" + std::to_string(i)), ok()));
    history.push_back(known({at + 2, at + 3}, get("k"), ok("unknown" + std::to_string(i))));
    history.push_back(known({at, at + 1}, incr("n", 1), ok(std::to_string(2 * i + 2))));
  }
  CHECK(judge(history, 10'000) == good);
  history.push_back(known({900, 901}, incr("n", 1), ok("122")));
  CHECK(judge(history, 10'000) == bad);
  history.pop_back();
  history.push_back(known({900, 901}, get("k"), ok("unknown7")));
  CHECK(judge(history, 10'000) == bad);
}

TEST_CASE("what cannot be decided is said") {
  std::vector<ClientOperation> history;
  for (std::uint64_t i = 0; i < 16; ++i) {
    history.push_back(known({1, 100 + i}, put("k", "value" + std::to_string(i)), ok()));
  }
  CHECK(judge(history, 100) == "undecided");
  for (std::uint64_t i = 16; i < 65; ++i) {
    history.push_back(known({1, 100 + i}, put("k", "value" + std::to_string(i)), ok()));
  }
  CHECK(judge(history) == "undecided");
}

// ---- long histories, made by running operations at a moment between their call and their answer -----------------

namespace {

// Each lane's operations overlap those of the others. Some answers never arrive, of these some operations never ran.
std::vector<ClientOperation> long_history(std::uint64_t seed, std::size_t operations, std::uint64_t unknown_per_mille) {
  constexpr std::uint32_t lanes = 8;
  constexpr std::uint64_t keys = 12;
  Random random = Random::stream(seed, "history");
  std::map<std::string, std::optional<std::string>> state;
  std::vector<std::uint64_t> free(lanes, 0);
  std::vector<ClientOperation> history;
  for (std::uint64_t now = 1; history.size() < operations; now += 10) {
    const auto lane = static_cast<std::uint32_t>(random.below(lanes));
    if (free[lane] >= now) continue;
    const std::string key = "key" + std::to_string(random.below(keys));
    const std::string value = "value" + std::to_string(history.size());
    const std::optional<std::string>& current = state[key];
    const std::vector<KvOperation> choices{
        get(key),     put(key, value),     cas(key, current, value), cas(key, "something else", value),
        removal(key), incr("sum" + key, 1)};
    ClientOperation one{lane, random.pick(choices), 0, std::nullopt, {}};
    one.called = std::max(free[lane] + 1, now - std::min(now, random.below(60)));
    const bool lost = random.chance(unknown_per_mille);
    if (!lost || random.chance(500)) {
      std::optional<std::string>& held = state[one.operation.key];
      const KvApplied applied = kv_apply(one.operation, held);
      if (applied.writes) held = applied.value;
      one.answer = applied.answer;
    }
    free[lane] = now + random.below(60);
    if (!lost) one.returned = free[lane];
    history.push_back(one);
  }
  return history;
}

}  // namespace

TEST_CASE("100,000 operations of a correct run pass, and one wrong answer among them is found") {
  std::vector<ClientOperation> history = long_history(1, 100'000, 2);
  REQUIRE(judge(history) == good);
  REQUIRE(count_effects(history) == good);
  const std::size_t middle = history.size() / 2;
  const auto is_read = [](const ClientOperation& one) {
    return one.operation.read_only() && one.returned && one.answer.status == ReplyStatus::ok;
  };
  const auto start = history.begin() + static_cast<std::ptrdiff_t>(middle);
  const auto read = std::find_if(start, history.end(), is_read);
  const auto older = std::find_if(history.begin(), history.end(), [&](const ClientOperation& one) {
    return is_read(one) && one.operation.key == read->operation.key;
  });
  REQUIRE(older < read);
  read->answer = older->answer;
  CHECK(judge(history) == bad);
}

TEST_CASE("short correct runs with many unknown operations pass") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    INFO(seed);
    REQUIRE(judge(long_history(seed, 300, 100)) == good);
  }
}

TEST_CASE("exactly-once is counted") {
  const auto one = known({1, 2}, incr("n", 1), ok("1"));
  const auto two = known({3, 4}, incr("n", 1), ok("2"));
  const auto maybe = unknown(1, incr("n", 1));
  const auto total = [](const std::string& sum) { return known({9, 10}, get("n"), ok(sum)); };
  CHECK(count_effects({one, two, total("2")}) == good);
  CHECK(count_effects({one, two, total("1")}) == "exactly-once");
  CHECK(count_effects({one, two, total("3")}) == "exactly-once");
  CHECK(count_effects({one, two, maybe, total("3")}) == good);
  CHECK(count_effects({one, two, maybe, total("4")}) == "exactly-once");
  CHECK(count_effects({one, one}) == "exactly-once");
  CHECK(count_effects({one, known({3, 4}, get("n"), failed())}) == "exactly-once");

  const auto mark = [](const KvAnswer& answer) { return known({1, 2}, cas("m", std::nullopt, "x"), answer); };
  CHECK(count_effects({mark(ok()), known({3, 4}, get("m"), ok("x"))}) == good);
  CHECK(count_effects({mark(ok()), known({3, 4}, get("m"), failed())}) == "exactly-once");
  CHECK(count_effects({mark(failed())}) == "exactly-once");
  CHECK(count_effects({unknown(1, cas("m", std::nullopt, "x")), known({3, 4}, get("m"), failed())}) == good);
}

TEST_CASE("a history survives the file") {
  for (const ClientOperation& one : long_history(3, 200, 100)) {
    const auto read = from_line(to_line(one));
    REQUIRE(read.has_value());
    CHECK(read->operation == one.operation);
    CHECK(read->called == one.called);
    CHECK(read->returned == one.returned);
    if (one.returned) CHECK(kv_same(read->answer, one.answer));
  }
  for (const char* line : {"", "{}", "[1]", R"({"lane":1,"called":5,"do":"jump","key":"k"})",
                           R"({"lane":1,"called":5,"returned":4,"do":"get","key":"k","status":"ok","result":""})"}) {
    CHECK_FALSE(from_line(line).has_value());
  }
}
