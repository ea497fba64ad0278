#include "tools/sim/byzantine/mouth.h"

#include <fmt/format.h>

#include "node/crypto/proofs.h"
#include "node/wire/codec.h"

namespace pbft::sim {

Mouth::Mouth(LiarFacts facts, std::unique_ptr<Setting> setting)
    : facts_(std::move(facts)),
      setting_(std::move(setting)),
      quorum_(facts_.cluster.replicas),
      random_(Random::stream(facts_.seed, fmt::format("liar {}", facts_.self.value))),
      keys_(crypto::replica_keys(facts_.roster, crypto::PairKeyMaker{facts_.roster, facts_.identity}, facts_.self)) {}

SharedBytes Mouth::signed_body(const Bytes& body) const {
  const crypto::TaggedBytes covered = crypto::signed_message_bytes(facts_.roster, body);
  return SharedBytes::own(wire::encode_signed(body, facts_.scheme->sign(facts_.identity, covered.view())));
}

void Mouth::sign(Checkpoint& message) const {
  message.signed_bytes =
      signed_body(wire::encode_checkpoint_body({facts_.roster.epoch, self(), message.n, message.root}));
}
void Mouth::sign(ViewChange& message) const {
  message.signed_bytes = signed_body(wire::encode_view_change_body({facts_.roster.epoch, self()}, message));
}
void Mouth::sign(NewView& message) const {
  message.signed_bytes = signed_body(wire::encode_new_view_body(facts_.roster.epoch, message));
}
void Mouth::sign(ClientReport& message) const {
  message.signed_bytes = signed_body(wire::encode_client_report_body({{facts_.roster.epoch, self()}, message.client}));
}

Bytes Mouth::seal(ReplicaId to, const std::vector<Bytes>& messages) const {
  Bytes packet = wire::encode_packet(facts_.roster.cluster, facts_.roster.epoch, self(), messages);
  const Mac mac = keys_[to.value]->to.mac(packet);
  wire::append_authenticator(packet, mac.view());
  return packet;
}

}  // namespace pbft::sim
