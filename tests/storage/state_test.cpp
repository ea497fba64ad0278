// State, digest, checkpoints and undo against the model.
#include "tests/storage/support.h"

using namespace pbft;
using namespace pbft::storage;
using namespace pbft::storage::testing;
using Kind = StorageError::Kind;

namespace {

template <class Disk>
struct StateStore : StoreOn<Disk> {
  StateStore() : StoreOn<Disk>({.checkpoint_interval = 8}) {}
};

}  // namespace

TEMPLATE_TEST_CASE("a batch is applied whole and survives the process", "[state]", MemoryDisk, RocksDisk) {
  StateStore<TestType> fixture;
  Model model;
  must(fixture.store->apply(model.next({put("a", "1"), put("b", "2"), put("empty", "")}, {put("client", "x")})));
  must(fixture.store->apply(model.next({put("a", "3"), erase("b"), erase("never there")})));
  fixture.reopen();
  CHECK(content_of(fixture.store->state_scan({}, {})) == model.state);
  CHECK(content_of(fixture.store->clients_scan()) == model.clients);
  CHECK(must(fixture.store->state_get(as_bytes("a"))) == to_bytes("3"));
  CHECK(must(fixture.store->state_get(as_bytes("b"))) == std::nullopt);
  CHECK(must(fixture.store->state_get(as_bytes("empty"))) == Bytes{});
}

TEST_CASE("batches are applied in order, and none passes over a checkpoint", "[state]") {
  StateStore<MemoryDisk> fixture;
  Model model;
  Model ahead;
  static_cast<void>(ahead.next({}));
  CHECK(refusal(fixture.store->apply(ahead.next({}))).kind == Kind::mismatch);
  for (int i = 0; i < 8; ++i) must(fixture.store->apply(model.next({put("a", std::to_string(i))})));
  CHECK(refusal(fixture.store->take_checkpoint(SequenceNumber{7}, Epoch{1}, {})).kind == Kind::mismatch);
  CHECK(refusal(fixture.store->take_checkpoint(SequenceNumber{9}, Epoch{1}, {})).kind == Kind::mismatch);
  const Applied ninth = model.next({put("a", "9")});
  CHECK(refusal(fixture.store->apply(ninth)).kind == Kind::mismatch);
  take(*fixture.store, 8);
  must(fixture.store->apply(ninth));
  CHECK(refusal(fixture.store->apply(ninth)).kind == Kind::mismatch);
}

TEMPLATE_TEST_CASE("a checkpoint may be taken again, also after a restart", "[state]", MemoryDisk, RocksDisk) {
  StateStore<TestType> fixture;
  Model model;
  for (int i = 0; i < 8; ++i) must(fixture.store->apply(model.next({put(std::to_string(i % 3), std::to_string(i))})));
  fixture.reopen();
  const CheckpointSummary summary = take(*fixture.store, 8);
  CHECK(summary.n == SequenceNumber{8});
  CHECK(summary.ledger_head == model.head);
  CHECK(summary.time == Timestamp{1008});
  CHECK(summary.epoch == Epoch{1});
  CHECK(summary.plugin == digest_of("plugin"));
  CHECK(summary.state == must(fixture.store->recompute_state_digest()));
  CHECK(take(*fixture.store, 8) == summary);
  fixture.reopen();
  CHECK(take(*fixture.store, 8) == summary);
  CHECK(must(fixture.store->recover()).checkpoints == std::vector<CheckpointSummary>{summary});
}

TEMPLATE_TEST_CASE("thousands of random changes: digest and kept checkpoints agree with the model", "[state]",
                   MemoryDisk, RocksDisk) {
  StateStore<TestType> fixture;
  Model model;
  std::mt19937_64 random{7};
  std::map<std::uint64_t, Model> at;  // kept checkpoints
  at[0] = model;
  std::set<Digest> roots;
  std::size_t changes = 0;
  for (int batch = 1; batch <= 480; ++batch) {
    auto state = random_changes(random, 20, 150);
    auto clients = random_changes(random, 4, 30);
    changes += state.size() + clients.size();
    must(fixture.store->apply(model.next(std::move(state), std::move(clients))));
    if (random() % 37 == 0) fixture.reopen();
    if (batch % 8 != 0) continue;
    const CheckpointSummary summary = take(*fixture.store, model.executed);
    REQUIRE(summary.state == must(fixture.store->recompute_state_digest()));
    roots.insert(summary.state);
    at[model.executed] = model;
    if (batch % 24 == 0) {
      const std::uint64_t stable = model.executed - 8;
      must(fixture.store->truncate(SequenceNumber{stable}));
      // The one before stays: 24 earlier, or genesis.
      at.erase(at.begin(), at.lower_bound(stable >= 24 ? stable - 24 : 0));
    }
    if (batch % 40 != 0) continue;
    for (const auto& [n, expected] : at) {
      REQUIRE(must(fixture.store->state_at(SequenceNumber{n})) == expected.state);
      REQUIRE(must(fixture.store->clients_at(SequenceNumber{n})) == expected.clients);
    }
  }
  CHECK(changes > 4000);
  CHECK(roots.size() == 60);
  CHECK(content_of(fixture.store->state_scan({}, {})) == model.state);
  CHECK(content_of(fixture.store->clients_scan()) == model.clients);
  // What is neither kept nor a checkpoint is said to be missing.
  for (const std::uint64_t n : {8, 415, 481}) {
    CHECK(refusal(fixture.store->state_at(SequenceNumber{n})).kind == Kind::missing);
  }
}

TEST_CASE("the same content by another way has the same digest", "[state]") {
  StateStore<MemoryDisk> one;
  StateStore<MemoryDisk> two;
  Model model_one;
  Model model_two;
  const auto step = [](StateStore<MemoryDisk>& fixture, Model& model, std::vector<StateChange> state,
                       std::vector<StateChange> clients = {}) {
    must(fixture.store->apply(model.next(std::move(state), std::move(clients))));
    if (model.executed % 8 == 0) take(*fixture.store, model.executed);
  };
  // One: everything at once, then nothing. Two: detours through other keys and values, over three checkpoints.
  step(one, model_one, {put("a", "1"), put("b", "2"), put("c", "3")}, {put("s", "x")});
  while (model_one.executed < 23) step(one, model_one, {});
  step(two, model_two, {put("c", "9"), put("z", "9")}, {put("t", "9")});
  while (model_two.executed < 9) step(two, model_two, {put("y" + std::to_string(model_two.executed), "9")});
  step(two, model_two, {erase("z"), erase("c"), put("a", "0")}, {put("s", "x"), erase("t")});
  while (model_two.executed < 18) {
    step(two, model_two, {erase("y" + std::to_string(model_two.executed - 9)), put("b", "2")});
  }
  step(two, model_two, {put("a", "1"), put("c", "3"), erase("y0")});
  while (model_two.executed < 23) {
    step(two, model_two, {erase("y" + std::to_string(model_two.executed % 9)), put("c", "3")});
  }
  std::vector<StateChange> rest;
  for (int i = 0; i < 10; ++i) rest.push_back(erase("y" + std::to_string(i)));
  must(one.store->apply(model_one.next({})));
  must(two.store->apply(model_two.next(rest)));
  REQUIRE(model_one.state == model_two.state);
  REQUIRE(model_one.clients == model_two.clients);
  const CheckpointSummary first = take(*one.store, 24);
  CHECK(first == take(*two.store, 24));

  // A client record counts like a key of the state.
  step(two, model_two, {}, {put("s", "y")});
  step(one, model_one, {});
  CHECK(take(*one.store, 25).state == first.state);
  CHECK(take(*two.store, 25).state != first.state);
}

TEST_CASE("after a failed write the store refuses all others", "[state]") {
  StateStore<MemoryDisk> fixture;
  Model model;
  must(fixture.store->apply(model.next({put("a", "1")})));
  const Applied second = model.next({put("a", "2")});
  const BatchPtr batch = committed_batch(2);
  const std::vector<JournalRecord> records{PersistBatch{SequenceNumber{2}, batch}};
  fixture.disk.memory().fail_writes(StorageError{Kind::io, "sync failed"});
  SECTION("a synced one") {
    CHECK(refusal(fixture.store->persist(records)).message == "sync failed");
  }
  SECTION("a batch") {
    CHECK(refusal(fixture.store->apply(second)).message == "sync failed");
  }
  SECTION("a checkpoint") {
    CHECK(refusal(fixture.store->take_checkpoint(SequenceNumber{1}, Epoch{1}, {})).message == "sync failed");
  }
  SECTION("a truncation") {
    CHECK(refusal(fixture.store->truncate(SequenceNumber{1})).message == "sync failed");
  }
  fixture.disk.memory().fail_writes(std::nullopt);  // the disk is well again; the store does not trust it
  CHECK(refusal(fixture.store->persist(records)).message == "sync failed");
  CHECK(refusal(fixture.store->apply(second)).message == "sync failed");
  CHECK(refusal(fixture.store->take_checkpoint(SequenceNumber{1}, Epoch{1}, {})).message == "sync failed");
  CHECK(refusal(fixture.store->truncate(SequenceNumber{1})).message == "sync failed");
  fixture.reopen();
  CHECK(must(fixture.store->state_get(as_bytes("a"))) == to_bytes("1"));
  must(fixture.store->apply(second));
  CHECK(take(*fixture.store, 2).state == must(fixture.store->recompute_state_digest()));
}
