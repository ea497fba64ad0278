// A volume as the file system of RocksDB.
#pragma once

#include <rocksdb/env.h>

#include <memory>

#include "tools/sim/volume.h"

namespace pbft::sim {

// Threads and clock are the machine's. Must outlive the databases on it.
[[nodiscard]] std::unique_ptr<rocksdb::Env> environment_on(std::shared_ptr<Volume> volume);

}  // namespace pbft::sim
