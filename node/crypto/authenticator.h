// Who said it. Seals what goes out with MACs or signatures, and is the only maker of Authenticated<...>: it checks
// version, cluster, epoch, sender and MAC of every packet, signatures of signed messages, and the proof of every
// bundle, over the bytes as they were received. (Castro and Liskov, TOCS 2002, section 3: authenticators.)
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <tl/expected.hpp>
#include <vector>

#include "node/crypto/keys.h"
#include "node/pbft/input.h"
#include "node/wire/codec.h"

namespace pbft::crypto {

// Public facts about the cluster that every party knows.
struct Roster {
  ClusterId cluster;
  Epoch epoch{1};
  std::vector<PublicKey> replicas;  // index = ReplicaId
  // Bundles count only with their client's signature; MACs are refused.
  bool signed_requests = false;
  // Whether this key may be a client. Empty: any may.
  std::function<bool(const ClientId&)> admits;
};

// A client's packet with more ClientRequests and ReadRequests together than this is refused before any is verified.
inline constexpr std::size_t max_client_requests_per_packet = 64;
// Whether the message is one of those.
[[nodiscard]] bool asks_for_work(const ClientMessage& message);
// A replica's packet with more messages that replicas sign is refused before any is verified.
inline constexpr std::size_t max_signed_messages_per_packet = 64;
// Whether the message is one of those: Checkpoint, StableCheckpoint, ViewChange, NewView, ClientReport.
[[nodiscard]] bool is_signed(const PeerMessage& message);

// Why a frame was refused. Each is counted under its name.
enum class Refusal : std::uint8_t {
  malformed,  // a WireError; see `wire`
  wrong_cluster,
  wrong_epoch,
  unknown_sender,
  sender_not_channel,  // the claimed sender is not the key that the connection was opened with
  wrong_mac,
  wrong_signature,
  unsigned_request,    // a client's bundle with MACs, where the roster wants signatures
  not_for_this_party,  // authenticator has no entry for the receiver
  count_
};
[[nodiscard]] const char* to_string(Refusal refusal);
struct Refused {
  Refusal refusal;
  std::optional<wire::WireError> wire;
};
template <class T>
using Opened = tl::expected<T, Refused>;

// Ed25519 in the node; the simulator can put something faster in its place.
class SignatureScheme {
 public:
  virtual ~SignatureScheme() = default;
  [[nodiscard]] virtual Signature sign(const Identity& signer, BytesView data) const = 0;
  [[nodiscard]] virtual bool verify(const PublicKey& signer, BytesView data, const Signature& signature) const = 0;
};
[[nodiscard]] std::shared_ptr<const SignatureScheme> ed25519();
// Keyed-hash stand-in for simulation: anybody who knows the public key can forge it. Never in the node.
[[nodiscard]] std::shared_ptr<const SignatureScheme> insecure_signatures_for_simulation();

// One replica's. Not thread-safe; one per thread that seals or opens.
class Authenticator {
 public:
  Authenticator(Roster roster, ReplicaId self, Identity identity,
                std::shared_ptr<const SignatureScheme> scheme = ed25519());
  ~Authenticator();
  Authenticator(Authenticator&&) noexcept;
  Authenticator& operator=(Authenticator&&) noexcept;

  // All messages in one frame under one authenticator. A Checkpoint of the core's without signed_bytes is
  // signed on the way; a ViewChange, NewView or ClientReport has been signed before.
  [[nodiscard]] Bytes seal_broadcast(const std::vector<PeerMessage>& messages);
  [[nodiscard]] Bytes seal_to(ReplicaId to, const std::vector<PeerMessage>& messages);
  [[nodiscard]] Bytes seal_to_client(const ClientId& to, const std::vector<ReplicaToClientMessage>& messages);

  // Signs this replica's own checkpoint and returns it as received from itself.
  [[nodiscard]] AuthenticatedPeerMessage sign(const Checkpoint& checkpoint);

  // This replica's own message, signed: with its signed_bytes, and NewView's primary, filled. The same message has the
  // same bytes each time. The view-changes in a NewView must be signed.
  [[nodiscard]] ViewChange sign(const ViewChange& message);
  [[nodiscard]] NewView sign(const NewView& message);
  [[nodiscard]] ClientReport sign(const ClientReport& message);
  // A ViewChange, NewView or ClientReport that was signed by this replica, as received from itself.
  [[nodiscard]] AuthenticatedPeerMessage own(PeerMessage message) const;

  // Bundles of a PRE-PREPARE or a FORWARD are verified only where the protocol has a use for the message now; elsewhere
  // `authentic` is false for each of them and the message is passed on. What is not told here is always wanted. Both
  // are called in open_peer, on its thread, before `authentic` is filled.
  struct Wanted {
    std::function<bool(ReplicaId sender, const PrePrepare&)> pre_prepare;
    std::function<bool(ReplicaId sender, const Forward&)> forward;
  };
  void verify_bundles_only_if(Wanted wanted);

  // What they give keeps alive the frame where that is little more than the message, else a copy of the message.
  // `channel`: whom the connection belongs to (CURVE key by ZAP, or which SUB socket it came from).
  // Each message is verified when those before it have been taken, since what they do decides what is wanted: a
  // NEW-VIEW and the first PRE-PREPARE of its view may share a frame. One that does not hold ends the frame.
  using TakePeerMessage = std::function<void(AuthenticatedPeerMessage&&)>;
  [[nodiscard]] Opened<void> open_peer(const SharedBytes& frame, ReplicaId channel, const TakePeerMessage& take);
  // All of them at once, or none.
  [[nodiscard]] Opened<std::vector<AuthenticatedPeerMessage>> open_peer(const SharedBytes& frame, ReplicaId channel);
  // `channel`: the X25519 public key that the connection was opened with.
  [[nodiscard]] Opened<std::vector<AuthenticatedClientMessage>> open_client(
      const SharedBytes& frame, const std::array<std::uint8_t, 32>& channel);

  // Whether a bundle's proof (MAC for this replica, or signature) holds here, is of the kind that the roster wants, and
  // is of a client that it admits. Signatures that held are remembered for a while.
  [[nodiscard]] bool bundle_authentic(const Bundle& bundle);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// A client's counterpart. Not thread-safe.
class ClientAuthenticator {
 public:
  ClientAuthenticator(Roster roster, Identity identity, std::shared_ptr<const SignatureScheme> scheme = ed25519());
  ~ClientAuthenticator();
  ClientAuthenticator(ClientAuthenticator&&) noexcept;
  ClientAuthenticator& operator=(ClientAuthenticator&&) noexcept;

  enum class Proof : std::uint8_t { macs, signature };
  // A bundle of this client's with its proof, to be sent unchanged to any replica.
  [[nodiscard]] BundlePtr seal_bundle(SessionId session, RequestNumber low, std::vector<Request> requests, Proof proof);
  [[nodiscard]] Bytes seal_to(ReplicaId to, const std::vector<ClientMessage>& messages);
  [[nodiscard]] Opened<std::vector<ReplicaToClientMessage>> open(const SharedBytes& frame, ReplicaId channel);

  [[nodiscard]] ClientId id() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pbft::crypto
