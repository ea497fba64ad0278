// Where the strategies are made; each function gives those of its file, and null for others.
#pragma once

#include <memory>

#include "tools/sim/byzantine/strategy.h"

namespace pbft::sim {

[[nodiscard]] std::unique_ptr<Strategy> ordering_lie(Lie lie, Mouth& mouth);
[[nodiscard]] std::unique_ptr<Strategy> silence_lie(Lie lie, Mouth& mouth);
[[nodiscard]] std::unique_ptr<Strategy> view_lie(Lie lie, Mouth& mouth);
[[nodiscard]] std::unique_ptr<Strategy> answer_lie(Lie lie, Mouth& mouth);

}  // namespace pbft::sim
