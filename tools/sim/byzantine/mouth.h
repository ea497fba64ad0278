// What a lying replica speaks with: its own keys and nothing else. It signs and seals whatever it likes under its own
// name, and counts its lies.
#pragma once

#include <memory>
#include <vector>

#include "node/crypto/mac_keys.h"
#include "node/pbft/messages.h"
#include "node/pbft/quorum.h"
#include "tools/sim/byzantine/lies.h"
#include "tools/sim/random.h"
#include "tools/sim/world.h"

namespace pbft::sim {

class Mouth {
 public:
  Mouth(World& world, ReplicaId self);

  [[nodiscard]] ReplicaId self() const { return self_; }
  [[nodiscard]] const Quorum& quorum() const { return quorum_; }
  [[nodiscard]] const Plan& plan() const { return world_.plan; }
  [[nodiscard]] Conspiracy& conspiracy() { return world_.conspiracy; }
  [[nodiscard]] Microseconds now() const { return world_.scheduler.now(); }
  [[nodiscard]] ClientId client(std::uint64_t index) const;
  Random& random() { return random_; }

  // Signs anew, in place, whatever was signed before.
  void sign(Checkpoint& message) const;
  void sign(ViewChange& message) const;
  void sign(NewView& message) const;
  void sign(ClientReport& message) const;
  [[nodiscard]] Bytes seal(ReplicaId to, const std::vector<Bytes>& messages) const;

  void told(Lie lie);

 private:
  [[nodiscard]] SharedBytes signed_body(const Bytes& body) const;

  World& world_;
  const ReplicaId self_;
  const Quorum quorum_;
  Random random_;
  const std::vector<std::optional<crypto::PairKeys>> keys_;
};

}  // namespace pbft::sim
