#include "tools/client/cpp/outbox.h"

namespace pbft::client {
namespace {

// Far below Limits::max_packet_bytes together with the largest single message.
constexpr std::size_t packet_bytes = 4U << 20;

std::size_t estimated_size(const ClientMessage& message) {
  constexpr std::size_t overhead = 64;
  if (const auto* request = std::get_if<ClientRequest>(&message)) {
    return overhead + request->bundle->body.size() + request->bundle->proof.size();
  }
  if (const auto* read = std::get_if<ReadRequest>(&message)) {
    return overhead + read->operation.size();
  }
  return overhead;
}

}  // namespace

void Outbox::add_all(const ClientMessage& message) {
  for (std::vector<ClientMessage>& messages : messages_) {
    messages.push_back(message);
  }
}

void Outbox::flush(crypto::ClientAuthenticator& authenticator, std::vector<OutgoingFrame>& frames) {
  for (std::uint32_t to = 0; to < messages_.size(); ++to) {
    std::vector<ClientMessage> packet;
    std::size_t size = 0;
    std::size_t requests = 0;
    const auto close = [&] {
      if (!packet.empty()) {
        frames.push_back({ReplicaId{to}, authenticator.seal_to(ReplicaId{to}, packet)});
        packet.clear();
        size = 0;
        requests = 0;
      }
    };
    for (ClientMessage& message : messages_[to]) {
      const std::size_t added = estimated_size(message);
      const std::size_t request = crypto::asks_for_work(message) ? 1 : 0;
      if (size + added > packet_bytes || packet.size() == Limits::max_packet_messages ||
          requests + request > crypto::max_client_requests_per_packet) {
        close();
      }
      size += added;
      requests += request;
      packet.push_back(std::move(message));
    }
    close();
    messages_[to].clear();
  }
}

}  // namespace pbft::client
