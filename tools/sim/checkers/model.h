// The independent model: what the state machine must answer, from its documented behaviour alone. Runs over the agreed
// order and remembers what each key held when, so that reads can be judged.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tools/sim/checkers/history.h"
#include "tools/sim/findings.h"
#include "tools/sim/kv_language.h"

namespace pbft::sim {

class Model {
 public:
  explicit Model(Findings& findings) : findings_(findings) {}

  // The next batch of the agreed order: checks the result of each request that the plugin ran.
  void ordered(const RanBatch& batch);

  // Whether a read of `operation` could have had this answer at some point in [from, last()]; the first such point.
  [[nodiscard]] std::optional<Position> read_point(const KvOperation& read, const KvAnswer& answer,
                                                   Position from) const;
  [[nodiscard]] Position last() const { return last_; }
  [[nodiscard]] std::optional<std::string> value(const std::string& key) const;
  [[nodiscard]] std::vector<std::string> keys() const;
  [[nodiscard]] std::uint64_t operations() const { return operations_; }

 private:
  struct Version {
    Position since;
    std::optional<std::string> value;
  };
  void set(const std::string& key, std::optional<std::string> value, Position at);

  Findings& findings_;
  std::map<std::string, std::vector<Version>> keys_;  // versions ascending
  Position last_;
  std::uint64_t operations_ = 0;
};

}  // namespace pbft::sim
