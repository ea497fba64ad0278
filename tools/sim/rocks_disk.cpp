#include "tools/sim/rocks_disk.h"

#include <stdexcept>

#include "storage/rocksdb_engine.h"
#include "tools/sim/volume_files.h"

namespace pbft::sim {
namespace {

constexpr const char* directory = "/disk/store";

class RocksMedium final : public Medium {
 public:
  explicit RocksMedium(Random random) : random_(random) {
    volume_->make_directory("/disk");
    if (const auto opened = open(storage::OpenMode::create); !opened) throw std::runtime_error(opened.error().message);
  }
  ~RocksMedium() override { engine_.reset(); }
  RocksMedium(const RocksMedium&) = delete;
  RocksMedium& operator=(const RocksMedium&) = delete;

  [[nodiscard]] storage::Engine& engine() override { return *engine_; }
  [[nodiscard]] std::size_t unsynced_writes() const override { return unsynced_; }
  void wrote(storage::Sync sync) override { unsynced_ = sync == storage::Sync::durable ? 0 : unsynced_ + 1; }

  // What RocksDB's threads still write while it is closed goes to the old volume, as if it had never happened.
  void lose_power(std::size_t kept) override {
    using Kept = Volume::Kept;
    Kept how = Kept::some;
    if (unsynced_ > 0 && kept == 0) how = Kept::nothing;
    if (unsynced_ > 0 && kept >= unsynced_) how = Kept::everything;
    auto next = volume_->after_power_loss(random_, how);
    engine_.reset();
    volume_ = std::move(next);
    unsynced_ = 0;
  }
  [[nodiscard]] storage::Result<void> start() override {
    return engine_ ? storage::Result<void>{} : open(storage::OpenMode::existing);
  }

  void fail(bool failing) override {
    if (!failing) return volume_->fail(std::nullopt);
    DiskFailure failure;
    failure.what = random_.chance(500) ? DiskFailure::What::no_space : DiskFailure::What::io;
    failure.writes = random_.chance(700);
    failure.syncs = !failure.writes || random_.chance(500);
    const std::vector<std::string> which{"", "", ".log", ".sst", "synced-mark"};
    failure.suffix = random_.pick(which);
    volume_->fail(failure);
  }
  [[nodiscard]] bool fails_late() const override { return true; }

 private:
  // Buffers are small, so that tables are written and compacted in a short run.
  [[nodiscard]] storage::Result<void> open(storage::OpenMode mode) {
    environment_ = environment_on(volume_);
    auto opened = storage::open_rocksdb(
        directory, mode, {.block_cache_bytes = 1U << 20, .write_buffer_bytes = 1U << 16, .env = environment_.get()});
    if (!opened) return tl::unexpected(opened.error());
    engine_ = std::move(*opened);
    return {};
  }

  Random random_;
  std::shared_ptr<Volume> volume_ = std::make_shared<Volume>();
  std::unique_ptr<rocksdb::Env> environment_;
  std::shared_ptr<storage::Engine> engine_;  // null from a loss of power to the next start
  std::size_t unsynced_ = 0;
};

}  // namespace

std::unique_ptr<Medium> rocksdb_medium(Random random) {
  return std::make_unique<RocksMedium>(random);
}

}  // namespace pbft::sim
