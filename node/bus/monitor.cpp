#include "node/bus/monitor.h"

#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

namespace pbft::bus {
namespace {

constexpr int watched_events = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                               ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
                               ZMQ_EVENT_DISCONNECTED;

std::optional<ConnectionEvent> to_event(const zmq::message_t& message) {
  std::uint16_t event = 0;
  if (message.size() < sizeof event) return std::nullopt;
  std::memcpy(&event, message.data(), sizeof event);
  switch (event) {
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
      return ConnectionEvent::up;
    case ZMQ_EVENT_DISCONNECTED:
      return ConnectionEvent::down;
    case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
    case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
      return ConnectionEvent::handshake_failed;
    default:
      return std::nullopt;
  }
}

}  // namespace

Status MonitorSet::add(zmq::socket_t& socket, Callback callback) {
  const std::string endpoint = "inproc://monitor-" + std::to_string(monitors_.size());
  if (zmq_socket_monitor(socket.handle(), endpoint.c_str(), watched_events) != 0) {
    return tl::unexpected(std::string("cannot watch a socket: ") + zmq_strerror(errno));
  }
  zmq::socket_t events(context_, zmq::socket_type::pair);
  // libzmq's own threads send the events and wait while the queue is full; without a mark it never is. drain() is
  // what keeps it short.
  events.set(zmq::sockopt::rcvhwm, 0);
  events.set(zmq::sockopt::linger, 0);
  if (auto status = connect(events, endpoint); !status) return status;
  monitors_.push_back({std::move(events), std::move(callback)});
  return {};
}

void MonitorSet::drain() {
  for (std::size_t i = 0; i < monitors_.size(); ++i) drain(i);
}

void MonitorSet::drain(std::size_t index) {
  Monitor& monitor = monitors_[index];
  zmq::message_t message;
  for (Received got = receive(monitor.events, message); got != Received::nothing;
       got = receive(monitor.events, message)) {
    const auto event = to_event(message);
    if (got == Received::more) drop_rest(monitor.events);
    if (event) monitor.callback(*event);
  }
}

void MonitorSet::append_poll_items(std::vector<zmq_pollitem_t>& items) {
  for (Monitor& monitor : monitors_) items.push_back({monitor.events.handle(), 0, ZMQ_POLLIN, 0});
}

void unwatch(zmq::socket_t& socket) {
  if (socket.handle() != nullptr) zmq_socket_monitor(socket.handle(), nullptr, 0);
}

}  // namespace pbft::bus
