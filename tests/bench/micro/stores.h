// A replica's store over RocksDB in a directory of its own.
#pragma once

#include <memory>

#include "storage/rocksdb_engine.h"
#include "storage/store.h"
#include "tests/bench/must.h"
#include "tests/temporary_directory.h"

namespace pbft::micro {

class TemporaryStore {
 public:
  static constexpr std::uint64_t interval = 128;  // as in a genesis that says nothing else

  explicit TemporaryStore(storage::Sync durability) {
    const storage::StoreIdentity identity{ClusterId{}, ReplicaId{0}};
    auto engine = must(storage::open_rocksdb(directory_ / "store", storage::OpenMode::create));
    must(storage::Store::create(*engine, identity));
    storage::StoreOptions options;
    options.durability = durability;
    options.checkpoint_interval = interval;
    options.ledger_keep = 1'000;
    store_ = must(storage::Store::open(std::move(engine), identity, options));
  }

  storage::Store* operator->() { return store_.get(); }

 private:
  testing::TemporaryDirectory directory_;
  std::unique_ptr<storage::Store> store_;
};

}  // namespace pbft::micro
