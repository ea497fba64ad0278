// Makes authenticated messages without keys, for tests of what comes after authentication.
#pragma once

#include <utility>

#include "node/pbft/input.h"

namespace pbft::testing {

struct Forge {
  [[nodiscard]] static AuthenticatedPeerMessage peer(ReplicaId sender, PeerMessage message) {
    return {sender, std::move(message)};
  }
  [[nodiscard]] static AuthenticatedClientMessage client(ClientId sender, ClientMessage message) {
    return {sender, std::move(message)};
  }
};

}  // namespace pbft::testing
