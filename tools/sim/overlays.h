// What is laid over the plan of some seeds, each layer by a stream of its own: seeds that a layer does not choose mean
// what they meant without it.
#pragma once

#include "tools/sim/plan.h"

namespace pbft::sim {

void lay_over(Plan& plan, const Shares& shares);

}  // namespace pbft::sim
