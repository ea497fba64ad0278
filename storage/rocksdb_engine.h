// The Engine on RocksDB.
#pragma once

#include <filesystem>
#include <memory>

#include "storage/engine.h"

namespace pbft::storage {

struct RocksOptions {
  std::size_t block_cache_bytes = 64U << 20;
  std::size_t write_buffer_bytes = 32U << 20;
};

enum class OpenMode : std::uint8_t { create, existing };

// create: refuses a directory that holds a store. existing: refuses a missing or empty one, a locked one
// (another process has it), a corrupt one.
[[nodiscard]] Result<std::shared_ptr<Engine>> open_rocksdb(const std::filesystem::path& directory, OpenMode mode,
                                                           const RocksOptions& options = {});

}  // namespace pbft::storage
