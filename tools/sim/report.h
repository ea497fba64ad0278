// Results of runs as JSON and as text for people.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tools/sim/runner.h"

namespace pbft::sim {

[[nodiscard]] nlohmann::json to_json(const RunResult& result);
[[nodiscard]] RunResult from_json(const nlohmann::json& json);

// One run with all that it found.
[[nodiscard]] std::string describe(const RunResult& result);
// Why a run failed, in a few lines that start with how to replay it; `more` are further options for that.
[[nodiscard]] std::string describe_failure(const RunResult& result, const std::string& more = {});

// Many runs together.
struct Summary {
  std::uint64_t runs = 0;
  std::vector<RunResult> failed;
  RunResult total;  // sums; of the fields that can be added
  double wall_seconds = 0;

  void add(const RunResult& result);
};
[[nodiscard]] nlohmann::json to_json(const Summary& summary);
[[nodiscard]] std::string describe(const Summary& summary);
// The faults, lies and sometimes counters that stayed below `least`, each with its count: "fault clog: 3".
[[nodiscard]] std::vector<std::string> rarer_than(std::uint64_t least, const Summary& summary);

}  // namespace pbft::sim
