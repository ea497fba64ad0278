// What truncation drops, what it keeps, and what peers are served from it.
#include "storage/digest_tree.h"
#include "storage/fields.h"
#include "storage/serving_session.h"
#include "tests/storage/support.h"

using namespace pbft;
using namespace pbft::storage;
using namespace pbft::storage::testing;

namespace {

constexpr std::uint64_t truncation_interval = 4;

template <class Disk>
struct TruncatedStore {
  Disk disk;
  StoreOptions options{.checkpoint_interval = truncation_interval, .ledger_keep = 10};
  std::unique_ptr<Store> store;
  Model model;
  explicit TruncatedStore(std::uint64_t keep = 10, std::size_t least_tree_rows = DigestTree::bucket_count) {
    options.ledger_keep = keep;
    options.least_tree_rows = least_tree_rows;
    must(Store::create(*disk.engine(), identity()));
    store = must(Store::open(disk.engine(), identity(), options));
  }
  void restart() {
    store.reset();
    disk.restart();
    store = must(Store::open(disk.engine(), identity(), options));
  }
  // Journals, executes and takes checkpoints up to `last`.
  void run_to(std::uint64_t last) {
    while (model.executed < last) {
      const SequenceNumber n{model.executed + 1};
      const BatchPtr batch = committed_batch(n.value);
      must(store->persist({PersistBatch{n, batch}, PersistAccepted{View{0}, n, batch->digest},
                           PersistPrepared{View{0}, n, batch->digest}}));
      must(store->apply(model.next({put("k" + std::to_string(n.value % 3), std::to_string(n.value))})));
      if (n.value % truncation_interval == 0) summaries[n.value] = take(*store, n.value);
    }
  }
  void make_stable(std::uint64_t n) {
    must(store->persist({stable_at(summaries.at(n))}));
    must(store->truncate(SequenceNumber{n}));
  }
  std::size_t count(Family family) { return content_of(disk.engine()->scan(family, {}, {})).size(); }
  bool holds(std::uint64_t n, const Digest& digest) {
    return must(store->batch_bytes(SequenceNumber{n}, digest, asker)).has_value();
  }
  bool holds(std::uint64_t n) { return holds(n, committed_batch(n)->digest); }
  std::optional<LedgerRange> range(std::uint64_t first, std::uint64_t last) {
    return must(store->ledger_range(SequenceNumber{first}, SequenceNumber{last}, asker));
  }
  std::map<std::uint64_t, CheckpointSummary> summaries;
};

}  // namespace

TEMPLATE_TEST_CASE("truncation drops promises at or below the checkpoint and keeps those above", "[truncation]",
                   MemoryDisk, RocksDisk) {
  TruncatedStore<TestType> fixture;
  fixture.run_to(10);
  fixture.make_stable(8);
  CHECK(fixture.count(Family::journal) == 2 * 3);
  fixture.restart();
  const Recovered recovered = must(fixture.store->recover());
  REQUIRE(recovered.slots.size() == 2);
  CHECK(recovered.slots.begin()->first == SequenceNumber{9});
  CHECK(recovered.slots.begin()->second.prepared);
  must(fixture.store->truncate(SequenceNumber{8}));  // again, and an older one: nothing changes
  must(fixture.store->truncate(SequenceNumber{4}));
  CHECK(fixture.count(Family::journal) == 2 * 3);
  CHECK(must(fixture.store->state_at(SequenceNumber{8})).size() == 3);
}

TEMPLATE_TEST_CASE("batches that were not committed go with their slot", "[truncation]", MemoryDisk, RocksDisk) {
  TruncatedStore<TestType> fixture;
  const BatchPtr loser = make_batch(5, "proposed in vain");
  for (std::uint64_t n : {2, 3, 6}) must(fixture.store->persist({PersistBatch{SequenceNumber{n}, loser}}));
  fixture.run_to(8);
  fixture.make_stable(4);
  CHECK_FALSE(fixture.holds(2, loser->digest));
  CHECK_FALSE(fixture.holds(3, loser->digest));
  CHECK(fixture.holds(6, loser->digest));
  for (std::uint64_t n = 1; n <= 8; ++n) CHECK(fixture.holds(n));
  fixture.make_stable(8);
  CHECK_FALSE(fixture.holds(6, loser->digest));
  CHECK(fixture.count(Family::batches) == 8);
}

TEMPLATE_TEST_CASE("a slot that is not executed keeps its batches until it is", "[truncation]", MemoryDisk, RocksDisk) {
  TruncatedStore<TestType> fixture;
  fixture.run_to(4);
  const BatchPtr loser = make_batch(5, "proposed in vain");
  must(fixture.store->persist({PersistBatch{SequenceNumber{6}, loser}}));
  must(fixture.store->persist({PersistBatch{SequenceNumber{6}, committed_batch(6)}}));
  must(fixture.store->truncate(SequenceNumber{8}));
  CHECK(fixture.holds(6, loser->digest));
  CHECK(fixture.holds(6));
  fixture.run_to(12);
  must(fixture.store->truncate(SequenceNumber{12}));
  CHECK_FALSE(fixture.holds(6, loser->digest));
  CHECK(fixture.holds(6));
  CHECK(take(*fixture.store, 12).state == must(fixture.store->recompute_state_digest()));
}

TEST_CASE("truncation far ahead of execution leaves the undo that the digest needs", "[truncation]") {
  TruncatedStore<MemoryDisk> fixture;
  fixture.run_to(6);
  must(fixture.store->truncate(SequenceNumber{8}));
  must(fixture.store->truncate(SequenceNumber{12}));
  fixture.restart();
  fixture.run_to(8);
  CHECK(fixture.summaries.at(8).state == must(fixture.store->recompute_state_digest()));
}

TEMPLATE_TEST_CASE("ledger, batches and summaries are kept as far as configured", "[truncation]", MemoryDisk,
                   RocksDisk) {
  TruncatedStore<TestType> fixture{10};
  fixture.run_to(24);
  for (std::uint64_t n = 4; n <= 20; n += 4) fixture.make_stable(n);
  fixture.restart();
  // 10 below 20: from 11 on.
  CHECK(fixture.count(Family::ledger) == 14);
  CHECK(fixture.count(Family::batches) == 14);
  CHECK_FALSE(fixture.holds(10));
  CHECK(fixture.holds(11));
  CHECK_FALSE(fixture.range(10, 12));
  CHECK_FALSE(fixture.range(5, 8));
  const auto range = fixture.range(11, 16);
  REQUIRE(range);
  CHECK(range->first == SequenceNumber{11});
  CHECK(range->summary == fixture.summaries.at(16));
  REQUIRE(range->digests.size() == 6);
  for (std::uint64_t i = 0; i < 6; ++i) CHECK(range->digests[i] == committed_batch(11 + i)->digest);
  // Own checkpoints 12, 16, 20, 24, and the stable one.
  CHECK(fixture.count(Family::checkpoints) == 5);
}

TEMPLATE_TEST_CASE("the batches behind a state stay for as long as it is being given", "[truncation]", MemoryDisk,
                   RocksDisk) {
  TruncatedStore<TestType> fixture{4};
  fixture.run_to(12);
  fixture.make_stable(8);
  REQUIRE(must(fixture.store->tree_at(SequenceNumber{8}, asker)));
  fixture.run_to(24);
  for (std::uint64_t n = 12; n <= 20; n += 4) fixture.make_stable(n);
  CHECK_FALSE(fixture.holds(8));
  CHECK(fixture.range(9, 20));
  // Whoever has the state goes on with them, and asks for no part of the state meanwhile.
  fixture.store->tick_serving(ServingSessions::idle_ticks - 1);
  CHECK(fixture.range(9, 20));
  fixture.store->tick_serving(ServingSessions::idle_ticks - 1);
  fixture.make_stable(24);
  CHECK(fixture.range(9, 24));
  fixture.store->tick_serving(ServingSessions::idle_ticks);
  fixture.run_to(28);
  fixture.make_stable(28);
  CHECK_FALSE(fixture.range(9, 24));
  CHECK(fixture.range(25, 28));
}

TEMPLATE_TEST_CASE("no peer drops the batches behind another's state, nor keeps them", "[truncation]", MemoryDisk,
                   RocksDisk) {
  const ReplicaId laggard{1};
  const ReplicaId greedy{3};
  TruncatedStore<TestType> fixture{4};
  fixture.run_to(12);
  fixture.make_stable(8);
  REQUIRE(must(fixture.store->tree_at(SequenceNumber{8}, laggard)));
  const auto range = [&](ReplicaId to) {
    return must(fixture.store->ledger_range(SequenceNumber{9}, SequenceNumber{20}, to));
  };
  fixture.run_to(24);
  for (std::uint64_t n = 12; n <= 20; n += 4) {
    REQUIRE(must(fixture.store->tree_at(SequenceNumber{n}, greedy)));
    fixture.make_stable(n);
  }
  CHECK(range(laggard));
  fixture.store->tick_serving(ServingSessions::idle_ticks - 1);
  CHECK(must(fixture.store->ledger_range(SequenceNumber{17}, SequenceNumber{20}, greedy)));
  CHECK(must(fixture.store->batch_bytes(SequenceNumber{17}, committed_batch(17)->digest, greedy)));
  fixture.store->tick_serving(1);
  fixture.make_stable(24);
  // The greedy one has kept its own: the state at 16.
  CHECK_FALSE(range(laggard));
  CHECK(must(fixture.store->ledger_range(SequenceNumber{17}, SequenceNumber{24}, greedy)));
}

TEMPLATE_TEST_CASE("everything is kept where nothing is to be dropped", "[truncation]", MemoryDisk, RocksDisk) {
  TruncatedStore<TestType> fixture{0};
  fixture.run_to(24);
  for (std::uint64_t n = 4; n <= 24; n += 4) fixture.make_stable(n);
  CHECK(fixture.count(Family::ledger) == 24);
  CHECK(fixture.count(Family::batches) == 24);
  CHECK(fixture.range(1, 24));
  CHECK(fixture.count(Family::journal) == 0);
  CHECK(fixture.count(Family::undo) == 3);  // the interval from 20 to 24
}

TEST_CASE("the shortest ledger still opens", "[truncation]") {
  TruncatedStore<MemoryDisk> fixture{1};
  fixture.run_to(12);
  for (std::uint64_t n = 4; n <= 12; n += 4) fixture.make_stable(n);
  fixture.restart();
  CHECK(must(fixture.store->recover()).ledger_head == fixture.model.head);
  CHECK(must(fixture.store->state_at(SequenceNumber{8})).size() == 3);
  CHECK(fixture.range(12, 12));
}

TEST_CASE("a ledger range is whole or not given", "[truncation]") {
  TruncatedStore<MemoryDisk> fixture;
  fixture.run_to(10);
  CHECK(fixture.range(1, 8));
  CHECK(fixture.range(8, 8));
  CHECK_FALSE(fixture.range(0, 8));
  CHECK_FALSE(fixture.range(9, 8));
  CHECK_FALSE(fixture.range(1, 7));   // no checkpoint
  CHECK_FALSE(fixture.range(9, 12));  // not executed
  CHECK_FALSE(fixture.range(1, Limits::max_ledger_range + 4));
  // A stable checkpoint that is not an own one closes a range as well.
  CheckpointSummary summary = fixture.summaries.at(8);
  summary.n = SequenceNumber{10};
  must(fixture.store->persist({stable_at(summary)}));
  const auto range = fixture.range(9, 10);
  REQUIRE(range);
  CHECK(range->summary == summary);
  WriteBatch hole;
  hole.erase(Family::ledger, number_key(3));
  must(fixture.disk.engine()->write(hole, Sync::no));
  CHECK_FALSE(fixture.range(1, 8));
  CHECK(fixture.range(4, 8));
}

TEST_CASE("the disk stays flat under overwriting", "[truncation]") {
  RocksDisk disk{RocksOptions{.block_cache_bytes = 1U << 20, .write_buffer_bytes = 128U << 10}};
  must(Store::create(*disk.engine(), identity()));
  const StoreOptions options{
      .durability = Sync::no, .checkpoint_interval = 16, .ledger_keep = 64, .least_tree_rows = 512};
  const auto store = must(Store::open(disk.engine(), identity(), options));
  const auto disk_bytes = [&] {
    std::uintmax_t total = 0;
    for (const auto& entry : std::filesystem::directory_iterator{disk.path()}) {
      std::error_code gone;  // a compaction may remove files meanwhile
      const auto size = entry.file_size(gone);
      if (!gone) total += size;
    }
    return total;
  };
  Model model;
  std::mt19937_64 random{3};
  std::map<std::uint64_t, CheckpointSummary> summaries;
  std::uintmax_t most_early = 0;
  std::uintmax_t most_late = 0;
  std::uintmax_t written = 0;
  constexpr std::uint64_t batches = 2048;
  while (model.executed < batches) {
    const SequenceNumber n{model.executed + 1};
    std::string noise(2048, '\0');
    for (char& byte : noise) byte = static_cast<char>(random());
    const BatchPtr batch = make_batch(1000 + n.value, noise);
    must(store->persist({PersistBatch{n, batch}, PersistAccepted{View{0}, n, batch->digest}}));
    std::vector<StateChange> changes;
    for (int i = 0; i < 4; ++i) changes.push_back(put("key" + std::to_string(random() % 16), noise.substr(0, 500)));
    std::map<Bytes, StateChange> once;
    for (auto& change : changes) once[change.key] = change;
    changes.clear();
    for (auto& [key, change] : once) changes.push_back(change);
    Applied applied = model.next(std::move(changes));
    applied.batch = batch->digest;
    must(store->apply(applied));
    written += 2 * noise.size();
    if (n.value % 16 != 0) continue;
    summaries[n.value] = take(*store, n.value);
    if (n.value > 16) {
      must(store->persist({stable_at(summaries.at(n.value - 16))}));
      must(store->truncate(SequenceNumber{n.value - 16}));
    }
    auto& most = n.value <= batches / 2 ? most_early : most_late;
    most = std::max(most, disk_bytes());
  }
  INFO("written " << written << ", at most " << most_early << " in the first half, " << most_late << " in the second");
  CHECK(written > 8'000'000);
  CHECK(most_late < written * 2 / 5);  // without truncation the batches alone are half of it
}
