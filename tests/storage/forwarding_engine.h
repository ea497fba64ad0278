// An engine that hands everything on to another one, for engines that look at some of it.
#pragma once

#include "storage/engine.h"

namespace pbft::storage::testing {

class ForwardingEngine : public Engine {
 public:
  explicit ForwardingEngine(std::shared_ptr<Engine> engine) : engine_(std::move(engine)) {}

  [[nodiscard]] std::string name() const override { return engine_->name(); }
  [[nodiscard]] Result<std::optional<Bytes>> get(Family family, BytesView key) const override {
    return engine_->get(family, key);
  }
  [[nodiscard]] std::unique_ptr<Iterator> scan(Family family, BytesView from, BytesView to) const override {
    return engine_->scan(family, from, to);
  }
  [[nodiscard]] std::shared_ptr<const Reader> snapshot() const override { return engine_->snapshot(); }
  [[nodiscard]] Result<void> write(const WriteBatch& batch, Sync sync) override { return engine_->write(batch, sync); }
  [[nodiscard]] Result<void> note_damage() override { return engine_->note_damage(); }
  [[nodiscard]] bool damage_noted() const override { return engine_->damage_noted(); }
  [[nodiscard]] Result<void> forget_damage() override { return engine_->forget_damage(); }
  [[nodiscard]] Result<void> reset(const std::vector<Family>& families) override { return engine_->reset(families); }
  [[nodiscard]] Result<void> reclaim(Family family) override { return engine_->reclaim(family); }

 private:
  std::shared_ptr<Engine> engine_;
};

}  // namespace pbft::storage::testing
