#include "tools/sim/byzantine/mouth.h"

#include <fmt/format.h>

#include "node/crypto/proofs.h"
#include "node/wire/codec.h"

namespace pbft::sim {

Mouth::Mouth(World& world, ReplicaId self)
    : world_(world),
      self_(self),
      quorum_(world.cluster.replicas),
      random_(Random::stream(world.plan.seed, fmt::format("liar {}", self.value))),
      keys_(crypto::replica_keys(world.roster, crypto::PairKeyMaker{world.roster, world.replica_identities[self.value]},
                                 self)) {}

ClientId Mouth::client(std::uint64_t index) const {
  return world_.client_identities[index].client_id();
}

SharedBytes Mouth::signed_body(const Bytes& body) const {
  const crypto::TaggedBytes covered = crypto::signed_message_bytes(world_.roster, body);
  return SharedBytes::own(
      wire::encode_signed(body, world_.scheme->sign(world_.replica_identities[self_.value], covered.view())));
}

void Mouth::sign(Checkpoint& message) const {
  message.signed_bytes =
      signed_body(wire::encode_checkpoint_body({world_.roster.epoch, self_, message.n, message.root}));
}
void Mouth::sign(ViewChange& message) const {
  message.signed_bytes = signed_body(wire::encode_view_change_body({world_.roster.epoch, self_}, message));
}
void Mouth::sign(NewView& message) const {
  message.signed_bytes = signed_body(wire::encode_new_view_body(world_.roster.epoch, message));
}
void Mouth::sign(ClientReport& message) const {
  message.signed_bytes = signed_body(wire::encode_client_report_body({{world_.roster.epoch, self_}, message.client}));
}

Bytes Mouth::seal(ReplicaId to, const std::vector<Bytes>& messages) const {
  Bytes packet = wire::encode_packet(world_.roster.cluster, world_.roster.epoch, self_, messages);
  const Mac mac = keys_[to.value]->to.mac(packet);
  wire::append_authenticator(packet, mac.view());
  return packet;
}

void Mouth::told(Lie lie) {
  ++world_.lies[static_cast<std::size_t>(lie)];
  world_.trace.say([&] { return fmt::format("   {} lies: {}", self_.value, to_string(lie)); });
}

}  // namespace pbft::sim
