// Results are bounded in bytes: per session, per batch, and the same everywhere.
#include "node/execution/result_budget.h"

#include <catch2/catch.hpp>

#include "plugins/kv/operations.h"
#include "tests/execution/probe_plugin.h"
#include "tests/execution/replica.h"

using namespace pbft;
using namespace pbft::execution;
using Catch::Matchers::Contains;
namespace kv = pbft::kv;

namespace {

constexpr std::size_t most = Limits::max_result_bytes;

Execute with_low(Execute what, const ClientId& client, SessionId session, RequestNumber::rep low) {
  what.sessions.push_back({client, session, RequestNumber{1}, RequestNumber{low}, what.n});
  return what;
}

// What a replica says and keeps: the replies, and the digest of state and client records.
struct Account {
  std::vector<std::pair<ReplyStatus, SharedBytes>> replies;
  Digest digest;
  bool operator==(const Account&) const = default;
};

// 300 gets of 100 kB in one batch, and as many in the next, where the client has confirmed the first ten.
Account many_gets(bool restarts) {
  Replica replica;
  const SessionId s = replica.open_session(alice, 1);
  replica.run(with_low(replica.effect({bundle(alice, s.value, {{1, kv::put("large", std::string(100'000, 'x'))}})}),
                       alice, s, 1));
  Account account;
  for (const RequestNumber::rep first : {2, 302}) {
    if (restarts) replica.restart();
    std::vector<Made> gets;
    for (RequestNumber::rep i = 0; i < 300; ++i) gets.push_back({first + i, kv::get("large")});
    Execute what = with_low(replica.effect({bundle(alice, s.value, gets)}), alice, s, first == 2 ? 2 : 12);
    for (const OutgoingReply& reply : replica.run(what)) account.replies.emplace_back(reply.status, reply.result);
    if (restarts) replica.restart();
  }
  account.digest = *replica.disk.store->recompute_state_digest();

  std::size_t kept = 0;
  const storage::ClientRecords records = replica.client_records();
  const auto& replies = records.sessions.at(0).replies;
  for (const auto& reply : replies) kept += reply.result.size();
  CHECK(replies.size() == 590);
  CHECK(kept <= ResultBudget::session_bytes + 1024 * ResultBudget::small_bytes);
  for (std::size_t i : {12U, 301U, 302U, 311U, 312U, 601U}) {
    CAPTURE(i);
    CHECK(replica.cached(alice, s, i).substr(0, 9) == (i >= 302 && i <= 311 ? "ok:xxxxxx" : "failed:to"));
  }
  return account;
}

}  // namespace

TEST_CASE("budget: small results are free", "[budget]") {
  ResultBudget budget;
  for (int i = 0; i < 100'000; ++i) REQUIRE_FALSE(budget.take(ResultBudget::small_bytes, most));
  CHECK_FALSE(budget.take(most, 0));
}

TEST_CASE("budget: a session's large results together", "[budget]") {
  ResultBudget budget;
  CHECK_FALSE(budget.take(most, 0));
  CHECK_FALSE(budget.take(most - 1000, 1000));
  const auto refusal = budget.take(most - 1000, 1001);
  REQUIRE(refusal);
  CHECK_THAT(*refusal, Contains("too many large results wait to be confirmed") && Contains("send fewer at once"));
  CHECK_FALSE(ResultBudget::is_large(refusal->size()));
}

TEST_CASE("budget: a batch's large results together", "[budget]") {
  ResultBudget budget;
  for (std::size_t i = 0; i < 15; ++i) REQUIRE_FALSE(budget.take(most, 0));
  CHECK(budget.take(2000, most));  // refused, so not counted
  CHECK_FALSE(budget.take(most - 257, 0));
  CHECK_FALSE(budget.take(257, 0));
  const auto refusal = budget.take(257, 0);
  REQUIRE(refusal);
  CHECK_THAT(*refusal, Contains("too many large results") && Contains("try again"));
  CHECK_FALSE(ResultBudget::is_large(refusal->size()));
  CHECK_FALSE(budget.take(256, 0));
}

TEST_CASE("executor: hundreds of large results in one batch, on two replicas, one restarting", "[executor][budget]") {
  const Account steady = many_gets(false);
  CHECK(many_gets(true) == steady);
  REQUIRE(steady.replies.size() == 600);
  for (std::size_t i = 0; i < 600; ++i) {
    const auto& [status, bytes] = steady.replies[i];
    CAPTURE(i);
    const bool fits = i % 300 < 10;  // ten of 100 kB are the most below 1 MiB
    CHECK((status == ReplyStatus::ok) == fits);
    if (fits) CHECK(bytes.size() == 100'000);
    if (!fits) CHECK_THAT(std::string(as_text(bytes.view())), Contains("too many large results wait to be confirmed"));
  }
}

TEST_CASE("executor: a result without room takes its operation's changes back", "[executor][budget]") {
  Replica replica(pbft::plugin::table<Probe>());
  const SessionId s = replica.open_session(alice, 1);
  const auto replies = replica.run({bundle(alice, s.value,
                                           {{1, "put_then_result 600000"},
                                            {2, "put_then_result 500000"},
                                            {3, "put_then_result 400000"},
                                            {4, "put_then_result 256"},
                                            {5, "put_then_result 257000"}})});
  REQUIRE(replies.size() == 5);
  const std::vector<bool> fits{true, false, true, true, false};
  for (std::size_t i = 0; i < fits.size(); ++i) CHECK((replies[i].status == ReplyStatus::ok) == fits[i]);
  CHECK(replica.state("b") == "256");
  CHECK_THAT(replica.cached(alice, s, 2), Contains("failed:too many large results wait to be confirmed"));
}

TEST_CASE("executor: a client that confirms each result may have any size", "[executor][budget]") {
  Replica replica(pbft::plugin::table<Probe>());
  const SessionId s = replica.open_session(alice, 1);
  for (RequestNumber::rep i = 1; i <= 20; ++i) {
    if (i % 7 == 0) replica.restart();
    const auto replies =
        replica.run(with_low(replica.effect({bundle(alice, s.value, {{i, ask_result(most)}})}), alice, s, i));
    CHECK(replies.at(0).status == ReplyStatus::ok);
    CHECK(replies.at(0).result.size() == most);
  }
  // Small ones that wait are no obstacle; a large one that waits is, until it is confirmed, after a restart too.
  replica.run(with_low(replica.effect({bundle(alice, s.value, {{21, ask_result(256)}})}), alice, s, 21));
  CHECK(replica.run({bundle(alice, s.value, {{22, ask_result(most)}})}).at(0).status == ReplyStatus::ok);
  replica.restart();
  CHECK(replica.run({bundle(alice, s.value, {{23, ask_result(257)}})}).at(0).status == ReplyStatus::failed);
  CHECK(replica.run({bundle(alice, s.value, {{24, ask_result(256)}})}).at(0).status == ReplyStatus::ok);
  const auto after = with_low(replica.effect({bundle(alice, s.value, {{25, ask_result(257)}})}), alice, s, 23);
  CHECK(replica.run(after).at(0).status == ReplyStatus::ok);
}

TEST_CASE("executor: the largest record of a session can be transferred", "[budget]") {
  // All results in it are as large as those may be that have no record of their own.
  const auto full = [](std::uint64_t window) {
    storage::SessionRecord record{{alice, SessionId{1}, RequestNumber{1}, RequestNumber{1}, SequenceNumber{1}}, {}};
    for (std::uint64_t i = 1; i <= window; ++i) {
      record.replies.push_back({RequestNumber{i}, ReplyStatus::ok, Bytes(storage::inline_result_bytes)});
    }
    return storage::encode_session(record).size();
  };
  CHECK(full(1024) <= 75 * 1024);  // what a batch writes of a session that it touches, with the default
  CHECK(full(ResultBudget::largest_session_window) <= Limits::max_value_bytes);
  CHECK(full(131'072) > Limits::max_value_bytes);
  // The others are values of their own.
  CHECK(most <= Limits::max_value_bytes);
  CHECK(storage::result_key(alice, SessionId{1}, RequestNumber{1}).size() <= Limits::max_key_bytes);
}

TEST_CASE("executor: the large results of one batch, over all sessions", "[executor][budget]") {
  Replica replica(pbft::plugin::table<Probe>());
  std::vector<BundlePtr> bundles;
  for (std::uint8_t i = 1; i <= 18; ++i) {
    const SessionId s = replica.open_session(client_id(i), 1);
    bundles.push_back(bundle(client_id(i), s.value, {{1, i == 18 ? ask_result(256) : "put_then_result 1048576"}}));
  }
  const auto replies = replica.run(bundles);
  REQUIRE(replies.size() == 18);
  for (std::size_t i = 0; i < 18; ++i) CHECK((replies[i].status == ReplyStatus::ok) == (i != 16));
  CHECK_THAT(text(replies[16]), Contains("too many large results") && Contains("try again"));
  // The next batch has a budget of its own.
  const SessionId refused = replies[16].session;
  CHECK(replica.run({bundle(client_id(17), refused.value, {{2, ask_result(most)}})}).at(0).status == ReplyStatus::ok);
}
