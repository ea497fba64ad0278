#include "node/crypto/authenticator.h"
#include "node/crypto/mac_keys.h"
#include "node/crypto/proofs.h"
#include "node/crypto/refuse.h"
#include "node/pbft/digests.h"

namespace pbft::crypto {
struct ClientAuthenticator::Impl {
  Roster roster;
  Identity identity;
  std::shared_ptr<const SignatureScheme> scheme;
  std::vector<std::optional<PairKeys>> replicas;

  [[nodiscard]] const PairKeys* keys_with(ReplicaId replica) const {
    return replica.value < replicas.size() && replicas[replica.value] ? &*replicas[replica.value] : nullptr;
  }

  [[nodiscard]] Opened<wire::Packet> open_packet(const SharedBytes& frame, ReplicaId channel) const {
    auto packet = wire::decode_packet(frame);
    if (!packet) return malformed(packet.error());
    if (packet->cluster != roster.cluster) return refused(Refusal::wrong_cluster);
    if (packet->epoch != roster.epoch) return refused(Refusal::wrong_epoch);
    const auto* sender = std::get_if<ReplicaId>(&packet->sender);
    if (sender == nullptr || sender->value >= replicas.size()) return refused(Refusal::unknown_sender);
    if (*sender != channel) return refused(Refusal::sender_not_channel);
    if (packet->authenticator.size() != Mac::size) return refused(Refusal::not_for_this_party);
    const PairKeys* keys = keys_with(*sender);
    if (keys == nullptr || !keys->from.holds(packet->authenticated.view(), packet->authenticator.view())) {
      return refused(Refusal::wrong_mac);
    }
    return *std::move(packet);
  }
};

ClientAuthenticator::ClientAuthenticator(Roster roster, Identity identity,
                                         std::shared_ptr<const SignatureScheme> scheme) {
  initialize();
  auto keys = replica_keys(roster, PairKeyMaker{roster, identity}, std::nullopt);
  impl_ = std::make_unique<Impl>(Impl{std::move(roster), std::move(identity), std::move(scheme), std::move(keys)});
}
ClientAuthenticator::~ClientAuthenticator() = default;
ClientAuthenticator::ClientAuthenticator(ClientAuthenticator&&) noexcept = default;
ClientAuthenticator& ClientAuthenticator::operator=(ClientAuthenticator&&) noexcept = default;

BundlePtr ClientAuthenticator::seal_bundle(SessionId session, RequestNumber low, std::vector<Request> requests,
                                           Proof proof) {
  auto bundle = std::make_shared<Bundle>();
  bundle->client = id();
  bundle->session = session;
  bundle->low = low;
  bundle->requests = std::move(requests);
  bundle->body = SharedBytes::own(wire::encode_bundle_body(bundle->client, session, low, bundle->requests));
  bundle->digest = bundle_digest(bundle->body.view());
  bundle->proof = SharedBytes::own(
      proof == Proof::macs ? make_mac_proof(impl_->roster, impl_->replicas, bundle->digest)
                           : make_signature_proof(impl_->roster, *impl_->scheme, impl_->identity, bundle->digest));
  return bundle;
}

Bytes ClientAuthenticator::seal_to(ReplicaId to, const std::vector<ClientMessage>& messages) {
  std::vector<Bytes> encoded;
  encoded.reserve(messages.size());
  for (const ClientMessage& message : messages) encoded.push_back(wire::encode(message));
  Bytes packet = wire::encode_packet(impl_->roster.cluster, impl_->roster.epoch, id(), encoded);
  const PairKeys* keys = impl_->keys_with(to);
  const Mac mac = keys != nullptr ? keys->to.mac(packet) : Mac{};
  wire::append_authenticator(packet, mac.view());
  return packet;
}

Opened<std::vector<ReplicaToClientMessage>> ClientAuthenticator::open(const SharedBytes& frame, ReplicaId channel) {
  const auto packet = impl_->open_packet(frame, channel);
  if (!packet) return tl::unexpected(packet.error());
  std::vector<ReplicaToClientMessage> opened;
  opened.reserve(packet->messages.size());
  for (const SharedBytes& bytes : packet->messages) {
    auto message = wire::decode_replica_message(bytes);
    if (!message) return malformed(message.error());
    opened.push_back(*std::move(message));
  }
  return opened;
}

ClientId ClientAuthenticator::id() const {
  return impl_->identity.client_id();
}

}  // namespace pbft::crypto
