// The messages that replicas sign because third parties are shown them: signs this replica's own, and judges those that
// come, with everything signed inside of them. Remembers what held. Not thread-safe.
#pragma once

#include "node/crypto/authenticator.h"
#include "node/crypto/verified_claims.h"

namespace pbft::crypto {

class SignedMessages {
 public:
  // Keeps references: roster, identity and scheme must outlive this, at the same place.
  SignedMessages(const Roster& roster, ReplicaId self, const Identity& identity, const SignatureScheme& scheme)
      : roster_(roster), self_(self), identity_(identity), scheme_(scheme) {}

  // This replica's own, with signed_bytes.
  [[nodiscard]] Checkpoint sign(const Checkpoint& message);
  [[nodiscard]] ViewChange sign(const ViewChange& message);
  [[nodiscard]] NewView sign(const NewView& message);
  [[nodiscard]] ClientReport sign(const ClientReport& message);
  // A ViewChange, NewView or ClientReport that carries this replica's name and a signature (which is not verified).
  [[nodiscard]] bool is_own(const PeerMessage& message) const;

  // Messages as they were decoded. A NewView and a StableCheckpoint may be handed on by anybody.
  [[nodiscard]] Opened<void> check(ReplicaId sender, const Checkpoint& message);
  [[nodiscard]] Opened<void> check(ReplicaId sender, const StableCheckpoint& message);
  [[nodiscard]] Opened<void> check(ReplicaId sender, const ViewChange& message);
  [[nodiscard]] Opened<void> check(ReplicaId sender, const NewView& message);
  [[nodiscard]] Opened<void> check(ReplicaId sender, const ClientReport& message);

 private:
  [[nodiscard]] SharedBytes sign_body(const Bytes& body);
  [[nodiscard]] Opened<void> check_signer(const SharedBytes& bytes, const wire::SignedMessage& message,
                                          const wire::Signer& signer, ReplicaId replica);
  [[nodiscard]] Opened<void> check_signed(const SharedBytes& bytes, ReplicaId replica);
  [[nodiscard]] Opened<void> check_vote(const StableCheckpoint::Vote& vote, SequenceNumber n, const Digest& root);

  const Roster& roster_;
  ReplicaId self_;
  const Identity& identity_;
  const SignatureScheme& scheme_;
  VerifiedClaims verified_;  // not those of bundles, so that no flood of bundles pushes these out
};

// Whether there is something to check of messages of this type.
template <class Message>
inline constexpr bool is_signed_message = requires(SignedMessages& messages, const Message& message) {
  messages.check(ReplicaId{}, message);
};

}  // namespace pbft::crypto
