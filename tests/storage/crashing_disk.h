// A disk whose machine fails before a write of one's choice.
#pragma once

#include "tests/storage/forwarding_engine.h"
#include "tests/storage/support.h"

namespace pbft::storage::testing {

struct Crash {};

class CrashingEngine final : public ForwardingEngine {
 public:
  using ForwardingEngine::ForwardingEngine;
  // The next `writes` writes go well.
  void crash_after(std::optional<std::size_t> writes) { left_ = writes; }

  [[nodiscard]] Result<void> write(const WriteBatch& batch, Sync sync) override {
    boundary();
    return ForwardingEngine::write(batch, sync);
  }
  [[nodiscard]] Result<void> note_damage() override {
    boundary();
    return ForwardingEngine::note_damage();
  }
  [[nodiscard]] Result<void> forget_damage() override {
    boundary();
    return ForwardingEngine::forget_damage();
  }
  // One family at a time: each of them may be the last.
  [[nodiscard]] Result<void> reset(const std::vector<Family>& families) override {
    for (const Family family : families) {
      boundary();
      if (auto done = ForwardingEngine::reset({family}); !done) return done;
    }
    return {};
  }

 private:
  void boundary() {
    if (!left_) return;
    if (*left_ == 0) throw Crash{};
    --*left_;
  }

  std::optional<std::size_t> left_;
};

template <class Disk>
class CrashingDisk {
 public:
  CrashingDisk() { wrap(); }
  [[nodiscard]] std::shared_ptr<Engine> engine() const { return engine_; }
  [[nodiscard]] CrashingEngine& crashing() const { return *engine_; }
  [[nodiscard]] Disk& disk() { return disk_; }
  void restart() {
    engine_.reset();
    disk_.restart();
    wrap();
  }

 private:
  void wrap() { engine_ = std::make_shared<CrashingEngine>(disk_.engine()); }

  Disk disk_;
  std::shared_ptr<CrashingEngine> engine_;
};

}  // namespace pbft::storage::testing
