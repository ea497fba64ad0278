#include "tools/sim/disk.h"

#include <algorithm>

#include "storage/memory_engine.h"

namespace pbft::sim {
namespace {

class MemoryMedium final : public Medium {
 public:
  [[nodiscard]] storage::Engine& engine() override { return memory_; }
  void lose_power(std::size_t kept) override { memory_.lose_power(kept); }
  [[nodiscard]] std::size_t unsynced_writes() const override { return memory_.unsynced_writes(); }
  [[nodiscard]] storage::Result<void> start() override { return {}; }
  void fail(bool failing) override {
    using storage::StorageError;
    memory_.fail_writes(failing ? std::optional{StorageError{StorageError::Kind::io, "simulated disk error"}}
                                : std::nullopt);
  }
  [[nodiscard]] bool fails_late() const override { return false; }

 private:
  storage::MemoryEngine memory_;
};

bool holds_promise(const storage::WriteBatch& batch) {
  using storage::Family;
  for (const storage::WriteBatch::Operation& operation : batch) {
    const bool promise = operation.family == Family::journal || operation.family == Family::batches ||
                         operation.family == Family::checkpoints;
    if (promise && operation.kind == storage::WriteBatch::Operation::Kind::put) return true;
  }
  return false;
}

}  // namespace

std::unique_ptr<Medium> memory_medium() {
  return std::make_unique<MemoryMedium>();
}

storage::Result<void> Disk::write(const storage::WriteBatch& batch, storage::Sync sync) {
  boundary_();
  const storage::Result<void> written = medium_->engine().write(batch, sync);
  if (!written) return written;
  medium_->wrote(sync);
  ++writes_;
  if (sync == storage::Sync::durable) {
    ++syncs_;
    promises_unsynced_ = false;
  } else if (holds_promise(batch)) {
    promises_unsynced_ = true;
  }
  return written;
}

storage::WriteBatch Disk::image() const {
  storage::WriteBatch image;
  const storage::Engine& engine = medium_->engine();
  for (std::size_t i = 0; i < static_cast<std::size_t>(storage::Family::count_); ++i) {
    const auto family = static_cast<storage::Family>(i);
    for (const auto at = engine.scan(family, {}, {}); at->valid(); at->next()) {
      image.put(family, at->key(), at->value());
    }
  }
  return image;
}

void Disk::lose_power(std::size_t kept) {
  medium_->lose_power(kept);
  promises_unsynced_ = false;
}

}  // namespace pbft::sim
