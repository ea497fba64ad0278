// The large results that all sessions keep together: bounded, a share for each, and the same for every replica whatever
// way its state has come to it.
#include <array>
#include <catch2/catch.hpp>
#include <random>

#include "node/execution/reply_cache.h"
#include "node/pbft/client_table.h"
#include "tests/execution/probe_plugin.h"
#include "tests/execution/replica.h"

using namespace pbft;
using namespace pbft::execution;
using Catch::Matchers::Contains;

namespace {

constexpr ResultBudget::Table small_table{4, 8'000};  // shares of 2,000

std::string result(std::size_t size) {
  return "result " + std::to_string(size);
}

// What one request of the session answers, where those below `low` are confirmed.
OutgoingReply ask(Replica& replica, const ClientId& client, SessionId session, RequestNumber::rep number,
                  std::size_t size, RequestNumber::rep low = 1) {
  Execute what = replica.effect({bundle(client, session.value, {{number, result(size)}})});
  what.sessions.push_back({client, session, RequestNumber{1}, RequestNumber{low}, what.n});
  return replica.run(what).at(0);
}

bool fits(const OutgoingReply& reply) {
  if (reply.status == ReplyStatus::ok) return true;
  CHECK_THAT(text(reply), Contains("too many large results wait to be confirmed in all sessions"));
  return false;
}

std::size_t kept_large(const Replica& replica) {
  std::size_t sum = 0;
  for (const storage::SessionRecord& record : replica.client_records().sessions) {
    for (const storage::CachedReply& reply : record.replies) {
      if (ResultBudget::is_large(reply.result.size())) sum += reply.result.size();
    }
  }
  return sum;
}

}  // namespace

TEST_CASE("cache: what all sessions keep is counted, whatever changes it", "[budget]") {
  const auto reply = [](RequestNumber::rep number, std::size_t size) {
    return storage::CachedReply{RequestNumber{number}, ReplyStatus::ok, Bytes(size)};
  };
  const SessionId a{1};
  const SessionId b{2};
  ReplyCache cache;
  const auto together = [&] { return cache.large_bytes(client_id(9), SessionId{9}, RequestNumber{1}).table; };
  cache.update(SessionUpdate{alice, a, RequestNumber{1}, RequestNumber{3}, SequenceNumber{1}});
  cache.update(SessionUpdate{bob, b, RequestNumber{1}, RequestNumber{1}, SequenceNumber{1}});
  REQUIRE(cache.add(alice, a, reply(4, 1'000)));
  REQUIRE(cache.add(alice, a, reply(3, 300)));
  REQUIRE(cache.add(alice, a, reply(5, 256)));
  REQUIRE(cache.add(bob, b, reply(1, 5'000)));
  REQUIRE(cache.add(alice, a, reply(2, 7'000)));  // below the low mark, so not kept
  CHECK(together() == 6'300);
  REQUIRE(cache.add(alice, a, reply(4, 400)));
  CHECK(together() == 5'700);
  const ResultBudget::Kept others = cache.large_bytes(alice, a, RequestNumber{4});
  CHECK(others.session == 300);
  CHECK(others.table == 5'300);
  cache.update(SessionUpdate{alice, a, RequestNumber{1}, RequestNumber{4}, SequenceNumber{2}});
  CHECK(together() == 5'400);
  cache.evict({bob, b});
  cache.evict({bob, b});
  CHECK(together() == 400);
  cache = ReplyCache(storage::ClientRecords{{}, {{{alice, a, {}, {}, {}}, {reply(1, 600), reply(2, 200)}}}});
  CHECK(together() == 600);
}

TEST_CASE("executor: the large results of all sessions, and each one's share", "[executor][budget]") {
  Replica replica(pbft::plugin::table<Probe>(), small_table);
  const SessionId a = replica.open_session(alice, 1);
  const SessionId b = replica.open_session(bob, 1);
  CHECK(fits(ask(replica, alice, a, 1, 7'000)));
  CHECK(fits(ask(replica, alice, a, 2, 1'000)));
  if (GENERATE(false, true)) replica.restart();

  CHECK_FALSE(fits(ask(replica, alice, a, 3, 257)));
  CHECK(fits(ask(replica, alice, a, 4, 256)));
  CHECK_FALSE(fits(ask(replica, bob, b, 1, 2'001)));
  CHECK(fits(ask(replica, bob, b, 2, 2'000)));
  CHECK_FALSE(fits(ask(replica, bob, b, 3, 257)));
  CHECK(kept_large(replica) == 10'000);

  SECTION("a confirmation makes room in its own batch") {
    CHECK(fits(ask(replica, alice, a, 5, 5'000, 2)));
    CHECK(kept_large(replica) == 8'000);
    CHECK_FALSE(fits(ask(replica, bob, b, 4, 2'001, 3)));
    CHECK(fits(ask(replica, bob, b, 5, 1'000, 3)));
  }
  SECTION("an eviction makes room in the next batch") {
    Execute last = replica.effect({bundle(bob, b.value, {{4, result(300)}})});
    last.evicted.push_back({alice, a});
    CHECK_FALSE(fits(replica.run(last).at(0)));
    CHECK(fits(ask(replica, bob, b, 5, 6'000)));
    CHECK_FALSE(fits(ask(replica, bob, b, 6, 257)));
  }
  SECTION("what a session leaves behind that goes in the batch that uses it does not count") {
    Execute last = replica.effect({bundle(alice, a.value, {{5, result(1'500)}})});
    last.sessions.push_back({alice, a, RequestNumber{1}, RequestNumber{5}, last.n});
    last.evicted.push_back({alice, a});
    CHECK(fits(replica.run(last).at(0)));
    CHECK(kept_large(replica) == 2'000);
    CHECK(fits(ask(replica, bob, b, 4, 6'000)));
  }
}

TEST_CASE("executor: clients that confirm nothing fill the table no further, and nobody's share",
          "[executor][budget]") {
  constexpr ResultBudget::Table table{40, 80'000};
  Replica replica(pbft::plugin::table<Probe>(), table);
  const SessionId s = replica.open_session(alice, 1);
  for (std::uint8_t i = 2; i <= 40; ++i) {
    const SessionId flooding = replica.open_session(client_id(i), 1);
    std::vector<Made> requests;
    for (RequestNumber::rep number = 1; number <= 30; ++number) requests.push_back({number, result(100 * number)});
    replica.run({bundle(client_id(i), flooding.value, requests)});
    REQUIRE(kept_large(replica) <= 2 * table.bytes);
  }
  CHECK(kept_large(replica) > table.bytes + table.bytes / 2);  // the flood came near it
  for (RequestNumber::rep number = 1; number <= 10; ++number) {
    CHECK(fits(ask(replica, alice, s, number, table.share_bytes(), number)));
    CHECK_FALSE(fits(ask(replica, alice, s, 100 + number, 257, number)));
  }
  CHECK(kept_large(replica) <= 2 * table.bytes);
}

namespace {

using Bundles = std::vector<BundlePtr>;
using Replies = std::vector<std::pair<ReplyStatus, SharedBytes>>;

// A replica whose client table is the core's. What came after its last checkpoint is lost with the power.
struct Member {
  static constexpr ResultBudget::Table budget{32, 32'000};
  ClusterParameters parameters;
  Replica replica{pbft::plugin::table<Probe>(), budget};
  std::optional<ClientTable> table;

  Member() {
    parameters.open_clients = true;
    parameters.max_sessions = budget.max_sessions;  // two for each client
    parameters.max_idle_clients = 4;
    parameters.session_window = 8;
    recover();
  }
  void recover() {
    const auto recovered = replica.disk.store->recover();
    REQUIRE(recovered);
    table.emplace(parameters, recovered->clients, recovered->sessions);
    replica.n = recovered->executed.value;
    replica.head = recovered->ledger_head;
  }
  void lose_power() {
    replica.executor.reset();
    replica.disk.store.reset();
    replica.disk.engine->lose_power(0);
    replica.restart();
    recover();
  }
  Replies run(const Bundles& bundles) {
    Execute what = replica.effect(bundles);
    what.run.clear();
    table->apply(what.n, *what.batch, what);
    Replies replies;
    for (const OutgoingReply& reply : replica.run(what)) replies.emplace_back(reply.status, reply.result);
    if (what.n.value % 16 == 0) REQUIRE(replica.disk.store->take_checkpoint(what.n, Epoch{1}, Digest{}));
    return replies;
  }
  Digest digest() const { return *replica.disk.store->recompute_state_digest(); }
};

// Batches of 24 clients: they open sessions, ask for results of many sizes, confirm some, and use what is evicted.
class Traffic {
 public:
  Bundles batch() {
    Bundles bundles;
    ++n_;
    for (std::size_t i = below(7); i > 0; --i) bundles.push_back(below(4) == 0 ? opening() : requests());
    return bundles;
  }

 private:
  struct Session {
    ClientId client;
    std::uint64_t id;
    RequestNumber::rep low = 1;
  };

  std::size_t below(std::size_t end) { return static_cast<std::size_t>(random_() % end); }

  BundlePtr opening() {
    const ClientId client = client_id(static_cast<std::uint8_t>(1 + below(24)));
    sessions_.push_back({client, n_});
    return bundle(client, 0, {{++opened_, "", RequestKind::open_session}});
  }
  BundlePtr requests() {
    if (sessions_.empty()) return opening();
    const std::size_t newest = std::min<std::size_t>(sessions_.size(), 40);
    Session& session = sessions_[sessions_.size() - 1 - below(newest)];
    session.low += below(3);
    std::vector<Made> made;
    for (std::size_t i = below(4); i > 0; --i) {
      constexpr std::array<std::size_t, 6> sizes{100, 257, 500, 999, 1'500, 6'000};
      made.push_back({session.low + below(9), result(sizes.at(below(sizes.size())))});
    }
    auto bundle = std::make_shared<Bundle>(*execution::bundle(session.client, session.id, made));
    bundle->low = RequestNumber{session.low};
    return bundle;
  }

  std::mt19937 random_{35};
  std::uint64_t n_ = 0;
  RequestNumber::rep opened_ = 0;
  std::vector<Session> sessions_;
};

std::size_t refusals(const Replies& replies) {
  std::size_t count = 0;
  for (const auto& [status, bytes] : replies) count += as_text(bytes.view()).find("in all sessions") < bytes.size();
  return count;
}

}  // namespace

TEST_CASE("executor: the same results are refused after a restart, a replay and a transfer", "[executor][budget]") {
  Traffic traffic;
  std::vector<Bundles> batches;
  std::vector<Replies> replies;
  Member steady;
  Member restarting;
  Member late;
  std::size_t refused = 0;
  for (std::size_t i = 0; i < 300; ++i) {
    CAPTURE(i);
    batches.push_back(traffic.batch());
    replies.push_back(steady.run(batches[i]));
    refused += refusals(replies[i]);
    REQUIRE(kept_large(steady.replica) <= 2 * Member::budget.bytes);

    if (i % 7 == 0) restarting.lose_power();
    for (std::size_t again = restarting.replica.n; again <= i; ++again) {
      REQUIRE(restarting.run(batches[again]) == replies[again]);
    }
    REQUIRE(restarting.digest() == steady.digest());

    if (i > 100) REQUIRE(late.run(batches[i]) == replies[i]);
    if (i == 100 || i == 200) {
      transfer(steady.replica, late.replica);
      late.recover();
    }
  }
  CHECK(late.digest() == steady.digest());
  CHECK(refused > 100);
  CHECK(kept_large(steady.replica) > Member::budget.bytes / 2);
}
