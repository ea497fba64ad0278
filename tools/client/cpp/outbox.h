// Gathers what goes to each replica during one advance() and packs it into as few frames as possible. One thread.
#pragma once

#include <vector>

#include "node/crypto/authenticator.h"
#include "tools/client/cpp/pbft/client_core.h"

namespace pbft::client {

class Outbox {
 public:
  explicit Outbox(std::size_t replicas) : messages_(replicas) {}

  void add(ReplicaId to, ClientMessage message) { messages_[to.value].push_back(std::move(message)); }
  void add_all(const ClientMessage& message);
  void flush(crypto::ClientAuthenticator& authenticator, std::vector<OutgoingFrame>& frames);

 private:
  std::vector<std::vector<ClientMessage>> messages_;
};

}  // namespace pbft::client
