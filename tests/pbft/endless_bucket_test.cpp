// Rule 16: what a source without an end, that is quick, can do to a bucket of any size, and to who fetches it.
#include "tests/pbft/far_behind.h"

using namespace pbft;
using namespace pbft::testing;

namespace {

constexpr std::size_t junk_bytes = Limits::bucket_part_bytes;

// The bucket that replica 3 lacks is a large one, and one of its sources answers at once with what is no part of it.
// What it brings takes the place of as much that was right.
struct LyingSource : FarBehind {
  LyingSource(std::uint32_t liar, std::uint32_t parts, std::uint64_t bytes_per_tick)
      : FarBehind(bytes_per_tick), liar_(liar), lacking_(parts) {}

  // A tick, in which the others execute a request, and all that is asked in it.
  void tick() {
    fill(cluster, alice, session, next_, next_, 0, take_);
    ++next_;
    cluster.settle(1, take_);
    while (!asked_.empty()) {
      const Flight question = asked_.front();
      asked_.pop_front();
      answer(question.to, std::get<FetchBucket>(question.message));
      cluster.run(take_);
    }
  }
  std::size_t lies = 0;  // parts
  std::size_t truths = 0;

 private:
  void answer(ReplicaId source, const FetchBucket& fetch) {
    const bool lie = source == ReplicaId{liar_};
    if (!lie && lacking_ <= 1) {
      cluster.send(3, source.value, fetch);  // the last part is the real one
      return cluster.run();
    }
    BucketPart part{fetch.n, fetch.bucket, fetch.skip, UINT32_MAX, {}, {}};
    if (!lie) part.total = fetch.skip + lacking_;
    part.pairs.push_back({Namespace::state, SharedBytes::own(to_bytes("key")), junk_});
    lacking_ = lie ? lacking_ + 1 : lacking_ - 1;
    ++(lie ? lies : truths);
    cluster.send(source.value, 3, part);
  }

  std::uint32_t liar_;
  std::uint32_t lacking_;  // parts of the bucket
  std::uint64_t next_ = 51;
  SharedBytes junk_ = SharedBytes::own(Bytes(junk_bytes));
  std::deque<Flight> asked_;
  const CoreCluster::Filter take_ = [this](const Flight& m) {
    if (is<FetchBucket>(m)) asked_.push_back(m);
    return is<FetchBucket>(m);
  };
};

}  // namespace

TEST_CASE("rule 16: a source that is quick, and does not end, keeps no bucket, whatever the pace", "[transfer]") {
  const std::uint64_t pace = GENERATE(0, junk_bytes / 4);
  for (const std::uint32_t liar : {0U, 1U, 2U}) {
    CAPTURE(pace, liar);
    LyingSource b{liar, 1, pace};
    for (int i = 0; i < 1'000 && b.lies < 100 && !b.caught_up(); ++i) b.tick();
    CHECK(b.caught_up());
    CHECK(b.lies <= (9U << 20) / junk_bytes);
    CHECK(b.accused().empty());
  }
}

TEST_CASE("rule 16: a bucket of any size comes in, and a lying source brings no more than a few times as much",
          "[transfer]") {
  const std::uint32_t parts = 400;  // 100 MiB
  const std::uint64_t pace = GENERATE(0, 4 * junk_bytes);
  for (const std::uint32_t liar : {0U, 1U, 2U}) {
    CAPTURE(pace, liar);
    LyingSource b{liar, parts, pace};
    for (int i = 0; i < 4'000 && !b.caught_up() && b.lies < 20 * parts; ++i) b.tick();
    CHECK(b.caught_up());
    CHECK(b.lies <= 3 * parts);
    CHECK(b.accused().empty());
  }
}

// Parts with next to nothing in them take no pace, no time and no room.
TEST_CASE("rule 16: who gives a bucket in crumbs is named", "[transfer]") {
  FarBehind b{32U << 10};
  const auto crumbs = [](const Flight& m) {
    if (is<BucketPart>(m) && m.from == ReplicaId{1}) {
      const_cast<BucketPart&>(std::get<BucketPart>(m.message)).total = 1'000'000;
    }
    return is<BucketPart>(m) && m.from != ReplicaId{1};
  };
  b.cluster.settle(200, crumbs);
  const auto accused = b.accused();
  CHECK(std::ranges::any_of(
      accused, [](const BadSource& bad) { return bad.source == ReplicaId{1} && std::string{bad.what} == "too slow"; }));
  b.cluster.settle(100);
  CHECK(b.caught_up());
}

// The lists of what is here may differ, and an answer does not say to which of them it is.
TEST_CASE("rule 16: an answer that comes late, when its source is asked anew, is nobody's fault, once", "[transfer]") {
  FarBehind b;
  const auto withheld = [](const Flight& m) {
    return is<BucketPart>(m) || (is<Tree>(m) && m.from != ReplicaId{1});  // all comes from one source
  };
  const auto asked = [&] {
    std::vector<Flight> questions;
    for (int i = 0; i < 300 && questions.empty(); ++i) {
      b.cluster.settle(1, [&](const Flight& m) {
        if (is<FetchBucket>(m) && m.to == ReplicaId{1}) questions.push_back(m);
        return withheld(m) || is<FetchBucket>(m);
      });
    }
    REQUIRE(questions.size() == 1);
    return std::get<FetchBucket>(questions.front().message);
  };
  const auto named = [&] {
    const auto accused = b.accused();
    return std::ranges::count_if(accused, [](const BadSource& bad) { return std::string{bad.what} == "wrong bucket"; });
  };
  const auto answer = [&](const FetchBucket& question) {
    b.cluster.send(1, 3, BucketPart{question.n, question.bucket, question.skip, 0, {}, {}});
    b.cluster.run([](const Flight& m) { return is<FetchBucket>(m); });
  };
  const FetchBucket first = asked();
  static_cast<void>(asked());  // anew, since no answer came
  answer(first);
  CHECK(b.node().count(Reject::wrong_digest) == 1);
  CHECK(named() == 0);
  for (int i = 0; i < 10 && named() == 0; ++i) answer(asked());
  CHECK(named() == 1);
  b.cluster.settle(300);
  CHECK(b.caught_up());
}
