// A disk whose machine fails before a write of one's choice.
#pragma once

#include "tests/storage/support.h"

namespace pbft::storage::testing {

struct Crash {};

class CrashingEngine final : public Engine {
 public:
  explicit CrashingEngine(std::shared_ptr<Engine> engine) : engine_(std::move(engine)) {}
  // The next `writes` writes go well.
  void crash_after(std::optional<std::size_t> writes) { left_ = writes; }

  [[nodiscard]] std::string name() const override { return engine_->name(); }
  [[nodiscard]] Result<std::optional<Bytes>> get(Family family, BytesView key) const override {
    return engine_->get(family, key);
  }
  [[nodiscard]] std::unique_ptr<Iterator> scan(Family family, BytesView from, BytesView to) const override {
    return engine_->scan(family, from, to);
  }
  [[nodiscard]] std::shared_ptr<const Reader> snapshot() const override { return engine_->snapshot(); }
  [[nodiscard]] Result<void> write(const WriteBatch& batch, Sync sync) override {
    boundary();
    return engine_->write(batch, sync);
  }
  [[nodiscard]] Result<void> note_damage() override {
    boundary();
    return engine_->note_damage();
  }
  [[nodiscard]] bool damage_noted() const override { return engine_->damage_noted(); }
  [[nodiscard]] Result<void> forget_damage() override {
    boundary();
    return engine_->forget_damage();
  }
  // One family at a time: each of them may be the last.
  [[nodiscard]] Result<void> reset(const std::vector<Family>& families) override {
    for (const Family family : families) {
      boundary();
      if (auto done = engine_->reset({family}); !done) return done;
    }
    return {};
  }

 private:
  void boundary() {
    if (!left_) return;
    if (*left_ == 0) throw Crash{};
    --*left_;
  }

  std::shared_ptr<Engine> engine_;
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
