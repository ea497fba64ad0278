// Requests of an open session: what is believed, what is resent, what is bundled.
#include <set>

#include "tests/client/scripted_cluster.h"

namespace pbft::client::testing {
namespace {

Reply ok(std::uint64_t number, const std::string& result, bool full = true) {
  return make_reply(given_session, RequestNumber{number}, ReplyStatus::ok, to_bytes(result), full);
}

struct OpenCluster : ScriptedCluster {
  explicit OpenCluster(std::uint32_t replicas = 4, CoreOptions options = default_options())
      : ScriptedCluster{replicas, options} {
    ticket = core.submit(to_bytes("operation"), 0);
    (void)open_session();
  }
  std::string result(Ticket of) {
    REQUIRE(done(of));
    REQUIRE(outcomes[of].kind == OutcomeKind::ok);
    return std::string{as_text(outcomes[of].result)};
  }
  Ticket ticket;
};

TEST_CASE("f+1 matching replies are believed, one in full and the others as digests") {
  OpenCluster cluster;
  cluster.say(2, ok(1, "yes", false));
  (void)cluster.advance();
  CHECK_FALSE(cluster.done(cluster.ticket));
  cluster.say(3, ok(1, "yes"));
  (void)cluster.advance();
  CHECK(cluster.result(cluster.ticket) == "yes");
  CHECK(cluster.core.outstanding() == 0);
}

TEST_CASE("f liars with a common wrong result are not believed, whatever they repeat") {
  OpenCluster cluster{7};
  for (int i = 0; i < 3; ++i) {
    cluster.say(0, ok(1, "lie"));
    cluster.say(6, ok(1, "lie"));
  }
  cluster.say(1, ok(1, "true", false));
  cluster.say(2, ok(1, "true", false));
  (void)cluster.advance();
  CHECK_FALSE(cluster.done(cluster.ticket));
  cluster.say(4, ok(1, "true"));
  (void)cluster.advance();
  CHECK(cluster.result(cluster.ticket) == "true");
}

TEST_CASE("a result counts with those that sent the same one or its digest, and with no others") {
  OpenCluster cluster;
  cluster.say(0, ok(1, "lie"));
  cluster.say(1, ok(1, "true"));
  (void)cluster.advance();
  CHECK_FALSE(cluster.done(cluster.ticket));
  cluster.say(2, ok(1, "true", false));
  (void)cluster.advance();
  CHECK(cluster.result(cluster.ticket) == "true");
}

TEST_CASE("the status is part of the match") {
  OpenCluster cluster;
  cluster.say(0, ok(1, "text"));
  cluster.say(1, make_reply(given_session, RequestNumber{1}, ReplyStatus::failed, to_bytes("text")));
  (void)cluster.advance();
  CHECK_FALSE(cluster.done(cluster.ticket));
  cluster.say(2, make_reply(given_session, RequestNumber{1}, ReplyStatus::failed, to_bytes("text")));
  (void)cluster.advance();
  REQUIRE(cluster.done(cluster.ticket));
  CHECK(cluster.outcomes[cluster.ticket].kind == OutcomeKind::failed);
  CHECK(cluster.outcomes[cluster.ticket].message == "text");
}

TEST_CASE("the last vote of a replica counts, and it has only one") {
  OpenCluster cluster;
  cluster.say(0, ok(1, "b"));
  cluster.say(0, ok(1, "a"));
  cluster.say(1, ok(1, "b"));
  (void)cluster.advance();
  CHECK_FALSE(cluster.done(cluster.ticket));
  cluster.say(2, ok(1, "a"));
  (void)cluster.advance();
  CHECK(cluster.result(cluster.ticket) == "a");
}

TEST_CASE("a frame that a replica sends in another one's name changes nothing") {
  OpenCluster cluster;
  crypto::Authenticator liar{cluster.roster, ReplicaId{3}, identity_of(4)};
  const Bytes frame = liar.seal_to_client(cluster.client.client_id(), {ok(1, "lie")});
  for (std::uint32_t channel = 0; channel < 5; ++channel) {
    cluster.core.receive(SharedBytes::own(frame), ReplicaId{channel});
  }
  cluster.core.receive(SharedBytes::own(to_bytes("noise")), ReplicaId{1});
  (void)cluster.advance();
  CHECK_FALSE(cluster.done(cluster.ticket));
}

TEST_CASE("the designated replica is silent: the full result is asked for at once") {
  OpenCluster cluster;
  const auto digest_only = ok(1, "true", false);
  cluster.say(1, digest_only);
  CHECK(ScriptedCluster::bundles(cluster.advance()).empty());
  cluster.say(2, digest_only);
  CHECK(cluster.core.next_wakeup_us() <= cluster.now);
  CHECK(ScriptedCluster::bundles(cluster.advance()).size() == 4);
  cluster.say(3, digest_only);  // asks no second time
  CHECK(ScriptedCluster::bundles(cluster.advance()).empty());
  cluster.say(2, ok(1, "true"));
  (void)cluster.advance();
  CHECK(cluster.result(cluster.ticket) == "true");
}

TEST_CASE("replies out of order complete their own requests") {
  OpenCluster cluster;
  const Ticket second = cluster.core.submit(to_bytes("2"), 0);
  const Ticket third = cluster.core.submit(to_bytes("3"), 0);
  (void)cluster.advance();
  for (const std::uint64_t number : {3U, 1U, 2U}) {
    cluster.say(2, ok(number, "result " + std::to_string(number)));
    cluster.say(1, ok(number, "result " + std::to_string(number), false));
  }
  (void)cluster.advance();
  CHECK(cluster.result(cluster.ticket) == "result 1");
  CHECK(cluster.result(second) == "result 2");
  CHECK(cluster.result(third) == "result 3");
}

TEST_CASE("what is not answered is resent to all, the same bytes, with a growing interval up to eight times") {
  ScriptedCluster cluster{4};
  (void)cluster.core.submit(to_bytes("operation"), 0);
  const auto first = ScriptedCluster::bundles(cluster.open_session());
  REQUIRE(first.size() == 1);
  std::uint64_t before = cluster.now;
  std::vector<std::uint64_t> gaps;
  while (gaps.size() < 6) {
    cluster.now = cluster.core.next_wakeup_us();
    REQUIRE(cluster.now > before);
    const auto again = ScriptedCluster::bundles(cluster.advance());
    if (again.empty()) {
      continue;  // only hellos were due
    }
    REQUIRE(again.size() == 4);
    for (const auto& [at, bundle] : again) {
      CHECK(bundle->body == first[0].second->body);
      CHECK(bundle->proof == first[0].second->proof);
    }
    gaps.push_back(cluster.now - before);
    before = cluster.now;
  }
  CHECK(gaps == std::vector<std::uint64_t>{300'000, 600'000, 1'200'000, 2'400'000, 2'400'000, 2'400'000});
}

TEST_CASE("what waits is gathered into one bundle") {
  OpenCluster cluster;
  for (int i = 0; i < 10; ++i) {
    (void)cluster.core.submit(to_bytes(std::to_string(i)), 0);
  }
  const auto bundles = ScriptedCluster::bundles(cluster.advance());
  REQUIRE(bundles.size() == 1);
  REQUIRE(bundles[0].second->requests.size() == 10);
  CHECK(bundles[0].second->low == RequestNumber{1});
  CHECK(bundles[0].second->requests.front().number == RequestNumber{2});
  CHECK(bundles[0].second->requests.back().number == RequestNumber{11});
}

TEST_CASE("bundles keep to the number of requests that is allowed") {
  CoreOptions options = ScriptedCluster::default_options();
  options.max_bundle_requests = 4;
  OpenCluster cluster{4, options};
  for (int i = 0; i < 10; ++i) {
    (void)cluster.core.submit(to_bytes(std::to_string(i)), 0);
  }
  const auto bundles = ScriptedCluster::bundles(cluster.advance());
  REQUIRE(bundles.size() == 3);
  CHECK(bundles[0].second->requests.size() == 4);
  CHECK(bundles[2].second->requests.size() == 2);
}

TEST_CASE("bundles keep to the size that is allowed, and what is too large for any bundle is refused") {
  OpenCluster cluster;
  for (int i = 0; i < 5; ++i) {
    (void)cluster.core.submit(Bytes(Limits::max_operation_bytes - 1000, 1), 0);
  }
  const auto bundles = ScriptedCluster::bundles(cluster.advance());
  REQUIRE(bundles.size() == 3);
  for (const auto& [at, bundle] : bundles) {
    CHECK(bundle->body.size() <= Limits::max_bundle_bytes);
  }
  const Ticket largest = cluster.core.submit(Bytes(Limits::max_operation_bytes, 1), 0);
  const Ticket too_large = cluster.core.submit(Bytes(Limits::max_operation_bytes + 1, 1), 0);
  CHECK(cluster.core.next_wakeup_us() == 0);
  CHECK(ScriptedCluster::bundles(cluster.advance()).size() == 1);
  CHECK_FALSE(cluster.done(largest));
  REQUIRE(cluster.done(too_large));
  CHECK(cluster.outcomes[too_large].kind == OutcomeKind::refused);
}

TEST_CASE("a packet holds no more requests than a replica takes") {
  CoreOptions options = ScriptedCluster::default_options();
  options.max_bundle_requests = 1;
  OpenCluster cluster{4, options};
  const std::size_t count = 3 * crypto::max_client_requests_per_packet + 1;
  for (std::size_t i = 0; i < count; ++i) {
    (void)cluster.core.submit(to_bytes("x"), 0);
  }
  CHECK(ScriptedCluster::bundles(cluster.advance()).size() == count);  // the scripted replicas refuse larger packets
  // To all replicas, with the request that opened the session.
  CHECK(ScriptedCluster::bundles(cluster.advance_by(options.retransmit_us)).size() == 4 * (count + 1));
}

TEST_CASE("bundles are signed where the roster wants it, also in spite of the options") {
  const bool wanted = GENERATE(true, false);
  CoreOptions options = ScriptedCluster::default_options();
  options.proof = crypto::ClientAuthenticator::Proof::macs;
  ScriptedCluster cluster{7, options, wanted};
  (void)cluster.core.submit(to_bytes("x"), 0);
  const auto opening = ScriptedCluster::bundles(cluster.advance());
  REQUIRE(opening.size() == 1);
  CHECK(opening[0].second->proof.size() == (wanted ? 1 + Signature::size : 1 + 7 * Mac::size));
}

TEST_CASE("numbers stay inside the window above the lowest unanswered one") {
  CoreOptions options = ScriptedCluster::default_options();
  options.session_window = 4;
  OpenCluster cluster{4, options};
  for (int i = 0; i < 9; ++i) {
    (void)cluster.core.submit(to_bytes("x"), 0);
  }
  auto bundles = ScriptedCluster::bundles(cluster.advance());
  REQUIRE(bundles.size() == 1);
  CHECK(bundles[0].second->requests.back().number == RequestNumber{4});
  for (const std::uint64_t number : {2U, 3U, 4U}) {
    cluster.say_all(ok(number, "r"));
  }
  CHECK(ScriptedCluster::bundles(cluster.advance()).empty());  // 1 still holds the window
  cluster.say_all(ok(1, "r"));
  CHECK(cluster.core.next_wakeup_us() == 0);
  bundles = ScriptedCluster::bundles(cluster.advance());
  REQUIRE(bundles.size() == 1);
  CHECK(bundles[0].second->low == RequestNumber{5});
  CHECK(bundles[0].second->requests.front().number == RequestNumber{5});
  CHECK(bundles[0].second->requests.back().number == RequestNumber{8});
}

TEST_CASE("a deadline ends an operation and frees its place in the window") {
  CoreOptions options = ScriptedCluster::default_options();
  options.session_window = 2;
  ScriptedCluster cluster{4, options};
  const Ticket first = cluster.core.submit(to_bytes("a"), cluster.now + 200'000);
  const Ticket second = cluster.core.submit(to_bytes("b"), cluster.now + 200'000);
  const Ticket waiting = cluster.core.submit(to_bytes("c"), cluster.now + 200'000);
  const Ticket patient = cluster.core.submit(to_bytes("d"), 0);
  (void)cluster.open_session();
  CHECK(cluster.core.next_wakeup_us() == cluster.now + 200'000);
  const auto bundles = ScriptedCluster::bundles(cluster.advance_by(200'000));
  for (const Ticket ticket : {first, second, waiting}) {
    REQUIRE(cluster.done(ticket));
    CHECK(cluster.outcomes[ticket].kind == OutcomeKind::timed_out);
    CHECK_THAT(cluster.outcomes[ticket].message, Catch::Contains("heard of 4 of 4"));
  }
  REQUIRE(bundles.size() == 1);
  CHECK(bundles[0].second->low == RequestNumber{3});
  cluster.say_all(ok(1, "late"));
  cluster.say_all(ok(3, "in time"));
  (void)cluster.advance();
  REQUIRE(cluster.done(patient));
  CHECK(as_text(cluster.outcomes[patient].result) == "in time");
  CHECK(cluster.core.outstanding() == 0);
}

TEST_CASE("what f+1 replicas call too much for them ends as busy, and not as an answer that did not come") {
  const Reply busy = make_reply(given_session, RequestNumber{1}, ReplyStatus::busy, {}, false);
  for (const std::uint32_t replicas : {0U, 1U, 2U, 4U}) {
    ScriptedCluster cluster{4};
    const Ticket sent = cluster.core.submit(to_bytes("a"), cluster.now + 2'000'000);
    (void)cluster.open_session(given_session.value);
    for (std::uint32_t i = 0; i < replicas; ++i) {
      cluster.say(i, busy);
      cluster.say(i, busy);  // one replica is one, however often it says so
    }
    (void)cluster.advance_by(2'000'000);
    REQUIRE(cluster.done(sent));
    const Outcome& outcome = cluster.outcomes[sent];
    CHECK(outcome.kind == (replicas >= 2 ? OutcomeKind::busy : OutcomeKind::timed_out));
    const bool says_so = outcome.message.find("busy") != std::string::npos;
    CHECK(says_so == (replicas > 0));
  }
}

TEST_CASE("what waits behind a request that replicas are too busy for ends as busy as well") {
  CoreOptions options = ScriptedCluster::default_options();
  options.session_window = 1;
  ScriptedCluster cluster{4, options};
  const std::uint64_t deadline = cluster.now + 2'000'000;
  const Ticket first = cluster.core.submit(to_bytes("a"), deadline);
  const Ticket behind = cluster.core.submit(to_bytes("b"), deadline);
  (void)cluster.open_session(given_session.value);
  cluster.say_all(make_reply(given_session, RequestNumber{1}, ReplyStatus::busy, {}, false));
  (void)cluster.advance_by(2'000'000);
  CHECK(cluster.outcomes[first].kind == OutcomeKind::busy);
  CHECK(cluster.outcomes[behind].kind == OutcomeKind::busy);
}

TEST_CASE("a cluster that was busy long ago is not called busy when it does not answer") {
  ScriptedCluster cluster{4};
  const Ticket sent = cluster.core.submit(to_bytes("a"), cluster.now + 60'000'000);
  (void)cluster.open_session(given_session.value);
  cluster.say_all(make_reply(given_session, RequestNumber{1}, ReplyStatus::busy, {}, false));
  for (int i = 0; i < 600; ++i) (void)cluster.advance_by(100'000);
  REQUIRE(cluster.done(sent));
  CHECK(cluster.outcomes[sent].kind == OutcomeKind::timed_out);
}

TEST_CASE("busy is a hint: it puts off one resend, and a liar cannot put it off for ever") {
  OpenCluster cluster;
  const std::uint64_t sent = cluster.now;
  const Reply busy = make_reply(given_session, RequestNumber{1}, ReplyStatus::busy, {}, false);
  for (int i = 0; i < 10; ++i) {
    cluster.say_all(busy);
  }
  (void)cluster.advance();
  CHECK_FALSE(cluster.done(cluster.ticket));
  std::optional<std::uint64_t> resent;
  while (!resent && cluster.now < sent + 5'000'000) {
    cluster.say(3, busy);
    if (!ScriptedCluster::bundles(cluster.advance_by(50'000)).empty()) {
      resent = cluster.now;
    }
  }
  REQUIRE(resent);
  CHECK(*resent == sent + 600'000);
  cluster.say_all(ok(1, "done"));
  (void)cluster.advance();
  CHECK(cluster.result(cluster.ticket) == "done");
}

TEST_CASE("the primary is believed to be where f+1 replicas are, not where a liar says") {
  OpenCluster cluster;
  cluster.say(3, Welcome{View{1'000'003}, SequenceNumber{0}});
  (void)cluster.advance();
  CHECK(cluster.core.view() == View{0});
  cluster.say(1, Welcome{View{2}, SequenceNumber{0}});
  (void)cluster.advance();
  CHECK(cluster.core.view() == View{2});
  (void)cluster.core.submit(to_bytes("b"), 0);
  const auto bundles = ScriptedCluster::bundles(cluster.advance());
  REQUIRE(bundles.size() == 1);
  CHECK(bundles[0].first == ReplicaId{2});
  // Replies carry hints, too, and a view never goes back.
  cluster.say(1, make_reply(given_session, RequestNumber{9}, ReplyStatus::ok, {}, true, View{1}));
  (void)cluster.advance();
  CHECK(cluster.core.view() == View{2});
}

TEST_CASE("a new primary is sent at once what only the old one got") {
  OpenCluster cluster;
  cluster.say(1, Welcome{View{1}, SequenceNumber{0}});
  cluster.say(2, Welcome{View{1}, SequenceNumber{0}});
  const auto bundles = ScriptedCluster::bundles(cluster.advance());
  REQUIRE(bundles.size() == 1);
  CHECK(bundles[0].first == ReplicaId{1});
  CHECK(ScriptedCluster::bundles(cluster.advance()).empty());
}

TEST_CASE("a new primary is sent at once what is launched in its view, and once") {
  OpenCluster cluster;
  cluster.say_all(ok(1, "done"));
  (void)cluster.advance();
  cluster.say_all(Welcome{View{1}, SequenceNumber{0}});
  (void)cluster.core.submit(to_bytes("b"), 0);
  const auto bundles = ScriptedCluster::bundles(cluster.advance());
  REQUIRE(bundles.size() == 1);
  CHECK(bundles[0].first == ReplicaId{1});
}

TEST_CASE("a new primary is sent at once what all were sent before, and the intervals begin anew") {
  OpenCluster cluster;
  for (const std::uint64_t interval : {300'000U, 600'000U, 1'200'000U}) {
    REQUIRE(ScriptedCluster::bundles(cluster.advance_by(interval)).size() == 4);
  }
  cluster.say(1, Welcome{View{1}, SequenceNumber{0}});
  CHECK(ScriptedCluster::bundles(cluster.advance()).empty());  // one replica alone may lie
  cluster.say(2, Welcome{View{1}, SequenceNumber{0}});
  const auto followed = ScriptedCluster::bundles(cluster.advance());
  REQUIRE(followed.size() == 1);
  CHECK(followed[0].first == ReplicaId{1});
  CHECK(ScriptedCluster::bundles(cluster.advance_by(299'999)).empty());
  CHECK(ScriptedCluster::bundles(cluster.advance_by(1)).size() == 4);
}

// ---- A client under suspicion ------------------------------------------------------------------------------

Reply sign(std::uint64_t number) {
  return make_reply(given_session, RequestNumber{number}, ReplyStatus::sign, {}, false);
}

TEST_CASE("sign: what is outstanding is sent again at once with signatures, under the same names") {
  ScriptedCluster cluster{4};
  std::vector<Ticket> tickets{cluster.core.submit(to_bytes("a"), 0)};
  auto sent = ScriptedCluster::bundles(cluster.open_session());
  tickets.push_back(cluster.core.submit(to_bytes("b"), 0));
  for (const auto& bundle : ScriptedCluster::bundles(cluster.advance())) sent.push_back(bundle);
  REQUIRE(sent.size() == 2);
  CHECK_FALSE(sent[0].second->is_signed());

  cluster.say(0, sign(2));
  CHECK(cluster.core.next_wakeup_us() <= cluster.now);
  std::map<Digest, std::set<ReplicaId>> again;
  for (const auto& [at, bundle] : ScriptedCluster::bundles(cluster.advance())) {
    CHECK(bundle->is_signed());
    again[bundle->digest].insert(at);
    for (const auto& [unused, before] : sent) {
      if (before->digest == bundle->digest) CHECK(before->body == bundle->body);
    }
  }
  CHECK(again.count(sent[0].second->digest) == 1);
  CHECK(again.count(sent[1].second->digest) == 1);
  for (const auto& [digest, replicas] : again) CHECK(replicas.size() == 4);
  CHECK(cluster.outcomes.empty());

  const Ticket later = cluster.core.submit(to_bytes("c"), 0);
  const auto bundles = ScriptedCluster::bundles(cluster.advance());
  REQUIRE(bundles.size() == 1);
  CHECK(bundles[0].second->is_signed());
  tickets.push_back(later);
  for (std::uint64_t number = 1; number <= 3; ++number) cluster.say_all(ok(number, "done"));
  (void)cluster.advance();
  for (const Ticket ticket : tickets) CHECK(cluster.done(ticket));
}

TEST_CASE("sign: a liar who repeats it costs signatures, and no frames beside the first ones") {
  OpenCluster cluster;
  cluster.say(3, sign(1));
  CHECK_FALSE(ScriptedCluster::bundles(cluster.advance()).empty());
  for (int i = 0; i < 10; ++i) {
    cluster.say_all(sign(1));
    CHECK(ScriptedCluster::bundles(cluster.advance_by(1000)).empty());
  }
  CHECK_FALSE(cluster.done(cluster.ticket));
  cluster.say_all(ok(1, "done"));
  (void)cluster.advance();
  CHECK(cluster.result(cluster.ticket) == "done");
}

TEST_CASE("sign: for what is not outstanding it means nothing") {
  OpenCluster cluster;
  cluster.say_all(sign(9));
  cluster.say_all(ok(1, "done"));
  cluster.say_all(sign(1));
  CHECK(ScriptedCluster::bundles(cluster.advance()).empty());
  (void)cluster.core.submit(to_bytes("b"), 0);
  const auto bundles = ScriptedCluster::bundles(cluster.advance());
  REQUIRE(bundles.size() == 1);
  CHECK_FALSE(bundles[0].second->is_signed());
}

TEST_CASE("outside_window names the setting that is wrong") {
  OpenCluster cluster;
  const Reply outside = make_reply(given_session, RequestNumber{1}, ReplyStatus::outside_window, {}, false);
  cluster.say(0, outside);
  cluster.say(1, outside);
  (void)cluster.advance();
  REQUIRE(cluster.done(cluster.ticket));
  CHECK(cluster.outcomes[cluster.ticket].kind == OutcomeKind::refused);
  CHECK_THAT(cluster.outcomes[cluster.ticket].message, Catch::Contains("session_window"));
}

TEST_CASE("one replica is a cluster: its answer is enough") {
  OpenCluster cluster{1};
  cluster.say(0, ok(1, "alone"));
  (void)cluster.advance();
  CHECK(cluster.result(cluster.ticket) == "alone");
}

}  // namespace
}  // namespace pbft::client::testing
