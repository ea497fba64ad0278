// Where a liar lies: a run of the simulator, or a real cluster (tests/byzantine). It knows what any Byzantine replica
// may know: what is public, and its own keys.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "node/crypto/authenticator.h"
#include "node/crypto/keys.h"
#include "node/pbft/parameters.h"
#include "tools/sim/byzantine/conspiracy.h"
#include "tools/sim/byzantine/lies.h"
#include "tools/sim/scheduler.h"

namespace pbft::sim {

// What does not change.
struct LiarFacts {
  std::uint64_t seed = 0;  // of what it chooses
  ReplicaId self;
  crypto::Roster roster;
  crypto::Identity identity;  // its own
  std::shared_ptr<const crypto::SignatureScheme> scheme;
  ClusterParameters cluster;
  Microseconds view_timeout = 0;  // the others' patience with a primary
  std::vector<ClientId> clients;  // to whom and of whom it lies; not empty
};

// What changes while it lies.
class Setting {
 public:
  virtual ~Setting() = default;
  [[nodiscard]] virtual Microseconds now() const = 0;
  [[nodiscard]] virtual Conspiracy& conspiracy() = 0;
  // A lie was told: it changed what somebody hears.
  virtual void told(Lie lie) = 0;
};

}  // namespace pbft::sim
