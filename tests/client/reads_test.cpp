// Unordered reads, their fall-back, and questions without agreement.
#include "tests/client/scripted_cluster.h"

namespace pbft::client::testing {
namespace {

ReadReply answer(RequestNumber number, const std::string& result, ReplyStatus status = ReplyStatus::ok) {
  return {number, status, SequenceNumber{5}, SharedBytes::own(to_bytes(result))};
}

struct AskedCluster : ScriptedCluster {
  explicit AskedCluster(std::uint32_t replicas = 4, CoreOptions options = default_options())
      : ScriptedCluster{replicas, options} {
    ticket = core.query(to_bytes("get a"), 0);
    sent = advance();
    const auto reads = ScriptedCluster::all<ReadRequest>(sent);
    REQUIRE(reads.size() == n);
    number = reads[0].second.number;
  }
  Ticket ticket;
  std::vector<Received> sent;
  RequestNumber number;
};

TEST_CASE("a read goes to all replicas and needs no session") {
  AskedCluster cluster;
  CHECK(cluster.sent.size() == 4);
  for (const auto& [at, read] : ScriptedCluster::all<ReadRequest>(cluster.sent)) {
    CHECK(as_text(read.operation.view()) == "get a");
  }
}

TEST_CASE("a packet holds no more reads than a replica takes") {
  ScriptedCluster cluster{4};
  const std::size_t count = 2 * crypto::max_client_requests_per_packet + 1;
  for (std::size_t i = 0; i < count; ++i) (void)cluster.core.query(to_bytes("get a"), 0);
  const auto sent = cluster.advance();  // the scripted replicas refuse larger packets
  CHECK(ScriptedCluster::all<ReadRequest>(sent).size() == 4 * count);
}

TEST_CASE("a read is believed at Q = ceil((n+f+1)/2) matching answers") {
  const auto [n, quorum] =
      GENERATE(table<std::uint32_t, std::uint32_t>({{1, 1}, {4, 3}, {5, 4}, {6, 4}, {7, 5}, {10, 7}}));
  AskedCluster cluster{n};
  for (std::uint32_t i = 0; i < quorum; ++i) {
    CHECK_FALSE(cluster.done(cluster.ticket));
    cluster.say(i, answer(cluster.number, "v"));
    (void)cluster.advance();
  }
  REQUIRE(cluster.done(cluster.ticket));
  CHECK(cluster.outcomes[cluster.ticket].kind == OutcomeKind::ok);
  CHECK(as_text(cluster.outcomes[cluster.ticket].result) == "v");
}

TEST_CASE("f+1 matching answers are not enough for a read, nor is one replica that repeats itself") {
  AskedCluster cluster;
  for (int i = 0; i < 5; ++i) {
    cluster.say(0, answer(cluster.number, "old"));
    cluster.say(1, answer(cluster.number, "old"));
  }
  (void)cluster.advance();
  CHECK_FALSE(cluster.done(cluster.ticket));
}

TEST_CASE("one liar among the answers does no harm") {
  AskedCluster cluster;
  cluster.say(0, answer(cluster.number, "lie"));
  cluster.say(1, answer(cluster.number, "v"));
  cluster.say(2, answer(cluster.number, "v"));
  cluster.say(3, answer(cluster.number, "v"));
  (void)cluster.advance();
  REQUIRE(cluster.done(cluster.ticket));
  CHECK(as_text(cluster.outcomes[cluster.ticket].result) == "v");
}

TEST_CASE("a failed read is an outcome like any other") {
  AskedCluster cluster;
  cluster.say_all(answer(cluster.number, "no such key", ReplyStatus::failed));
  (void)cluster.advance();
  REQUIRE(cluster.done(cluster.ticket));
  CHECK(cluster.outcomes[cluster.ticket].kind == OutcomeKind::failed);
  CHECK(cluster.outcomes[cluster.ticket].message == "no such key");
}

TEST_CASE("when no quorum can agree any more, the read is ordered at once") {
  AskedCluster cluster;
  cluster.say(0, answer(cluster.number, "1"));
  cluster.say(1, answer(cluster.number, "1"));
  cluster.say(2, answer(cluster.number, "2"));
  CHECK(cluster.advance().empty());
  cluster.say(3, answer(cluster.number, "2"));
  CHECK(cluster.core.next_wakeup_us() == 0);
  const auto opening = cluster.advance();
  REQUIRE(ScriptedCluster::open_number(opening));
  cluster.say_all(make_reply(SessionId{0}, RequestNumber{1000}, ReplyStatus::ok, number_bytes(7)));
  const auto bundles = ScriptedCluster::bundles(cluster.advance());
  REQUIRE(bundles.size() == 1);
  CHECK(bundles[0].second->requests[0].kind == RequestKind::query);
  CHECK(as_text(bundles[0].second->requests[0].operation.view()) == "get a");
  const Reply ordered = make_reply(SessionId{7}, RequestNumber{1}, ReplyStatus::ok, to_bytes("2"));
  cluster.say(1, ordered);
  cluster.say(3, ordered);
  (void)cluster.advance();
  REQUIRE(cluster.done(cluster.ticket));
  CHECK(as_text(cluster.outcomes[cluster.ticket].result) == "2");
}

TEST_CASE("an unanswered read is ordered after read_fallback_us") {
  AskedCluster cluster;
  cluster.say(0, answer(cluster.number, "1"));
  cluster.say(2, answer(cluster.number, "1"));
  CHECK_FALSE(ScriptedCluster::open_number(cluster.advance_by(299'999)));
  CHECK(ScriptedCluster::open_number(cluster.advance_by(1)));
  cluster.say(3, answer(cluster.number, "1"));  // too late for the unordered way
  (void)cluster.advance();
  CHECK_FALSE(cluster.done(cluster.ticket));
}

TEST_CASE("a read is resent to those that have not answered") {
  CoreOptions options = ScriptedCluster::default_options();
  options.read_fallback_us = 10'000'000;
  AskedCluster cluster{4, options};
  cluster.say(0, answer(cluster.number, "1"));
  const auto again = ScriptedCluster::all<ReadRequest>(cluster.advance_by(300'000));
  REQUIRE(again.size() == 3);
  CHECK(again[0].first == ReplicaId{1});
  CHECK(again[0].second.number == cluster.number);
}

TEST_CASE("replicas that are busy or refuse make a read go the ordered way") {
  AskedCluster cluster;
  cluster.say(0, answer(cluster.number, "", ReplyStatus::busy));
  cluster.say(1, answer(cluster.number, "", ReplyStatus::busy));
  CHECK(ScriptedCluster::open_number(cluster.advance()));
}

TEST_CASE("a read has a deadline") {
  ScriptedCluster cluster{4};
  const Ticket ticket = cluster.core.query(to_bytes("get a"), cluster.now + 100'000);
  (void)cluster.advance();
  CHECK(cluster.advance_by(100'000).empty());
  REQUIRE(cluster.done(ticket));
  CHECK(cluster.outcomes[ticket].kind == OutcomeKind::timed_out);
  CHECK(cluster.core.outstanding() == 0);
  CHECK(cluster.core.next_wakeup_us() == std::numeric_limits<std::uint64_t>::max());
}

TEST_CASE("a read that falls back in the turn of its deadline has timed out, and is not ordered any more") {
  ScriptedCluster cluster{4};
  const Ticket ticket = cluster.core.query(to_bytes("get a"), cluster.now + 100'000);
  const auto reads = ScriptedCluster::all<ReadRequest>(cluster.advance());
  REQUIRE(reads.size() == 4);
  for (const std::uint32_t replica : {0U, 1U, 2U, 3U}) {
    cluster.say(replica, answer(reads[0].second.number, replica < 2 ? "1" : "2"));
  }
  CHECK(cluster.advance_by(100'000).empty());
  REQUIRE(cluster.done(ticket));
  CHECK(cluster.outcomes[ticket].kind == OutcomeKind::timed_out);
  CHECK(cluster.core.outstanding() == 0);
  const Ticket write = cluster.core.submit(to_bytes("put a 1"), 0);
  const auto bundles = ScriptedCluster::bundles(cluster.open_session());
  REQUIRE(bundles.size() == 1);
  REQUIRE(bundles[0].second->requests.size() == 1);  // the write alone
  cluster.say_all(make_reply(given_session, RequestNumber{1}, ReplyStatus::ok, to_bytes("done")));
  (void)cluster.advance();
  CHECK(cluster.done(write));
}

TEST_CASE("an ordered read whose session was evicted runs again in the next one") {
  AskedCluster cluster;
  (void)cluster.advance_by(300'000);
  cluster.say_all(make_reply(SessionId{0}, RequestNumber{1000}, ReplyStatus::ok, number_bytes(7)));
  (void)cluster.advance();
  cluster.say_all(make_reply(SessionId{7}, RequestNumber{1}, ReplyStatus::unknown_session, {}, false));
  const auto number = ScriptedCluster::open_number(cluster.advance());
  REQUIRE(number);
  cluster.say_all(make_reply(SessionId{0}, *number, ReplyStatus::ok, number_bytes(8)));
  const auto bundles = ScriptedCluster::bundles(cluster.advance());
  REQUIRE(bundles.size() == 1);
  CHECK(bundles[0].second->session == SessionId{8});
  CHECK(bundles[0].second->requests[0].kind == RequestKind::query);
  CHECK_FALSE(cluster.done(cluster.ticket));
}

TEST_CASE("a survey shows what each replica said first, and ends when all have answered") {
  ScriptedCluster cluster{4};
  const Ticket ticket = cluster.core.survey_info(cluster.now + 500'000);
  const auto asked = ScriptedCluster::all<InfoRequest>(cluster.advance());
  REQUIRE(asked.size() == 4);
  const RequestNumber number = asked[0].second.number;
  for (std::uint32_t i = 0; i < 4; ++i) {
    CHECK(cluster.surveys.empty());
    cluster.say(i, InfoReply{number, "{\"id\":" + std::to_string(i) + "}"});
    cluster.say(i, InfoReply{number, "{}"});
    (void)cluster.advance();
  }
  REQUIRE(cluster.surveys.count(ticket) == 1);
  CHECK(as_text(cluster.surveys[ticket][3]->result) == "{\"id\":3}");
}

TEST_CASE("a survey ends at its deadline with the answers that came") {
  ScriptedCluster cluster{4};
  const Ticket ticket = cluster.core.survey_query(to_bytes("get a"), cluster.now + 500'000);
  const auto asked = ScriptedCluster::all<ReadRequest>(cluster.advance());
  REQUIRE(asked.size() == 4);
  cluster.say(1, answer(asked[0].second.number, "v"));
  cluster.say(2, answer(asked[0].second.number, "broken", ReplyStatus::failed));
  const auto again = ScriptedCluster::all<ReadRequest>(cluster.advance_by(300'000));
  CHECK(again.size() == 2);
  (void)cluster.advance_by(200'000);
  REQUIRE(cluster.surveys.count(ticket) == 1);
  const auto& answers = cluster.surveys[ticket];
  CHECK_FALSE(answers[0]);
  CHECK(as_text(answers[1]->result) == "v");
  CHECK(answers[2]->kind == OutcomeKind::failed);
  CHECK_FALSE(answers[3]);
}

}  // namespace
}  // namespace pbft::client::testing
