#include "node/execution/executor.h"

#include <catch2/catch.hpp>

#include "plugins/counter/counter.h"
#include "plugins/kv/operations.h"
#include "tests/execution/probe_plugin.h"
#include "tests/execution/replica.h"

using namespace pbft;
using namespace pbft::execution;
namespace kv = pbft::kv;

TEST_CASE("executor: requests of one batch see each other's writes", "[executor]") {
  Replica replica;
  const SessionId s = replica.open_session(alice, 1);
  const auto replies = replica.run({bundle(alice, s.value,
                                           {{1, kv::put("a", "1")},
                                            {2, kv::swap("a", "1", "2")},
                                            {3, kv::get("a"), RequestKind::query},
                                            {4, kv::swap("a", "1", "3")},
                                            {5, kv::scan("", "", 0)}}),
                                    bundle(alice, s.value, {{6, kv::increment("a", 5)}})});
  REQUIRE(replies.size() == 6);
  CHECK(text(replies[2]) == "2");
  CHECK(replies[3].status == ReplyStatus::failed);
  CHECK(kv::read_scan(text(replies[4]))->pairs == std::vector<std::pair<std::string, std::string>>{{"a", "2"}});
  CHECK(text(replies[5]) == "7");
  CHECK(replies[5].view == View{3});
  CHECK(replies[5].number == RequestNumber{6});
  CHECK(replica.state("a") == "7");
}

TEST_CASE("executor: what is not listed does nothing", "[executor]") {
  Replica replica(pbft_counter_plugin());
  const SessionId s = replica.open_session(alice, 1);
  replica.run({bundle(alice, s.value, {{1, "add 5"}})});
  Execute again = replica.effect({bundle(alice, s.value, {{1, "add 5"}, {2, "add 1"}})});
  again.run.erase(again.run.begin());
  CHECK(replica.run(again).size() == 1);
  CHECK(replica.state("count") == "6");
  CHECK(replica.run({bundle(alice, s.value, {})}).empty());
  CHECK(replica.state("count") == "6");
}

TEST_CASE("executor: a failed request leaves nothing behind, the others stand", "[executor]") {
  Replica replica(pbft::plugin::table<Probe>());
  const SessionId s = replica.open_session(alice, 1);
  const auto replies = replica.run(
      {bundle(alice, s.value,
              {{1, "put 1 2"}, {2, "put_then_fail"}, {3, "put 5000 1"}, {4, "result 1048577"}, {5, "put 2 3"}})});
  REQUIRE(replies.size() == 5);
  CHECK(replies[0].status == ReplyStatus::ok);
  CHECK(text(replies[1]) == "after a change");
  CHECK(replies[2].status == ReplyStatus::failed);
  CHECK(text(replies[3]) == "the result is larger than 1048576 bytes");
  CHECK(replies[4].status == ReplyStatus::ok);
  CHECK(replica.state("k") == "vv");
  CHECK(replica.state("kk") == "vvv");
  CHECK(replica.state("a") == "(none)");
}

TEST_CASE("executor: plugins see the batch's number and time", "[executor]") {
  Replica replica(pbft::plugin::table<Probe>());
  const SessionId s = replica.open_session(alice, 1);
  CHECK(text(replica.run({bundle(alice, s.value, {{1, "time"}})})[0]) == "2 2000");
  CHECK(replica.executor->query(alice, RequestNumber{1}, as_bytes("time")).result ==
        SharedBytes::own(to_bytes("2 2000")));
  replica.restart();
  CHECK(replica.executor->query(alice, RequestNumber{1}, as_bytes("time")).result ==
        SharedBytes::own(to_bytes("2 2000")));
}

TEST_CASE("executor: an ordered query cannot change the state", "[executor]") {
  Replica replica;
  const SessionId s = replica.open_session(alice, 1);
  const auto replies = replica.run({bundle(alice, s.value, {{1, kv::put("a", "1"), RequestKind::query}})});
  CHECK(replies[0].status == ReplyStatus::failed);
  CHECK(replica.state("a") == "(none)");
}

TEST_CASE("executor: the reply cache, before and after a restart", "[executor]") {
  Replica replica;
  const SessionId a = replica.open_session(alice, 7);
  const SessionId b = replica.open_session(bob, 7);
  replica.run({bundle(bob, b.value, {{1, kv::put("b", "x")}}), bundle(alice, a.value, {{2, kv::increment("n")}}),
               bundle(alice, a.value, {{1, kv::get("none")}})});
  for (int round = 0; round < 2; ++round) {
    CHECK(replica.cached(alice, a, 1) == "failed:no such key");
    CHECK(replica.cached(alice, a, 2) == "ok:1");
    CHECK(replica.cached(alice, a, 3) == "(none)");
    CHECK(replica.cached(bob, b, 1) == "ok:");
    CHECK(replica.cached(bob, a, 1) == "(none)");
    CHECK(replica.cached(alice, SessionId{0}, 7) == "ok:" + std::string("\0\0\0\0\0\0\0\x01", 8));
    CHECK(replica.cached(bob, SessionId{0}, 7) == "ok:" + std::string("\0\0\0\0\0\0\0\x02", 8));
    CHECK(replica.cached(alice, SessionId{0}, 8) == "(none)");
    replica.restart();
  }
  const auto recovered = replica.disk.store->recover();
  REQUIRE(recovered);
  REQUIRE(recovered->sessions.size() == 2);
  CHECK(recovered->sessions[0].session.client == alice);
  CHECK(recovered->sessions[0].executed == std::vector{RequestNumber{1}, RequestNumber{2}});
  REQUIRE(recovered->clients.size() == 2);
  CHECK(recovered->clients[1].last_session == b);
}

TEST_CASE("executor: replies below the low mark are forgotten", "[executor]") {
  Replica replica;
  const SessionId s = replica.open_session(alice, 1);
  replica.run({bundle(alice, s.value, {{1, kv::put("a", "1")}, {2, kv::get("a")}, {3, kv::increment("a")}})});
  Execute next = replica.effect({bundle(alice, s.value, {{2, kv::get("a")}, {4, kv::increment("a")}})});
  next.sessions.push_back({alice, s, RequestNumber{1}, RequestNumber{3}, next.n});
  CHECK(replica.run(next).size() == 2);
  for (int round = 0; round < 2; ++round) {
    CHECK(replica.cached(alice, s, 1) == "(none)");
    CHECK(replica.cached(alice, s, 2) == "(none)");
    CHECK(replica.cached(alice, s, 3) == "ok:2");
    CHECK(replica.cached(alice, s, 4) == "ok:3");
    replica.restart();
  }
}

TEST_CASE("executor: an evicted session is gone, with what its last batch did kept in the state", "[executor]") {
  Replica replica;
  const SessionId s = replica.open_session(alice, 1);
  Execute last = replica.effect({bundle(alice, s.value, {{1, kv::put("a", "1")}})});
  last.evicted.push_back({alice, s});
  CHECK(replica.run(last).size() == 1);
  for (int round = 0; round < 2; ++round) {
    CHECK(replica.cached(alice, s, 1) == "(none)");
    CHECK(replica.cached(alice, SessionId{0}, 1) == "(none)");
    CHECK(replica.state("a") == "1");
    replica.restart();
  }
  CHECK(replica.disk.store->recover()->sessions.empty());
}

TEST_CASE("executor: a session that one batch opens, uses and evicts leaves nothing", "[executor]") {
  Replica replica;
  Execute what = replica.effect(
      {bundle(alice, 0, {{5, "", RequestKind::open_session}}), bundle(alice, 1, {{1, kv::increment("a")}})});
  const SessionId s{what.n.value};
  what.run[0].decided = std::pair(ReplyStatus::ok, to_bytes("00000001"));
  what.sessions.push_back({alice, s, RequestNumber{5}, RequestNumber{1}, what.n});
  what.evicted.push_back({alice, s});
  SECTION("but its client") {
    what.clients.push_back({alice, RequestNumber{5}, s});
  }
  SECTION("and its client goes as well") {
    what.forgotten.push_back(alice);
  }
  const auto replies = replica.run(what);
  REQUIRE(replies.size() == 2);
  CHECK(text(replies[0]) == "00000001");
  CHECK(replies[1].session == s);
  CHECK(text(replies[1]) == "1");
  for (int round = 0; round < 2; ++round) {
    CHECK(replica.cached(alice, SessionId{0}, 5) == "(none)");
    CHECK(replica.cached(alice, s, 1) == "(none)");
    CHECK(replica.state("a") == "1");
    CHECK(replica.client_records().sessions.empty());
    CHECK(replica.client_records().clients.size() == what.clients.size());
    replica.restart();
  }
  CHECK(replica.disk.store->recover()->sessions.empty());
}

TEST_CASE("executor: an old session that one batch uses and evicts answers and leaves nothing", "[executor]") {
  Replica replica;
  const SessionId s = replica.open_session(alice, 1);
  const SessionId other = replica.open_session(alice, 2);
  replica.run({bundle(alice, s.value, {{1, kv::increment("a")}, {2, kv::increment("a")}})});
  if (GENERATE(false, true)) replica.restart();
  Execute last = replica.effect({bundle(alice, s.value, {{3, kv::increment("a")}, {4, kv::get("a")}})});
  last.sessions.push_back({alice, s, RequestNumber{1}, RequestNumber{2}, last.n});
  last.evicted.push_back({alice, s});
  const auto replies = replica.run(last);
  REQUIRE(replies.size() == 2);
  CHECK(text(replies[0]) == "3");
  CHECK(text(replies[1]) == "3");
  for (int round = 0; round < 2; ++round) {
    for (RequestNumber::rep number = 1; number <= 4; ++number) CHECK(replica.cached(alice, s, number) == "(none)");
    CHECK(replica.cached(alice, SessionId{0}, 1) == "(none)");
    CHECK(replica.cached(alice, SessionId{0}, 2) != "(none)");
    REQUIRE(replica.client_records().sessions.size() == 1);
    CHECK(replica.client_records().sessions[0].session.session == other);
    CHECK(replica.client_records().clients.size() == 1);
    replica.restart();
  }
}

TEST_CASE("executor: a client's record goes with its last session", "[executor]") {
  Replica replica;
  const SessionId a = replica.open_session(alice, 1);
  const SessionId b = replica.open_session(bob, 1);
  REQUIRE(replica.client_records().clients.size() == 2);
  Execute last = replica.effect({bundle(alice, a.value, {{1, kv::put("a", "1")}})});
  last.evicted.push_back({alice, a});
  last.forgotten = {alice};
  replica.run(last);
  for (int round = 0; round < 2; ++round) {
    const auto records = replica.client_records();
    REQUIRE(records.clients.size() == 1);
    CHECK(records.clients[0].client == bob);
    REQUIRE(records.sessions.size() == 1);
    CHECK(records.sessions[0].session.session == b);
    CHECK(replica.cached(alice, SessionId{0}, 1) == "(none)");
    const auto recovered = replica.disk.store->recover();
    REQUIRE(recovered);
    CHECK(recovered->clients.size() == 1);
    CHECK(recovered->sessions.size() == 1);
    replica.restart();
  }
  // It may come again, as one that nobody knows.
  const SessionId again = replica.open_session(alice, 1);
  replica.restart();
  CHECK(replica.cached(alice, SessionId{0}, 1) != "(none)");
  CHECK(again > a);
  CHECK(replica.client_records().clients.size() == 2);
}

TEST_CASE("executor: a client without sessions is forgotten", "[executor]") {
  Replica replica;
  const SessionId a = replica.open_session(alice, 1);
  replica.open_session(bob, 1);
  Execute evicting = replica.effect({});
  evicting.evicted.push_back({alice, a});
  replica.run(evicting);
  REQUIRE(replica.client_records().clients.size() == 2);
  Execute forgetting = replica.effect({});
  forgetting.forgotten = {alice};
  replica.run(forgetting);
  replica.restart();
  REQUIRE(replica.client_records().clients.size() == 1);
  CHECK(replica.client_records().clients[0].client == bob);
}

TEST_CASE("executor: a client keeps its record as long as it has a session", "[executor]") {
  Replica replica;
  const SessionId a = replica.open_session(alice, 1);
  // The batch evicts its only session, and then the client opens another one.
  Execute what = replica.effect({bundle(alice, 0, {{2, "", RequestKind::open_session}})});
  const SessionId b{what.n.value};
  what.run[0].decided = std::pair(ReplyStatus::ok, Bytes(8));
  what.clients.push_back({alice, RequestNumber{2}, b});
  what.sessions.push_back({alice, b, RequestNumber{2}, RequestNumber{1}, what.n});
  what.evicted.push_back({alice, a});
  replica.run(what);
  replica.restart();
  REQUIRE(replica.client_records().clients.size() == 1);
  CHECK(replica.client_records().clients[0].last_session == b);
  REQUIRE(replica.client_records().sessions.size() == 1);
  CHECK(replica.client_records().sessions[0].session.session == b);
}

TEST_CASE("executor: out of memory in the plugin is no result", "[executor]") {
  Replica replica(pbft::plugin::table<Probe>());
  const SessionId s = replica.open_session(alice, 1);
  const Execute what = replica.effect({bundle(alice, s.value, {{1, "put 1 2"}, {2, "exhaust"}, {3, "put 2 3"}})});
  Probe::memory_is_short = true;
  const auto stopped = replica.executor->execute(what);
  WorkBudget work;
  const auto read = replica.executor->try_query(alice, RequestNumber{1}, as_bytes("get"), work);
  Probe::memory_is_short = false;
  REQUIRE_FALSE(stopped);
  CHECK(stopped.error().kind == storage::StorageError::Kind::io);
  CHECK_THAT(stopped.error().message, Catch::Contains("out of memory in the plugin probe"));
  CHECK_FALSE(read);
  CHECK_FALSE(replica.executor->execute(what));  // not even where there is memory again

  replica.restart();
  CHECK(replica.disk.store->recover()->executed == SequenceNumber{1});
  CHECK(replica.state("k") == "(none)");
  CHECK(replica.cached(alice, s, 1) == "(none)");
  const auto replies = replica.run(what);
  CHECK(text(replies.at(1)) == "there was enough");
  CHECK(replica.state("kk") == "vvv");
}

TEST_CASE("executor: a refusal is sent and forgotten", "[executor]") {
  Replica replica;
  Execute what = replica.effect({bundle(alice, 99, {{1, kv::put("a", "1")}})});
  what.run[0].decided = std::pair(ReplyStatus::unknown_session, Bytes{});
  what.run[0].cached = false;
  const auto replies = replica.run(what);
  REQUIRE(replies.size() == 1);
  CHECK(replies[0].status == ReplyStatus::unknown_session);
  CHECK(replies[0].session == SessionId{99});
  CHECK(replica.cached(alice, SessionId{99}, 1) == "(none)");
  CHECK(replica.state("a") == "(none)");
}

TEST_CASE("executor: a batch survives a loss of power whole or not at all", "[executor]") {
  for (const bool survives : {false, true}) {
    CAPTURE(survives);
    Replica replica;
    const SessionId s = replica.open_session(alice, 1);
    REQUIRE(replica.disk.store->take_checkpoint(SequenceNumber{1}, Epoch{1}, replica.plugin->identity()));
    REQUIRE(replica.disk.engine->unsynced_writes() == 0);
    replica.run({bundle(alice, s.value, {{1, kv::put("a", "1")}, {2, kv::put("b", "2")}})});
    REQUIRE(replica.disk.engine->unsynced_writes() == 1);

    replica.executor.reset();
    replica.disk.store.reset();
    replica.disk.engine->lose_power(survives ? 1 : 0);
    replica.restart();
    CHECK(replica.disk.store->recover()->executed == SequenceNumber{survives ? 2U : 1U});
    CHECK(replica.state("a") == (survives ? "1" : "(none)"));
    CHECK(replica.state("b") == (survives ? "2" : "(none)"));
    CHECK(replica.cached(alice, s, 1) == (survives ? "ok:" : "(none)"));
    CHECK(replica.cached(alice, s, 2) == (survives ? "ok:" : "(none)"));

    // And goes on from there, to the same state.
    replica.n = survives ? 2 : 1;
    if (!survives) replica.run({bundle(alice, s.value, {{1, kv::put("a", "1")}, {2, kv::put("b", "2")}})});
    CHECK(replica.state("b") == "2");
  }
}

TEST_CASE("executor: a write that fails stops it for good", "[executor]") {
  Replica replica;
  const SessionId s = replica.open_session(alice, 1);
  const storage::StorageError full{storage::StorageError::Kind::no_space, "the disk is full"};
  replica.disk.engine->fail_writes(full);
  const Execute what = replica.effect({bundle(alice, s.value, {{1, kv::put("a", "1")}})});
  const auto refused = replica.executor->execute(what);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().kind == storage::StorageError::Kind::no_space);

  replica.disk.engine->fail_writes(std::nullopt);
  CHECK_FALSE(replica.executor->execute(what));
  WorkBudget work;
  CHECK_FALSE(replica.executor->try_query(alice, RequestNumber{1}, as_bytes(kv::get("a")), work));
  CHECK(replica.executor->query(alice, RequestNumber{1}, as_bytes(kv::get("a"))).status == ReplyStatus::busy);

  replica.restart();
  CHECK(replica.state("a") == "(none)");
  replica.run(what);
  CHECK(replica.state("a") == "1");
}

TEST_CASE("executor: batches come in order", "[executor]") {
  Replica replica;
  Execute skipped = replica.effect({});
  skipped.n = SequenceNumber{2};
  const auto refused = replica.executor->execute(skipped);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().kind == storage::StorageError::Kind::mismatch);

  replica.restart();
  Execute stray = replica.effect({bundle(alice, 5, {{1, kv::put("a", "1")}})});
  CHECK_FALSE(replica.executor->execute(stray));  // no such session
  replica.restart();
  Execute outside = replica.effect({bundle(alice, 5, {{1, kv::put("a", "1")}})});
  outside.run[0].request = 1;
  CHECK_FALSE(replica.executor->execute(outside));
}

TEST_CASE("executor: reads answer from the executed state", "[executor]") {
  Replica replica;
  const SessionId s = replica.open_session(alice, 1);
  replica.run({bundle(alice, s.value, {{1, kv::put("a", "1")}})});
  const ReadReply reply = replica.executor->query(bob, RequestNumber{44}, as_bytes(kv::get("a")));
  CHECK(reply.number == RequestNumber{44});
  CHECK(reply.status == ReplyStatus::ok);
  CHECK(reply.executed == SequenceNumber{2});
  CHECK(as_text(reply.result.view()) == "1");
  CHECK(replica.executor->query(bob, RequestNumber{45}, as_bytes(kv::put("a", "2"))).status == ReplyStatus::failed);
  CHECK(replica.state("a") == "1");
}

TEST_CASE("executor: the same batches give the same digest", "[executor]") {
  const auto run = [](bool restarts) {
    Replica replica;
    const SessionId s = replica.open_session(alice, 1);
    for (RequestNumber::rep i = 1; i <= 20; ++i) {
      replica.run({bundle(alice, s.value, {{i, kv::increment("n" + std::to_string(i % 3))}})});
      if (restarts && i % 4 == 0) replica.restart();
    }
    const auto digest = replica.disk.store->recompute_state_digest();
    REQUIRE(digest);
    return *digest;
  };
  CHECK(run(false) == run(true));
}

TEST_CASE("executor: it goes on from a state that was installed, whatever stopped it before", "[executor]") {
  Replica others;
  const SessionId s = others.open_session(alice, 1);
  others.run({bundle(alice, s.value, {{1, kv::put("a", "1")}, {2, kv::get("a"), RequestKind::query}})});
  others.run({bundle(alice, s.value, {{3, kv::put("b", "2")}})});
  Replica replica;
  const SessionId own = replica.open_session(alice, 1);
  REQUIRE(replica.disk.store->mark_damaged());
  const Execute refused = replica.effect({bundle(alice, own.value, {{1, kv::put("a", "1")}})});
  CHECK(replica.executor->execute(refused).error().kind == storage::StorageError::Kind::damaged);
  replica.restart();
  CHECK(replica.cached(alice, own, 1) == "(none)");

  transfer(others, replica);
  CHECK(replica.cached(alice, s, 2) == "ok:1");
  CHECK(text(replica.run({bundle(alice, s.value, {{4, kv::get("b"), RequestKind::query}})})[0]) == "2");
  others.run({bundle(alice, s.value, {{4, kv::get("b"), RequestKind::query}})});
  CHECK(replica.disk.store->recompute_state_digest().value() == others.disk.store->recompute_state_digest().value());
}
