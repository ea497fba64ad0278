// Where the checkers report what must not be. The run stops at the first finding.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "node/pbft/types.h"

namespace pbft::sim {

struct Finding {
  std::string invariant;                // the name in the table of README.md
  std::uint64_t slot = 0;               // sequence number, 0 where it concerns none
  std::vector<std::uint32_t> replicas;  // whom it concerns
  std::string what;                     // for people
};

class Findings {
 public:
  void report(Finding finding) { all_.push_back(std::move(finding)); }
  [[nodiscard]] bool any() const { return !all_.empty(); }
  [[nodiscard]] const std::vector<Finding>& all() const { return all_; }

 private:
  std::vector<Finding> all_;
};

}  // namespace pbft::sim
