// A real store over the engine in memory, which can lose power or fail.
#pragma once

#include <memory>

#include "node/pbft/digests.h"
#include "storage/memory_engine.h"
#include "storage/store.h"

namespace pbft::execution {

struct StoreFixture {
  storage::StoreIdentity identity{{}, ReplicaId{0}};
  std::shared_ptr<storage::MemoryEngine> engine = std::make_shared<storage::MemoryEngine>();
  std::unique_ptr<storage::Store> store;

  StoreFixture() {
    REQUIRE(storage::Store::create(*engine, identity));
    reopen();
  }
  void reopen() {
    store.reset();
    auto opened = storage::Store::open(engine, identity, {});
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
