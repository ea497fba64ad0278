// A real store over the engine in memory, which can lose power or fail.
#pragma once

#include <memory>

#include "node/pbft/digests.h"
#include "storage/memory_engine.h"
#include "storage/store.h"
#include "tests/storage/forwarding_engine.h"

namespace pbft::execution {

// Knows how much was written to family clients, keys included.
class CountedWrites final : public storage::testing::ForwardingEngine {
 public:
  using ForwardingEngine::ForwardingEngine;

  [[nodiscard]] std::size_t client_bytes() const { return client_bytes_; }
  [[nodiscard]] storage::Result<void> write(const storage::WriteBatch& batch, storage::Sync sync) override {
    for (const storage::WriteBatch::Operation& operation : batch) {
      if (operation.family == storage::Family::clients) client_bytes_ += operation.key.size() + operation.value.size();
    }
    return ForwardingEngine::write(batch, sync);
  }

 private:
  std::size_t client_bytes_ = 0;
};

struct StoreFixture {
  storage::StoreIdentity identity{{}, ReplicaId{0}};
  std::shared_ptr<storage::MemoryEngine> engine = std::make_shared<storage::MemoryEngine>();
  std::shared_ptr<CountedWrites> counted = std::make_shared<CountedWrites>(engine);
  std::unique_ptr<storage::Store> store;

  StoreFixture() {
    REQUIRE(storage::Store::create(*engine, identity));
    reopen();
  }
  void reopen() {
    store.reset();
    auto opened = storage::Store::open(counted, identity, {});
    INFO((opened ? "" : opened.error().message));
    REQUIRE(opened);
    store = *std::move(opened);
  }
  // The state's changes as batch n, which holds nothing else.
  void apply(std::uint64_t n, std::vector<storage::StateChange> changes) {
    const storage::Applied applied{SequenceNumber{n}, Timestamp{n}, null_batch_digest(), {}, std::move(changes), {}};
    const auto written = store->apply(applied);
    INFO((written ? "" : written.error().message));
    REQUIRE(written);
  }
};

}  // namespace pbft::execution
