#include "node/crypto/signed_messages.h"

#include "node/crypto/proofs.h"
#include "node/crypto/refuse.h"
#include "node/pbft/quorum.h"

namespace pbft::crypto {

// ---- Signing -----------------------------------------------------------------------------------------------

// What this replica signed comes back to it in proofs and view-changes of others.
SharedBytes SignedMessages::sign_body(const Bytes& body) {
  const Signature signature = scheme_.sign(identity_, signed_message_bytes(roster_, body).view());
  SharedBytes bytes = SharedBytes::own(wire::encode_signed(body, signature));
  verified_.add(message_claim(identity_.public_key(), bytes.view()));
  return bytes;
}

Checkpoint SignedMessages::sign(const Checkpoint& message) {
  const wire::CheckpointBody body{roster_.epoch, self_, message.n, message.root};
  return {message.n, message.root, sign_body(wire::encode_checkpoint_body(body))};
}

ViewChange SignedMessages::sign(const ViewChange& message) {
  ViewChange result = message;
  result.signed_bytes = sign_body(wire::encode_view_change_body({roster_.epoch, self_}, message));
  return result;
}

NewView SignedMessages::sign(const NewView& message) {
  NewView result = message;
  result.primary = self_;
  result.signed_bytes = sign_body(wire::encode_new_view_body(roster_.epoch, result));
  return result;
}

ClientReport SignedMessages::sign(const ClientReport& message) {
  const wire::ClientReportBody body{{roster_.epoch, self_}, message.client};
  return {message.client, sign_body(wire::encode_client_report_body(body))};
}

bool SignedMessages::is_own(const PeerMessage& message) const {
  const auto names_self = [&](const SharedBytes& bytes) {
    const auto decoded = wire::decode_signed(bytes);
    if (!decoded) return false;
    const auto signer = wire::decode_signer(decoded->body);
    return signer && signer->epoch == roster_.epoch && signer->replica == self_;
  };
  if (const auto* view_change = std::get_if<ViewChange>(&message)) return names_self(view_change->signed_bytes);
  if (const auto* new_view = std::get_if<NewView>(&message)) return names_self(new_view->signed_bytes);
  const auto* report = std::get_if<ClientReport>(&message);
  return report != nullptr && names_self(report->signed_bytes);
}

// ---- Checking ----------------------------------------------------------------------------------------------

// Whether `replica` signed `bytes`, the whole of `message`, in this epoch.
Opened<void> SignedMessages::check_signer(const SharedBytes& bytes, const wire::SignedMessage& message,
                                          const wire::Signer& signer, ReplicaId replica) {
  if (replica.value >= roster_.replicas.size()) return refused(Refusal::unknown_sender);
  if (signer.epoch != roster_.epoch) return refused(Refusal::wrong_epoch);
  if (signer.replica != replica) return refused(Refusal::wrong_signature);
  const PublicKey& key = roster_.replicas[replica.value];
  const Digest claim = message_claim(key, bytes.view());
  if (verified_.contains(claim)) return {};
  const TaggedBytes covered = signed_message_bytes(roster_, message.body.view());
  if (!scheme_.verify(key, covered.view(), message.signature)) return refused(Refusal::wrong_signature);
  verified_.add(claim);
  return {};
}

// Enough where the fields of the message were decoded from these bytes, so that they are what was signed.
Opened<void> SignedMessages::check_signed(const SharedBytes& bytes, ReplicaId replica) {
  const auto message = wire::decode_signed(bytes);
  if (!message) return malformed(message.error());
  const auto signer = wire::decode_signer(message->body);
  if (!signer) return malformed(signer.error());
  return check_signer(bytes, *message, *signer, replica);
}

// A vote is not decoded where its proof is.
Opened<void> SignedMessages::check_vote(const StableCheckpoint::Vote& vote, SequenceNumber n, const Digest& root) {
  const auto message = wire::decode_signed(vote.signed_bytes);
  if (!message) return malformed(message.error());
  const auto body = wire::decode_checkpoint_body(message->body);
  if (!body) return malformed(body.error());
  if (body->epoch != roster_.epoch) return refused(Refusal::wrong_epoch);
  if (body->n != n || body->root != root) return refused(Refusal::wrong_signature);
  return check_signer(vote.signed_bytes, *message, {body->epoch, body->replica}, vote.replica);
}

Opened<void> SignedMessages::check(ReplicaId sender, const Checkpoint& message) {
  return check_signed(message.signed_bytes, sender);
}

// Its votes are of distinct replicas, by the grammar. Fewer than a quorum prove nothing, so none of them is verified.
Opened<void> SignedMessages::check(ReplicaId, const StableCheckpoint& message) {
  const Quorum quorum{static_cast<std::uint32_t>(roster_.replicas.size())};
  if (message.votes.size() < quorum.quorum()) return malformed(wire::WireError::out_of_range);
  for (const StableCheckpoint::Vote& vote : message.votes) {
    if (const auto checked = check_vote(vote, message.n, message.root); !checked) return checked;
  }
  return {};
}

// A new-view has room for a view-change of each replica, so each may take its n-th part.
Opened<void> SignedMessages::check(ReplicaId sender, const ViewChange& message) {
  if (message.signed_bytes.size() > Limits::max_new_view_bytes / roster_.replicas.size()) {
    return malformed(wire::WireError::too_large);
  }
  if (const auto checked = check_signed(message.signed_bytes, sender); !checked) return checked;
  return message.stable ? check(sender, *message.stable) : Opened<void>{};
}

// Its own signature comes first, so that nobody but a replica can make others verify the rest.
Opened<void> SignedMessages::check(ReplicaId, const NewView& message) {
  if (const auto checked = check_signed(message.signed_bytes, message.primary); !checked) return checked;
  for (const NewView::Signed& one : message.view_changes) {
    if (const auto checked = check(one.replica, one.message); !checked) return checked;
  }
  return {};
}

Opened<void> SignedMessages::check(ReplicaId sender, const ClientReport& message) {
  return check_signed(message.signed_bytes, sender);
}

}  // namespace pbft::crypto
