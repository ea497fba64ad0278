#include "tools/sim/byzantine/strategies.h"

namespace pbft::sim {

std::unique_ptr<Strategy> make_strategy(Lie lie, Mouth& mouth) {
  for (const auto make : {ordering_lie, silence_lie, view_lie, answer_lie}) {
    if (auto strategy = make(lie, mouth)) return strategy;
  }
  return nullptr;  // amnesia is a matter of the disk, twins are of the world
}

}  // namespace pbft::sim
