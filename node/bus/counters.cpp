#include "node/bus/counters.h"

namespace pbft::bus {

const char* to_string(Counter counter) {
  switch (counter) {
    case Counter::zap_accepted:
      return "zap.accepted";
    case Counter::zap_refused_unknown_key:
      return "zap.refused_unknown_key";
    case Counter::zap_refused_mechanism:
      return "zap.refused_mechanism";
    case Counter::zap_refused_domain:
      return "zap.refused_domain";
    case Counter::zap_malformed:
      return "zap.malformed";
    case Counter::peer_frames_sent:
      return "peer.frames_sent";
    case Counter::peer_frames_received:
      return "peer.frames_received";
    case Counter::peer_send_dropped:
      return "peer.send_dropped";
    case Counter::peer_multipart:
      return "peer.multipart";
    case Counter::peer_oversized:
      return "peer.oversized";
    case Counter::peer_user_id_missing:
      return "peer.user_id_missing";
    case Counter::peer_unexpected:
      return "peer.unexpected";
    case Counter::peer_accepted:
      return "peer.accepted";
    case Counter::peer_handshake_failed:
      return "peer.handshake_failed";
    case Counter::peer_disconnected:
      return "peer.disconnected";
    case Counter::client_frames_sent:
      return "client.frames_sent";
    case Counter::client_frames_received:
      return "client.frames_received";
    case Counter::client_multipart:
      return "client.multipart";
    case Counter::client_oversized:
      return "client.oversized";
    case Counter::client_user_id_missing:
      return "client.user_id_missing";
    case Counter::client_chosen_routing_id:
      return "client.chosen_routing_id";
    case Counter::client_no_route:
      return "client.no_route";
    case Counter::client_unroutable:
      return "client.unroutable";
    case Counter::client_queue_full:
      return "client.queue_full";
    case Counter::client_routes_evicted:
      return "client.routes_evicted";
    case Counter::client_accepted:
      return "client.accepted";
    case Counter::client_handshake_failed:
      return "client.handshake_failed";
    case Counter::client_disconnected:
      return "client.disconnected";
    case Counter::link_up:
      return "link.up";
    case Counter::link_down:
      return "link.down";
    case Counter::link_handshake_failed:
      return "link.handshake_failed";
    case Counter::link_renewed:
      return "link.renewed";
    case Counter::send_oversized:
      return "send.oversized";
    case Counter::count_:
      break;
  }
  return "unknown";
}

std::map<std::string, std::uint64_t> Counters::by_name() const {
  std::map<std::string, std::uint64_t> names;
  for (std::size_t i = 0; i < size; ++i) {
    const auto counter = static_cast<Counter>(i);
    names[to_string(counter)] = get(counter);
  }
  return names;
}

}  // namespace pbft::bus
