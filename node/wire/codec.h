// The only place where bytes become messages and messages bytes. Pure functions without keys; the grammar is in
// README.md of this folder. Decoders take hostile input: they check lengths and counts before they allocate,
// refuse what is not minimal (so that one message has one encoding), and never throw.
// Slices in decoded messages share the ownership of the frame. Any thread.
#pragma once

#include <tl/expected.hpp>
#include <variant>
#include <vector>

#include "node/pbft/messages.h"

namespace pbft::wire {

inline constexpr std::uint8_t protocol_version = 1;

enum class WireError : std::uint8_t {
  too_large,
  truncated,
  trailing_bytes,
  not_minimal,      // an integer or a length in a longer form than needed
  wrong_type,       // a msgpack type that the grammar does not have here
  wrong_arity,      // an array with more or fewer elements than the grammar has
  unknown_message,  // message type not known, or not allowed in this direction
  unknown_version,
  out_of_range,   // a number, count or length beyond its limit
  not_canonical,  // order, duplicates, empty where something must be
  count_          // number of errors
};
[[nodiscard]] const char* to_string(WireError error);
template <class T>
using Decoded = tl::expected<T, WireError>;

using Sender = std::variant<ReplicaId, ClientId>;

// The envelope of every frame on every socket.
struct Packet {
  ClusterId cluster;
  Epoch epoch;
  Sender sender;
  std::vector<SharedBytes> messages;  // 1 to Limits::max_packet_messages
  SharedBytes authenticator;          // MACs; meaning in node/crypto
  SharedBytes authenticated;          // the bytes that the MACs cover: the frame without the authenticator
};
[[nodiscard]] Decoded<Packet> decode_packet(const SharedBytes& frame);
// The part of the frame that MACs cover; append_authenticator makes it a frame.
[[nodiscard]] Bytes encode_packet(const ClusterId& cluster, Epoch epoch, const Sender& sender,
                                  const std::vector<Bytes>& messages);
void append_authenticator(Bytes& packet, BytesView authenticator);

// Messages, one element of Packet::messages each. A message that is signed (Checkpoint, ViewChange, NewView,
// ClientReport) encodes as its signed_bytes, which must be there, and its other fields are decoded from nothing else.
// Decoding a bundle or a batch computes its digests. Decoding sets no `authentic`.
[[nodiscard]] Bytes encode(const PeerMessage& message);
[[nodiscard]] Decoded<PeerMessage> decode_peer_message(const SharedBytes& bytes);
[[nodiscard]] Bytes encode(const ClientMessage& message);
[[nodiscard]] Decoded<ClientMessage> decode_client_message(const SharedBytes& bytes);
[[nodiscard]] Bytes encode(const ReplicaToClientMessage& message);
[[nodiscard]] Decoded<ReplicaToClientMessage> decode_replica_message(const SharedBytes& bytes);

// Signed messages. `body` is what the signature covers (with a domain tag, added in node/crypto).
struct SignedMessage {
  SharedBytes body;
  Signature signature;
};
[[nodiscard]] Bytes encode_signed(BytesView body, const Signature& signature);
[[nodiscard]] Decoded<SignedMessage> decode_signed(const SharedBytes& bytes);

// What every signed body says after its type: who signed it, and in which epoch. The rest of the body is not read.
struct Signer {
  Epoch epoch;
  ReplicaId replica;
};
[[nodiscard]] Decoded<Signer> decode_signer(const SharedBytes& body);

// The bodies, one kind for each signed message. Those that are given to encode need no signed_bytes themselves; the
// view-changes in a new-view do. Those that decode gives have none themselves.
struct CheckpointBody {
  Epoch epoch;
  ReplicaId replica;
  SequenceNumber n;
  Digest root;
};
[[nodiscard]] Bytes encode_checkpoint_body(const CheckpointBody& body);
[[nodiscard]] Decoded<CheckpointBody> decode_checkpoint_body(const SharedBytes& body);

struct ViewChangeBody {
  Signer signer;
  ViewChange message;
};
[[nodiscard]] Bytes encode_view_change_body(const Signer& signer, const ViewChange& message);
[[nodiscard]] Decoded<ViewChangeBody> decode_view_change_body(const SharedBytes& body);

struct NewViewBody {
  Epoch epoch;
  NewView message;  // its primary is the signer
};
[[nodiscard]] Bytes encode_new_view_body(Epoch epoch, const NewView& message);
[[nodiscard]] Decoded<NewViewBody> decode_new_view_body(const SharedBytes& body);

struct ClientReportBody {
  Signer signer;
  ClientId client;
};
[[nodiscard]] Bytes encode_client_report_body(const ClientReportBody& body);
[[nodiscard]] Decoded<ClientReportBody> decode_client_report_body(const SharedBytes& body);

// Bundles: a body, and the body with its proof. decode fills body, digest and proof.
[[nodiscard]] Bytes encode_bundle_body(const ClientId& client, SessionId session, RequestNumber low,
                                       const std::vector<Request>& requests);
[[nodiscard]] Decoded<BundlePtr> decode_bundle(const SharedBytes& body, const SharedBytes& proof);

// Batches as they are stored and sent: time, and per bundle its body and proof. Digest computed on decoding.
[[nodiscard]] Bytes encode_batch(const Batch& batch);
[[nodiscard]] Decoded<BatchPtr> decode_batch(const SharedBytes& bytes);

// Stable checkpoint proof and summary as they are stored.
[[nodiscard]] Bytes encode_stable(const StableCheckpoint& proof);
[[nodiscard]] Decoded<StableCheckpoint> decode_stable(const SharedBytes& bytes);
[[nodiscard]] Bytes encode_summary(const CheckpointSummary& summary);
[[nodiscard]] Decoded<CheckpointSummary> decode_summary(const SharedBytes& bytes);

}  // namespace pbft::wire
