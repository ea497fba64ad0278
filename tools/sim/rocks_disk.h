// The node's own RocksDB engine as a replica's disk, on a simulated file system.
#pragma once

#include <memory>

#include "tools/sim/disk.h"
#include "tools/sim/random.h"

namespace pbft::sim {

// A new, empty store. `random` decides what is left by losses of power, and how the disk fails.
[[nodiscard]] std::unique_ptr<Medium> rocksdb_medium(Random random);

}  // namespace pbft::sim
