// The Engine in memory, with the difference between written and durable that a disk has: for simulation and tests.
// A write while a scan or snapshot is open copies the family once; otherwise neither costs a copy.
#pragma once

#include <map>
#include <memory>

#include "storage/engine.h"

namespace pbft::storage {

class MemoryEngine final : public Engine {
 public:
  MemoryEngine();
  ~MemoryEngine() override;
  [[nodiscard]] Result<std::optional<Bytes>> get(Family family, BytesView key) const override;
  [[nodiscard]] Result<void> write(const WriteBatch& batch, Sync sync) override;
  [[nodiscard]] std::unique_ptr<Iterator> scan(Family family, BytesView from, BytesView to) const override;
  [[nodiscard]] std::shared_ptr<const Reader> snapshot() const override;

  // Loss of power: of the writes since the last durable one, the first `kept` survive (a log loses its tail);
  // kept is cut to their number.
  void lose_power(std::size_t kept);
  [[nodiscard]] std::size_t unsynced_writes() const;
  // The next write fails with this error and changes nothing, and so do all after it, until cleared with std::nullopt.
  void fail_writes(std::optional<StorageError> error);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pbft::storage
