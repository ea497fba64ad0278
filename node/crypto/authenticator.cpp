#include "node/crypto/authenticator.h"

#include <algorithm>
#include <cassert>

#include "node/crypto/mac_keys.h"
#include "node/crypto/proofs.h"
#include "node/crypto/refuse.h"
#include "node/crypto/signed_messages.h"
#include "node/crypto/verified_claims.h"
#include "node/wire/packet_writer.h"

namespace pbft::crypto {
const char* to_string(Refusal refusal) {
  switch (refusal) {
    case Refusal::malformed:
      return "malformed";
    case Refusal::wrong_cluster:
      return "wrong_cluster";
    case Refusal::wrong_epoch:
      return "wrong_epoch";
    case Refusal::unknown_sender:
      return "unknown_sender";
    case Refusal::sender_not_channel:
      return "sender_not_channel";
    case Refusal::wrong_mac:
      return "wrong_mac";
    case Refusal::wrong_signature:
      return "wrong_signature";
    case Refusal::unsigned_request:
      return "unsigned_request";
    case Refusal::not_for_this_party:
      return "not_for_this_party";
    case Refusal::count_:
      break;
  }
  return "unknown";
}

bool is_signed(const PeerMessage& message) {
  return std::visit([](const auto& one) { return is_signed_message<std::decay_t<decltype(one)>>; }, message);
}

bool asks_for_work(const ClientMessage& message) {
  return std::holds_alternative<ClientRequest>(message) || std::holds_alternative<ReadRequest>(message);
}

struct Authenticator::Impl {
  Roster roster;
  ReplicaId self;
  Identity identity;
  std::shared_ptr<const SignatureScheme> scheme;
  std::vector<std::optional<PairKeys>> replicas;
  ClientKeys clients;
  VerifiedClaims verified;
  SignedMessages signed_messages;
  Wanted wanted;
  bool forwards_spoilt = false;  // in the frame that is being opened

  Impl(Roster the_roster, ReplicaId own_id, Identity own, std::shared_ptr<const SignatureScheme> signatures,
       const PairKeyMaker& maker)
      : roster(std::move(the_roster)),
        self(own_id),
        identity(std::move(own)),
        scheme(std::move(signatures)),
        replicas(replica_keys(roster, maker, self)),
        clients(maker, roster.admits),
        signed_messages(roster, self, identity, *scheme) {}

  // ---- Sealing ---------------------------------------------------------------------------------------

  [[nodiscard]] Bytes encode(const PeerMessage& message) {
    const auto* checkpoint = std::get_if<Checkpoint>(&message);
    if (checkpoint == nullptr || !checkpoint->signed_bytes.empty()) return wire::encode(message);
    return wire::encode(PeerMessage{signed_messages.sign(*checkpoint)});
  }

  [[nodiscard]] Bytes encode(const ReplicaToClientMessage& message) const { return wire::encode(message); }

  template <class Message>
  [[nodiscard]] Bytes packet(const std::vector<Message>& messages) {
    if (messages.empty()) return wire::encode_packet(roster.cluster, roster.epoch, self, {});
    // Many messages are mostly small ones of one kind.
    constexpr std::size_t small = 256;
    const Bytes first = encode(messages.front());
    const std::size_t bytes = first.size() + (messages.size() - 1) * std::min(first.size(), small);
    wire::PacketWriter writer{roster.cluster, roster.epoch, self, messages.size(), bytes};
    writer.add(first);
    for (std::size_t i = 1; i < messages.size(); ++i) writer.add(encode(messages[i]));
    return writer.finish();
  }

  [[nodiscard]] static Bytes seal_with(Bytes packet, const PairKeys* keys) {
    const Mac mac = keys != nullptr ? keys->to.mac(packet) : Mac{};
    wire::append_authenticator(packet, mac.view());
    return packet;
  }

  // ---- Opening ---------------------------------------------------------------------------------------

  [[nodiscard]] Opened<wire::Packet> open_packet(const SharedBytes& frame) const {
    auto packet = wire::decode_packet(frame);
    if (!packet) return malformed(packet.error());
    if (packet->cluster != roster.cluster) return refused(Refusal::wrong_cluster);
    if (packet->epoch != roster.epoch) return refused(Refusal::wrong_epoch);
    return *std::move(packet);
  }

  // Of a broadcast each receiver has its own MAC, of anything else the only receiver.
  [[nodiscard]] bool is_broadcast(BytesView authenticator) const {
    return roster.replicas.size() > 1 && authenticator.size() == roster.replicas.size() * Mac::size;
  }
  [[nodiscard]] bool mac_holds(const wire::Packet& packet, const PairKeys& keys) const {
    const BytesView authenticator = packet.authenticator.view();
    const BytesView covered = packet.authenticated.view();
    if (!is_broadcast(authenticator)) return keys.from.holds(covered, authenticator);
    return keys.from.holds(broadcast_mac_bytes(covered).view(),
                           authenticator.subspan(self.value * Mac::size, Mac::size));
  }

  // Messages live on, some for long, and the slices in one keep alive what it was decoded from. A small one in a large
  // frame is therefore decoded from a copy, so that nothing keeps more than about twice its own size.
  [[nodiscard]] static SharedBytes to_decode(const wire::Packet& packet, const SharedBytes& message) {
    const bool most_of_it = packet.messages.size() == 1 || 2 * message.size() >= packet.authenticated.size();
    return most_of_it ? message : SharedBytes::copy_of(message.view());
  }

  [[nodiscard]] Opened<void> check_peer(const wire::Packet& packet, ReplicaId channel) const {
    const auto* sender = std::get_if<ReplicaId>(&packet.sender);
    if (sender == nullptr || sender->value >= roster.replicas.size()) return refused(Refusal::unknown_sender);
    if (*sender != channel) return refused(Refusal::sender_not_channel);
    const BytesView authenticator = packet.authenticator.view();
    const bool for_this_party = authenticator.size() == Mac::size || is_broadcast(authenticator);
    if (!for_this_party || *sender == self) return refused(Refusal::not_for_this_party);
    const std::optional<PairKeys>& keys = replicas[sender->value];
    if (!keys || !mac_holds(packet, *keys)) return refused(Refusal::wrong_mac);
    return {};
  }

  [[nodiscard]] bool macs_hold(const Bundle& bundle) {
    const BytesView proof = bundle.proof.view();
    if (roster.signed_requests || proof.size() != mac_proof_size(roster.replicas.size())) return false;
    const PairKeys* keys = clients.find(bundle.client);
    const BytesView mac = proof.subspan(1 + self.value * Mac::size, Mac::size);
    return keys != nullptr && keys->from.holds(bundle_mac_bytes(roster, bundle.digest).view(), mac);
  }

  [[nodiscard]] bool signature_holds(const Bundle& bundle) {
    const BytesView proof = bundle.proof.view();
    if (proof.size() != signature_proof_size()) return false;
    const Digest claim = bundle_claim(bundle);
    if (verified.contains(claim)) return true;
    Signature signature;
    std::memcpy(signature.bytes.data(), proof.data() + 1, Signature::size);
    const TaggedBytes covered = bundle_signature_bytes(roster, bundle.digest);
    if (!scheme->verify(PublicKey{bundle.client.bytes}, covered.view(), signature)) return false;
    verified.add(claim);
    return true;
  }

  [[nodiscard]] bool authentic(const Bundle& bundle) {
    const auto kind = proof_kind(bundle.proof.view());
    if (!kind || !clients.admits(bundle.client)) return false;
    return *kind == ProofKind::macs ? macs_hold(bundle) : signature_holds(bundle);
  }

  // One signature of a client that does not hold is enough to tell of what others hand on: `spoilt` says that there was
  // one, and no other is verified then. It is no reason to refuse: the proof is no part of a batch's digest, so that a
  // correct replica may have got a wrong one with a batch that it had to fetch.
  [[nodiscard]] bool authentic_unless(const Bundle& bundle, bool& spoilt) {
    if (spoilt && bundle.is_signed()) return false;
    const bool holds = authentic(bundle);
    spoilt = spoilt || (!holds && bundle.is_signed() && clients.admits(bundle.client));
    return holds;
  }

  // What each message claims beyond who sent it: that bundles are their clients', that replicas signed it.
  [[nodiscard]] Opened<void> check_claims(ReplicaId sender, PrePrepare& message) {
    const auto& bundles = message.batch->bundles;
    message.authentic.assign(bundles.size(), false);
    if (wanted.pre_prepare && !wanted.pre_prepare(sender, message)) return {};
    bool spoilt = false;
    for (std::size_t i = 0; i < bundles.size(); ++i) message.authentic[i] = authentic_unless(*bundles[i], spoilt);
    return {};
  }
  [[nodiscard]] Opened<void> check_claims(ReplicaId sender, Forward& message) {
    const bool needed = !wanted.forward || wanted.forward(sender, message);
    message.authentic = needed && authentic_unless(*message.bundle, forwards_spoilt);
    return {};
  }
  template <class Other>
  [[nodiscard]] Opened<void> check_claims(ReplicaId sender, Other& message) {
    if constexpr (is_signed_message<Other>) return signed_messages.check(sender, message);
    return {};
  }

  [[nodiscard]] Opened<void> check_claims(const ClientId& sender, const ClientMessage& message) {
    const auto* request = std::get_if<ClientRequest>(&message);
    if (request == nullptr) return {};
    if (request->bundle->client == sender && authentic(*request->bundle)) return {};
    const auto kind = proof_kind(request->bundle->proof.view());
    if (kind == ProofKind::macs && roster.signed_requests) return refused(Refusal::unsigned_request);
    return refused(kind == ProofKind::signature ? Refusal::wrong_signature : Refusal::wrong_mac);
  }

  // Before anything is verified, so that a packet that is refused for its form costs little.
  [[nodiscard]] static Opened<std::vector<PeerMessage>> decode_peer_messages(const wire::Packet& packet) {
    std::vector<PeerMessage> messages;
    messages.reserve(packet.messages.size());
    std::size_t to_verify = 0;
    for (const SharedBytes& bytes : packet.messages) {
      auto message = wire::decode_peer_message(to_decode(packet, bytes));
      if (!message) return malformed(message.error());
      if (is_signed(*message) && ++to_verify > max_signed_messages_per_packet) {
        return malformed(wire::WireError::out_of_range);
      }
      messages.push_back(*std::move(message));
    }
    return messages;
  }

  [[nodiscard]] static Opened<std::vector<ClientMessage>> decode_client_messages(const wire::Packet& packet) {
    std::vector<ClientMessage> messages;
    messages.reserve(packet.messages.size());
    std::size_t requests = 0;
    for (const SharedBytes& bytes : packet.messages) {
      auto message = wire::decode_client_message(to_decode(packet, bytes));
      if (!message) return malformed(message.error());
      if (asks_for_work(*message) && ++requests > max_client_requests_per_packet) {
        return malformed(wire::WireError::out_of_range);
      }
      messages.push_back(*std::move(message));
    }
    return messages;
  }

  [[nodiscard]] Opened<void> open_peer(const SharedBytes& frame, ReplicaId channel, const TakePeerMessage& take) {
    const auto packet = open_packet(frame);
    if (!packet) return tl::unexpected(packet.error());
    if (const auto checked = check_peer(*packet, channel); !checked) return tl::unexpected(checked.error());
    auto messages = decode_peer_messages(*packet);
    if (!messages) return tl::unexpected(messages.error());
    forwards_spoilt = false;
    for (PeerMessage& message : *messages) {
      const auto checked = std::visit([&](auto& one) { return check_claims(channel, one); }, message);
      if (!checked) return tl::unexpected(checked.error());
      take(AuthenticatedPeerMessage{channel, std::move(message)});
    }
    return {};
  }

  [[nodiscard]] Opened<std::vector<AuthenticatedClientMessage>> open_client(const SharedBytes& frame,
                                                                            const CurveKey& channel) {
    const auto packet = open_packet(frame);
    if (!packet) return tl::unexpected(packet.error());
    const auto* sender = std::get_if<ClientId>(&packet->sender);
    if (sender == nullptr || !clients.admits(*sender)) return refused(Refusal::unknown_sender);
    if (packet->authenticator.size() != Mac::size) return refused(Refusal::not_for_this_party);
    const PairKeys* keys = clients.find_on_channel(*sender, channel);
    if (keys == nullptr) return refused(Refusal::sender_not_channel);
    if (!keys->from.holds(packet->authenticated.view(), packet->authenticator.view())) {
      return refused(Refusal::wrong_mac);
    }
    auto messages = decode_client_messages(*packet);
    if (!messages) return tl::unexpected(messages.error());
    std::vector<AuthenticatedClientMessage> opened;
    opened.reserve(messages->size());
    for (ClientMessage& message : *messages) {
      if (const auto checked = check_claims(*sender, message); !checked) return tl::unexpected(checked.error());
      opened.push_back(AuthenticatedClientMessage{*sender, std::move(message)});
    }
    return opened;
  }
};

Authenticator::Authenticator(Roster roster, ReplicaId self, Identity identity,
                             std::shared_ptr<const SignatureScheme> scheme) {
  initialize();
  assert(self.value < roster.replicas.size() && roster.replicas[self.value] == identity.public_key());
  const PairKeyMaker maker{roster, identity};
  impl_ = std::make_unique<Impl>(std::move(roster), self, std::move(identity), std::move(scheme), maker);
}
Authenticator::~Authenticator() = default;
Authenticator::Authenticator(Authenticator&&) noexcept = default;
Authenticator& Authenticator::operator=(Authenticator&&) noexcept = default;

Bytes Authenticator::seal_broadcast(const std::vector<PeerMessage>& messages) {
  Bytes packet = impl_->packet(messages);
  const TaggedBytes covered = broadcast_mac_bytes(packet);
  Bytes authenticator;
  authenticator.reserve(impl_->replicas.size() * Mac::size);
  for (const std::optional<PairKeys>& keys : impl_->replicas) {
    const Mac mac = keys ? keys->to.mac(covered.view()) : Mac{};
    authenticator.insert(authenticator.end(), mac.bytes.begin(), mac.bytes.end());
  }
  wire::append_authenticator(packet, authenticator);
  return packet;
}

Bytes Authenticator::seal_to(ReplicaId to, const std::vector<PeerMessage>& messages) {
  const bool known = to.value < impl_->replicas.size() && impl_->replicas[to.value];
  return Impl::seal_with(impl_->packet(messages), known ? &*impl_->replicas[to.value] : nullptr);
}

Bytes Authenticator::seal_to_client(const ClientId& to, const std::vector<ReplicaToClientMessage>& messages) {
  return Impl::seal_with(impl_->packet(messages), impl_->clients.find(to));
}

AuthenticatedPeerMessage Authenticator::sign(const Checkpoint& checkpoint) {
  return {impl_->self, impl_->signed_messages.sign(checkpoint)};
}

ViewChange Authenticator::sign(const ViewChange& message) {
  return impl_->signed_messages.sign(message);
}

NewView Authenticator::sign(const NewView& message) {
  return impl_->signed_messages.sign(message);
}

ClientReport Authenticator::sign(const ClientReport& message) {
  return impl_->signed_messages.sign(message);
}

AuthenticatedPeerMessage Authenticator::own(PeerMessage message) const {
  assert(impl_->signed_messages.is_own(message));
  return {impl_->self, std::move(message)};
}

Opened<void> Authenticator::open_peer(const SharedBytes& frame, ReplicaId channel, const TakePeerMessage& take) {
  return impl_->open_peer(frame, channel, take);
}

Opened<std::vector<AuthenticatedPeerMessage>> Authenticator::open_peer(const SharedBytes& frame, ReplicaId channel) {
  std::vector<AuthenticatedPeerMessage> messages;
  const auto opened = open_peer(frame, channel, [&](auto&& message) { messages.push_back(std::move(message)); });
  if (!opened) return tl::unexpected(opened.error());
  return messages;
}

Opened<std::vector<AuthenticatedClientMessage>> Authenticator::open_client(
    const SharedBytes& frame, const std::array<std::uint8_t, 32>& channel) {
  return impl_->open_client(frame, channel);
}

void Authenticator::verify_bundles_only_if(Wanted wanted) {
  impl_->wanted = std::move(wanted);
}

bool Authenticator::bundle_authentic(const Bundle& bundle) {
  return impl_->authentic(bundle);
}

}  // namespace pbft::crypto
