// What a Byzantine client makes of what the client library would send: bundles whose proofs hold for some replicas
// only, or for none, and one number with two operations. It has its own keys and nothing else.
#pragma once

#include <map>
#include <vector>

#include "node/crypto/authenticator.h"
#include "tools/sim/random.h"
#include "tools/sim/world.h"

namespace pbft::sim {

class FaultyClient {
 public:
  FaultyClient(World& world, std::uint32_t index);

  // The frame that goes to `to` instead of one with these messages.
  [[nodiscard]] SharedBytes twist(ReplicaId to, std::vector<ClientMessage> messages);

 private:
  enum class Trick : std::uint8_t { none, break_macs, two_operations, break_all };
  [[nodiscard]] BundlePtr twisted(ReplicaId to, const BundlePtr& bundle);
  [[nodiscard]] BundlePtr second(const Bundle& bundle);

  World& world_;
  Random random_;
  crypto::ClientAuthenticator authenticator_;
  const std::uint64_t rate_;
  struct Twist {
    Trick trick = Trick::none;
    std::uint64_t victims = 0;  // bit of each replica
    BundlePtr second;
  };
  std::map<Digest, Twist> twists_;  // by bundle, so that what is sent again is the same
};

}  // namespace pbft::sim
