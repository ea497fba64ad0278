// Changes that wait in memory for the next checkpoint: whoever reads sees them, what is stored in the end is the same
// as where every batch is written, and after a crash the ledger says what has to be run again.
#include "storage/digest_tree.h"
#include "tests/storage/measured_disk.h"
#include "tests/storage/support.h"

using namespace pbft;
using namespace pbft::storage;
using namespace pbft::storage::testing;
using Kind = StorageError::Kind;

namespace {

constexpr std::uint64_t gather_interval = 8;
constexpr std::size_t until_checkpoint = 1U << 20;
constexpr std::size_t now_and_then = 3'000;
constexpr std::size_t in_one_write = 1U << 20;
constexpr std::size_t in_many_writes = 200;

template <class Disk>
struct GatheringStore {
  Disk disk;
  StoreOptions options{.checkpoint_interval = gather_interval};
  std::unique_ptr<Store> store;
  std::map<std::uint64_t, Applied> batches;

  explicit GatheringStore(std::size_t gather_bytes, std::size_t write_bytes = 1U << 20) {
    options.gather_bytes = gather_bytes;
    options.write_bytes = write_bytes;
    must(Store::create(*disk.engine(), identity()));
    open();
  }
  void open() { store = must(Store::open(disk.engine(), identity(), options)); }
  void apply(const Applied& batch) {
    batches[batch.n.value] = batch;
    must(store->apply(batch));
  }
  // Runs again what the ledger knows of and the state does not have, as the core does. The records of clients in these
  // tests are random bytes; so what was executed is read from the state.
  std::uint64_t restart() {
    store.reset();
    disk.restart();
    open();
    const auto found = must(store->state_get(as_bytes("n")));
    const std::uint64_t stored = found ? std::stoull(std::string{as_text(*found)}) : 0;
    if (stored > 0 && stored % gather_interval == 0) take(*store, stored);
    for (auto at = batches.upper_bound(stored); at != batches.end(); ++at) {
      must(store->apply(at->second));
      if (at->first % gather_interval == 0 && std::next(at) != batches.end()) take(*store, at->first);
    }
    return batches.empty() ? 0 : batches.rbegin()->first - stored;
  }
};

Applied random_batch(Model& model, std::mt19937_64& random) {
  auto state = random_changes(random, 12, 60);
  state.push_back(put("n", std::to_string(model.executed + 1)));
  return model.next(std::move(state), random_changes(random, 3, 10));
}

Content range_of(const Content& content, std::string_view from, std::string_view to) {
  Content range;
  for (const auto& [key, value] : content) {
    if (key >= to_bytes(from) && (to.empty() || key < to_bytes(to))) range.emplace(key, value);
  }
  return range;
}

}  // namespace

TEMPLATE_TEST_CASE("what has gathered is seen by reads and scans", "[gather]", MemoryDisk, RocksDisk) {
  GatheringStore<TestType> f{until_checkpoint};
  Model model;
  std::vector<StateChange> first;
  for (char key = 'a'; key <= 'h'; ++key) first.push_back(put(std::string(1, key), "old"));
  f.apply(model.next(std::move(first)));
  while (model.executed < gather_interval) f.apply(model.next({}));
  take(*f.store, gather_interval);
  // Over what is stored: new keys before, between and behind, new values, what is erased at the ends and in a row.
  f.apply(model.next({put("A", "1"), erase("a"), put("bb", "2"), put("c", ""), erase("d"), erase("e"), put("z", "3")}));
  f.apply(model.next({erase("bb"), put("d", "again"), erase("h"), erase("never there")}, {put("client", "x")}));

  CHECK(content_of(f.store->state_scan({}, {})) == model.state);
  CHECK(content_of(f.store->clients_scan()) == model.clients);
  for (const char* from : {"", "A", "a", "b", "bb", "d", "h", "zz"}) {
    for (const char* to : {"", "A", "a", "bc", "c", "d", "e", "zz"}) {
      INFO(from << " to " << to);
      const Content expected = *to != '\0' && std::string{from} > to ? Content{} : range_of(model.state, from, to);
      CHECK(content_of(f.store->state_scan(as_bytes(from), as_bytes(to))) == expected);
    }
  }
  for (const char* key : {"A", "a", "b", "bb", "c", "d", "e", "h", "never there", "z"}) {
    INFO(key);
    const auto expected = model.state.find(to_bytes(key));
    const auto found = must(f.store->state_get(as_bytes(key)));
    CHECK(found == (expected == model.state.end() ? std::nullopt : std::optional{expected->second}));
  }
  CHECK(must(f.store->recompute_state_digest()) != Digest{});
}

TEMPLATE_TEST_CASE("however changes gather, checkpoints, undo and lists are the same", "[gather]", MemoryDisk,
                   RocksDisk) {
  const std::size_t gather = GENERATE(until_checkpoint, now_and_then);
  GatheringStore<MemoryDisk> plain{0};
  const std::size_t at_once = GENERATE(in_one_write, in_many_writes);
  GatheringStore<TestType> f{gather, at_once};
  Model model;
  std::mt19937_64 random{gather};
  std::map<std::uint64_t, Model> at{{0, model}};
  std::uint64_t run_again = 0;
  while (model.executed < 40 * gather_interval) {
    const Applied batch = random_batch(model, random);
    plain.apply(batch);
    f.apply(batch);
    if (random() % 11 == 0) run_again += f.restart();
    if (model.executed % gather_interval != 0) continue;
    const CheckpointSummary summary = take(*f.store, model.executed);
    REQUIRE(summary == take(*plain.store, model.executed));
    REQUIRE(take(*f.store, model.executed) == summary);
    at[model.executed] = model;
    if (model.executed % (3 * gather_interval) != 0) continue;
    const std::uint64_t stable = model.executed - gather_interval;
    must(f.store->truncate(SequenceNumber{stable}));
    at.erase(at.begin(), at.lower_bound(stable >= 3 * gather_interval ? stable - 3 * gather_interval : 0));
    for (const auto& [n, expected] : at) {
      REQUIRE(must(f.store->state_at(SequenceNumber{n})) == expected.state);
      REQUIRE(must(f.store->clients_at(SequenceNumber{n})) == expected.clients);
    }
  }
  CHECK(run_again >= 50);
  CHECK(content_of(f.store->state_scan({}, {})) == model.state);
  // A scrub compares values, lists and digests of all there is.
  f.apply(random_batch(model, random));
  std::uint64_t passes = 0;
  while (passes == 0) {
    const ScrubReport report = must(f.store->scrub(1'000));
    CHECK(report.damage.empty());
    passes = report.passes;
  }
}

TEMPLATE_TEST_CASE("a checkpoint in pieces is the same, whatever is applied meanwhile and wherever it is cut off",
                   "[gather]", MemoryDisk, RocksDisk) {
  const std::size_t gather = GENERATE(until_checkpoint, now_and_then);
  const std::size_t pieces = GENERATE(1, 3);
  GatheringStore<MemoryDisk> plain{0};
  const std::size_t at_once = GENERATE(in_one_write, in_many_writes);
  GatheringStore<TestType> f{gather, at_once};
  Model model;
  std::mt19937_64 random{gather + pieces};
  std::map<std::uint64_t, Model> at{{0, model}};
  std::map<std::uint64_t, CheckpointSummary> expected;
  std::size_t in_pieces = 0;
  std::size_t cut_off = 0;
  while (model.executed < 60 * gather_interval) {
    const Applied batch = random_batch(model, random);
    plain.apply(batch);
    f.apply(batch);
    if (f.store->checkpointing()) must(f.store->continue_checkpoint(pieces));
    while (const auto summary = f.store->next_taken()) {
      REQUIRE(*summary == expected.at(summary->n.value));
      in_pieces += summary->n < batch.n ? 1 : 0;
    }
    REQUIRE(content_of(f.store->state_scan({}, {})) == model.state);
    REQUIRE(content_of(f.store->clients_scan()) == model.clients);
    const std::string key = "key" + std::to_string(random() % 60);
    const auto known = model.state.find(to_bytes(key));
    REQUIRE(must(f.store->state_get(as_bytes(key))) ==
            (known == model.state.end() ? std::nullopt : std::optional{known->second}));
    if (random() % 5 == 0) {
      cut_off += f.store->checkpointing() ? 1 : 0;
      f.restart();
    }
    if (model.executed % gather_interval != 0) continue;
    expected[model.executed] = take(*plain.store, model.executed);
    at[model.executed] = model;
    must(f.store->begin_checkpoint(SequenceNumber{model.executed}, Epoch{1}, digest_of("plugin")));
  }
  CHECK(in_pieces > 8);
  CHECK(cut_off > 5);
  CHECK(take(*f.store, model.executed) == expected.at(model.executed));
  // What was kept of the state on the way can be given all the same.
  for (const std::uint64_t n : {50 * gather_interval, 59 * gather_interval}) {
    CHECK(must(f.store->state_at(SequenceNumber{n})) == at.at(n).state);
    CHECK(must(f.store->tree_at(SequenceNumber{n}, asker))->summary == expected.at(n));
  }
  std::uint64_t passes = 0;
  while (passes == 0) {
    const ScrubReport report = must(f.store->scrub(1'000));
    CHECK(report.damage.empty());
    passes = report.passes;
  }
}

TEMPLATE_TEST_CASE("while a checkpoint is written the one before can be given, and scrubbing waits", "[gather]",
                   MemoryDisk, RocksDisk) {
  GatheringStore<TestType> f{until_checkpoint};
  Model model;
  std::mt19937_64 random{3};
  while (model.executed < gather_interval) f.apply(random_batch(model, random));
  const Model first = model;
  const CheckpointSummary summary = take(*f.store, gather_interval);
  while (model.executed < 2 * gather_interval) f.apply(random_batch(model, random));
  must(f.store->begin_checkpoint(SequenceNumber{2 * gather_interval}, Epoch{1}, digest_of("plugin")));
  f.apply(random_batch(model, random));
  std::size_t looks = 0;
  for (; f.store->checkpointing(); ++looks) {
    CHECK(must(f.store->state_at(SequenceNumber{gather_interval})) == first.state);
    const auto tree =
        must(f.store->tree_at(SequenceNumber{gather_interval}, ReplicaId{static_cast<std::uint32_t>(looks)}));
    REQUIRE(tree);
    CHECK(tree->summary == summary);
    CHECK(must(f.store->scrub(1'000)).damage.empty());
    must(f.store->continue_checkpoint(1));
  }
  CHECK(looks > 10);
  CHECK(f.store->next_taken());
  CHECK_FALSE(f.store->next_taken());
  CHECK(must(f.store->scrub(1'000'000)).passes == 1);
}

TEST_CASE("a checkpoint is written in three quarters of the interval, however many pairs it has", "[gather]") {
  GatheringStore<MemoryDisk> f{64U << 20};
  Model model;
  std::vector<StateChange> many;
  for (int i = 0; i < 10'000; ++i) many.push_back(put("key" + std::to_string(i), "value"));
  f.apply(model.next(std::move(many)));
  while (model.executed < gather_interval) f.apply(model.next({}));
  must(f.store->begin_checkpoint(SequenceNumber{gather_interval}, Epoch{1}, digest_of("plugin")));
  std::uint64_t batches = 0;
  for (; f.store->checkpointing(); ++batches) {
    f.apply(model.next({}));
    must(f.store->continue_checkpoint(1));
  }
  CHECK(batches <= gather_interval * 3 / 4);
  CHECK(batches > 1);
}

TEST_CASE("a transfer finishes the checkpoint that is being written", "[gather]") {
  GatheringStore<MemoryDisk> f{until_checkpoint};
  Model model;
  std::mt19937_64 random{5};
  while (model.executed < gather_interval) f.apply(random_batch(model, random));
  must(f.store->begin_checkpoint(SequenceNumber{gather_interval}, Epoch{1}, digest_of("plugin")));
  must(f.store->continue_checkpoint(1));
  f.apply(random_batch(model, random));
  REQUIRE(f.store->checkpointing());
  const std::vector<Digest> leaves(4096, leaf_digest(LtHash{}));
  const CheckpointSummary empty{SequenceNumber{4 * gather_interval}, tree_root(leaves), {}, {}, Epoch{1}, {}};
  CHECK_FALSE(must(f.store->plan_transfer(empty, leaves)).empty());
  CHECK_FALSE(f.store->checkpointing());
  CHECK(f.store->next_taken()->n == SequenceNumber{gather_interval});
  CHECK(content_of(f.disk.engine()->scan(Family::state, {}, {})) == model.state);
}

TEST_CASE("what gathers is bounded: beyond it all is written, in the course of an interval", "[gather]") {
  GatheringStore<MemoryDisk> f{10'000};
  Model model;
  const auto stored = [&] { return must(f.disk.engine()->get(Family::state, as_bytes("n"))); };
  f.apply(model.next({put("n", "1"), put("large", std::string(9'000, 'x'))}));
  CHECK_FALSE(stored());
  f.apply(model.next({put("n", "2"), put("large", std::string(9'000, 'y'))}));
  CHECK_FALSE(stored());  // what is written over takes no more room
  f.apply(model.next({put("n", "3"), put("larger", std::string(9'000, 'z'))}));
  CHECK(stored() == to_bytes("3"));
}

TEST_CASE("what comes and goes between two checkpoints leaves nothing, where it is said to be new", "[gather]") {
  GatheringStore<MemoryDisk> fixture{now_and_then};
  Model model;
  const auto batch = [&](const std::string& key, std::optional<Bytes> value, bool first) {
    fixture.apply(model.next({}, {{to_bytes(key), std::move(value), first}}));
  };
  const auto stored = [&] { return must(fixture.disk.engine()->get(Family::meta, to_bytes("executed")))->at(7); };
  const Bytes value(1'000, 'v');
  for (int i = 0; i < 4; ++i) {
    batch("key" + std::to_string(i), value, true);
    batch("key" + std::to_string(i), std::nullopt, false);
  }
  CHECK(stored() == 0);
  CHECK(content_of(fixture.store->clients_scan()).empty());
  const CheckpointSummary first = take(*fixture.store, 8);
  CHECK(first.state == must(fixture.store->recompute_state_digest()));
  // What was written meanwhile, or is being written, is erased there.
  batch("stays", value, true);
  batch("goes", value, true);
  batch("third", value, true);  // more than is to wait
  CHECK(stored() == 11);
  batch("goes", std::nullopt, false);
  for (int i = 0; i < 4; ++i) batch("late" + std::to_string(i % 2), value, i < 2);
  must(fixture.store->begin_checkpoint(SequenceNumber{16}, Epoch{1}, Digest{}));
  batch("late0", std::nullopt, false);
  batch("late1", std::nullopt, false);
  while (fixture.store->checkpointing()) must(fixture.store->continue_checkpoint(1));
  CHECK(must(fixture.store->clients_at(SequenceNumber{16})).size() == 4);
  for (int i = 0; i < 6; ++i) batch("other", value, false);
  CHECK(take(*fixture.store, 24).state == must(fixture.store->recompute_state_digest()));
  CHECK(content_of(fixture.store->clients_scan()) == model.clients);
  CHECK(model.clients.size() == 3);
}

// What is erased takes next to no room in memory, however large it was, but all of it goes to undo.
TEST_CASE("no write is much larger than the others, however large the values are that go", "[gather]") {
  constexpr std::size_t values = 100;
  constexpr std::size_t value_bytes = 100'000;
  const std::size_t gather = GENERATE(until_checkpoint, 5'000);
  GatheringStore<MeasuredDisk> f{gather, 2 * value_bytes};
  Model model;
  for (std::size_t i = 0; i < values; ++i) {
    f.apply(model.next({put("large " + std::to_string(i), std::string(value_bytes, 'x'))}));
    if (model.executed % gather_interval == 0) take(*f.store, model.executed);
  }
  while (model.executed % gather_interval != 0) f.apply(model.next({}));
  const CheckpointSummary before = take(*f.store, model.executed);
  f.disk.largest() = 0;
  std::vector<StateChange> all;
  for (std::size_t i = 0; i < values; ++i) all.push_back(erase("large " + std::to_string(i)));
  f.apply(model.next(std::move(all)));
  while (model.executed % gather_interval != 0) f.apply(model.next({}));
  take(*f.store, model.executed);
  CHECK(f.disk.largest() > value_bytes);
  CHECK(f.disk.largest() < 10 * value_bytes);
  CHECK(must(f.store->state_at(before.n)).size() == values);

  // Nor where an opening takes back what was written.
  const Model checkpoint = model;
  std::vector<StateChange> again;
  for (std::size_t i = 0; i < values; ++i) again.push_back(put("large " + std::to_string(i), "y"));
  f.apply(model.next(std::move(again)));
  while (model.executed % gather_interval != 0) f.apply(model.next({}));
  must(f.store->begin_checkpoint(SequenceNumber{model.executed}, Epoch{1}, {}));
  must(f.store->continue_checkpoint(values / 2));
  f.disk.largest() = 0;
  f.store.reset();
  f.open();
  CHECK(content_of(f.store->state_scan({}, {})) == checkpoint.state);
  CHECK(f.disk.largest() < 10 * value_bytes);
}

TEST_CASE("a write of about a mebibyte holds no more than it has room for, where values are as large", "[gather]") {
  constexpr std::size_t write_bytes = 1U << 20;
  constexpr std::size_t value_bytes = 900'000;
  GatheringStore<MeasuredDisk> f{100U << 20, write_bytes};
  Model model;
  std::vector<StateChange> all;
  for (int i = 0; i < 24; ++i) all.push_back(put("large " + std::to_string(i), std::string(value_bytes, 'x')));
  f.apply(model.next(std::move(all)));
  while (model.executed % gather_interval != 0) f.apply(model.next({}));
  take(*f.store, model.executed);
  CHECK(f.disk.largest() > value_bytes);
  CHECK(f.disk.largest() < write_bytes + 2 * value_bytes);
  CHECK(content_of(f.store->state_scan({}, {})) == model.state);
}

TEST_CASE("after a loss of power the ledger says what is run again", "[gather]") {
  Model model;
  std::vector<Applied> batches;
  for (std::uint64_t n = 1; n <= gather_interval + 5; ++n) batches.push_back(model.next({put("n", std::to_string(n))}));
  std::size_t unsynced = 0;
  for (std::size_t kept = 0; kept <= unsynced; ++kept) {
    GatheringStore<MemoryDisk> f{until_checkpoint};
    for (const Applied& batch : batches) {
      const std::uint64_t n = batch.n.value;
      must(f.store->persist(
          {PersistBatch{batch.n, committed_batch(n)}, PersistAccepted{View{0}, batch.n, committed_batch(n)->digest}}));
      if (n == gather_interval) {
        must(f.store->apply(batch));
        take(*f.store, n);
      } else {
        must(f.store->apply(batch));
      }
    }
    f.store.reset();
    unsynced = f.disk.memory().unsynced_writes();
    f.disk.memory().lose_power(kept);
    f.open();
    const Recovered recovered = must(f.store->recover());
    CHECK(recovered.executed == SequenceNumber{gather_interval});
    CHECK(recovered.time == batches[gather_interval - 1].time);
    CHECK(recovered.ledger_head == batches[gather_interval - 1].ledger_head);
    std::uint64_t known = 0;
    for (const auto& [n, slot] : recovered.slots) {
      if (slot.executed) known = n.value;
      if (slot.executed) CHECK(*slot.executed == committed_batch(n.value)->digest);
      CHECK(slot.executed.has_value() == (n.value == known));  // without a gap
    }
    CHECK(known >= gather_interval + kept);
    for (std::uint64_t n = gather_interval + 1; n <= batches.size(); ++n) must(f.store->apply(batches[n - 1]));
    CHECK(content_of(f.store->state_scan({}, {})) == model.state);
  }
  CHECK(unsynced == 1);  // each promise is synced, and all before it: the last entry alone can be lost
}

TEST_CASE("a ledger beyond the state that does not follow it is corrupt", "[gather]") {
  GatheringStore<MemoryDisk> f{until_checkpoint};
  Model model;
  f.apply(model.next({put("n", "1")}));
  Applied stray = model.next({put("n", "2")});
  stray.ledger_head = digest_of("another history");
  f.apply(stray);
  f.store.reset();
  f.open();
  const StorageError error = refusal(f.store->recover());
  CHECK(error.kind == Kind::corrupt);
  CHECK(error.message.find("entry 2 of family ledger") != std::string::npos);
}

TEST_CASE("a write that fails leaves nothing of what gathered half written", "[gather]") {
  GatheringStore<MemoryDisk> f{until_checkpoint};
  Model model;
  while (model.executed < gather_interval) f.apply(model.next({put("n", std::to_string(model.executed + 1))}));
  f.disk.memory().fail_writes(StorageError{Kind::no_space, "the disk is full"});
  CHECK(refusal(f.store->take_checkpoint(SequenceNumber{gather_interval}, Epoch{1}, {})).kind == Kind::no_space);
  CHECK(refusal(f.store->apply(model.next({}))).kind == Kind::no_space);
  f.disk.memory().fail_writes(std::nullopt);
  CHECK(f.restart() == gather_interval);  // nothing of the state was written
  CHECK(take(*f.store, gather_interval).state == must(f.store->recompute_state_digest()));
}
