// Family tree: rows of different ages, and undo that leads from them to the digest.
#include "storage/tree_rows.h"

#include "storage/digest_tree.h"
#include "storage/fields.h"
#include "storage/meta.h"
#include "tests/storage/support.h"

using namespace pbft;
using namespace pbft::storage;
using namespace pbft::storage::testing;

namespace {

constexpr std::uint32_t all_rows = DigestTree::bucket_count;

// Checkpoints every four batches; each is stable when the next one is taken.
struct StoreWithRows : StoreOn<MemoryDisk> {
  Model model;
  SequenceNumber last;  // checkpoint
  CheckpointSummary summary;

  explicit StoreWithRows(std::size_t least) : StoreOn({.checkpoint_interval = 4, .least_tree_rows = least}) {}
  void interval(std::mt19937_64& random, std::size_t most, std::size_t keys) {
    for (int i = 0; i < 4; ++i) must(store->apply(model.next(random_changes(random, most, keys))));
    summary = take(*store, model.executed);
    must(store->truncate(last));
    last = summary.n;
  }
  [[nodiscard]] Content rows() const { return content_of(disk.engine()->scan(Family::tree, {}, {})); }
  [[nodiscard]] Content undo() const { return content_of(disk.engine()->scan(Family::undo, {}, {})); }
};

}  // namespace

TEST_CASE("rows take turns, and come back as they were written", "[tree_rows]") {
  TreeRows rows{SequenceNumber{3}};
  CHECK(rows.lowest() == 3);
  CHECK(rows.take_turn(SequenceNumber{4}) == 0);
  CHECK(rows.take_turn(SequenceNumber{4}) == 1);
  CHECK(rows.take_turn(SequenceNumber{8}) == 2);
  CHECK(rows.lowest() == 3);
  const auto read = TreeRows::decode(rows.encode());
  REQUIRE(read);
  rows = *read;
  CHECK(rows.of(1) == 4);
  CHECK(rows.of(2) == 8);
  CHECK(rows.of(all_rows - 1) == 3);
  // To the end, and on from the beginning.
  for (std::uint32_t bucket = 3; bucket < all_rows; ++bucket) CHECK(rows.take_turn(SequenceNumber{12}) == bucket);
  CHECK(rows.take_turn(SequenceNumber{12}) == 0);
  CHECK(rows.lowest() == 4);
}

TEST_CASE("what says nothing of all rows is refused", "[tree_rows]") {
  const auto refused = [](FieldWriter& writer) { return !TreeRows::decode(writer.take()); };
  CHECK(refused(FieldWriter{}.u32(0)));
  CHECK(refused(FieldWriter{}.u32(0).u32(all_rows - 1).u64(1)));
  CHECK(refused(FieldWriter{}.u32(0).u32(all_rows + 1).u64(1)));
  CHECK(refused(FieldWriter{}.u32(0).u32(7).u64(1).u32(7).u64(2).u32(all_rows).u64(3)));
  CHECK(refused(FieldWriter{}.u32(all_rows).u32(all_rows).u64(1)));
  CHECK(refused(FieldWriter{}.u32(0).u32(all_rows).u64(1).u8(0)));
  CHECK_FALSE(refused(FieldWriter{}.u32(0).u32(all_rows).u64(1)));
  StoreWithRows fixture{16};
  WriteBatch batch;
  batch.erase(Family::meta, tree_rows_key);
  must(fixture.disk.engine()->write(batch, Sync::no));
  const StorageError error = refusal(Store::open(fixture.disk.engine(), identity(), fixture.options));
  CHECK(error.kind == StorageError::Kind::corrupt);
}

TEST_CASE("from rows of any age undo leads to the digests", "[tree_rows]") {
  const std::size_t least = GENERATE(1, 16, 700, 4096);
  StoreWithRows fixture{least};
  std::mt19937_64 random{least};
  for (int i = 0; i < 60; ++i) {
    const SequenceNumber before = fixture.last;
    fixture.interval(random, 20, 150);
    REQUIRE(fixture.summary.state == must(fixture.store->recompute_state_digest()));
    if (i % 7 == 3) {
      // In the middle of an interval, too; what is run again was not written.
      must(fixture.store->apply(fixture.model.next(random_changes(random, 20, 150))));
      REQUIRE_FALSE(fixture.restart().damaged);
      for (int k = 0; k < 3; ++k) must(fixture.store->apply(fixture.model.next({})));
      fixture.summary = take(*fixture.store, fixture.model.executed);
      REQUIRE(fixture.summary.state == must(fixture.store->recompute_state_digest()));
      must(fixture.store->truncate(fixture.last));
      fixture.last = fixture.summary.n;
    }
    // What is given to others is proven by its root.
    for (const SequenceNumber n : {before, fixture.last}) {
      if (n.value > 0) CHECK(must(fixture.store->tree_at(n, asker)));
    }
  }
}

TEST_CASE("a checkpoint writes rows in proportion to what has changed", "[tree_rows]") {
  StoreWithRows fixture{16};
  std::mt19937_64 random{1};
  std::size_t most_undo = 0;
  for (int i = 0; i < 300; ++i) {
    const Content before = fixture.rows();
    fixture.interval(random, 4, 1'000);
    std::size_t written = 0;
    for (const auto& [bucket, row] : fixture.rows()) {
      const auto found = before.find(bucket);
      written += found == before.end() || found->second != row ? 1 : 0;
    }
    CHECK(written <= 16);
    most_undo = std::max(most_undo, fixture.undo().size());
  }
  // After 256 checkpoints all rows have had their turn, and what was undo for them is gone.
  INFO("most " << most_undo << ", now " << fixture.undo().size());
  CHECK(most_undo > 1'500);
  CHECK(most_undo < 2'300);
  // Larger intervals and larger values write more of them.
  std::vector<StateChange> many;
  for (int i = 0; i < 400; ++i) many.push_back(put("other" + std::to_string(i), std::string(100, 'v')));
  const std::size_t rows = fixture.rows().size();
  for (int i = 0; i < 4; ++i)
    must(fixture.store->apply(fixture.model.next(i == 0 ? many : std::vector<StateChange>{})));
  take(*fixture.store, fixture.model.executed);
  // Some of them with the checkpoint, the others in the turns after it; at the latest before the next one.
  const std::size_t first = fixture.rows().size();
  must(fixture.store->continue_checkpoint(0));
  CHECK(fixture.rows().size() > std::max(rows, first));
}

TEST_CASE("large values bring all rows their turn sooner", "[tree_rows]") {
  StoreWithRows fixture{1};
  const std::string large(1U << 20, 'v');
  for (int i = 0; i < 40; ++i) {
    for (int k = 0; k < 4; ++k) must(fixture.store->apply(fixture.model.next({put("key" + std::to_string(k), large)})));
    fixture.summary = take(*fixture.store, fixture.model.executed);
    must(fixture.store->truncate(fixture.last));
    fixture.last = fixture.summary.n;
    CHECK(fixture.undo().size() <= 4 * 20);  // 80 MiB
  }
}

TEST_CASE("what counts is what undo holds, also of what is again as it was", "[tree_rows]") {
  StoreWithRows fixture{1};
  const std::string large(1U << 20, 'v');
  const auto interval = [&] {
    // Every batch is written at once, so that undo has each pair; in the end they are what they were.
    must(fixture.store->apply(fixture.model.next({put("a", "1"), put("b", "1"), put("c", "1")})));
    must(fixture.store->apply(fixture.model.next({put("a", large), put("b", large), put("c", large)})));
    for (int i = 0; i < 2; ++i) must(fixture.store->apply(fixture.model.next({})));
    fixture.summary = take(*fixture.store, fixture.model.executed);
    must(fixture.store->truncate(fixture.last));
    fixture.last = fixture.summary.n;
  };
  for (int i = 0; i < 60; ++i) {
    interval();
    if (i % 9 == 4) fixture.restart();
    CHECK(fixture.undo().size() <= 3 * 30);
  }
}

TEST_CASE("after an opening all rows are brought up to date", "[tree_rows]") {
  StoreWithRows fixture{1};
  fixture.options.pairs_per_tree_row = 100'000;
  fixture.open();
  std::mt19937_64 random{4};
  for (int i = 0; i < 10; ++i) fixture.interval(random, 20, 100);
  REQUIRE(fixture.undo().size() > 200);
  REQUIRE(fixture.rows().size() < 10);
  fixture.restart();
  for (int i = 0; i < 3; ++i) fixture.interval(random, 4, 100);
  CHECK(fixture.undo().size() < 60);
  CHECK(fixture.rows().size() > 40);
}

TEST_CASE("after an orderly end an opening reads nothing of the state", "[tree_rows]") {
  StoreWithRows fixture{1};
  std::mt19937_64 random{6};
  for (int i = 0; i < 10; ++i) fixture.interval(random, 20, 100);
  must(fixture.store->write_all_rows());
  // Which an opening would meet.
  WriteBatch batch;
  const Bytes key = fixture.model.state.begin()->first;
  batch.put(Family::state, key, to_bytes("another value"));
  must(fixture.disk.engine()->write(batch, Sync::no));
  CHECK_FALSE(fixture.restart().damaged);
  const ScrubReport report = must(fixture.store->scrub(100'000));
  REQUIRE(report.damage.size() == 1);
  CHECK(report.damage[0].first == key);
}

TEST_CASE("rows that do not lead to the root of the last checkpoint are made anew from the pairs", "[tree_rows]") {
  StoreWithRows fixture{GENERATE(16, 4096)};
  std::mt19937_64 random{5};
  for (int i = 0; i < 300; ++i) fixture.interval(random, 20, 100);
  must(fixture.store->apply(fixture.model.next(random_changes(random, 20, 100))));
  const Content before = fixture.rows();
  const Bytes row = before.begin()->first;
  WriteBatch batch;
  batch.erase(Family::tree, row);
  must(fixture.disk.engine()->write(batch, Sync::no));
  CHECK_FALSE(fixture.restart().damaged);
  CHECK(fixture.rows().contains(row));
  CHECK_FALSE(fixture.restart().damaged);
  CHECK(must(fixture.store->tree_at(fixture.last, asker)));

  SECTION("but not from pairs that are not what they were") {
    batch.put(Family::state, to_bytes("nobody wrote"), to_bytes("this"));
    must(fixture.disk.engine()->write(batch, Sync::no));
    CHECK(fixture.restart().damaged);
  }
}
