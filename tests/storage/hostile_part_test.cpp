// Parts of buckets that do not fit what was asked for, or lie.
#include "storage/state_view.h"
#include "storage/transfer.h"
#include "tests/storage/transfer_support.h"

using namespace pbft;
using namespace pbft::storage;
using namespace pbft::storage::testing;
using Outcome = BucketStaged::Outcome;

namespace {

// `from` holds k1, k3, k4 and k5 of the bucket, `to` k1, k2 (of no use) and another k3. k4 fills a part of its own.
struct BucketInParts {
  static constexpr std::uint32_t bucket = 9;
  std::vector<std::string> keys = keys_of(bucket, 6);
  Machine<MemoryDisk> from;
  Machine<MemoryDisk> to;
  FetchBucket request{SequenceNumber{4}, bucket, 0, {}};
  BucketPart first;
  BucketPart second;

  BucketInParts() {
    const std::string large(Limits::bucket_part_bytes, 'x');
    from.run_to(4, [&](std::uint64_t n, std::vector<StateChange>& changes) {
      changes = {put("last", std::to_string(n))};
      if (n == 2) {
        for (const auto& [key, value] : std::map<std::size_t, std::string>{{1, "1"}, {3, "3"}, {4, large}, {5, "5"}}) {
          changes.push_back(put(keys[key], value));
        }
      }
    });
    to.run_to(1, [&](std::uint64_t, std::vector<StateChange>& changes) {
      changes = {put(keys[1], "1"), put(keys[2], "2"), put(keys[3], "another")};
    });
    static_cast<void>(plan(*from.store, *to.store, from.summaries.at(4)));
    request.have = must(to.store->bucket_hashes(bucket, 0));
    REQUIRE(request.have.size() == 3);
    first = must(from.store->bucket_part(request, asker)).value();
    REQUIRE(first.total == 3);
    REQUIRE(first.pairs.size() == 1);
    REQUIRE(first.wrong.size() == 2);
    request.skip = 1;
    second = must(from.store->bucket_part(request, asker)).value();
    REQUIRE(second.pairs.size() == 1);
  }
  Outcome stage(const BucketPart& part) { return must(to.store->stage_bucket(part)).outcome; }
  // The truth, which says what is wrong of what lies have left behind.
  void check_works() { CHECK(fetch(*from.store, *to.store, SequenceNumber{4}, bucket).outcome == Outcome::whole); }
  [[nodiscard]] static StatePair pair(std::string_view key, std::string_view value) {
    return {Namespace::state, SharedBytes::copy_of(as_bytes(key)), SharedBytes::copy_of(as_bytes(value))};
  }
};

}  // namespace

TEST_CASE("a part that is no answer to what was asked is wrong", "[hostile]") {
  BucketInParts f;
  SECTION("another checkpoint") {
    f.first.n = SequenceNumber{8};
  }
  SECTION("a bucket that was not asked for") {
    f.first.bucket = 10;
  }
  SECTION("a bucket that there is not") {
    f.first.bucket = UINT32_MAX;
  }
  SECTION("not the first part") {
    f.first.skip = 1;
  }
  SECTION("not the first part, by far") {
    f.first.skip = UINT32_MAX;
  }
  SECTION("a total below what is there") {
    f.first.total = 0;
  }
  SECTION("indexes beyond what was sent") {
    f.first.wrong = {0, 3};
  }
  SECTION("indexes far beyond") {
    f.first.wrong = {UINT32_MAX};
  }
  SECTION("indexes that do not ascend") {
    f.first.wrong = {1, 1};
  }
  SECTION("a part that brings nothing on") {
    f.first.pairs.clear();
  }
  SECTION("a pair of another bucket") {
    f.first.pairs.push_back(BucketInParts::pair("somewhere else", "x"));
  }
  SECTION("a pair of no namespace") {
    f.first.pairs[0].name_space = static_cast<Namespace>(7);
  }
  SECTION("a pair twice") {
    f.first.pairs.push_back(f.first.pairs[0]);
  }
  SECTION("pairs in the wrong order") {
    f.first.pairs.insert(f.first.pairs.begin(), BucketInParts::pair(f.keys[5], "5"));
  }
  SECTION("a key without end") {
    f.first.pairs[0] = BucketInParts::pair(std::string(Limits::max_key_bytes + 1, 'k'), "x");
  }
  SECTION("a value without end") {
    f.first.pairs[0] = BucketInParts::pair(f.keys[3], std::string(Limits::max_value_bytes + 1, 'v'));
  }
  CHECK(f.stage(f.first) == Outcome::wrong);
  CHECK(content_of(f.to.engine().scan(Family::staging, {}, {})).empty());
  f.check_works();
}

TEST_CASE("a later part that does not follow is wrong", "[hostile]") {
  BucketInParts f;
  CHECK(f.stage(f.first) == Outcome::more);
  SECTION("another total") {
    ++f.second.total;
  }
  SECTION("a gap") {
    f.second.skip = 2;
  }
  SECTION("what is wrong, once more") {
    f.second.wrong = f.first.wrong;
  }
  SECTION("a part that brings nothing on") {
    f.second.pairs.clear();
  }
  SECTION("a pair that was there") {
    f.second.pairs = f.first.pairs;
  }
  SECTION("more than there are") {
    f.second.pairs.push_back(BucketInParts::pair(f.keys[5], "5"));
    f.second.pairs.push_back(BucketInParts::pair(keys_of(BucketInParts::bucket, 40).back(), "too much"));
  }
  CHECK(f.stage(f.second) == Outcome::wrong);
  CHECK(f.stage(f.first) == Outcome::wrong);  // forgotten, until it is asked for again
  f.check_works();
}

TEST_CASE("an answer begins anew where it is asked for anew", "[hostile]") {
  BucketInParts f;
  CHECK(f.stage(f.first) == Outcome::more);
  CHECK(f.stage(f.second) == Outcome::more);
  SECTION("unasked, it is wrong") {
    CHECK(f.stage(f.first) == Outcome::wrong);
  }
  f.check_works();
}

TEST_CASE("a bucket that is whole and lies has another digest", "[hostile]") {
  BucketInParts f;
  BucketPart part = f.first;
  part.pairs = {f.first.pairs[0], f.second.pairs[0], BucketInParts::pair(f.keys[5], "5")};
  SECTION("a value") {
    part.pairs[2] = BucketInParts::pair(f.keys[5], "6");
  }
  SECTION("a pair too many") {
    part.pairs.push_back(BucketInParts::pair(keys_of(BucketInParts::bucket, 40).back(), "x"));
    part.total = 4;
    std::ranges::sort(part.pairs,
                      [](const auto& a, const auto& b) { return as_text(a.key.view()) < as_text(b.key.view()); });
  }
  SECTION("a pair too few") {
    part.pairs.pop_back();
    part.total = 2;
  }
  SECTION("nothing is wrong") {
    part.wrong.clear();
  }
  SECTION("all is wrong") {
    part.wrong = {0, 1, 2};
  }
  SECTION("nothing at all") {
    part.pairs.clear();
    part.total = 0;
  }
  SECTION("a pair that is here and right") {
    part.pairs.insert(part.pairs.begin(), BucketInParts::pair(f.keys[1], "1"));
    part.total = 4;
  }
  CHECK(f.stage(part) == Outcome::wrong);
  CHECK(content_of(f.to.engine().scan(Family::staging, {}, {})).empty());
  f.check_works();
}

TEST_CASE("buckets that are asked for have a bound in number", "[hostile]") {
  BucketInParts f;
  CHECK(f.stage(f.first) == Outcome::more);
  for (std::uint32_t i = 0; i < Transfer::max_gatherings; ++i) {
    static_cast<void>(must(f.to.store->bucket_hashes(100 + i, 0)));
  }
  CHECK(f.stage(f.second) == Outcome::wrong);
  f.check_works();
}

TEST_CASE("without a plan nothing is asked for and nothing staged", "[hostile]") {
  BucketInParts f;
  f.to.restart();
  CHECK(must(f.to.store->bucket_hashes(BucketInParts::bucket, 0)).empty());
  CHECK(f.stage(f.first) == Outcome::wrong);
  static_cast<void>(plan(*f.from.store, *f.to.store, f.from.summaries.at(4)));
  CHECK(must(f.to.store->bucket_hashes(UINT32_MAX, 0)).empty());
  f.check_works();
}

TEST_CASE("random lies never get in", "[hostile]") {
  BucketInParts f;
  std::mt19937_64 random{5};
  const auto number = [&]() -> std::uint32_t {
    const std::uint32_t numbers[] = {0, 1, 2, 3, 4, 5, UINT32_MAX, static_cast<std::uint32_t>(random())};
    return numbers[random() % std::size(numbers)];
  };
  for (int i = 0; i < 20'000; ++i) {
    if (i % 4 == 0) static_cast<void>(must(f.to.store->bucket_hashes(BucketInParts::bucket, 0)));
    BucketPart part = random() % 2 == 0 ? f.first : f.second;
    if (random() % 3 == 0) part.skip = number();
    if (random() % 3 == 0) part.total = number();
    if (random() % 3 == 0) part.wrong = {number(), number()};
    if (random() % 3 == 0) part.pairs.push_back(BucketInParts::pair(f.keys[random() % 6], "lie"));
    if (random() % 5 == 0) part.pairs.clear();
    REQUIRE(f.stage(part) != Outcome::whole);
  }
  f.check_works();
}
