// A replica's simulated disk: the in-memory engine, a point at which the power can fail before each write, and a shadow
// of what was promised but not synced.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>

#include "storage/memory_engine.h"

namespace pbft::sim {

// Thrown at the boundary where a replica's power fails; caught by its Node and by nobody else.
struct SimulatedCrash {};

class Disk final : public storage::Engine {
 public:
  // `boundary` is called before each write, and may throw SimulatedCrash.
  explicit Disk(std::function<void()> boundary) : boundary_(std::move(boundary)) {}

  [[nodiscard]] storage::Result<std::optional<Bytes>> get(storage::Family family, BytesView key) const override {
    return memory_.get(family, key);
  }
  [[nodiscard]] storage::Result<void> write(const storage::WriteBatch& batch, storage::Sync sync) override;
  [[nodiscard]] std::unique_ptr<storage::Iterator> scan(storage::Family family, BytesView from,
                                                        BytesView to) const override {
    return memory_.scan(family, from, to);
  }
  [[nodiscard]] std::shared_ptr<const storage::Reader> snapshot() const override { return memory_.snapshot(); }

  // True while there are promises (journal, batches, checkpoints) that a loss of power would take.
  [[nodiscard]] bool promises_unsynced() const { return promises_unsynced_; }

  // All that is on it now, as one batch; writing that to an empty disk gives the same one.
  [[nodiscard]] storage::WriteBatch image() const;

  [[nodiscard]] std::size_t unsynced_writes() const { return memory_.unsynced_writes(); }
  void lose_power(std::size_t kept);
  void fail_writes(std::optional<storage::StorageError> error) { memory_.fail_writes(std::move(error)); }

  [[nodiscard]] std::uint64_t writes() const { return writes_; }
  [[nodiscard]] std::uint64_t syncs() const { return syncs_; }

 private:
  storage::MemoryEngine memory_;
  std::function<void()> boundary_;
  bool promises_unsynced_ = false;
  std::uint64_t writes_ = 0;
  std::uint64_t syncs_ = 0;
};

}  // namespace pbft::sim
