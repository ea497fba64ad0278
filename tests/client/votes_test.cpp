#include "tools/client/cpp/votes.h"

#include <catch2/catch.hpp>

#include "node/pbft/digests.h"

namespace pbft::client::testing {
namespace {

std::optional<Votes::Agreed> vote(Votes& votes, std::uint32_t from, const std::string& result, bool full = true) {
  const ReplicaId replica{from};
  return full ? votes.add(replica, ReplyStatus::ok, as_bytes(result))
              : votes.add(replica, ReplyStatus::ok, reply_digest(ReplyStatus::ok, as_bytes(result)));
}

TEST_CASE("unconfirmed results of one replica are kept up to its budget only") {
  ResultBudget budget{4, 10};
  Votes first{4, 2, budget};
  Votes second{4, 2, budget};
  CHECK_FALSE(vote(first, 3, "12345678"));
  CHECK_FALSE(vote(second, 3, "12345678"));  // beyond: the vote counts, its result is dropped
  CHECK(budget.used(ReplicaId{3}) == 8);
  CHECK_FALSE(vote(second, 0, "12345678", false));
  CHECK(second.lacks_result());
  CHECK(budget.used(ReplicaId{0}) == 0);
  const auto agreed = vote(second, 1, "12345678");
  REQUIRE(agreed);
  CHECK(as_text(agreed->result) == "12345678");
}

TEST_CASE("even a liar that has filled its budget cannot keep others from being believed") {
  ResultBudget budget{4, 0};
  Votes votes{4, 2, budget};
  CHECK_FALSE(vote(votes, 0, "true"));
  const auto agreed = vote(votes, 1, "true");
  REQUIRE(agreed);
  CHECK(as_text(agreed->result) == "true");
}

TEST_CASE("what is no longer voted for is given back") {
  ResultBudget budget{4, 100};
  {
    Votes votes{4, 3, budget};
    for (int i = 0; i < 50; ++i) {
      CHECK_FALSE(vote(votes, 2, "result " + std::to_string(i % 10)));
      CHECK(budget.used(ReplicaId{2}) == 8);
    }
    CHECK_FALSE(vote(votes, 1, "result 9"));  // shares the bytes that are there
    CHECK(budget.used(ReplicaId{1}) == 0);
    CHECK_FALSE(vote(votes, 2, "other"));
    CHECK(budget.used(ReplicaId{2}) == 8 + 5);  // the first voter's copy still stands for replica 1
  }
  CHECK(budget.used(ReplicaId{2}) == 0);
}

TEST_CASE("a digest and a result agree, whichever came first, with the same status only") {
  ResultBudget budget{4, 100};
  const Digest digest = reply_digest(ReplyStatus::ok, as_bytes("true"));
  Votes digest_first{4, 2, budget};
  CHECK_FALSE(digest_first.add(ReplicaId{0}, ReplyStatus::ok, digest));
  CHECK_FALSE(vote(digest_first, 1, "lie"));
  CHECK_FALSE(digest_first.add(ReplicaId{2}, ReplyStatus::failed, as_bytes("true")));
  CHECK(vote(digest_first, 3, "true"));
  Votes result_first{4, 2, budget};
  CHECK_FALSE(vote(result_first, 0, "true"));
  CHECK_FALSE(result_first.add(ReplicaId{1}, ReplyStatus::failed, digest));
  const auto agreed = result_first.add(ReplicaId{2}, ReplyStatus::ok, digest);
  REQUIRE(agreed);
  CHECK(as_text(agreed->result) == "true");
  for (std::uint32_t i = 0; i < 4; ++i) CHECK(budget.used(ReplicaId{i}) == 0);
}

TEST_CASE("a replica that changes its mind has one vote") {
  ResultBudget budget{4, 100};
  Votes votes{4, 3, budget};
  CHECK_FALSE(vote(votes, 0, "a"));
  CHECK_FALSE(vote(votes, 0, "a", false));
  CHECK_FALSE(vote(votes, 1, "b"));
  CHECK_FALSE(vote(votes, 1, "a"));
  CHECK_FALSE(vote(votes, 0, "b", false));
  CHECK_FALSE(vote(votes, 2, "a"));
  CHECK(vote(votes, 3, "a"));
}

TEST_CASE("votes are hopeless when no group can reach the threshold") {
  ResultBudget budget{4, 100};
  Votes votes{4, 3, budget};
  CHECK_FALSE(votes.hopeless());
  (void)vote(votes, 0, "a");
  (void)vote(votes, 1, "b");
  CHECK_FALSE(votes.hopeless());
  (void)vote(votes, 2, "c");
  CHECK(votes.hopeless());
  (void)vote(votes, 2, "a");
  CHECK_FALSE(votes.hopeless());
}

}  // namespace
}  // namespace pbft::client::testing
