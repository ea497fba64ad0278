// The door in: everything that the core ever learns. The core reads no clock and no socket; the same inputs
// in the same order give the same effects, byte for byte.
#pragma once

#include <utility>
#include <variant>
#include <vector>

#include "node/pbft/messages.h"
#include "node/pbft/types.h"

namespace pbft {

namespace crypto {
class Authenticator;
}
namespace testing {
struct Forge;  // lets unit tests make authenticated messages without keys
}

// A message whose sender has been verified. Only the Authenticator makes one: that the core takes nothing
// else is what the type is for.
template <class Sender, class Message>
class Authenticated {
 public:
  [[nodiscard]] const Sender& sender() const { return sender_; }
  [[nodiscard]] const Message& message() const { return message_; }

 private:
  friend class crypto::Authenticator;
  friend struct testing::Forge;
  Authenticated(Sender sender, Message message) : sender_(std::move(sender)), message_(std::move(message)) {}

  Sender sender_;
  Message message_;
};

using AuthenticatedPeerMessage = Authenticated<ReplicaId, PeerMessage>;
using AuthenticatedClientMessage = Authenticated<ClientId, ClientMessage>;

// Where an unordered read came from; opaque to the core, which only hands it back.
using Origin = Number<struct OriginTag>;

// Time passes. Given at a steady rate; also carries the wall clock, in whatever jumps it may make.
struct Tick {
  Timestamp wall_clock;
};

// The driver has no more input at hand: the primary proposes what has gathered. Without it requests
// that arrived together would be ordered one a batch.
struct TurnEnd {};

struct PeerInput {
  AuthenticatedPeerMessage message;
};

struct ClientInput {
  AuthenticatedClientMessage message;  // ClientRequest or ReadRequest; the node answers the others itself
  Origin origin;
};

// Completion of effect Execute: everything up to n has been run and its results written.
struct Executed {
  SequenceNumber n;
};

// Completion of effect TakeCheckpoint: the state at n can be served, after a crash too.
struct CheckpointTaken {
  CheckpointSummary summary;
};

using Input = std::variant<Tick, TurnEnd, PeerInput, ClientInput, Executed, CheckpointTaken>;

}  // namespace pbft
