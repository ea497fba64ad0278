// Which replicas are asked to reply: f backups and the primary, as long as that costs no time.
#include "tools/client/cpp/repliers.h"

#include "tests/client/scripted_cluster.h"

namespace pbft::client::testing {
namespace {

constexpr ReplicaId primary{0};

// Answers `count` requests, each after `us`, with the first votes from `voters`.
void answer(Repliers& repliers, int count, std::uint64_t us, const std::vector<std::uint32_t>& voters) {
  for (int i = 0; i < count; ++i) {
    for (const std::uint32_t voter : voters) repliers.voted(ReplicaId{voter});
    repliers.answered(1'000'000);
    repliers.end_turn(1'000'000 + us);
  }
}

std::vector<std::uint32_t> wanted(const Repliers& repliers, std::uint32_t n) {
  std::vector<std::uint32_t> all;
  for (std::uint32_t i = 0; i < n; ++i) {
    if (repliers.wanted(ReplicaId{i})) all.push_back(i);
  }
  return all;
}

const std::vector<std::uint32_t> everybody{0, 1, 2, 3};

// After a first period, in which all of four replied and `first` were the first.
Repliers after_first_period(std::uint64_t spread, const std::vector<std::uint32_t>& first) {
  Repliers repliers{Quorum{4}, spread};
  repliers.begin_period(primary);
  answer(repliers, 20, 5'000, first);
  repliers.begin_period(primary);
  return repliers;
}

TEST_CASE("all reply at first, then the primary and f backups, then all again") {
  Repliers repliers{Quorum{4}, 2};
  repliers.begin_period(primary);
  CHECK(wanted(repliers, 4) == everybody);
  answer(repliers, 20, 5'000, {0, 2});
  repliers.begin_period(primary);
  CHECK(wanted(repliers, 4) == std::vector<std::uint32_t>{0, 2});
  int quiet = 0;
  while (wanted(repliers, 4).size() == 2) {
    answer(repliers, 20, 6'000, {0, 2});
    repliers.begin_period(primary);
    REQUIRE(++quiet < 100);
  }
  CHECK(wanted(repliers, 4) == everybody);
  CHECK(quiet > 1);
}

TEST_CASE("who was hardly ever among the first is not chosen") {
  const Repliers repliers = after_first_period(1, {0, 3});
  CHECK(wanted(repliers, 4) == std::vector<std::uint32_t>{0, 3});
}

TEST_CASE("clients choose different backups where all are as good") {
  std::vector<std::vector<std::uint32_t>> chosen;
  for (std::uint64_t spread = 1; spread <= 3; ++spread) {
    chosen.push_back(wanted(after_first_period(spread, everybody), 4));
  }
  CHECK(chosen == std::vector<std::vector<std::uint32_t>>{{0, 1}, {0, 2}, {0, 3}});
}

TEST_CASE("a few answers tell nothing") {
  Repliers repliers{Quorum{4}, 1};
  for (int period = 0; period < 10; ++period) {
    repliers.begin_period(primary);
    CHECK(wanted(repliers, 4) == everybody);
    answer(repliers, 2, 5'000, {0, 1});
  }
}

TEST_CASE("one that was chosen and is slow from then on is found out") {
  Repliers repliers = after_first_period(1, {0, 1});
  REQUIRE(wanted(repliers, 4) == std::vector<std::uint32_t>{0, 1});
  answer(repliers, 20, 200'000, {0, 1});
  repliers.begin_period(primary);
  CHECK(wanted(repliers, 4) == everybody);
  answer(repliers, 20, 5'000, {0, 2});
  repliers.begin_period(primary);
  CHECK(wanted(repliers, 4) == everybody);  // it is not trusted again at once
}

TEST_CASE("one that lies is among the first, but is not chosen again and again") {
  Repliers repliers{Quorum{4}, 1};
  int chosen = 0;
  for (int period = 0; period < 60; ++period) {
    repliers.begin_period(primary);
    if (wanted(repliers, 4) == std::vector<std::uint32_t>{0, 1}) {
      ++chosen;
      static_cast<void>(repliers.failed());
    }
    answer(repliers, 20, 5'000, everybody);
  }
  CHECK(chosen == 1);
}

TEST_CASE("nobody is chosen where nobody is trusted") {
  Repliers repliers{Quorum{4}, 1};
  int failures = 0;
  for (int period = 0; period < 50; ++period) {
    repliers.begin_period(primary);
    if (wanted(repliers, 4).size() < 4 && repliers.failed()) ++failures;
    answer(repliers, 20, 5'000, everybody);
  }
  CHECK(failures == 3);
  CHECK(wanted(repliers, 4) == everybody);
}

TEST_CASE("where all reply a request that had to be resent is nobody's fault: who replies is chosen a period later") {
  Repliers repliers{Quorum{4}, 1};
  repliers.begin_period(primary);
  CHECK_FALSE(repliers.failed());
  answer(repliers, 20, 300'000, everybody);
  repliers.begin_period(primary);
  CHECK(wanted(repliers, 4) == everybody);
  answer(repliers, 20, 5'000, everybody);
  repliers.begin_period(primary);
  CHECK(wanted(repliers, 4) == std::vector<std::uint32_t>{0, 1});
  answer(repliers, 20, 50'000, everybody);  // slow, beside what is usual
  repliers.begin_period(primary);
  CHECK(wanted(repliers, 4) == everybody);
}

TEST_CASE("a period in which nothing had to be resent comes first") {
  Repliers repliers{Quorum{4}, 1};
  repliers.begin_period(primary);
  answer(repliers, 20, 5'000, everybody);
  repliers.begin_period(primary);
  CHECK(wanted(repliers, 4) == std::vector<std::uint32_t>{0, 1});
}

TEST_CASE("all reply again after a reset, for a while") {
  Repliers repliers{Quorum{7}, 1};
  repliers.begin_period(primary);
  CHECK_FALSE(repliers.reset());  // they do already
  for (int period = 0; period < 10 && wanted(repliers, 7).size() == 7; ++period) {
    answer(repliers, 20, 5'000, {0, 1, 2, 3, 4, 5, 6});
    repliers.begin_period(primary);
  }
  CHECK(wanted(repliers, 7) == std::vector<std::uint32_t>{0, 1, 2});
  CHECK(repliers.reset());
  CHECK(wanted(repliers, 7).size() == 7);
}

// A client that has a session, and one operation after the other.
struct Busy : ScriptedCluster {
  Busy() : ScriptedCluster{4} {
    (void)core.submit(to_bytes("first"), 0);
    arrived = open_session();
    answer_by({0, 1, 2, 3});
  }
  void answer_by(const std::vector<std::uint32_t>& replicas) {
    now += 1'000;
    for (const std::uint32_t replica : replicas) {
      say(replica, make_reply(SessionId{77}, RequestNumber{number}, ReplyStatus::ok, {}));
    }
    note(advance());
    ++number;
  }
  void one_more(const std::vector<std::uint32_t>& replicas) {
    (void)core.submit(to_bytes("next"), 0);
    note(advance());
    answer_by(replicas);
  }
  void note(const std::vector<Received>& received) {
    for (const auto& [at, hello] : all<Hello>(received)) quiet[at.value] = hello.quiet;
  }
  // Until some are told to be quiet.
  void settle(const std::vector<std::uint32_t>& replicas) {
    for (int i = 0; i < 20; ++i) one_more(replicas);
    now += 1'000'000;
    one_more(replicas);
  }

  std::uint64_t number = 1;
  std::vector<Received> arrived;
  std::map<std::uint32_t, bool> quiet;
};

TEST_CASE("replicas are told with the hello whether their replies are wanted") {
  Busy client;
  client.settle({0, 2});
  CHECK(client.quiet == std::map<std::uint32_t, bool>{{0, false}, {1, true}, {2, false}, {3, true}});
}

TEST_CASE("where the chosen do not answer, the request goes to all, and all are to reply from then on") {
  Busy client;
  client.settle({0, 2});
  const Ticket ticket = client.core.submit(to_bytes("lost"), 0);
  client.note(client.advance());
  const auto resent = client.advance_by(300'000);
  CHECK(ScriptedCluster::bundles(resent).size() == 4);
  CHECK(client.core.next_wakeup_us() == 0);
  client.note(client.advance());
  CHECK(client.quiet == std::map<std::uint32_t, bool>{{0, false}, {1, false}, {2, false}, {3, false}});
  client.answer_by({1, 3});
  CHECK(client.done(ticket));
}

TEST_CASE("after a view change all are to reply") {
  Busy client;
  client.settle({0, 2});
  (void)client.core.submit(to_bytes("x"), 0);
  client.note(client.advance());
  for (const std::uint32_t replica : {1U, 2U}) client.say(replica, Welcome{View{1}, SequenceNumber{1}});
  client.note(client.advance());
  CHECK(client.quiet == std::map<std::uint32_t, bool>{{0, false}, {1, false}, {2, false}, {3, false}});
}

}  // namespace
}  // namespace pbft::client::testing
