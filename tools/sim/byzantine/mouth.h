// What a lying replica speaks with: its own keys and nothing else. It signs and seals whatever it likes under its own
// name, and counts its lies.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "node/crypto/mac_keys.h"
#include "node/pbft/messages.h"
#include "node/pbft/quorum.h"
#include "tools/sim/byzantine/lies.h"
#include "tools/sim/byzantine/setting.h"
#include "tools/sim/random.h"

namespace pbft::sim {

class Mouth {
 public:
  Mouth(LiarFacts facts, std::unique_ptr<Setting> setting);

  [[nodiscard]] ReplicaId self() const { return facts_.self; }
  [[nodiscard]] const Quorum& quorum() const { return quorum_; }
  [[nodiscard]] const ClusterParameters& cluster() const { return facts_.cluster; }
  [[nodiscard]] Microseconds view_timeout() const { return facts_.view_timeout; }
  [[nodiscard]] const std::vector<ClientId>& clients() const { return facts_.clients; }
  [[nodiscard]] Conspiracy& conspiracy() { return setting_->conspiracy(); }
  [[nodiscard]] Microseconds now() const { return setting_->now(); }
  Random& random() { return random_; }

  // Signs anew, in place, whatever was signed before.
  void sign(Checkpoint& message) const;
  void sign(ViewChange& message) const;
  void sign(NewView& message) const;
  void sign(ClientReport& message) const;
  [[nodiscard]] Bytes seal(ReplicaId to, const std::vector<Bytes>& messages) const;

  void told(Lie lie) { setting_->told(lie); }

 private:
  [[nodiscard]] SharedBytes signed_body(const Bytes& body) const;

  const LiarFacts facts_;
  const std::unique_ptr<Setting> setting_;
  const Quorum quorum_;
  Random random_;
  const std::vector<std::optional<crypto::PairKeys>> keys_;
};

}  // namespace pbft::sim
