// Results that have records of their own: written once, erased once, and no other operation pays for them.
#include <algorithm>
#include <catch2/catch.hpp>

#include "node/execution/reply_cache.h"
#include "tests/execution/probe_plugin.h"
#include "tests/execution/replica.h"

using namespace pbft;
using namespace pbft::execution;

namespace {

using Family = std::map<Bytes, Bytes>;

Family clients_family(const Replica& replica) {
  Family family;
  const auto entries = replica.disk.store->clients_scan();
  for (; entries->valid(); entries->next()) {
    family.emplace(Bytes(entries->key().begin(), entries->key().end()),
                   Bytes(entries->value().begin(), entries->value().end()));
  }
  REQUIRE(entries->status());
  return family;
}

std::size_t result_records(const Replica& replica) {
  const Family family = clients_family(replica);
  return static_cast<std::size_t>(
      std::count_if(family.begin(), family.end(), [](const auto& one) { return one.first.at(0) == 'r'; }));
}

SessionUpdate used(const ClientId& client, SessionId session, RequestNumber::rep low, SequenceNumber n) {
  return {client, session, RequestNumber{1}, RequestNumber{low}, n};
}

// A batch of one operation in each of the sessions, whose clients have confirmed what is below `low`.
Execute one_each(const Replica& replica, const std::vector<std::pair<ClientId, SessionId>>& sessions,
                 const Made& operation, RequestNumber::rep low = 1) {
  std::vector<BundlePtr> bundles;
  bundles.reserve(sessions.size());
  for (const auto& [client, session] : sessions) bundles.push_back(bundle(client, session.value, {operation}));
  Execute what = replica.effect(bundles);
  for (const auto& [client, session] : sessions) what.sessions.push_back(used(client, session, low, what.n));
  return what;
}

storage::CachedReply reply_of(RequestNumber::rep number, std::size_t size) {
  return {RequestNumber{number}, ReplyStatus::ok, Bytes(size, 'r')};
}

std::vector<Bytes> keys_of(const std::vector<storage::StateChange>& changes) {
  std::vector<Bytes> keys;
  for (const storage::StateChange& change : changes) keys.push_back(change.key);
  return keys;
}

}  // namespace

TEST_CASE("cache: a batch changes the results that it makes and drops, and the records of the sessions that it touches",
          "[budget]") {
  const SessionId a{1};
  const Bytes session = storage::session_key(alice, a);
  const auto result = [&](RequestNumber::rep number) { return storage::result_key(alice, a, RequestNumber{number}); };
  ReplyCache cache;
  cache.update(ClientUpdate{alice, RequestNumber{1}, a});
  cache.update(used(alice, a, 1, SequenceNumber{1}));
  REQUIRE(cache.add(alice, a, reply_of(3, 65)));
  REQUIRE(cache.add(alice, a, reply_of(1, 64)));
  REQUIRE(cache.add(alice, a, reply_of(2, 1'000'000)));
  auto changes = cache.take_changes();
  REQUIRE(keys_of(changes) == std::vector<Bytes>{storage::client_key(alice), result(2), result(3), session});
  CHECK(changes[1].value == Bytes(1'000'000, 'r'));
  CHECK(changes[1].first);
  CHECK(changes[2].value == Bytes(65, 'r'));
  CHECK(changes[2].first);
  CHECK(changes[3].value->size() == 24 + 3 * 10 + 64);

  SECTION("what waits is not written again") {
    cache.update(used(alice, a, 2, SequenceNumber{2}));  // drops a small one
    REQUIRE(cache.add(alice, a, reply_of(4, 64)));
    changes = cache.take_changes();
    REQUIRE(keys_of(changes) == std::vector<Bytes>{session});
    CHECK(changes[0].value->size() == 24 + 3 * 10 + 64);
    CHECK(cache.take_changes().empty());
  }
  SECTION("what is confirmed goes") {
    cache.update(used(alice, a, 3, SequenceNumber{2}));
    changes = cache.take_changes();
    REQUIRE(keys_of(changes) == std::vector<Bytes>{result(2), session});
    CHECK_FALSE(changes[0].value);
  }
  SECTION("what is evicted goes with all that it has, and of what the same batch has made nothing is ever there") {
    REQUIRE(cache.add(alice, a, reply_of(4, 65)));
    cache.evict({alice, a});
    changes = cache.take_changes();
    REQUIRE(keys_of(changes) == std::vector<Bytes>{result(2), result(3), session});
    for (const storage::StateChange& change : changes) CHECK_FALSE(change.value);
  }
  SECTION("a reply that takes the place of another") {
    REQUIRE(cache.add(alice, a, reply_of(1, 70)));
    REQUIRE(cache.add(alice, a, reply_of(2, 10)));
    REQUIRE(cache.add(alice, a, reply_of(3, 66)));
    changes = cache.take_changes();
    REQUIRE(keys_of(changes) == std::vector<Bytes>{result(1), result(2), result(3), session});
    CHECK(changes[0].value == Bytes(70, 'r'));
    CHECK_FALSE(changes[1].value);
    CHECK(changes[2].value == Bytes(66, 'r'));
    CHECK_FALSE(changes[2].first);
  }
}

TEST_CASE("executor: what waits in a session is not written again by its further operations", "[executor][budget]") {
  Replica replica(pbft::plugin::table<Probe>());
  std::vector<std::pair<ClientId, SessionId>> sessions;
  for (std::uint8_t i = 1; i <= 8; ++i) sessions.emplace_back(client_id(i), replica.open_session(client_id(i), 1));
  // A mebibyte in each, and 16 kB that are not counted.
  for (RequestNumber::rep number = 1; number <= 4; ++number) {
    replica.run(one_each(replica, sessions, {number, ask_result(256 * 1024)}));
  }
  for (RequestNumber::rep number = 5; number <= 84; ++number) {
    replica.run(one_each(replica, sessions, {number, ask_result(200)}));
  }
  CHECK(result_records(replica) == 8 * 84);
  const auto transferred = [](Replica& from) {
    auto late = std::make_unique<Replica>(pbft::plugin::table<Probe>());
    transfer(from, *late);
    return late;
  };
  std::unique_ptr<Replica> late;
  Replica* at = &replica;
  SECTION("as it is") {}
  SECTION("after a restart") {
    replica.restart();
  }
  SECTION("after a transfer") {
    late = transferred(replica);
    at = late.get();
  }
  // The first change of an interval could be one that the store finds to be none.
  at->run(one_each(*at, sessions, {85, ask_result(10)}));
  const std::size_t before = at->disk.counted->client_bytes();
  at->run(one_each(*at, sessions, {86, ask_result(10)}));
  CHECK(at->disk.counted->client_bytes() - before < sessions.size() * 1'200);

  at->restart();
  for (const auto& [client, session] : sessions) {
    CHECK(at->cached(client, session, 4) == "ok:" + std::string(256 * 1024, 'r'));
    CHECK(at->cached(client, session, 84) == "ok:" + std::string(200, 'r'));
    CHECK(at->cached(client, session, 86) == "ok:" + std::string(10, 'r'));
  }
}

TEST_CASE("executor: of results that are dropped nothing is left", "[executor][budget]") {
  // The other one has the same replies in the end, and never had large ones.
  Replica replica(pbft::plugin::table<Probe>(), 20'000);
  Replica small(pbft::plugin::table<Probe>());
  const auto both = [&](const auto& each) {
    each(replica, true);
    each(small, false);
  };
  std::vector<std::pair<ClientId, SessionId>> sessions;
  both([&](Replica& at, bool) {
    sessions = {{alice, at.open_session(alice, 1)}, {bob, at.open_session(bob, 1)}};
    at.run(one_each(at, sessions, {1, ask_result(10)}));
  });
  const std::size_t size = GENERATE(65, 256, 257, 3'000, 9'000);  // of the last, some are forgotten
  CAPTURE(size);
  for (const RequestNumber::rep number : {2, 3, 4}) {
    both([&](Replica& at, bool large) { at.run(one_each(at, sessions, {number, ask_result(large ? size : 1)})); });
  }
  CHECK(result_records(replica) == (size < 9'000 ? 6 : 2));
  CHECK(clients_family(replica) != clients_family(small));
  if (GENERATE(false, true)) replica.restart();

  SECTION("confirmed") {
    both([&](Replica& at, bool) { at.run(one_each(at, sessions, {5, ask_result(64)}, 5)); });
  }
  SECTION("confirmed by and by, with others that come") {
    for (const RequestNumber::rep low : {3, 4, 5}) {
      both([&](Replica& at, bool large) {
        at.run(one_each(at, sessions, {low + 2, ask_result(large ? size : 1)}, low));
      });
    }
    both([&](Replica& at, bool) { at.run(one_each(at, sessions, {8, ask_result(64)}, 8)); });
  }
  SECTION("evicted, one of the sessions in the batch that uses it") {
    both([&](Replica& at, bool large) {
      Execute what = one_each(at, {sessions[0]}, {5, ask_result(large ? size : 1)});
      for (const auto& [client, session] : sessions) what.evicted.push_back({client, session});
      what.forgotten = {alice, bob};
      at.run(what);
    });
    CHECK(clients_family(replica).empty());
  }
  CHECK(result_records(replica) == 0);
  CHECK(clients_family(replica) == clients_family(small));
  CHECK(*replica.disk.store->recompute_state_digest() == *small.disk.store->recompute_state_digest());
  replica.restart();
}

TEST_CASE("executor: a result that is forgotten for want of room takes its record with it", "[executor][budget]") {
  Replica replica(pbft::plugin::table<Probe>(), 10'000);
  const std::vector<std::pair<ClientId, SessionId>> sessions{{alice, replica.open_session(alice, 1)}};
  replica.run(one_each(replica, sessions, {1, ask_result(6'000)}));
  replica.run(one_each(replica, sessions, {2, ask_result(200)}));  // not counted, not forgotten
  if (GENERATE(false, true)) replica.restart();
  replica.run(one_each(replica, sessions, {3, ask_result(7'000)}));
  CHECK(replica.cached(alice, sessions[0].second, 1) == "lost:");
  const Family family = clients_family(replica);
  CHECK(result_records(replica) == 2);
  for (const RequestNumber::rep number : {2, 3}) {
    CHECK(family.contains(storage::result_key(alice, sessions[0].second, RequestNumber{number})));
  }
  CHECK(family == as_stored(replica.client_records()));
}
