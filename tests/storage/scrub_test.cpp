// Changes behind the store's back are found by the scrub, and put right from another store.
#include "storage/fields.h"
#include "storage/state_view.h"
#include "tests/storage/transfer_support.h"

using namespace pbft;
using namespace pbft::storage;
using namespace pbft::storage::testing;
using Kind = StorageError::Kind;

namespace {

// Calls until a pass is done. Every call does about `pairs`.
std::vector<Damage> whole_pass(Store& store, std::size_t pairs, std::size_t* calls = nullptr) {
  std::vector<Damage> found;
  double share = -1;
  const std::uint64_t passes = must(store.scrub(0)).passes;
  for (;;) {
    const ScrubReport report = must(store.scrub(pairs));
    if (calls != nullptr) ++*calls;
    found.insert(found.end(), report.damage.begin(), report.damage.end());
    if (report.passes != passes) return found;
    CHECK(report.share >= share);
    CHECK(report.share <= 1.0);
    share = report.share;
  }
}

void write(Engine& engine, const std::function<void(WriteBatch&)>& fill) {
  WriteBatch batch;
  fill(batch);
  must(engine.write(batch, Sync::no));
}

}  // namespace

TEMPLATE_TEST_CASE("a state that is what it should be has nothing to be found", "[scrub]", MemoryDisk, RocksDisk) {
  Machine<TestType> machine;
  CHECK(whole_pass(*machine.store, 100).empty());  // nothing at all is stored
  // In the middle of an interval too, with pairs that came, changed and went since the last checkpoint.
  for (const std::uint64_t n : {3, 8, 11}) {
    machine.run_to(n);
    for (const std::size_t pairs : {1, 50, 1'000'000}) CHECK(whole_pass(*machine.store, pairs).empty());
  }
  machine.restart();
  CHECK(whole_pass(*machine.store, 1'000).empty());
}

TEST_CASE("a scrub does so much in a call, and goes on while the state changes", "[scrub]") {
  Machine<MemoryDisk> machine;
  machine.run_to(8);
  std::size_t calls = 0;
  CHECK(whole_pass(*machine.store, 400, &calls).empty());
  CHECK(calls > 10);  // there are 4096 buckets, and each of them counts
  for (std::uint64_t n = 9; n < 60; ++n) {
    machine.run_to(n);
    CHECK(must(machine.store->scrub(1'000)).damage.empty());
  }
  CHECK(must(machine.store->scrub(0)).passes > 4);
}

TEMPLATE_TEST_CASE("what was changed behind the store's back is found and put right", "[scrub]", MemoryDisk,
                   RocksDisk) {
  const bool restarts = GENERATE(false, true);
  Machine<MemoryDisk> source;
  Machine<TestType> machine{Sync::no, DigestTree::bucket_count};
  source.run_to(12);
  const Content state = source.model.state;
  const Content clients = source.model.clients;
  source.run_to(16);
  machine.run_to(14);
  Engine& engine = machine.engine();
  // A pair that has not changed since the checkpoint at 12, and one that has.
  const Content now = machine.model.state;
  const auto still = std::find_if(state.begin(), state.end(), [&](const auto& pair) {
    return now.contains(pair.first) && now.at(pair.first) == pair.second;
  });
  REQUIRE(still != state.end());
  const Bytes key = still->first;
  const Bytes name = pair_name(Namespace::state, key);
  const std::uint32_t bucket = DigestTree::bucket_of(name);
  bool of_pair = true;
  Bytes found_key = key;
  SECTION("another value") {
    write(engine, [&](WriteBatch& batch) { batch.put(Family::state, key, to_bytes("bit rot")); });
  }
  SECTION("a pair that is gone") {
    write(engine, [&](WriteBatch& batch) { batch.erase(Family::state, key); });
  }
  SECTION("a pair from nowhere") {
    found_key = to_bytes("nowhere");
    write(engine, [&](WriteBatch& batch) { batch.put(Family::state, found_key, to_bytes("x")); });
  }
  SECTION("a pair that is listed and should not be") {
    found_key = to_bytes("nowhere");
    const Bytes other = pair_name(Namespace::state, found_key);
    write(engine, [&](WriteBatch& batch) {
      batch.put(Family::buckets, index_key(DigestTree::bucket_of(other), other), Bytes(PairHash::size));
    });
  }
  SECTION("a list that lacks a pair") {
    of_pair = false;  // the bucket as a whole comes first
    write(engine, [&](WriteBatch& batch) { batch.erase(Family::buckets, index_key(bucket, name)); });
  }
  SECTION("a digest of a bucket") {
    of_pair = false;
    write(engine, [&](WriteBatch& batch) { batch.erase(Family::tree, bucket_key(bucket)); });
  }
  SECTION("a digest that is none") {
    of_pair = false;
    write(engine, [&](WriteBatch& batch) { batch.put(Family::tree, bucket_key(bucket), Bytes(7)); });
  }
  const std::vector<Damage> found = whole_pass(*machine.store, 100);
  REQUIRE_FALSE(found.empty());
  INFO(found.front().what);
  CHECK(found.size() <= 2);
  if (of_pair) {
    CHECK(found.front().name_space == Namespace::state);
    CHECK(found.front().first == found_key);
    CHECK(found.front().last == found_key);
    CHECK_FALSE(found.front().bucket);
  } else {
    CHECK(found.front().bucket == bucket);
  }
  must(machine.store->mark_damaged());
  CHECK(must(machine.store->scrub(1'000)).damage.empty());  // it is known
  if (restarts) machine.restart();
  CHECK(must(machine.store->recover()).damaged);
  CHECK(must(machine.store->recover()).slots.size() == 14);
  CHECK(refusal(machine.store->apply(machine.model.next({}))).kind == Kind::damaged);
  const CheckpointSummary target = source.summaries.at(12);
  const auto missing = plan(*source.store, *machine.store, target);
  CHECK(missing.size() < 90);  // what two batches have changed
  fetch_all(*source.store, *machine.store, target.n, missing);
  CHECK_FALSE(must(machine.store->install_state(stable_at(target).proof, target)).difference);
  check_installed(*machine.store, machine.engine(), target, state, clients);
  CHECK(whole_pass(*machine.store, 1'000).empty());
  machine.restart();
  CHECK_FALSE(must(machine.store->recover()).damaged);
  machine.model = Model{12, target.ledger_head, state, clients};
  machine.run_to(16);
  CHECK(machine.summaries.at(16) == source.summaries.at(16));
}

TEST_CASE("damage of the client records is found in its place", "[scrub]") {
  Machine<MemoryDisk> machine;
  machine.run_to(8);
  const Bytes key = machine.model.clients.begin()->first;
  write(machine.engine(), [&](WriteBatch& batch) { batch.erase(Family::clients, key); });
  const std::vector<Damage> found = whole_pass(*machine.store, 100);
  REQUIRE(found.size() == 1);
  CHECK(found[0].name_space == Namespace::clients);
  CHECK(found[0].first == key);
}

TEST_CASE("findings are given a number at a time", "[scrub]") {
  Machine<MemoryDisk> machine;
  machine.run_to(8);
  write(machine.engine(), [&](WriteBatch& batch) { batch.erase_all(Family::state); });
  const ScrubReport first = must(machine.store->scrub(1'000'000));
  CHECK(first.damage.size() >= 64);
  CHECK(first.damage.size() < 70);
  CHECK(first.passes == 0);
}
