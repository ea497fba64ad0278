// A bucket of which more differs than anybody would hold in memory.
#include "tests/storage/measured_disk.h"
#include "tests/storage/transfer_support.h"

using namespace pbft;
using namespace pbft::storage;
using namespace pbft::storage::testing;
using Outcome = BucketStaged::Outcome;

namespace {

constexpr std::size_t value_bytes = 100'000;
constexpr std::uint32_t large_bucket = 9;
constexpr SequenceNumber target_n{4};

// `from` has many large values in one bucket, `to` nothing but some other values of the same keys.
struct LargeBucket {
  std::vector<std::string> keys = keys_of(large_bucket, 40);
  Machine<MemoryDisk> from;
  Machine<MeasuredDisk> to;

  LargeBucket() {
    to.options.write_bytes = value_bytes / 4;
    to.restart();
    from.run_to(target_n.value, [&](std::uint64_t n, std::vector<StateChange>& changes) {
      changes = {put("last", std::to_string(n))};
      for (std::size_t i = n - 1; i < keys.size(); i += 4) {
        changes.push_back(put(keys[i], std::string(value_bytes, static_cast<char>('a' + i % 26))));
      }
    });
    to.run_to(1, [&](std::uint64_t, std::vector<StateChange>& changes) {
      changes.clear();
      for (std::size_t i = 0; i < 10; ++i) changes.push_back(put(keys[i], std::string(value_bytes, '-')));
    });
    static_cast<void>(plan(*from.store, *to.store, from.summaries.at(4)));
    to.disk.largest() = 0;
  }
  [[nodiscard]] BucketPart ask(std::uint32_t skip) const {
    const FetchBucket request{target_n, large_bucket, skip, must(to.store->bucket_hashes(large_bucket, skip))};
    return must(from.store->bucket_part(request, asker)).value();
  }
  // So many parts of an answer that begins; how many pairs they brought. `lie` may change them.
  std::uint32_t take(int parts, const std::function<void(BucketPart&)>& lie = {}) const {
    std::uint32_t skip = 0;
    for (; parts > 0; --parts) {
      BucketPart part = ask(skip);
      if (lie) lie(part);
      REQUIRE(must(to.store->stage_bucket(part)).outcome == Outcome::more);
      skip += static_cast<std::uint32_t>(part.pairs.size());
    }
    return skip;
  }
  void install() {
    fetch_all(*from.store, *to.store, target_n, plan(*from.store, *to.store, from.summaries.at(4)));
    static_cast<void>(must(to.store->install_state(stable_at(from.summaries.at(4)).proof, from.summaries.at(4))));
    check_installed(*to.store, to.engine(), from.summaries.at(4), content_of(from.store->state_scan({}, {})),
                    content_of(from.store->clients_scan()));
  }
};

}  // namespace

TEST_CASE("a large bucket goes to the disk part by part", "[transfer]") {
  LargeBucket f;
  CHECK(f.ask(0).total == f.keys.size());
  CHECK(fetch(*f.from.store, *f.to.store, target_n, large_bucket).outcome == Outcome::whole);
  f.install();
  CHECK(f.to.disk.largest() >= value_bytes);
  CHECK(f.to.disk.largest() < 3 * value_bytes);
}

TEST_CASE("what has come of a large bucket stays of use, whoever gives the rest", "[transfer]") {
  LargeBucket f;
  const std::uint32_t here = f.take(5);
  REQUIRE(here >= 5);
  SECTION("another source") {}
  SECTION("another process") {
    f.to.restart();
    static_cast<void>(plan(*f.from.store, *f.to.store, f.from.summaries.at(4)));
  }
  const BucketPart next = f.ask(0);
  CHECK(next.total == f.keys.size() - here);
  CHECK(next.wrong.empty());  // what was wrong here was replaced
  f.install();
}

TEST_CASE("who calls all of a bucket wrong and falls silent makes nobody fetch it again", "[transfer]") {
  LargeBucket f;
  const std::uint32_t here = f.take(5);
  const std::uint32_t brought = f.take(1, [&](BucketPart& part) {
    part.wrong.clear();
    for (std::uint32_t i = 0; i < here; ++i) part.wrong.push_back(i);
    part.total = UINT32_MAX;
  });
  CHECK(f.ask(0).total == f.keys.size() - here - brought);
  f.install();
}

TEST_CASE("of a large bucket that a liar has given, the lies are fetched again", "[transfer]") {
  LargeBucket f;
  std::uint32_t lies = 0;
  const auto lie = [&](BucketPart& part) {
    ++lies;
    part.pairs[0].value = SharedBytes::copy_of(as_bytes("a lie"));
  };
  const std::uint32_t here = f.take(5, lie);
  SECTION("where it gives up") {
    CHECK(f.ask(0).total == f.keys.size() - here + lies);
  }
  SECTION("where it goes on to the end, and the digest is another one") {
    std::uint32_t skip = here;
    BucketStaged staged;
    do {
      const BucketPart part = f.ask(skip);
      staged = must(f.to.store->stage_bucket(part));
      skip += staged.pairs;
    } while (staged.outcome == Outcome::more);
    CHECK(staged.outcome == Outcome::wrong);
    CHECK(f.ask(0).total <= lies + 3);  // the last part is not staged
  }
  CHECK(f.ask(0).wrong.size() == lies);
  f.install();
}

TEST_CASE("what a liar has put into a large bucket leaves nothing behind once the bucket is whole", "[transfer]") {
  LargeBucket f;
  const auto records = [&] { return content_of(f.to.engine().scan(Family::staging, {}, {})).size(); };
  f.take(1, [&](BucketPart& part) {
    part.total = UINT32_MAX;
    part.pairs.clear();
    for (const std::string& key : keys_of(large_bucket, 140)) {
      if (std::ranges::binary_search(f.keys, key)) continue;
      part.pairs.push_back({Namespace::state, SharedBytes::copy_of(as_bytes(key)), SharedBytes::own(Bytes(1'000))});
    }
  });
  CHECK(records() >= 100);
  CHECK(fetch(*f.from.store, *f.to.store, target_n, large_bucket).outcome == Outcome::whole);
  CHECK(records() <= f.keys.size() + 1);
  f.install();
}

TEST_CASE("of each part it is told what it took the place of", "[transfer]") {
  LargeBucket f;
  BucketPart part = f.ask(0);
  const std::size_t pairs = part.pairs.size();
  REQUIRE(part.wrong.size() == 10);  // all that is here
  REQUIRE(pairs < 10);
  std::uint64_t names = 0;
  for (const StatePair& pair : part.pairs) names += pair.key.size();
  CHECK(must(f.to.store->stage_bucket(part)).replaced == names + pairs * value_bytes);
  // A lie in the place of what was fetched.
  part = f.ask(0);
  part.wrong.clear();
  for (std::uint32_t i = 0; i < 10; ++i) part.wrong.push_back(i);
  part.pairs.resize(1);
  const std::string& replaced = f.keys[0];
  part.pairs[0] = {Namespace::state, SharedBytes::copy_of(as_bytes(replaced)), SharedBytes::own(Bytes(1))};
  const BucketStaged staged = must(f.to.store->stage_bucket(part));
  CHECK(staged.outcome == Outcome::more);
  CHECK(staged.replaced == replaced.size() + value_bytes);
  f.install();
}
