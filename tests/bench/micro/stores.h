// A replica's store over RocksDB in a directory of its own.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <stdexcept>

#include "storage/rocksdb_engine.h"
#include "storage/store.h"

namespace pbft::micro {

template <class T>
T must(storage::Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

class TemporaryStore {
 public:
  static constexpr std::uint64_t interval = 128;  // as in a genesis that says nothing else

  explicit TemporaryStore(storage::Sync durability) {
    std::string name = (std::filesystem::temp_directory_path() / "pbft-micro-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error(name + ": cannot be made");
    directory_ = name;
    const storage::StoreIdentity identity{ClusterId{}, ReplicaId{0}};
    auto engine = must(storage::open_rocksdb(directory_ / "store", storage::OpenMode::create));
    must(storage::Store::create(*engine, identity));
    storage::StoreOptions options;
    options.durability = durability;
    options.checkpoint_interval = interval;
    options.ledger_keep = 1'000;
    store_ = must(storage::Store::open(std::move(engine), identity, options));
  }
  TemporaryStore(const TemporaryStore&) = delete;
  TemporaryStore& operator=(const TemporaryStore&) = delete;
  ~TemporaryStore() {
    store_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }

  storage::Store* operator->() { return store_.get(); }

 private:
  std::filesystem::path directory_;
  std::unique_ptr<storage::Store> store_;
};

}  // namespace pbft::micro
