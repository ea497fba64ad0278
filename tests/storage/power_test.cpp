// The store on a disk that loses what was not synced, tears what was just being written, and fails.
#include "storage/rocksdb_engine.h"
#include "tests/storage/support.h"
#include "tools/sim/volume_files.h"

using namespace pbft;
using namespace pbft::storage;
using namespace pbft::storage::testing;
using Catch::Contains;
using Kind = StorageError::Kind;
using Kept = sim::Volume::Kept;

namespace {

WriteBatch one_put(std::uint64_t key, std::size_t bytes) {
  WriteBatch batch;
  batch.put(Family::journal, to_bytes(std::to_string(key)), Bytes(bytes, static_cast<std::uint8_t>(key)));
  return batch;
}

// A machine that may lose power. By default a store with buffers so small that tables are written all the time.
class UnreliableMachine {
 public:
  explicit UnreliableMachine(std::size_t buffer_bytes = 1U << 16) : buffer_bytes_(buffer_bytes) {
    volume_->make_directory("/disk");
    start(OpenMode::create);
  }
  ~UnreliableMachine() { stop(); }
  UnreliableMachine(const UnreliableMachine&) = delete;
  UnreliableMachine& operator=(const UnreliableMachine&) = delete;

  [[nodiscard]] Engine& engine() { return *engine_; }
  [[nodiscard]] sim::Volume& volume() { return *volume_; }
  Result<void> try_start(OpenMode mode = OpenMode::existing) {
    environment_ = sim::environment_on(volume_);
    auto opened =
        open_rocksdb("/disk/store", mode,
                     {.block_cache_bytes = 1U << 20, .write_buffer_bytes = buffer_bytes_, .env = environment_.get()});
    if (!opened) return tl::unexpected(opened.error());
    engine_ = std::move(*opened);
    return {};
  }
  void start(OpenMode mode = OpenMode::existing) { must(try_start(mode)); }
  void stop() { engine_.reset(); }
  // The process ends, and the power is lost.
  void lose_power(Kept kept) { replace(volume_->after_power_loss(random_, kept)); }
  void tear_blocks() { replace(volume_->with_torn_blocks(random_)); }
  void cut(const std::string& suffix, double share) {
    for (const std::string& name : volume_->children("/disk/store")) {
      if (!name.ends_with(suffix)) continue;
      const auto file = volume_->open("/disk/store/" + name);
      const auto size = static_cast<double>(volume_->size(*file));
      REQUIRE(volume_->truncate(*file, static_cast<std::size_t>(size * share)) == sim::Volume::Outcome::done);
    }
  }
  [[nodiscard]] bool holds(std::uint64_t key, std::size_t bytes) {
    return must(engine_->get(Family::journal, as_bytes(std::to_string(key)))) ==
           Bytes(bytes, static_cast<std::uint8_t>(key));
  }
  sim::Random& random() { return random_; }

 private:
  void replace(std::shared_ptr<sim::Volume> next) {
    stop();  // what it still writes goes to the disk of a machine that is no more
    volume_ = std::move(next);
  }

  std::size_t buffer_bytes_;
  sim::Random random_{7};
  std::shared_ptr<sim::Volume> volume_ = std::make_shared<sim::Volume>();
  std::unique_ptr<rocksdb::Env> environment_;
  std::shared_ptr<Engine> engine_;
};

constexpr std::size_t small_value = 100;

}  // namespace

TEST_CASE("a disk that is full or fails ends all writing, says why, and loses nothing that was acknowledged",
          "[power]") {
  using What = sim::DiskFailure::What;
  sim::DiskFailure failure;
  failure.what = GENERATE(What::no_space, What::io);
  failure.suffix = GENERATE(as<std::string>{}, "", ".log", ".sst", "synced-mark");
  failure.writes = GENERATE(true, false);  // or syncs only
  CAPTURE(static_cast<int>(failure.what), failure.suffix, failure.writes);

  constexpr std::size_t bytes = 1000;
  UnreliableMachine machine;
  std::uint64_t acknowledged = 0;
  while (acknowledged < 100) must(machine.engine().write(one_put(acknowledged++, bytes), Sync::durable));
  machine.volume().fail(failure);
  std::optional<StorageError> error;
  for (int i = 0; i < 100'000 && !error; ++i) {
    const auto written = machine.engine().write(one_put(acknowledged, bytes), Sync::durable);
    written ? static_cast<void>(++acknowledged) : static_cast<void>(error = written.error());
  }
  REQUIRE(error);
  INFO(error->message);
  CHECK(error->kind == (failure.what == What::no_space ? Kind::no_space : Kind::io));
  CHECK_THAT(error->message, Contains("/disk/store") && Contains(failure.suffix) &&
                                 Contains(failure.what == What::no_space ? "the disk is full" : "the disk failed") &&
                                 Contains("start"));
  machine.volume().fail(std::nullopt);  // even where the disk is well again
  CHECK(refusal(machine.engine().write(one_put(acknowledged, bytes), Sync::no)).message == error->message);

  machine.volume().fail(failure);
  SECTION("the process is started again") {
    machine.stop();
    machine.volume().fail(std::nullopt);
  }
  SECTION("the power is lost as well") {
    machine.lose_power(GENERATE(Kept::nothing, Kept::some));
  }
  machine.start();
  for (std::uint64_t key = 0; key < acknowledged; ++key) REQUIRE(machine.holds(key, bytes));
  must(machine.engine().write(one_put(acknowledged, bytes), Sync::durable));
}

TEST_CASE("a disk that is full or fails when a store is opened is named, and the store is well afterwards", "[power]") {
  using What = sim::DiskFailure::What;
  sim::DiskFailure failure;
  failure.what = GENERATE(What::no_space, What::io);
  failure.suffix = GENERATE(as<std::string>{}, "", ".sst", "synced-mark");
  CAPTURE(static_cast<int>(failure.what), failure.suffix);
  UnreliableMachine machine;
  for (std::uint64_t key = 0; key < 20; ++key) must(machine.engine().write(one_put(key, small_value), Sync::durable));
  machine.lose_power(Kept::nothing);
  for (int attempt = 0; attempt < 3; ++attempt) {
    machine.volume().fail(failure);
    const StorageError error = refusal(machine.try_start());
    INFO(error.message);
    CHECK(error.kind == (failure.what == What::no_space ? Kind::no_space : Kind::io));
    CHECK_THAT(error.message, Contains("/disk/store") && Contains(failure.suffix) &&
                                  Contains(failure.what == What::no_space ? "make room" : "the disk failed"));
  }
  machine.volume().fail(std::nullopt);
  machine.start();
  for (std::uint64_t key = 0; key < 20; ++key) REQUIRE(machine.holds(key, small_value));
}

TEST_CASE("power is lost again and again, and what was synced is there", "[power]") {
  UnreliableMachine machine;
  std::uint64_t durable = 0;  // keys below were synced
  for (int loss = 0; loss < 80; ++loss) {
    std::uint64_t next = durable;
    const std::uint64_t writes = machine.random().below(300);
    for (std::uint64_t i = 0; i < writes; ++i) {
      const bool synced = machine.random().chance(300);
      must(machine.engine().write(one_put(next++, small_value), synced ? Sync::durable : Sync::no));
      if (synced) durable = next;
    }
    CAPTURE(loss, durable, next);
    machine.lose_power(machine.random().chance(800) ? Kept::some : Kept::nothing);
    machine.start();
    for (std::uint64_t key = 0; key < durable; ++key) REQUIRE(machine.holds(key, small_value));
    // Of the others the first ones are there.
    while (durable < next && machine.holds(durable, small_value)) ++durable;
    for (std::uint64_t key = durable; key < next; ++key) REQUIRE_FALSE(machine.holds(key, small_value));
  }
  CHECK(durable > 2000);
}

TEST_CASE("teeth: what a disk only says to have synced is missed", "[power]") {
  UnreliableMachine machine;
  for (std::uint64_t key = 0; key < 20; ++key) must(machine.engine().write(one_put(key, small_value), Sync::durable));
  machine.volume().lie_about_syncs();
  for (std::uint64_t key = 20; key < 40; ++key) must(machine.engine().write(one_put(key, small_value), Sync::durable));
  machine.lose_power(Kept::nothing);
  machine.start();
  CHECK(machine.holds(19, small_value));
  CHECK_FALSE(machine.holds(39, small_value));
}

TEST_CASE("a store that was just made survives a loss of power", "[power]") {
  UnreliableMachine machine;
  machine.lose_power(Kept::nothing);
  machine.start();
  CHECK(must(machine.engine().get(Family::journal, as_bytes("0"))) == std::nullopt);
}

TEST_CASE("a note of damage survives a loss of power", "[power]") {
  UnreliableMachine machine;
  must(machine.engine().note_damage());
  machine.lose_power(Kept::nothing);
  machine.start();
  CHECK(machine.engine().damage_noted());
  must(machine.engine().forget_damage());
  machine.lose_power(Kept::nothing);
  machine.start();
  CHECK_FALSE(machine.engine().damage_noted());
}

TEST_CASE("a torn block of the synced mark costs the newest claims and no more", "[power]") {
  UnreliableMachine machine{4U << 20};  // all in one log
  // One mark after another; around the turn from one block to the other, and after openings, too.
  const std::uint64_t writes = GENERATE(1, 2, 5, 1022, 1023, 1024, 1025, 2049, 2500);
  const std::uint64_t openings = GENERATE(0, 1, 2);
  for (std::uint64_t i = 0; i < openings; ++i) {
    must(machine.engine().write(one_put(10'000 + i, small_value), Sync::durable));
    machine.stop();
    machine.start();
  }
  for (std::uint64_t key = 0; key < writes; ++key)
    must(machine.engine().write(one_put(key, small_value), Sync::durable));
  CAPTURE(writes, openings);
  machine.tear_blocks();
  SECTION("the store is what it was") {
    machine.start();
    for (std::uint64_t key = 0; key < writes; ++key) REQUIRE(machine.holds(key, small_value));
    must(machine.engine().write(one_put(writes, small_value), Sync::durable));
    machine.tear_blocks();
    machine.start();
    CHECK(machine.holds(writes, small_value));
  }
  SECTION("a log that lost much of what was synced is refused all the same") {
    if (writes < 2500) return;
    machine.cut(".log", 0.3);
    const StorageError error = refusal(machine.try_start());
    CHECK(error.kind == Kind::corrupt);
    CHECK_THAT(error.message, Contains("the log lost writes that had been synced"));
  }
}
