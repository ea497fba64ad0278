// Frames as the simulator sees them from outside: which messages are in them, for the checkers, for faults that aim
// at one kind of message, and for the timeline.
#pragma once

#include <string>
#include <vector>

#include "node/pbft/messages.h"
#include "tools/sim/network.h"

namespace pbft::sim {

inline constexpr unsigned client_type_bit = 20;
inline constexpr unsigned reply_type_bit = 24;

template <class Message>
struct Opened {
  std::vector<Message> messages;  // empty where the frame cannot be decoded
  TypeMask types = 0;
};
[[nodiscard]] Opened<PeerMessage> open_peer_frame(const SharedBytes& frame);
[[nodiscard]] Opened<ClientMessage> open_client_frame(const SharedBytes& frame);
[[nodiscard]] Opened<ReplicaToClientMessage> open_reply_frame(const SharedBytes& frame);

[[nodiscard]] std::string describe(const PeerMessage& message);
[[nodiscard]] std::string describe(const ClientMessage& message);
[[nodiscard]] std::string describe(const ReplicaToClientMessage& message);
template <class Message>
[[nodiscard]] std::string describe(const std::vector<Message>& messages) {
  std::string text;
  for (const Message& message : messages) text += (text.empty() ? "" : ", ") + describe(message);
  return text;
}

}  // namespace pbft::sim
