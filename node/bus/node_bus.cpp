#include "node/bus/node_bus.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "node/bus/node_bus_impl.h"
#include "node/bus/routing_id.h"

namespace pbft::bus {

bool NodeBus::Impl::fits(const Bytes& bytes) {
  // The receiver would end the connection over it.
  if (bytes.size() <= options.max_frame_bytes) return true;
  counters.add(Counter::send_oversized);
  return false;
}

Sent NodeBus::Impl::hand_to_client(const ClientId& client, Origin origin, Bytes bytes) {
  auto id = to_routing_id(origin);
  if (!id) return Sent::unreachable;
  auto message = to_clients.take(origin.value, std::move(bytes), client);
  if (!message) return Sent::full;
  // Sending may take the signal of a frame that came in meanwhile.
  schedule.set_ready(clients_input);
  if (const Sent sent = bus::send(client_router, *id, ZMQ_SNDMORE); sent != Sent::ok) return sent;
  return bus::send(client_router, *message);
}

bool NodeBus::Impl::send_to_client(const ClientId& client, Origin origin, Bytes bytes) {
  if (!fits(bytes)) return true;
  const Sent sent = hand_to_client(client, origin, std::move(bytes));
  counters.add(sent == Sent::ok     ? Counter::client_frames_sent
               : sent == Sent::full ? Counter::client_queue_full
                                    : Counter::client_unroutable);
  return sent != Sent::unreachable;
}

tl::expected<std::unique_ptr<NodeBus>, std::string> NodeBus::open(const crypto::Identity& identity,
                                                                  NodeBusOptions options) {
  auto poll_set = PollSet::create();
  if (!poll_set) return tl::unexpected(poll_set.error());
  try {
    auto impl = std::make_unique<Impl>(identity, std::move(options), std::move(*poll_set));
    if (auto status = impl->open(); !status) return tl::unexpected(status.error());
    return std::unique_ptr<NodeBus>(new NodeBus(std::move(impl)));
  } catch (const zmq::error_t& error) {
    return tl::unexpected(std::string("ZeroMQ: ") + error.what());
  }
}

NodeBus::NodeBus(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
NodeBus::~NodeBus() = default;

void NodeBus::poll(std::chrono::microseconds timeout, std::size_t max_frames, NodeBusHandler& handler) {
  Impl::Clock::time_point now = Impl::Clock::now();
  const Impl::Clock::time_point deadline = now + std::min<std::chrono::microseconds>(timeout, longest_poll);
  while (true) {
    const Impl::Clock::duration patience = std::min(deadline, impl_->next_upkeep) - now;
    const bool woken = impl_->poll_set.wait(impl_->schedule.any_ready() ? Impl::Clock::duration::zero() : patience);
    impl_->note_signals();
    const bool found = impl_->gather(max_frames, handler) > 0;
    now = Impl::Clock::now();
    impl_->upkeep(now);
    if (found || woken || now >= deadline) return;
  }
}

void NodeBus::wake() {
  impl_->poll_set.wake();
}

void NodeBus::broadcast(Bytes frame) {
  if (impl_->peers.size() < 2 || !impl_->fits(frame)) return;
  zmq::message_t message = to_message(std::move(frame));
  // A PUB drops by itself, and uncounted, what a slow subscriber has no room for.
  const bool sent = bus::send(impl_->publisher, message) == Sent::ok;
  impl_->counters.add(sent ? Counter::peer_frames_sent : Counter::peer_send_dropped);
}

void NodeBus::send(ReplicaId to, Bytes frame) {
  if (to.value >= impl_->peers.size() || !impl_->peers[to.value].dealer) {
    impl_->counters.add(Counter::peer_send_dropped);
    return;
  }
  if (!impl_->fits(frame)) return;
  auto message = impl_->to_peers.take(to.value, std::move(frame));
  const bool sent = message && bus::send(impl_->peers[to.value].dealer->socket(), *message) == Sent::ok;
  impl_->counters.add(sent ? Counter::peer_frames_sent : Counter::peer_send_dropped);
}

void NodeBus::reply(const ClientId& client, SessionId session, RequestNumber number, Bytes frame) {
  const auto origin = impl_->routes.find(client, session, number);
  if (!origin) {
    impl_->counters.add(Counter::client_no_route);
    return;
  }
  if (!impl_->send_to_client(client, *origin, std::move(frame))) impl_->routes.forget(client, session, number, *origin);
}

bool NodeBus::answer(const ClientId& client, Origin origin, Bytes frame) {
  return impl_->send_to_client(client, origin, std::move(frame));
}

void NodeBus::learn_route(const ClientId& client, SessionId session, RequestNumber number, Origin origin) {
  const std::size_t evicted = impl_->routes.learn(client, session, number, origin);
  for (std::size_t i = 0; i < evicted; ++i) impl_->counters.add(Counter::client_routes_evicted);
}

const Endpoints& NodeBus::bound() const {
  return impl_->bound;
}

BusCounters NodeBus::counters() const {
  return {impl_->counters.by_name()};
}

bool NodeBus::connected(ReplicaId peer) const {
  if (peer.value >= impl_->peers.size()) return false;
  const Impl::Peer& links = impl_->peers[peer.value];
  return links.subscription && links.subscription->up() && links.dealer && links.dealer->up();
}

void NodeBus::stop_zap_for_testing() {
  impl_->zap->stop_answering();
}

}  // namespace pbft::bus
