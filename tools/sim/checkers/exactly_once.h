// Exactly-once, told from what clients saw: of increments by one no two have the same sum, and in the end the counter
// is what was acknowledged and at most what is unknown on top of it; and what was created under a key of its own was
// not there before, and is there in the end. Simpler than linearizability, which says the same, and so a check of it.
#pragma once

#include <vector>

#include "tools/sim/checkers/client_history.h"
#include "tools/sim/findings.h"

namespace pbft::sim {

// Keys that were used in any other way than by increments by one, or by one create, and by reads are passed over. "In
// the end" is any read that was called after everything else on the key had returned.
void check_exactly_once(const std::vector<ClientOperation>& history, Findings& findings);

}  // namespace pbft::sim
