// A lying replica in a run of the simulator.
#pragma once

#include <memory>

#include "tools/sim/byzantine/liar.h"
#include "tools/sim/world.h"

namespace pbft::sim {

// It lies as the plan says. `world` outlives it.
[[nodiscard]] std::unique_ptr<Liar> make_liar(World& world, ReplicaId self);
// What it speaks with, alone.
[[nodiscard]] Mouth make_mouth(World& world, ReplicaId self);

}  // namespace pbft::sim
