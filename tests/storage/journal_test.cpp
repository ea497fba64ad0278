// Promises and what is remembered of them.
#include "storage/fields.h"
#include "tests/storage/support.h"

using namespace pbft;
using namespace pbft::storage;
using namespace pbft::storage::testing;
using Kind = StorageError::Kind;
using Catch::Contains;

namespace {

template <class Disk>
struct JournalStore : StoreOn<Disk> {
  using StoreOn<Disk>::store;
  void execute_to(std::uint64_t last, Model& model) {
    while (model.executed < last) must(store->apply(model.next({put("n", std::to_string(model.executed))})));
  }
};

PersistAccepted accepted(std::uint64_t view, std::uint64_t n, const BatchPtr& batch) {
  return {View{view}, SequenceNumber{n}, batch->digest};
}
PersistPrepared prepared(std::uint64_t view, std::uint64_t n, const BatchPtr& batch) {
  return {View{view}, SequenceNumber{n}, batch->digest};
}

void erase_key(Engine& engine, Family family, const Bytes& key) {
  WriteBatch batch;
  batch.erase(family, key);
  must(engine.write(batch, Sync::no));
}

}  // namespace

TEMPLATE_TEST_CASE("promises are remembered over a restart", "[journal]", MemoryDisk, RocksDisk) {
  JournalStore<TestType> fixture;
  const BatchPtr first = make_batch(10, "first");
  const BatchPtr second = make_batch(20, "second");
  const BatchPtr third = make_batch(30, "third");
  must(fixture.store->persist({PersistBatch{SequenceNumber{1}, first}, accepted(0, 1, first), prepared(0, 1, first),
                               PersistBatch{SequenceNumber{2}, second}, accepted(0, 2, second)}));
  // A later view proposes another batch for 2, and 300 checks that views are ordered as numbers.
  must(fixture.store->persist({PersistBatch{SequenceNumber{2}, third}, accepted(1, 2, third)}));
  must(fixture.store->persist({prepared(1, 2, third), accepted(300, 2, third)}));
  must(fixture.store->persist({accepted(1, 2, third)}));                   // the same once more changes nothing
  must(fixture.store->persist({PersistBatch{SequenceNumber{9}, first}}));  // learnt without a vote

  const Recovered recovered = fixture.restart();
  REQUIRE(recovered.slots.size() == 3);
  const RecoveredSlot& one = recovered.slots.at(SequenceNumber{1});
  CHECK(one.accepted == std::map<View, Digest>{{View{0}, first->digest}});
  REQUIRE(one.prepared);
  CHECK(one.prepared->digest == first->digest);
  REQUIRE(one.batches.contains(first->digest));
  CHECK(wire::encode_batch(*one.batches.at(first->digest)) == wire::encode_batch(*first));

  const RecoveredSlot& two = recovered.slots.at(SequenceNumber{2});
  CHECK(two.accepted ==
        std::map<View, Digest>{{View{0}, second->digest}, {View{1}, third->digest}, {View{300}, third->digest}});
  CHECK(two.prepared->view == View{1});
  CHECK(two.batches.size() == 2);

  const RecoveredSlot& nine = recovered.slots.at(SequenceNumber{9});
  CHECK(nine.accepted.empty());
  CHECK_FALSE(nine.prepared);
  CHECK(nine.batches.size() == 1);

  CHECK(must(fixture.store->batch_bytes(SequenceNumber{2}, second->digest, asker)) == wire::encode_batch(*second));
  CHECK(must(fixture.store->batch_bytes(SequenceNumber{1}, second->digest, asker)) == std::nullopt);
}

TEST_CASE("promises are durable when persist returns, in fsync mode", "[journal]") {
  const auto engine = std::make_shared<MemoryEngine>();
  must(Store::create(*engine, identity()));
  const BatchPtr batch = make_batch(10, "batch");
  for (const Sync durability : {Sync::no, Sync::durable}) {
    {
      const auto store = must(Store::open(engine, identity(), {.durability = durability}));
      must(store->persist({PersistBatch{SequenceNumber{1}, batch}, accepted(0, 1, batch)}));
      CHECK(engine->unsynced_writes() == (durability == Sync::no ? 1 : 0));
      must(store->persist({}));  // nothing to promise: no write
      CHECK(engine->unsynced_writes() == (durability == Sync::no ? 1 : 0));
    }
    engine->lose_power(0);
    const auto store = must(Store::open(engine, identity(), {}));
    CHECK(must(store->recover()).slots.size() == (durability == Sync::no ? 0 : 1));
  }
}

TEST_CASE("of many batches above the stable checkpoint those of the window are remembered", "[journal]") {
  JournalStore<MemoryDisk> fixture;
  for (std::uint64_t n = 1; n <= 20; ++n) {
    const BatchPtr batch = make_batch(10 * n, std::to_string(n));
    must(
        fixture.store->persist({PersistBatch{SequenceNumber{n}, batch}, accepted(0, n, batch), prepared(0, n, batch)}));
  }
  const auto last = [&](std::uint64_t window) {
    const Recovered recovered = must(fixture.store->recover(window));
    return recovered.slots.empty() ? 0 : recovered.slots.rbegin()->first.value;
  };
  CHECK(last(0) == 0);
  CHECK(last(8) == 8);
  CHECK(last(19) == 19);
  CHECK(last(UINT64_MAX) == 20);
}

TEST_CASE("the null batch needs no bytes", "[journal]") {
  JournalStore<MemoryDisk> fixture;
  must(fixture.store->persist({PersistBatch{SequenceNumber{1}, null_batch()}, accepted(1, 1, null_batch())}));
  const Recovered recovered = fixture.restart();
  const RecoveredSlot& slot = recovered.slots.at(SequenceNumber{1});
  CHECK(slot.accepted.at(View{1}) == null_batch_digest());
  CHECK(slot.batches.at(null_batch_digest())->bundles.empty());
  const auto bytes = must(fixture.store->batch_bytes(SequenceNumber{1}, null_batch_digest(), asker));
  REQUIRE(bytes);
  const auto decoded = wire::decode_batch(SharedBytes::own(*bytes));
  REQUIRE(decoded);
  CHECK((*decoded)->digest == null_batch_digest());
}

TEMPLATE_TEST_CASE("no second digest gets a mark in one view and slot", "[journal]", MemoryDisk, RocksDisk) {
  JournalStore<TestType> fixture;
  const BatchPtr one = make_batch(10, "one");
  const BatchPtr two = make_batch(10, "two");
  const std::vector<JournalRecord> batches{PersistBatch{SequenceNumber{1}, one}, PersistBatch{SequenceNumber{1}, two}};
  must(fixture.store->persist(batches));
  SECTION("in one turn") {
    const StorageError error = refusal(fixture.store->persist({accepted(0, 1, one), accepted(0, 1, two)}));
    CHECK(error.kind == Kind::mismatch);
    CHECK(fixture.restart().slots.at(SequenceNumber{1}).accepted.empty());  // nothing of the turn was written
  }
  SECTION("in two turns, with a restart between them") {
    must(fixture.store->persist({accepted(0, 1, one), prepared(0, 1, one)}));
    fixture.restart();
    CHECK(refusal(fixture.store->persist({accepted(0, 1, two)})).kind == Kind::mismatch);
    CHECK(refusal(fixture.store->persist({prepared(0, 1, two)})).kind == Kind::mismatch);
    must(fixture.store->persist({accepted(1, 1, two)}));  // another view is another vote
  }
}

TEMPLATE_TEST_CASE("a mark without its batch is corruption, by name", "[journal]", MemoryDisk, RocksDisk) {
  JournalStore<TestType> fixture;
  const BatchPtr batch = make_batch(10, "batch");
  const SequenceNumber n{5};
  must(fixture.store->persist({PersistBatch{n, batch}, accepted(2, 5, batch)}));
  Engine& engine = *fixture.disk.engine();
  SECTION("the bytes are gone") {
    erase_key(engine, Family::batches, batch_key(n, batch->digest));
  }
  SECTION("bytes and entry are gone") {
    erase_key(engine, Family::batches, batch_key(n, batch->digest));
    erase_key(engine, Family::journal, held_key(n, batch->digest));
  }
  SECTION("the bytes are those of another batch") {
    WriteBatch write;
    write.put(Family::batches, batch_key(n, batch->digest), wire::encode_batch(*make_batch(10, "other")));
    must(engine.write(write, Sync::no));
  }
  SECTION("the bytes are no batch") {
    WriteBatch write;
    write.put(Family::batches, batch_key(n, batch->digest), to_bytes("junk"));
    must(engine.write(write, Sync::no));
  }
  const StorageError error = refusal(fixture.store->recover());
  CHECK(error.kind == Kind::corrupt);
  CHECK_THAT(error.message, Contains("batch ") && Contains(" of 5") && Contains(to_hex(batch->digest.view())));
}

TEMPLATE_TEST_CASE("the stable checkpoint and own checkpoints above it are remembered", "[journal]", MemoryDisk,
                   RocksDisk) {
  JournalStore<TestType> fixture;
  Model model;
  fixture.execute_to(4, model);
  const CheckpointSummary four = take(*fixture.store, 4);
  fixture.execute_to(8, model);
  const CheckpointSummary eight = take(*fixture.store, 8);
  fixture.execute_to(10, model);
  for (std::uint64_t n : {3, 4, 5}) {
    const BatchPtr batch = committed_batch(n);
    must(fixture.store->persist({PersistBatch{SequenceNumber{n}, batch}, accepted(0, n, batch)}));
  }

  Recovered recovered = fixture.restart();
  CHECK(recovered.executed == SequenceNumber{10});
  CHECK(recovered.ledger_head == model.head);
  CHECK(recovered.time == Timestamp{1010});
  CHECK(recovered.checkpoints == std::vector<CheckpointSummary>{four, eight});
  CHECK(promised(recovered).size() == 3);
  CHECK(recovered.slots.size() == 10);

  const PersistStable stable = stable_at(four);
  must(fixture.store->persist({stable}));
  recovered = fixture.restart();
  REQUIRE(recovered.stable);
  CHECK(recovered.stable->summary == four);
  CHECK(wire::encode_stable(recovered.stable->proof) == wire::encode_stable(stable.proof));
  CHECK(recovered.checkpoints == std::vector<CheckpointSummary>{eight});
  CHECK(promised(recovered) == std::vector{SequenceNumber{5}});
  CHECK(recovered.slots.size() == 6);

  must(fixture.store->persist({stable_at(eight)}));
  CHECK(refusal(fixture.store->persist({stable})).kind == Kind::mismatch);
  CHECK(fixture.restart().stable->proof.n == SequenceNumber{8});
}

TEST_CASE("proof and summary of a stable checkpoint belong together", "[journal]") {
  JournalStore<MemoryDisk> fixture;
  PersistStable stable = stable_at({SequenceNumber{4}, {}, {}, {}, {}, {}});
  stable.summary.n = SequenceNumber{8};
  CHECK(refusal(fixture.store->persist({stable})).kind == Kind::mismatch);
}
