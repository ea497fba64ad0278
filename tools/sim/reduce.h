// Takes away from a plan, step by step, what a failure does not need. Each reduction has a name, so that what is left
// can be run again: pbft-sim --seed 7 --reduce no-loss,clients=2.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/sim/runner.h"

namespace pbft::sim {

// False where there is no such reduction, or it would add something.
[[nodiscard]] bool reduce(Plan& plan, std::string_view reduction);
// The plan of the seed without all these; nothing where one of them does not fit.
[[nodiscard]] std::optional<Plan> reduced_plan(std::uint64_t seed, const std::vector<std::string>& reductions,
                                               const Shares& shares = {});
// What can still be taken from the plan: what is likely to make the run shorter and easier to read comes first.
[[nodiscard]] std::vector<std::string> reductions_of(const Plan& plan);

// Tries reductions for as long as `still_fails` says so of some; what it returns fails, and less of it does not.
[[nodiscard]] std::vector<std::string> shrink(std::uint64_t seed,
                                              const std::function<bool(const std::vector<std::string>&)>& still_fails,
                                              const Shares& shares = {});

}  // namespace pbft::sim
