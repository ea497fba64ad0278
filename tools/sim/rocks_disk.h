// The node's own RocksDB engine as a replica's disk, on a simulated file system.
#pragma once

#include <memory>

#include "tools/sim/disk.h"
#include "tools/sim/random.h"

namespace pbft::sim {

// A new, empty store. `random` decides what is left by losses of power, and how the disk fails.
[[nodiscard]] std::unique_ptr<Medium> rocksdb_medium(Random random);

// Whether the replicas of this seed keep their stores on RocksDB: so many in a hundred do. Drawn from a stream of its
// own.
[[nodiscard]] bool on_rocksdb(std::uint64_t seed, unsigned share);

}  // namespace pbft::sim
