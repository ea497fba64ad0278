#include "tools/sim/byzantine/liar.h"

#include <algorithm>

#include "node/wire/codec.h"

namespace pbft::sim {

Liar::Liar(LiarFacts facts, std::unique_ptr<Setting> setting, const std::vector<Lie>& lies)
    : mouth_(std::move(facts), std::move(setting)) {
  for (const Lie lie : lies) {
    if (auto strategy = make_strategy(lie, mouth_)) strategies_.push_back(std::move(strategy));
  }
}

std::vector<Liar::Outgoing> Liar::speak(ReplicaId to, const std::vector<PeerMessage>& messages) {
  Speech speech{to, messages, {}, 0};
  for (auto& strategy : strategies_) strategy->speak(speech);
  std::vector<Bytes> encoded;
  for (const PeerMessage& message : speech.messages) encoded.push_back(wire::encode(message));
  std::vector<Outgoing> frames;
  const auto seal = [&](const std::vector<Bytes>& bytes) {
    frames.push_back({to, SharedBytes::own(mouth_.seal(to, bytes)), speech.delay});
  };
  if (!encoded.empty()) seal(encoded);
  for (Bytes& frame : speech.frames) seal({std::move(frame)});
  return frames;
}

void Liar::reply(const ClientId& client, std::vector<ReplicaToClientMessage>& messages) {
  for (ReplicaToClientMessage& message : messages) {
    for (auto& strategy : strategies_) strategy->reply(client, message);
  }
}

// All of them listen, whatever one of them decides.
template <class... What>
bool Liar::all_hear(const What&... what) {
  return std::count_if(strategies_.begin(), strategies_.end(),
                       [&](auto& strategy) { return !strategy->hear(what...); }) == 0;
}

bool Liar::hear(const std::vector<PeerMessage>& messages) {
  return all_hear(messages);
}

bool Liar::hear(const ClientId& client, const std::vector<ClientMessage>& messages) {
  return all_hear(client, messages);
}

}  // namespace pbft::sim
