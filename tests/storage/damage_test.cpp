// Bad blocks in the files of a real database: found, survived, and gone after the repair.
#include <rocksdb/db.h>

#include <chrono>

#include "tests/storage/transfer_support.h"

using namespace pbft;
using namespace pbft::storage;
using namespace pbft::storage::testing;
using Kind = StorageError::Kind;
using Catch::Contains;
namespace fs = std::filesystem;

namespace {

// The database as it lies there, without the engine.
struct Raw {
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  std::unique_ptr<rocksdb::DB> database;

  explicit Raw(const fs::path& path) {
    std::vector<std::string> names;
    REQUIRE(rocksdb::DB::ListColumnFamilies({}, path.string(), &names).ok());
    std::vector<rocksdb::ColumnFamilyDescriptor> descriptors;
    for (const std::string& name : names) {
      rocksdb::ColumnFamilyOptions options;
      options.disable_auto_compactions = true;
      descriptors.emplace_back(name, options);
    }
    rocksdb::DB* opened = nullptr;
    REQUIRE(rocksdb::DB::Open({}, path.string(), descriptors, &handles, &opened).ok());
    database.reset(opened);
  }
  ~Raw() {
    for (auto* handle : handles) static_cast<void>(database->DestroyColumnFamilyHandle(handle));
  }
  Raw(const Raw&) = delete;
  Raw& operator=(const Raw&) = delete;
  [[nodiscard]] rocksdb::ColumnFamilyHandle* handle(Family family) const {
    for (auto* one : handles) {
      if (one->GetName() == to_string(family)) return one;
    }
    FAIL("no family " << to_string(family));
    return nullptr;
  }
  void compact(Family family) const { REQUIRE(database->CompactRange({}, handle(family), nullptr, nullptr).ok()); }
};

struct SpoiltReplica {
  static constexpr Script many{.keys = 6'000, .most = 2'000};
  Machine<MemoryDisk> source;
  // No row is older than the last checkpoint, so that an opening reads nothing of the state.
  Machine<RocksDisk> machine{Sync::no, DigestTree::bucket_count};
  Content state;
  Content clients;
  CheckpointSummary target;

  SpoiltReplica() {
    source.script = machine.script = many;
    source.run_to(12);
    state = source.model.state;
    clients = source.model.clients;
    target = source.summaries.at(12);
    source.run_to(16);
    machine.run_to(14);
  }
  void stop() {
    machine.store.reset();
    machine.disk.stop();
  }
  void start() { machine.restart(); }
  // Flushes everything, and damages a block near the beginning of the largest file of the family.
  void spoil(Family family) {
    machine.restart();  // the log goes into files
    stop();
    fs::path file;
    {
      const Raw raw{machine.disk.path()};
      raw.compact(family);
      std::vector<rocksdb::LiveFileMetaData> files;
      raw.database->GetLiveFilesMetaData(&files);
      std::size_t largest = 0;
      for (const auto& one : files) {
        if (one.column_family_name != to_string(family) || one.size < largest) continue;
        largest = one.size;
        file = machine.disk.path() / one.name.substr(1);
      }
      REQUIRE(largest > 600);
    }
    flip(file, 300);
    machine.disk.restart();
  }
  void open() { machine.store = must(Store::open(machine.disk.engine(), identity(), machine.options)); }
  void repair() {
    transfer(*source.store, *machine.store, target);
    check_installed(*machine.store, machine.engine(), target, state, clients);
    CHECK_FALSE(machine.engine().damage_noted());
    machine.restart();
    check_installed(*machine.store, machine.engine(), target, state, clients);
    machine.model = Model{12, target.ledger_head, state, clients};
    machine.run_to(16);
    CHECK(machine.summaries.at(16) == source.summaries.at(16));
    // No compaction meets the bad block any more.
    stop();
    const Raw raw{machine.disk.path()};
    for (const Family family : repairable_families) raw.compact(family);
  }
  std::vector<Damage> whole_pass() {
    std::vector<Damage> found;
    ScrubReport report;
    do {
      report = must(machine.store->scrub(5'000));
      found.insert(found.end(), report.damage.begin(), report.damage.end());
    } while (report.passes == 0);
    return found;
  }
};

}  // namespace

TEST_CASE("a bad block of the state is found by the scrub, and the rest is salvaged", "[damage]") {
  SpoiltReplica f;
  f.spoil(Family::state);
  f.open();
  CHECK_FALSE(must(f.machine.store->recover()).damaged);  // nobody has met it yet
  const std::vector<Damage> found = f.whole_pass();
  REQUIRE(found.size() > 1);
  Bytes lowest = found.front().first;
  for (const Damage& one : found) {
    CHECK(one.name_space == Namespace::state);
    CHECK_FALSE(one.bucket);
    CHECK_THAT(one.what, Contains("family state is damaged"));
    if (one.first == one.last) lowest = std::min(lowest, one.first);
  }
  CHECK(refusal(f.machine.store->state_get(lowest)).kind == Kind::damaged);
  // The walk names what lies between the last pair before the block and the last in it.
  CHECK(found.back().first <= lowest);
  CHECK(found.back().last > lowest);

  must(f.machine.store->mark_damaged());
  f.start();
  CHECK(must(f.machine.store->recover()).damaged);
  CHECK(must(f.machine.store->recover()).slots.size() == 14);
  const auto missing = plan(*f.source.store, *f.machine.store, f.target);
  std::uint64_t pairs = 0;
  for (const std::uint32_t bucket : missing) {
    pairs += fetch(*f.source.store, *f.machine.store, f.target.n, bucket).pairs;
  }
  // Two batches have changed since the checkpoint, and one block of many is lost.
  const std::size_t changed = [&] {
    std::set<Bytes> keys;
    for (const std::uint64_t n : {13, 14}) {
      for (const StateChange& one : SpoiltReplica::many.state(n)) keys.insert(one.key);
    }
    return keys.size();
  }();
  INFO(pairs << " pairs fetched of " << f.state.size() << ", " << changed << " had changed");
  CHECK(pairs < changed + 500);
  f.repair();
}

TEST_CASE("a bad block that is met in use says so, and promises go on", "[damage]") {
  const Family family = GENERATE(Family::state, Family::clients, Family::undo, Family::tree, Family::buckets);
  SpoiltReplica f;
  f.spoil(family);
  f.open();
  INFO(to_string(family));
  // Undo, tree and clients are read at the opening; the others by what follows.
  if (!must(f.machine.store->recover()).damaged) {
    Result<void> applied;
    while (applied && f.machine.model.executed < 16) {
      applied = f.machine.store->apply(f.machine.model.next(SpoiltReplica::many.state(f.machine.model.executed + 1)));
    }
    if (applied) {
      REQUIRE_FALSE(f.whole_pass().empty());
    } else {
      CHECK(applied.error().kind == Kind::damaged);
      CHECK(refusal(f.machine.store->apply(f.machine.model.next({}))).kind == Kind::damaged);
    }
    must(f.machine.store->mark_damaged());
  }
  must(f.machine.store->persist({PersistBatch{SequenceNumber{40}, make_batch(1, "a promise")}}));
  f.start();
  CHECK(must(f.machine.store->recover()).damaged);
  CHECK(must(f.machine.store->recover()).slots.contains(SequenceNumber{40}));
  f.repair();
}

TEST_CASE("a bad block in what was fetched costs no more than to fetch it again", "[damage]") {
  SpoiltReplica f;
  fetch_all(*f.source.store, *f.machine.store, f.target.n, plan(*f.source.store, *f.machine.store, f.target));
  f.spoil(Family::staging);
  f.open();
  CHECK_FALSE(must(f.machine.store->recover()).damaged);
  const auto tree = must(f.source.store->tree_at(f.target.n, asker));
  CHECK(refusal(f.machine.store->plan_transfer(f.target, tree->leaves)).kind == Kind::damaged);
  must(f.machine.store->mark_damaged());
  f.repair();
}

TEST_CASE("bad blocks in what was fetched and in the state at once", "[damage]") {
  SpoiltReplica f;
  fetch_all(*f.source.store, *f.machine.store, f.target.n, plan(*f.source.store, *f.machine.store, f.target));
  f.spoil(Family::staging);
  f.spoil(Family::state);
  f.open();
  must(f.machine.store->mark_damaged());
  f.repair();
}

TEST_CASE("the note of damage outlives all but its end", "[damage]") {
  SpoiltReplica f;
  Engine& engine = f.machine.engine();
  must(engine.note_damage());
  must(engine.reset({Family::staging}));  // the bad block may be in another one
  CHECK(engine.damage_noted());
  f.stop();
  f.machine.disk.restart();
  CHECK(f.machine.engine().damage_noted());
  must(f.machine.engine().forget_damage());
  CHECK_FALSE(f.machine.engine().damage_noted());
  f.stop();
  f.machine.disk.restart();
  CHECK_FALSE(f.machine.engine().damage_noted());
}

TEST_CASE("a block may go bad after the state was put in order", "[damage]") {
  SpoiltReplica f;
  must(f.machine.store->mark_damaged());
  static_cast<void>(plan(*f.source.store, *f.machine.store, f.target));
  CHECK_FALSE(f.machine.engine().damage_noted());
  f.spoil(Family::state);
  must(f.machine.engine().note_damage());  // as where a compaction has met it
  f.open();
  CHECK(must(f.machine.store->recover()).damaged);
  f.repair();
}

TEST_CASE("a bad block that a compaction meets stops the replica, and is known after its restart", "[damage]") {
  SpoiltReplica f;
  f.spoil(Family::state);
  f.open();
  // Each start makes files of what was written; some of them together are compacted. That ends all writing.
  Result<void> written;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes{2};
  for (std::uint64_t i = 0; written && std::chrono::steady_clock::now() < deadline; ++i) {
    WriteBatch batch;
    for (const auto& [key, value] : f.state) batch.put(Family::state, key, value);
    written = f.machine.engine().write(batch, Sync::no);
    if (written && i % 8 == 7) written = f.machine.store->persist({PersistRejoin{}});
    if (written && i < 64) {
      f.stop();
      f.machine.disk.restart();
      f.open();
    }
  }
  const StorageError error = refusal(written);
  CHECK(error.kind == Kind::damaged);
  CHECK_THAT(error.message, Contains("family state") && !Contains(leave_it_down));
  CHECK(refusal(f.machine.store->persist({PersistRejoin{}})).kind == Kind::damaged);
  f.start();
  CHECK(must(f.machine.store->recover()).damaged);
  f.repair();
}

TEST_CASE("families that are missing are made anew where the state is known to be damaged", "[damage]") {
  SpoiltReplica f;
  const bool known = GENERATE(false, true);
  if (known) must(f.machine.store->mark_damaged());
  f.stop();
  {
    const Raw raw{f.machine.disk.path()};
    for (const Family family : {Family::undo, Family::state}) {
      REQUIRE(raw.database->DropColumnFamily(raw.handle(family)).ok());
    }
  }
  f.start();  // as after a crash in the middle of making them anew
  CHECK(must(f.machine.store->recover()).damaged);
  must(f.machine.store->persist({PersistRejoin{}}));
  must(f.machine.store->truncate(SequenceNumber{8}));
  f.repair();
}

TEST_CASE("a bad block where promises are is no matter of the others", "[damage]") {
  SpoiltReplica f;
  f.spoil(Family::journal);
  f.open();
  const StorageError error = refusal(f.machine.store->recover());
  CHECK(error.kind == Kind::corrupt);
  CHECK_THAT(error.message, Contains(leave_it_down));
}

TEST_CASE("a store of an earlier format is refused by name", "[damage]") {
  SpoiltReplica f;
  f.stop();
  {
    const Raw raw{f.machine.disk.path()};
    for (const Family family : {Family::buckets, Family::staging}) {
      REQUIRE(raw.database->DropColumnFamily(raw.handle(family)).ok());
    }
  }
  const StorageError error = refusal(open_rocksdb(f.machine.disk.path(), OpenMode::existing));
  CHECK(error.kind == Kind::older_format);
  CHECK_THAT(error.message, Contains("earlier version") && Contains("--rejoin"));
}
