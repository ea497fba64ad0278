// Sessions: opening, eviction, refusals.
#include <set>

#include "tests/client/scripted_cluster.h"

namespace pbft::client::testing {
namespace {

TEST_CASE("nothing is sent before there is something to do") {
  ScriptedCluster cluster{4};
  CHECK(cluster.advance().empty());
  CHECK(cluster.core.next_wakeup_us() == std::numeric_limits<std::uint64_t>::max());
  CHECK(cluster.core.outstanding() == 0);
}

TEST_CASE("the first operation opens a session: hello to all, the request to the primary") {
  ScriptedCluster cluster{4};
  (void)cluster.core.submit(to_bytes("a"), 0);
  CHECK(cluster.core.next_wakeup_us() == 0);
  const auto received = cluster.advance();
  const auto hellos = ScriptedCluster::all<Hello>(received);
  REQUIRE(hellos.size() == 4);
  for (const auto& [at, hello] : hellos) {
    CHECK(hello.session == SessionId{0});
    CHECK(hello.number == RequestNumber{1000});
  }
  const auto bundles = ScriptedCluster::bundles(received);
  REQUIRE(bundles.size() == 1);
  CHECK(bundles[0].first == ReplicaId{0});
  CHECK(bundles[0].second->session == SessionId{0});
  CHECK(bundles[0].second->low == RequestNumber{0});
  REQUIRE(bundles[0].second->requests.size() == 1);
  CHECK(bundles[0].second->requests[0].kind == RequestKind::open_session);
  CHECK(bundles[0].second->requests[0].number == RequestNumber{1000});
}

TEST_CASE("the session's id is believed at f+1 matching answers, then the operation is sent with a hello to all") {
  ScriptedCluster cluster{4};
  (void)cluster.core.submit(to_bytes("a"), 0);
  (void)cluster.advance();
  cluster.say(3, make_reply(SessionId{0}, RequestNumber{1000}, ReplyStatus::ok, number_bytes(666)));  // a liar
  cluster.say(1, make_reply(SessionId{0}, RequestNumber{1000}, ReplyStatus::ok, number_bytes(77), false));
  (void)cluster.advance();
  CHECK_FALSE(cluster.core.session());
  cluster.say(2, make_reply(SessionId{0}, RequestNumber{1000}, ReplyStatus::ok, number_bytes(77)));
  const auto received = cluster.advance();
  CHECK(cluster.core.session() == given_session);
  const auto hellos = ScriptedCluster::all<Hello>(received);
  REQUIRE(hellos.size() == 4);
  CHECK(hellos[0].second.session == given_session);
  const auto bundles = ScriptedCluster::bundles(received);
  REQUIRE(bundles.size() == 1);
  CHECK(bundles[0].first == ReplicaId{0});
  CHECK(bundles[0].second->low == RequestNumber{1});
  CHECK(bundles[0].second->requests[0].number == RequestNumber{1});
}

TEST_CASE("stale_open: the next number is above what the cluster knows") {
  ScriptedCluster cluster{4};
  (void)cluster.core.submit(to_bytes("a"), 0);
  (void)cluster.advance();
  const Reply stale = make_reply(SessionId{0}, RequestNumber{1000}, ReplyStatus::stale_open, number_bytes(5'000'000));
  cluster.say(0, stale);
  CHECK(ScriptedCluster::open_number(cluster.advance()) == std::nullopt);  // one replica alone may lie
  cluster.say(2, stale);
  const auto number = ScriptedCluster::open_number(cluster.advance());
  REQUIRE(number);
  CHECK(number->value > 5'000'000);
  CHECK(number->value < 5'000'000 + (1U << 24U) + 3);
  // Answers to the number that was given up mean nothing any more.
  cluster.say_all(make_reply(SessionId{0}, RequestNumber{1000}, ReplyStatus::ok, number_bytes(5)));
  (void)cluster.advance();
  CHECK_FALSE(cluster.core.session());
  cluster.say_all(make_reply(SessionId{0}, *number, ReplyStatus::ok, number_bytes(9)));
  (void)cluster.advance();
  CHECK(cluster.core.session() == SessionId{9});
}

// With one number they would share a session, and take the answers to each other's requests for their own.
TEST_CASE("processes of one client that all come too late go on with different numbers") {
  constexpr std::uint64_t processes = 300;
  std::set<RequestNumber> next;
  for (std::uint64_t i = 0; i < processes; ++i) {
    const std::uint64_t first = 1'000 + i * i * 7'919;
    CoreOptions options = ScriptedCluster::default_options();
    options.open_number = first;
    ScriptedCluster cluster{4, options};
    (void)cluster.core.submit(to_bytes("a"), 0);
    (void)cluster.advance();
    cluster.say_all(make_reply(SessionId{0}, RequestNumber{first}, ReplyStatus::stale_open, number_bytes(1U << 30U)));
    next.insert(*ScriptedCluster::open_number(cluster.advance()));
  }
  CHECK(next.size() == processes);
}

TEST_CASE("a key that has used up its numbers is told so") {
  ScriptedCluster cluster{4};
  const Ticket ticket = cluster.core.submit(to_bytes("a"), 0);
  (void)cluster.advance();
  cluster.say_all(make_reply(SessionId{0}, RequestNumber{1000}, ReplyStatus::stale_open,
                             number_bytes(std::numeric_limits<std::uint64_t>::max())));
  (void)cluster.advance();
  REQUIRE(cluster.done(ticket));
  CHECK(cluster.outcomes[ticket].kind == OutcomeKind::refused);
  CHECK_THAT(cluster.outcomes[ticket].message, Catch::Contains("another key"));
}

TEST_CASE("not_a_client is refused with the client's id, and only when f+1 say it") {
  ScriptedCluster cluster{4};
  const Ticket ticket = cluster.core.submit(to_bytes("a"), 0);
  (void)cluster.advance();
  const Reply refusal = make_reply(SessionId{0}, RequestNumber{1000}, ReplyStatus::not_a_client, {}, false);
  cluster.say(0, refusal);
  cluster.say(0, refusal);
  (void)cluster.advance();
  CHECK_FALSE(cluster.done(ticket));
  cluster.say(1, refusal);
  (void)cluster.advance();
  REQUIRE(cluster.done(ticket));
  CHECK(cluster.outcomes[ticket].kind == OutcomeKind::refused);
  CHECK_THAT(cluster.outcomes[ticket].message, Catch::Contains(crypto::to_hex(cluster.client.client_id().view())));
}

TEST_CASE("an evicted session ends what is outstanding and opens another one for what comes later") {
  CoreOptions options = ScriptedCluster::default_options();
  options.session_window = 2;
  ScriptedCluster cluster{4, options};
  const Ticket first = cluster.core.submit(to_bytes("a"), 0);
  const Ticket second = cluster.core.submit(to_bytes("b"), 0);
  const Ticket waiting = cluster.core.submit(to_bytes("c"), 0);  // beyond the window: never sent
  (void)cluster.open_session();
  const Reply unknown = make_reply(given_session, RequestNumber{1}, ReplyStatus::unknown_session, {}, false);
  cluster.say(1, unknown);
  (void)cluster.advance();
  CHECK(cluster.core.session() == given_session);
  CHECK(cluster.outcomes.empty());
  cluster.say(2, unknown);
  const auto reopened = cluster.advance();
  for (const Ticket ticket : {first, second}) {
    REQUIRE(cluster.done(ticket));
    CHECK(cluster.outcomes[ticket].kind == OutcomeKind::unknown);  // not refused: they may have run
    CHECK_THAT(cluster.outcomes[ticket].message, Catch::Contains("session was evicted"));
  }
  CHECK_FALSE(cluster.done(waiting));
  const auto number = ScriptedCluster::open_number(reopened);
  REQUIRE(number);
  CHECK(number->value > 1000);
  cluster.say_all(make_reply(SessionId{0}, *number, ReplyStatus::ok, number_bytes(99)));
  const auto bundles = ScriptedCluster::bundles(cluster.advance());
  REQUIRE(bundles.size() == 1);
  CHECK(bundles[0].second->session == SessionId{99});
  CHECK(bundles[0].second->low == RequestNumber{1});
  REQUIRE(bundles[0].second->requests.size() == 1);
  CHECK(as_text(bundles[0].second->requests[0].operation.view()) == "c");
  // The old session's answers are nobody's answers.
  cluster.say_all(make_reply(given_session, RequestNumber{1}, ReplyStatus::ok, to_bytes("old")));
  (void)cluster.advance();
  CHECK_FALSE(cluster.done(waiting));
}

TEST_CASE("who is evicted soon again and again opens another session later and later") {
  ScriptedCluster cluster{4};
  std::vector<std::uint64_t> pauses;
  std::uint64_t id = 100;
  const auto evict = [&](std::uint64_t after) {
    (void)cluster.core.submit(to_bytes("a"), 0);
    (void)cluster.core.submit(to_bytes("b"), 0);
    (void)cluster.open_session(++id);
    cluster.now += after;
    cluster.say_all(make_reply(SessionId{id}, RequestNumber{1}, ReplyStatus::unknown_session, {}, false));
    const auto at_once = cluster.advance();
    CHECK_FALSE(ScriptedCluster::open_number(at_once));  // nobody waits for anything
    (void)cluster.core.submit(to_bytes("c"), 0);
    const std::uint64_t due = std::max(cluster.core.next_wakeup_us(), cluster.now);
    pauses.push_back(due - cluster.now);
    if (due > cluster.now) {
      CHECK_FALSE(ScriptedCluster::open_number(cluster.advance_by(due - cluster.now - 1)));
      ++cluster.now;
    }
  };
  for (int i = 0; i < 9; ++i) evict(1'000);
  CHECK(pauses[0] == 0);
  for (std::size_t i = 2; i < 7; ++i) CHECK(10 * pauses[i] > 19 * pauses[i - 1]);
  CHECK(10 * pauses[8] < 11 * pauses[7]);
  CHECK(pauses[8] < 30'000'000);
  // A session that lasted makes up for it.
  evict(1'000'000'000);
  CHECK(pauses.back() == 0);
}

TEST_CASE("the opening is resent to all, and rests while nobody waits for it") {
  ScriptedCluster cluster{4};
  const Ticket ticket = cluster.core.submit(to_bytes("a"), cluster.now + 400'000);
  const auto first = ScriptedCluster::bundles(cluster.advance());
  const auto again = ScriptedCluster::bundles(cluster.advance_by(300'000));
  REQUIRE(again.size() == 4);
  CHECK(again[0].second->digest == first[0].second->digest);
  CHECK(again[0].second->proof == first[0].second->proof);
  (void)cluster.advance_by(100'000);
  REQUIRE(cluster.done(ticket));
  CHECK(cluster.outcomes[ticket].kind == OutcomeKind::timed_out);
  for (int i = 0; i < 20; ++i) {
    CHECK(cluster.advance_by(1'000'000).empty());
  }
  CHECK(cluster.core.next_wakeup_us() == std::numeric_limits<std::uint64_t>::max());
  (void)cluster.core.submit(to_bytes("b"), 0);
  const auto woken = ScriptedCluster::bundles(cluster.advance_by(1));
  REQUIRE(woken.size() == 4);
  CHECK(woken[0].second->digest == first[0].second->digest);
}

TEST_CASE("the opening is signed where a replica asks for that, and so is what follows") {
  ScriptedCluster cluster{4};
  (void)cluster.core.submit(to_bytes("a"), 0);
  const auto first = ScriptedCluster::bundles(cluster.advance());
  REQUIRE(first.size() == 1);
  cluster.say(2, make_reply(SessionId{0}, RequestNumber{1000}, ReplyStatus::sign, {}, false));
  const auto again = ScriptedCluster::bundles(cluster.advance());
  REQUIRE(again.size() == 4);
  for (const auto& [at, bundle] : again) {
    CHECK(bundle->is_signed());
    CHECK(bundle->digest == first[0].second->digest);
  }
  cluster.say_all(make_reply(SessionId{0}, RequestNumber{1000}, ReplyStatus::ok, number_bytes(77)));
  const auto operation = ScriptedCluster::bundles(cluster.advance());
  REQUIRE(operation.size() == 1);
  CHECK(operation[0].second->is_signed());
}

TEST_CASE("routes are taught anew while something is outstanding") {
  ScriptedCluster cluster{4};
  (void)cluster.core.submit(to_bytes("a"), 0);
  (void)cluster.open_session();
  CHECK(ScriptedCluster::all<Hello>(cluster.advance_by(900'000)).empty());
  CHECK(ScriptedCluster::all<Hello>(cluster.advance_by(100'000)).size() == 4);
  cluster.say_all(make_reply(given_session, RequestNumber{1}, ReplyStatus::ok, {}));
  CHECK(ScriptedCluster::all<Hello>(cluster.advance_by(5'000'000)).empty());
  CHECK(cluster.core.next_wakeup_us() == std::numeric_limits<std::uint64_t>::max());
  (void)cluster.core.submit(to_bytes("b"), 0);
  CHECK(ScriptedCluster::all<Hello>(cluster.advance()).size() == 4);
}

}  // namespace
}  // namespace pbft::client::testing
