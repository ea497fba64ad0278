// The door in: everything that the core ever learns. The core reads no clock and no socket; the same inputs
// in the same order give the same effects, byte for byte.
#pragma once

#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "node/pbft/client_records.h"
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
// that arrived together would be ordered one a batch. Unordered reads are answered a few in each turn.
struct TurnEnd {
  bool again = false;          // what the last one gave is done, and the turn goes on
  std::size_t reads_left = 0;  // AnswerReads of earlier turns that the driver has not answered yet
};

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

// Completion of effect PlanTransfer.
struct TransferPlanned {
  SequenceNumber n;
  std::vector<std::uint32_t> missing;  // buckets to fetch, ascending
};
// Completion of effect StageBucket.
struct BucketStaged {
  enum class Outcome : std::uint8_t { more, whole, wrong };
  ReplicaId source;
  SequenceNumber n;
  std::uint32_t bucket = 0;
  Outcome outcome = Outcome::more;  // more: further parts have to be fetched
  std::uint32_t pairs = 0;          // of this part
  std::uint64_t bytes = 0;          // keys and values of this part
  std::uint64_t replaced = 0;       // keys and values that were here, and that its pairs took the place of
};
// Completion of effect InstallState: the client table as it is now, and where the state differed from the certified one
// at the same checkpoint, if this replica had taken it (nothing: it did not differ, or had not been here).
struct StateInstalled {
  struct Difference {
    Namespace name_space = Namespace::state;
    Bytes first;
    Bytes last;
    std::uint64_t keys = 0;
  };
  CheckpointSummary summary;
  std::vector<ClientUpdate> clients;
  std::vector<RecoveredSession> sessions;
  std::optional<Difference> difference;
};
// The stored state is not what its digests say, or a part of it cannot be read: found by the scrub, or where it was
// used. Nothing of it is executed on or answered from any more.
struct StateDamaged {};

using Input = std::variant<Tick, TurnEnd, PeerInput, ClientInput, Executed, CheckpointTaken, TransferPlanned,
                           BucketStaged, StateInstalled, StateDamaged>;

}  // namespace pbft
