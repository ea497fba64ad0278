// A disk in memory that knows how much the largest write put.
#pragma once

#include "tests/storage/forwarding_engine.h"
#include "tests/storage/support.h"

namespace pbft::storage::testing {

class MeasuredEngine final : public ForwardingEngine {
 public:
  using ForwardingEngine::ForwardingEngine;
  [[nodiscard]] Result<void> write(const WriteBatch& batch, Sync sync) override {
    std::size_t bytes = 0;
    for (const WriteBatch::Operation& operation : batch) {
      if (operation.kind == WriteBatch::Operation::Kind::put) bytes += operation.value.size();
    }
    largest = std::max(largest, bytes);
    return ForwardingEngine::write(batch, sync);
  }
  std::size_t largest = 0;
};

class MeasuredDisk {
 public:
  [[nodiscard]] std::shared_ptr<Engine> engine() const { return measured_; }
  void restart() { disk_.restart(); }
  [[nodiscard]] std::size_t& largest() { return measured_->largest; }

 private:
  MemoryDisk disk_;
  std::shared_ptr<MeasuredEngine> measured_ = std::make_shared<MeasuredEngine>(disk_.engine());
};

}  // namespace pbft::storage::testing
