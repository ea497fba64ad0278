// What only a real disk has: locks, damage, failing syncs.
#include "storage/rocksdb_engine.h"

#include <fcntl.h>
#include <pthread.h>
#include <rocksdb/env.h>
#include <rocksdb/file_system.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <fstream>
#include <mutex>

#include "storage/synced_mark.h"
#include "tests/storage/support.h"

using namespace pbft;
using namespace pbft::storage;
using namespace pbft::storage::testing;
using Kind = StorageError::Kind;
using Catch::Contains;
namespace fs = std::filesystem;

namespace {

WriteBatch one_put(std::string_view key, std::string_view value) {
  WriteBatch batch;
  batch.put(Family::state, to_bytes(key), to_bytes(value));
  return batch;
}

StorageError open_error(const fs::path& path, OpenMode mode = OpenMode::existing) {
  return refusal(open_rocksdb(path, mode));
}

fs::path newest(const fs::path& directory, std::string_view suffix) {
  fs::path found;
  for (const auto& entry : fs::directory_iterator{directory}) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(suffix) && name > found.filename().string()) found = entry.path();
  }
  REQUIRE_FALSE(found.empty());
  return found;
}

// Files whose sync fails while the switch is on.
class FailingFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  FailingFile(std::unique_ptr<rocksdb::FSWritableFile> file, std::string name, const std::atomic<bool>& failing)
      : FSWritableFileOwnerWrapper(std::move(file)), name_(std::move(name)), failing_(failing) {}
  rocksdb::IOStatus Sync(const rocksdb::IOOptions& options, rocksdb::IODebugContext* context) override {
    if (failing_) return failure();
    return FSWritableFileOwnerWrapper::Sync(options, context);
  }
  rocksdb::IOStatus Fsync(const rocksdb::IOOptions& options, rocksdb::IODebugContext* context) override {
    if (failing_) return failure();
    return FSWritableFileOwnerWrapper::Fsync(options, context);
  }

 private:
  [[nodiscard]] rocksdb::IOStatus failure() const {
    return rocksdb::IOStatus::IOError("While the sync failed: " + name_, "Input/output error");
  }

  std::string name_;
  const std::atomic<bool>& failing_;
};

[[nodiscard]] bool in_compaction() {
  std::array<char, 16> thread{};
  pthread_getname_np(pthread_self(), thread.data(), thread.size());
  return std::string_view{thread.data()} == "rocksdb:low";
}

// A table that compactions cannot read while the switch is on.
class UnreadableFile final : public rocksdb::FSRandomAccessFileOwnerWrapper {
 public:
  UnreadableFile(std::unique_ptr<rocksdb::FSRandomAccessFile> file, std::string name, const std::atomic<bool>& failing)
      : FSRandomAccessFileOwnerWrapper(std::move(file)), name_(std::move(name)), failing_(failing) {}
  rocksdb::IOStatus Read(std::uint64_t offset, std::size_t count, const rocksdb::IOOptions& options,
                         rocksdb::Slice* result, char* scratch, rocksdb::IODebugContext* context) const override {
    // Not the first block: a compaction has begun its table by then.
    if (failing_ && offset > 0 && in_compaction()) {
      return rocksdb::IOStatus::IOError("While pread: " + name_, "Input/output error");
    }
    return FSRandomAccessFileOwnerWrapper::Read(offset, count, options, result, scratch, context);
  }

 private:
  std::string name_;
  const std::atomic<bool>& failing_;
};

class FailingFileSystem final : public rocksdb::FileSystemWrapper {
 public:
  enum class Of { all_syncs, syncs_of_compactions, reads_of_compactions };
  explicit FailingFileSystem(const std::atomic<bool>& failing, Of of = Of::all_syncs)
      : FileSystemWrapper(rocksdb::FileSystem::Default()), failing_(failing), of_(of) {}
  const char* Name() const override { return "FailingFileSystem"; }
  rocksdb::IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* file,
                                    rocksdb::IODebugContext* context) override {
    auto status = FileSystemWrapper::NewWritableFile(name, options, file, context);
    const bool fails = of_ == Of::all_syncs || (of_ == Of::syncs_of_compactions && in_compaction());
    if (status.ok() && fails) *file = std::make_unique<FailingFile>(std::move(*file), name, failing_);
    return status;
  }
  rocksdb::IOStatus NewRandomAccessFile(const std::string& name, const rocksdb::FileOptions& options,
                                        std::unique_ptr<rocksdb::FSRandomAccessFile>* file,
                                        rocksdb::IODebugContext* context) override {
    auto status = FileSystemWrapper::NewRandomAccessFile(name, options, file, context);
    const bool fails = of_ == Of::reads_of_compactions;
    if (status.ok() && fails) *file = std::make_unique<UnreadableFile>(std::move(*file), name, failing_);
    return status;
  }

 private:
  const std::atomic<bool>& failing_;
  Of of_;
};

}  // namespace

TEST_CASE("a store that is not there is refused with what to do", "[rocksdb]") {
  const TemporaryDirectory directory;
  const fs::path path = directory.path() / "store";
  SECTION("no directory") {}
  SECTION("an empty directory") {
    fs::create_directory(path);
  }
  SECTION("a directory with other things") {
    fs::create_directory(path);
    std::ofstream{path / "notes.txt"} << "hello";
  }
  SECTION("a file") {
    std::ofstream{path} << "hello";
  }
  const StorageError error = open_error(path);
  CHECK(error.kind == Kind::missing);
  CHECK_THAT(error.message, Contains(path.string()) && Contains("pbftctl init") && Contains(leave_it_down) &&
                                !Contains("backup") && Contains("--rejoin"));
}

TEST_CASE("a store is not created over another", "[rocksdb]") {
  RocksDisk disk;
  must(disk.engine()->write(one_put("a", "1"), Sync::durable));
  CHECK(open_error(disk.path(), OpenMode::create).kind == Kind::exists);
  disk.restart();
  CHECK(must(disk.engine()->get(Family::state, as_bytes("a"))) == to_bytes("1"));
}

TEST_CASE("a store that was not made to its end opens nowhere, and is made anew", "[rocksdb]") {
  const TemporaryDirectory directory;
  const fs::path path = directory.path() / "store";
  must(create_store(path, identity()));
  CHECK(refusal(create_store(path, identity())).kind == Kind::exists);
  for (const std::string lost : {"nothing", "CURRENT", "synced-mark", "all"}) {
    CAPTURE(lost);
    std::ofstream{path / "unfinished"} << "";
    for (const auto& entry : fs::directory_iterator{path}) {
      const std::string name = entry.path().filename();
      if (name == lost || (lost == "all" && name != "unfinished")) fs::remove(entry.path());
    }
    const StorageError error = open_error(path);
    CHECK(error.kind == Kind::missing);
    CHECK_THAT(error.message, Contains("--rejoin"));
    must(create_store(path, identity(), true));
    const auto store = must(Store::open(must(open_rocksdb(path, OpenMode::existing)), identity(), {}));
    CHECK(must(store->recover()).rejoin);
    // Nor is it taken from under who makes it.
    std::ofstream{path / "unfinished"} << "";
    CHECK(refusal(create_store(path, identity(), true)).kind == Kind::locked);
    fs::remove(path / "unfinished");
  }
}

TEST_CASE("a store cannot be opened twice", "[rocksdb]") {
  SECTION("in this process") {
    RocksDisk disk;
    const StorageError error = open_error(disk.path());
    CHECK(error.kind == Kind::locked);
    CHECK_THAT(error.message, Contains("another process has the store open"));
  }
  SECTION("by another process") {
    RocksDisk disk;
    disk.stop();
    const std::string lock = (disk.path() / "LOCK").string();
    int ready[2];
    REQUIRE(::pipe(ready) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
      // Takes the lock in the way RocksDB does and waits to be killed.
      const int descriptor = ::open(lock.c_str(), O_RDWR);
      struct flock whole {};
      whole.l_type = F_WRLCK;
      whole.l_whence = SEEK_SET;
      const char result = descriptor >= 0 && ::fcntl(descriptor, F_SETLK, &whole) == 0 ? 'y' : 'n';
      if (::write(ready[1], &result, 1) != 1) ::_exit(1);
      for (;;) ::pause();
    }
    REQUIRE(child > 0);
    char locked = 0;
    const bool told = ::read(ready[0], &locked, 1) == 1;
    const auto opened = open_rocksdb(disk.path(), OpenMode::existing);
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    ::close(ready[0]);
    ::close(ready[1]);
    REQUIRE(told);
    REQUIRE(locked == 'y');
    CHECK(refusal(opened).kind == Kind::locked);
    must(open_rocksdb(disk.path(), OpenMode::existing));
  }
}

TEST_CASE("a damaged store is refused", "[rocksdb]") {
  RocksDisk disk;
  for (int i = 0; i < 50; ++i) must(disk.engine()->write(one_put(std::to_string(i), "value"), Sync::durable));
  disk.stop();
  const fs::path log = newest(disk.path(), ".log");
  const auto size = fs::file_size(log);
  REQUIRE(size > 500);
  SECTION("no CURRENT") {
    fs::remove(disk.path() / "CURRENT");
  }
  SECTION("no manifest") {
    for (const auto& entry : fs::directory_iterator{disk.path()}) {
      if (entry.path().filename().string().starts_with("MANIFEST")) fs::remove(entry.path());
    }
  }
  SECTION("the synced log is cut") {
    fs::resize_file(log, size - 1);
  }
  SECTION("the synced log is gone") {
    fs::remove(log);
  }
  SECTION("the first synced bytes are damaged") {
    flip(log, 20);
  }
  SECTION("synced bytes in the middle are damaged") {
    flip(log, size / 2);
  }
  SECTION("the last synced bytes are damaged") {
    flip(log, size - 2);
  }
  SECTION("the mark is gone") {
    fs::remove(disk.path() / "synced-mark");
  }
  SECTION("the mark is damaged") {
    flip(disk.path() / "synced-mark", 3);
    flip(disk.path() / "synced-mark", SyncedMark::block_bytes + 3);
  }
  const StorageError first = open_error(disk.path());
  INFO(first.message);
  CHECK(first.kind == Kind::corrupt);
  CHECK_THAT(first.message, Contains(disk.path().string()) && Contains(leave_it_down) && !Contains("backup"));
  CHECK(open_error(disk.path()).kind == Kind::corrupt);  // trying again does not heal it
}

TEST_CASE("one torn mark is made good by the other", "[rocksdb]") {
  RocksDisk disk;
  for (int i = 0; i < 5; ++i) must(disk.engine()->write(one_put(std::to_string(i), "value"), Sync::durable));
  disk.stop();
  flip(disk.path() / "synced-mark", GENERATE(3, SyncedMark::block_bytes + 3));
  disk.restart();
  CHECK(must(disk.engine()->get(Family::state, as_bytes("4"))) == to_bytes("value"));
}

TEST_CASE("a loss of power loses unsynced batches and nothing else", "[rocksdb]") {
  RocksDisk disk;
  must(Store::create(*disk.engine(), identity()));
  Model model;
  Model synced;
  std::uintmax_t durable_size = 0;
  {
    const auto store = must(Store::open(disk.engine(), identity(), {}));
    for (int i = 0; i < 3; ++i) must(store->apply(model.next({put("a", std::to_string(i))})));
    must(store->persist({PersistBatch{SequenceNumber{4}, committed_batch(4)}}));
    durable_size = fs::file_size(newest(disk.path(), ".log"));
    synced = model;
    for (int i = 0; i < 3; ++i) must(store->apply(model.next({put("a", "later"), put("b", std::to_string(i))})));
  }
  disk.stop();
  const fs::path log = newest(disk.path(), ".log");
  REQUIRE(fs::file_size(log) > durable_size + 20);
  const std::uintmax_t torn = GENERATE(0, 3, 20);  // bytes of the next record that reached the disk
  fs::resize_file(log, durable_size + torn);
  disk.restart();
  const auto store = must(Store::open(disk.engine(), identity(), {}));
  const Recovered recovered = must(store->recover());
  CHECK(recovered.executed == SequenceNumber{3});
  CHECK(promised(recovered).size() == 1);
  CHECK(content_of(store->state_scan({}, {})) == synced.state);
  must(store->apply(synced.next({put("b", "again")})));
  CHECK(take(*store, 4).state == must(store->recompute_state_digest()));
}

TEST_CASE("a failed sync stops all later writes", "[rocksdb]") {
  const TemporaryDirectory directory;
  const fs::path path = directory.path() / "store";
  std::atomic<bool> failing{false};
  const auto environment = rocksdb::NewCompositeEnv(std::make_shared<FailingFileSystem>(failing));
  {
    const auto engine = must(open_rocksdb(path, OpenMode::create, {.env = environment.get()}));
    must(engine->write(one_put("a", "1"), Sync::durable));
    failing = true;
    const StorageError error = refusal(engine->write(one_put("b", "2"), Sync::durable));
    CHECK(error.kind == Kind::io);
    CHECK_THAT(error.message, Contains("the sync failed") && Contains(path.string()));
    failing = false;  // the disk is well again; what it lost meanwhile nobody knows
    CHECK(refusal(engine->write(one_put("c", "3"), Sync::durable)).message == error.message);
    CHECK(refusal(engine->write(one_put("c", "3"), Sync::no)).message == error.message);
    CHECK(must(engine->get(Family::state, as_bytes("a"))) == to_bytes("1"));
    CHECK(must(engine->get(Family::state, as_bytes("c"))) == std::nullopt);
  }
  const auto engine = must(open_rocksdb(path, OpenMode::existing));
  CHECK(must(engine->get(Family::state, as_bytes("a"))) == to_bytes("1"));
  must(engine->write(one_put("d", "4"), Sync::durable));
}

namespace {

// A store under which compactions fail, and what comes of it.
struct FailedCompaction {
  explicit FailedCompaction(FailingFileSystem::Of of)
      : environment(rocksdb::NewCompositeEnv(std::make_shared<FailingFileSystem>(failing, of))) {
    RocksOptions options{.write_buffer_bytes = 64U << 10, .env = environment.get()};
    options.on_failed_compaction = [&](const StorageError& error) {
      const std::lock_guard lock{mutex};
      told_.push_back(error);
    };
    engine = must(open_rocksdb(path, OpenMode::create, options));
    // Until the tables are so many that RocksDB makes one of some.
    for (int i = 0; i < 100'000 && refused.message.empty(); ++i) {
      const auto written = engine->write(one_put(std::to_string(i % 50), std::string(4'000, 'x')), Sync::no);
      if (!written) refused = written.error();
    }
  }
  [[nodiscard]] std::vector<StorageError> told() {
    const std::lock_guard lock{mutex};
    return told_;
  }

  TemporaryDirectory directory;
  fs::path path = directory.path() / "store";
  std::atomic<bool> failing{true};
  std::mutex mutex;
  std::vector<StorageError> told_;
  std::unique_ptr<rocksdb::Env> environment;
  std::shared_ptr<Engine> engine;
  StorageError refused{};
};

}  // namespace

TEST_CASE("who asked for it is told of a table that the disk fails for a compaction before RocksDB goes on",
          "[rocksdb]") {
  FailedCompaction failed{FailingFileSystem::Of::syncs_of_compactions};
  const auto told = failed.told();
  REQUIRE_FALSE(told.empty());
  CHECK(told.front().kind == Kind::io);
  CHECK_THAT(told.front().message, Contains("the sync failed") && Contains(failed.path.string()) && Contains(".sst"));
  CHECK_THAT(failed.refused.message, Contains("the sync failed"));
  CHECK_FALSE(failed.engine->damage_noted());
}

TEST_CASE("a sector that a compaction cannot read is damage, which is noted", "[rocksdb]") {
  FailedCompaction failed{FailingFileSystem::Of::reads_of_compactions};
  CHECK(failed.told().empty());
  CHECK(failed.refused.kind == Kind::damaged);
  CHECK_THAT(failed.refused.message, Contains("Input/output error") && Contains("family state"));
  CHECK(failed.engine->damage_noted());
}

TEST_CASE("what a family took is given back once all of it has gone for good", "[rocksdb]") {
  RocksDisk disk{{.write_buffer_bytes = 1U << 20}};
  const auto taken = [&] {
    std::uintmax_t bytes = 0;
    for (const auto& entry : fs::directory_iterator{disk.path()}) {
      if (entry.path().extension() == ".sst") bytes += entry.file_size();
    }
    return bytes;
  };
  constexpr int values = 256;
  std::mt19937_64 random{1};
  for (int i = 0; i < values; ++i) {
    Bytes value(128U << 10);
    std::ranges::generate(value, [&] { return static_cast<std::uint8_t>(random()); });
    WriteBatch batch;
    const Bytes key{static_cast<std::uint8_t>(i)};
    batch.put(Family::staging, key, value);
    batch.put(Family::state, key, to_bytes("stays"));
    must(disk.engine()->write(batch, Sync::no));
  }
  CHECK(taken() > 16U << 20);
  WriteBatch all;
  all.erase_all(Family::staging);
  must(disk.engine()->write(all, Sync::durable));
  // What a compaction is at just now goes with the next call.
  for (int calls = 0; taken() > 8U << 20; ++calls) {
    REQUIRE(calls < 100'000);
    must(disk.engine()->reclaim(Family::staging));
  }
  must(disk.engine()->write(one_put("after", "wards"), Sync::no));
  disk.restart();
  CHECK_FALSE(disk.engine()->scan(Family::staging, {}, {})->valid());
  CHECK(content_of(disk.engine()->scan(Family::state, {}, {})).size() == values + 1);
}
