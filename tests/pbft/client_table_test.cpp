#include "node/pbft/client_table.h"

#include <catch2/catch.hpp>

#include "tests/pbft/harness.h"

using namespace pbft;
using namespace pbft::testing;

namespace {

struct Table {
  Table() : parameters(make()), table(parameters, {}, {}, {}) {}
  static ClusterParameters make() {
    ClusterParameters p;
    p.session_window = 8;
    p.max_sessions = 2;
    for (std::uint8_t i = 1; i <= 5; ++i) p.clients.insert(client_id(i));
    return p;
  }
  Execute apply(std::uint64_t n, std::vector<BundlePtr> bundles) {
    Execute execute;
    table.apply(SequenceNumber{n}, *make_batch(n, std::move(bundles)), execute);
    table.invariants();
    return execute;
  }
  SessionId open(std::uint64_t n, ClientId client, std::uint64_t number) {
    const Execute execute = apply(n, {make_open(client, number)});
    REQUIRE(execute.run.size() == 1);
    REQUIRE(execute.run[0].decided->first == ReplyStatus::ok);
    return execute.clients.at(0).last_session;
  }
  ClusterParameters parameters;
  ClientTable table;
};

const ClientId carol = client_id(3);

}  // namespace

TEST_CASE("a request runs once, however often it is ordered") {
  Table t;
  const SessionId s = t.open(1, alice, 100);
  const auto bundle = make_bundle(alice, s, 1, {1, 2});
  CHECK(t.apply(2, {bundle}).run.size() == 2);
  CHECK(t.apply(3, {bundle}).run.empty());
  CHECK(t.apply(4, {make_bundle(alice, s, 1, {2, 3})}).run.size() == 1);
  CHECK(t.apply(5, {make_bundle(alice, s, 1, {4}), make_bundle(alice, s, 1, {4})}).run.size() == 1);
}

TEST_CASE("numbers out of order all run: a later request does not censor an earlier one") {
  Table t;
  const SessionId s = t.open(1, alice, 100);
  CHECK(t.apply(2, {make_bundle(alice, s, 1, {5})}).run.size() == 1);
  CHECK(t.apply(3, {make_bundle(alice, s, 1, {1, 3})}).run.size() == 2);
  CHECK(t.apply(4, {make_bundle(alice, s, 1, {2, 3, 4})}).run.size() == 2);
}

TEST_CASE("a request below the low mark is dropped, one beyond the window is refused") {
  Table t;
  const SessionId s = t.open(1, alice, 100);
  CHECK(t.apply(2, {make_bundle(alice, s, 10, {10})}).run.size() == 1);
  CHECK(t.apply(3, {make_bundle(alice, s, 1, {9})}).run.empty());
  const Execute beyond = t.apply(4, {make_bundle(alice, s, 10, {17, 18})});
  REQUIRE(beyond.run.size() == 2);
  CHECK_FALSE(beyond.run[0].decided);
  CHECK(beyond.run[1].decided->first == ReplyStatus::outside_window);
  CHECK_FALSE(beyond.run[1].cached);
}

TEST_CASE("numbers at the end of the range walk past no check") {
  Table t;
  const SessionId s = t.open(1, alice, 100);
  const std::uint64_t last = ~0ULL;
  const Execute e = t.apply(2, {make_bundle(alice, s, 0, {last})});
  REQUIRE(e.run.size() == 1);
  CHECK(e.run[0].decided->first == ReplyStatus::outside_window);
  CHECK(t.apply(3, {make_bundle(alice, s, last, {last})}).run.size() == 1);
  CHECK(t.apply(4, {make_bundle(alice, s, last, {last})}).run.empty());
}

TEST_CASE("a request of an unknown session is refused and changes nothing") {
  Table t;
  const Execute e = t.apply(7, {make_bundle(alice, SessionId{3}, 1, {1})});
  REQUIRE(e.run.size() == 1);
  CHECK(e.run[0].decided->first == ReplyStatus::unknown_session);
  CHECK(e.sessions.empty());
}

TEST_CASE("who is not a client of the genesis is refused, unless clients are open") {
  Table t;
  const Execute e = t.apply(1, {make_open(client_id(77), 1)});
  REQUIRE(e.run.size() == 1);
  CHECK(e.run[0].decided->first == ReplyStatus::not_a_client);
  ClusterParameters open;
  open.open_clients = true;
  ClientTable table{open, {}, {}, {}};
  Execute execute;
  table.apply(SequenceNumber{1}, *make_batch(1, {make_open(client_id(77), 1)}), execute);
  CHECK(execute.run.at(0).decided->first == ReplyStatus::ok);
}

TEST_CASE("a session's id is the sequence number that opened it, and never comes again") {
  Table t;
  CHECK(t.open(5, alice, 100) == SessionId{5});
  const Execute both = t.apply(6, {make_open(bob, 1), make_open(bob, 2)});
  CHECK(both.run[0].decided->second == encode_number(6));
  CHECK(both.run[1].decided->second == encode_number(7));
  CHECK(t.open(7, bob, 3) == SessionId{8});
}

TEST_CASE("open_session is executed once per number; an older number is stale and names the last") {
  Table t;
  CHECK(t.open(1, alice, 100) == SessionId{1});
  CHECK(t.apply(2, {make_open(alice, 100)}).run.empty());  // a retransmission: answered from the cache
  const Execute stale = t.apply(3, {make_open(alice, 99)});
  REQUIRE(stale.run.size() == 1);
  CHECK(stale.run[0].decided->first == ReplyStatus::stale_open);
  CHECK(stale.run[0].decided->second == encode_number(100));
}

TEST_CASE("the least recently used session is evicted, and what was evicted cannot run again") {
  Table t;
  const SessionId a = t.open(1, alice, 1);
  const SessionId b = t.open(2, bob, 1);
  const auto old_request = make_bundle(bob, b, 1, {1});
  CHECK(t.apply(3, {old_request}).run.size() == 1);
  CHECK(t.apply(4, {make_bundle(alice, a, 1, {1})}).run.size() == 1);  // now bob's is the least recently used
  const Execute third = t.apply(5, {make_open(carol, 1)});
  REQUIRE(third.evicted.size() == 1);
  CHECK(third.evicted[0].client == bob);
  CHECK(third.evicted[0].session == b);
  const Execute replay = t.apply(6, {old_request});
  REQUIRE(replay.run.size() == 1);
  CHECK(replay.run[0].decided->first == ReplyStatus::unknown_session);
  // Nor does the request that opened it open another.
  CHECK(t.apply(7, {make_open(bob, 1)}).run.at(0).decided->first == ReplyStatus::stale_open);
}

TEST_CASE("the table that storage gives back decides like the one that was lost") {
  Table t;
  const SessionId s = t.open(1, alice, 100);
  (void)t.apply(2, {make_bundle(alice, s, 2, {2, 5})});
  RecoveredSession session{{alice, s, RequestNumber{100}, RequestNumber{2}, SequenceNumber{2}},
                           {RequestNumber{2}, RequestNumber{5}}};
  ClientTable again{t.parameters, SequenceNumber{2}, {{alice, RequestNumber{100}, s}}, {session}};
  again.invariants();
  for (ClientTable* table : {&t.table, &again}) {
    Execute e;
    table->apply(SequenceNumber{3}, *make_batch(3, {make_bundle(alice, s, 2, {1, 2, 3, 5, 6})}), e);
    CHECK(e.run.size() == 2);
  }
}

TEST_CASE("requests are told apart when they come in") {
  Table t;
  const SessionId s = t.open(1, alice, 100);
  (void)t.apply(2, {make_bundle(alice, s, 3, {4})});
  const auto state = [&](const BundlePtr& bundle) { return t.table.state_of(*bundle, bundle->requests[0]); };
  CHECK(state(make_bundle(alice, s, 3, {5})) == RequestState::fresh);
  CHECK(state(make_bundle(alice, s, 3, {4})) == RequestState::executed);
  CHECK(state(make_bundle(alice, s, 1, {2})) == RequestState::forgotten);
  CHECK(state(make_bundle(alice, s, 3, {11})) == RequestState::outside_window);
  CHECK(state(make_bundle(alice, s, 9, {11})) == RequestState::fresh);
  CHECK(state(make_bundle(alice, s, 9, {3})) == RequestState::outside_window);
  CHECK(state(make_bundle(alice, SessionId{2}, 1, {1})) == RequestState::unknown_session);
  CHECK(state(make_bundle(alice, SessionId{9}, 1, {1})) == RequestState::fresh);  // batch 9 may open it
  CHECK(state(make_bundle(client_id(99), s, 1, {1})) == RequestState::not_a_client);
  CHECK(state(make_open(alice, 100)) == RequestState::executed);
  CHECK(state(make_open(alice, 99)) == RequestState::stale_open);
  CHECK(state(make_open(alice, 101)) == RequestState::fresh);
}

TEST_CASE("a session that is opened, used and evicted in one batch gets its record until the batch is done") {
  Table t;
  const Execute e = t.apply(5, {make_open(alice, 1), make_bundle(alice, SessionId{5}, 1, {1}), make_open(alice, 2)});
  REQUIRE(e.evicted.size() == 1);
  CHECK(e.evicted[0].session == SessionId{5});
  REQUIRE(e.run.size() == 3);
  CHECK(e.run[1].cached);
  CHECK(std::any_of(e.sessions.begin(), e.sessions.end(),
                    [](const SessionUpdate& s) { return s.session == SessionId{5}; }));
}

TEST_CASE("one client cannot push out the sessions of the others") {
  ClusterParameters parameters = Table::make();
  parameters.max_sessions = 32;  // two for each client
  ClientTable table{parameters, {}, {}, {}};
  const auto open = [&](std::uint64_t n, ClientId client) {
    Execute execute;
    table.apply(SequenceNumber{n}, *make_batch(n, {make_open(client, n)}), execute);
    table.invariants();
    return execute;
  };
  CHECK(open(1, bob).evicted.empty());
  for (std::uint64_t n = 2; n <= 100; ++n) {
    for (const EvictedSession& evicted : open(n, alice).evicted) CHECK(evicted.client == alice);
  }
  CHECK(table.sessions() == 3);
}

TEST_CASE("where clients are open, those without sessions are bounded, and no session id comes back") {
  ClusterParameters parameters;
  parameters.open_clients = true;
  parameters.max_sessions = 2;
  parameters.max_idle_clients = 5;
  parameters.session_window = 8;
  ClientTable table{parameters, {}, {}, {}};
  std::size_t forgotten = 0;
  std::set<std::pair<ClientId, SessionId>> ids;
  for (std::uint64_t n = 1; n <= 60; ++n) {
    Execute execute;
    const ClientId client = client_id(static_cast<std::uint8_t>(n % 20));
    table.apply(SequenceNumber{n}, *make_batch(n, {make_open(client, n)}), execute);
    table.invariants();
    forgotten += execute.forgotten.size();
    REQUIRE(execute.clients.size() == 1);
    CHECK(ids.emplace(client, execute.clients[0].last_session).second);
  }
  CHECK(forgotten == 60 - 2 - 5);
  // One that is remembered opens nothing with an old number.
  Execute replay;
  table.apply(SequenceNumber{61}, *make_batch(61, {make_open(client_id(58 % 20), 58)}), replay);
  CHECK(replay.run.at(0).decided->first == ReplyStatus::stale_open);
}
