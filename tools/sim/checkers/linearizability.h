// Linearizability of what clients saw, with no other knowledge: is there an order of the operations that respects who
// returned before whom was called, and in which each answer is right? After Wing and Gong (1993) and Lowe (2017): the
// keys are judged one by one, and for each the set of all possibilities (what the key holds, which of the pending
// operations have taken effect) is carried along from one answer to the next.
//
// What keeps the set small:
// - An operation takes effect no sooner than an answer needs it ("just in time"); one that changes nothing does as soon
//   as its answer is right.
// - An unknown operation may never take effect, so a possibility that has used fewer of them stands for those that have
//   used more. Equal ones count as one kind, and values that nobody saw are all alike.
#pragma once

#include <cstddef>
#include <vector>

#include "tools/sim/checkers/client_history.h"
#include "tools/sim/findings.h"

namespace pbft::sim {

struct LinearizabilityLimits {
  // Beyond so many possibilities at one answer the key is reported as undecided.
  std::size_t possibilities = 1'000'000;
};

// Reports "linearizability" for the first answer of each key that no order explains, and "undecided" for a key that has
// more than 64 known operations pending at once, or passes the limits.
void check_linearizability(const std::vector<ClientOperation>& history, Findings& findings,
                           const LinearizabilityLimits& limits = {});

}  // namespace pbft::sim
