// The Engine on RocksDB.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>

#include "storage/engine.h"
#include "storage/store.h"

namespace rocksdb {
class Env;
}

namespace pbft::storage {

struct RocksOptions {
  std::size_t block_cache_bytes = 64U << 20;   // shared by all families
  std::size_t write_buffer_bytes = 32U << 20;  // per family; all of them together take at most four times this
  rocksdb::Env* env = nullptr;                 // null: the machine's. Must outlive the engine. For fault injection
  // The disk failed a table that a compaction makes. Called on a thread of RocksDB, before RocksDB goes on: where it
  // was built with assertions, as Debian's 7.8 is, it may end the process then, because it asks for the smallest key of
  // a table that may have none. So who wants to end in order does so at once. If it returns, or is null: writes are
  // refused with the same error, unless RocksDB has ended the process.
  std::function<void(const StorageError&)> on_failed_compaction{};
};

enum class OpenMode : std::uint8_t { create, existing };

// create: makes the directory and refuses (exists) one that holds a store. existing: refuses by kind a missing or
// empty one, and one that was not made to its end (missing), one that another process has open (locked), one with
// families of a later version (newer_format), and a damaged one (corrupt), also where its log has lost writes that had
// been synced.
[[nodiscard]] Result<std::shared_ptr<Engine>> open_rocksdb(const std::filesystem::path& directory, OpenMode mode,
                                                           const RocksOptions& options = {});

// A new store on RocksDB, synced (Store::create). Where the process ends in between nothing opens what is there, and
// the next call begins anew.
[[nodiscard]] Result<void> create_store(const std::filesystem::path& directory, const StoreIdentity& identity,
                                        bool forgot = false, const RocksOptions& options = {});

}  // namespace pbft::storage
