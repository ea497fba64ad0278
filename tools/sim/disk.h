// A replica's simulated disk: a point at which the power can fail before each write, and a shadow of what was promised
// but not synced, over what keeps the bytes: the engine in memory, or RocksDB on a simulated file system.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>

#include "storage/engine.h"

namespace pbft::sim {

// Thrown at the boundary where a replica's power fails; caught by its Node and by nobody else.
struct SimulatedCrash {};

// What keeps the bytes.
class Medium {
 public:
  virtual ~Medium() = default;
  [[nodiscard]] virtual storage::Engine& engine() = 0;
  // As storage::MemoryEngine: of the writes that were not synced, about the first `kept` survive.
  virtual void lose_power(std::size_t kept) = 0;
  [[nodiscard]] virtual std::size_t unsynced_writes() const = 0;
  // After a loss of power, before anything else.
  [[nodiscard]] virtual storage::Result<void> start() = 0;
  // From now on the disk fails, or is well again.
  virtual void fail(bool failing) = 0;
  // True where a failure may show only later than it happened, and after the disk is well again.
  [[nodiscard]] virtual bool fails_late() const = 0;
  // Told of each write that went well.
  virtual void wrote(storage::Sync) {}
};
[[nodiscard]] std::unique_ptr<Medium> memory_medium();

class Disk final : public storage::Engine {
 public:
  // `boundary` is called before each write, and may throw SimulatedCrash.
  Disk(std::unique_ptr<Medium> medium, std::function<void()> boundary)
      : medium_(std::move(medium)), boundary_(std::move(boundary)) {}

  [[nodiscard]] storage::Result<std::optional<Bytes>> get(storage::Family family, BytesView key) const override {
    return medium_->engine().get(family, key);
  }
  [[nodiscard]] storage::Result<void> write(const storage::WriteBatch& batch, storage::Sync sync) override;
  [[nodiscard]] std::unique_ptr<storage::Iterator> scan(storage::Family family, BytesView from,
                                                        BytesView to) const override {
    return medium_->engine().scan(family, from, to);
  }
  [[nodiscard]] std::shared_ptr<const storage::Reader> snapshot() const override {
    return medium_->engine().snapshot();
  }
  [[nodiscard]] storage::Result<void> note_damage() override { return medium_->engine().note_damage(); }
  [[nodiscard]] bool damage_noted() const override { return medium_->engine().damage_noted(); }
  [[nodiscard]] storage::Result<void> forget_damage() override { return medium_->engine().forget_damage(); }

  // True while there are promises (journal, batches, checkpoints) that a loss of power would take.
  [[nodiscard]] bool promises_unsynced() const { return promises_unsynced_; }

  // All that is on it now, as one batch; writing that to an empty disk gives the same one.
  [[nodiscard]] storage::WriteBatch image() const;

  [[nodiscard]] std::size_t unsynced_writes() const { return medium_->unsynced_writes(); }
  void lose_power(std::size_t kept);
  [[nodiscard]] storage::Result<void> start() { return medium_->start(); }
  void fail(bool failing) { medium_->fail(failing); }
  [[nodiscard]] bool fails_late() const { return medium_->fails_late(); }

  [[nodiscard]] std::uint64_t writes() const { return writes_; }
  [[nodiscard]] std::uint64_t syncs() const { return syncs_; }

 private:
  std::unique_ptr<Medium> medium_;
  std::function<void()> boundary_;
  bool promises_unsynced_ = false;
  std::uint64_t writes_ = 0;
  std::uint64_t syncs_ = 0;
};

}  // namespace pbft::sim
