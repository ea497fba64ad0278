#include "node/bus/node_bus.h"

#include <sodium.h>

#include <algorithm>
#include <optional>
#include <set>
#include <string_view>
#include <thread>
#include <utility>
#include <zmq.hpp>

#include "node/bus/counters.h"
#include "node/bus/link.h"
#include "node/bus/monitor.h"
#include "node/bus/poll_set.h"
#include "node/bus/route_table.h"
#include "node/bus/schedule.h"
#include "node/bus/sockets.h"
#include "node/bus/zap.h"

namespace pbft::bus {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* replicas_domain = "replicas";
constexpr const char* clients_domain = "clients";
constexpr std::chrono::milliseconds node_upkeep_interval{250};
constexpr std::size_t subscription_bytes = 1'024;  // all that a SUB has to send, handshake included

// A ROUTER names a connection that brought no name of its own by a zero byte and a 32-bit number. Only those are
// served, so the number is the origin. The bit above it sets an origin apart from a number that means nothing here.
constexpr std::size_t routing_id_size = 5;
constexpr std::uint64_t origin_mark = std::uint64_t{1} << 32U;

std::optional<Origin> to_origin(const zmq::message_t& routing_id) {
  const auto* bytes = routing_id.data<std::uint8_t>();
  if (routing_id.size() != routing_id_size || bytes[0] != 0) return std::nullopt;
  std::uint64_t number = 0;
  for (std::size_t i = 1; i < routing_id_size; ++i) number = number << 8U | bytes[i];
  return Origin{origin_mark | number};
}

std::optional<zmq::message_t> to_routing_id(Origin origin) {
  if (origin.value >> 32U != 1) return std::nullopt;
  zmq::message_t message(routing_id_size);
  auto* bytes = message.data<std::uint8_t>();
  bytes[0] = 0;
  for (std::size_t i = 1; i < routing_id_size; ++i) {
    bytes[i] = static_cast<std::uint8_t>(origin.value >> (8U * (routing_id_size - 1 - i)));
  }
  return message;
}

std::optional<CurveKey> to_curve_key(std::string_view user_id) {
  CurveKey key{};
  std::size_t size = 0;
  if (user_id.size() != 2 * key.size() ||
      sodium_hex2bin(key.data(), key.size(), user_id.data(), user_id.size(), nullptr, &size, nullptr) != 0 ||
      size != key.size()) {
    return std::nullopt;
  }
  return key;
}

enum class InputKind : std::uint8_t { subscription, peers, clients, unread };

// A socket that is read in turn with the others; the schedule knows it by its position among them.
struct Input {
  InputKind kind;
  ReplicaId channel;  // of a subscription
  zmq::socket_t* socket;
};

struct Peer {
  std::unique_ptr<Link> subscription;  // SUB to its PUB
  std::unique_ptr<Link> dealer;        // DEALER to its ROUTER
};

}  // namespace

struct NodeBus::Impl {
  Impl(const crypto::Identity& identity, NodeBusOptions given, PollSet poll)
      : options(std::move(given)),
        curve(identity.curve()),
        context(options.io_threads),
        monitors(context),
        poll_set(std::move(poll)),
        schedule(options.max_handing_over),
        routes(options.max_routes, options.max_routes_per_client) {
    if (!options.clock) options.clock = Clock::now;
  }
  ~Impl();

  Status open();
  Status bind_zap(const std::vector<CurveKey>& keys);
  Status open_server(zmq::socket_t& socket, zmq::socket_type type, const char* domain, const QueueLimits& limits,
                     const std::string& endpoint, std::string& bound_to);
  Status open_servers();
  Status open_peer(ReplicaId id, const CurveKey& key, const Endpoints& endpoints);
  Status add_input(InputKind kind, ReplicaId channel, zmq::socket_t& socket);

  void note_signals();
  void upkeep(Clock::time_point now);
  std::size_t drain(std::size_t max_frames, NodeBusHandler& handler);
  std::size_t gather(std::size_t max_frames, NodeBusHandler& handler);
  // False: there was nothing.
  bool read_one(Input& input, NodeBusHandler& handler);
  bool read_subscription(Input& input, NodeBusHandler& handler);
  bool read_unread(Input& input);
  // Leaves the message in `routing_id` and `frame`, if it is `usable`: one part after the routing id.
  bool read_router(zmq::socket_t& socket, Counter multipart, bool& usable);
  bool read_peers(Input& input, NodeBusHandler& handler);
  bool read_clients(Input& input, NodeBusHandler& handler);

  [[nodiscard]] bool fits(const Bytes& bytes);
  Sent send_to_client(Origin origin, Bytes bytes);

  // The order of the members is the order in which they must come up.
  NodeBusOptions options;
  crypto::CurveKeyPair curve;
  Counters counters;
  zmq::context_t context;
  MonitorSet monitors;
  std::unique_ptr<ZapHandler> zap;
  zmq::socket_t publisher;
  zmq::socket_t peer_router;
  zmq::socket_t client_router;
  std::vector<Peer> peers;  // index = ReplicaId; the own one is empty
  PollSet poll_set;
  std::vector<Input> inputs;  // in the poll set one further: the publisher is the first there
  Schedule schedule;
  std::size_t clients_input = 0;  // position of client_router in inputs
  std::map<std::string, ReplicaId, std::less<>> replica_of_user;
  RouteTable routes;
  Endpoints bound;
  Clock::time_point next_upkeep = Clock::now();
  zmq::message_t routing_id;
  zmq::message_t frame;
};

NodeBus::Impl::~Impl() {
  zap.reset();  // and with it the thread that calls back into the links
  peers.clear();
  for (zmq::socket_t* socket : {&publisher, &peer_router, &client_router}) {
    unwatch(*socket);
    socket->close();
  }
}

Status NodeBus::Impl::open() {
  if (options.self.value >= options.replicas.size()) {
    return tl::unexpected("replica " + std::to_string(options.self.value) + " is not among the " +
                          std::to_string(options.replicas.size()) + " replicas of the cluster");
  }
  std::vector<CurveKey> keys;
  for (std::size_t i = 0; i < options.replicas.size(); ++i) {
    auto key = crypto::curve_public_key(options.replicas[i].key);
    if (!key) return tl::unexpected("key of replica " + std::to_string(i) + ": " + key.error());
    keys.push_back(*key);
  }
  if (auto status = bind_zap(keys); !status) return status;
  if (auto status = open_servers(); !status) return status;
  peers.resize(keys.size());
  for (std::uint32_t i = 0; i < keys.size(); ++i) {
    if (ReplicaId{i} == options.self) continue;
    if (auto status = open_peer(ReplicaId{i}, keys[i], options.replicas[i].endpoints); !status) return status;
  }
  zap->start();
  return {};
}

Status NodeBus::Impl::bind_zap(const std::vector<CurveKey>& keys) {
  std::set<CurveKey> admitted;
  for (std::uint32_t i = 0; i < keys.size(); ++i) {
    // Whoever connects with the key of this replica itself is a second process with a copy of it.
    if (ReplicaId{i} == options.self) continue;
    admitted.insert(keys[i]);
    replica_of_user.emplace(to_user_id(keys[i]), ReplicaId{i});
  }
  Admission admission;
  admission[replicas_domain] = [admitted = std::move(admitted)](const CurveKey& key) { return admitted.contains(key); };
  admission[clients_domain] = [admit = options.admit_client](const CurveKey& key) { return admit && admit(key); };
  auto handler = ZapHandler::bind(context, std::move(admission), counters, monitors);
  if (!handler) return tl::unexpected(handler.error());
  zap = std::move(*handler);
  return {};
}

Status NodeBus::Impl::open_server(zmq::socket_t& socket, zmq::socket_type type, const char* domain,
                                  const QueueLimits& limits, const std::string& endpoint, std::string& bound_to) {
  socket = zmq::socket_t(context, type);
  if (auto status = configure_server(socket, curve, domain, limits); !status) return status;
  if (type == zmq::socket_type::router) {
    socket.set(zmq::sockopt::router_mandatory, true);
    socket.set(zmq::sockopt::router_handover, false);
  }
  const bool client = &socket == &client_router;
  const auto on_event = [this, client](ConnectionEvent event) {
    switch (event) {
      case ConnectionEvent::up:
        return counters.add(client ? Counter::client_accepted : Counter::peer_accepted);
      case ConnectionEvent::handshake_failed:
        return counters.add(client ? Counter::client_handshake_failed : Counter::peer_handshake_failed);
      case ConnectionEvent::down:
        return counters.add(client ? Counter::client_disconnected : Counter::peer_disconnected);
    }
  };
  if (auto status = monitors.add(socket, on_event); !status) return status;
  auto picked = bind(socket, endpoint);
  if (!picked) return tl::unexpected(picked.error());
  bound_to = std::move(*picked);
  return {};
}

Status NodeBus::Impl::open_servers() {
  const int mark = options.high_water_mark;
  const QueueLimits publish{mark, mark, subscription_bytes};
  const QueueLimits peer{mark, mark, options.max_frame_bytes};
  const QueueLimits client{options.client_send_mark, options.client_receive_mark,
                           std::min(options.max_client_frame_bytes, options.max_frame_bytes)};
  return open_server(publisher, zmq::socket_type::pub, replicas_domain, publish, options.bind.publish, bound.publish)
      .and_then([&] {
        return open_server(peer_router, zmq::socket_type::router, replicas_domain, peer, options.bind.peer, bound.peer);
      })
      .and_then([&] {
        return open_server(client_router, zmq::socket_type::router, clients_domain, client, options.bind.client,
                           bound.client);
      })
      .and_then([&] { return poll_set.add(publisher).map([](std::size_t) {}); })
      .and_then([&] { return add_input(InputKind::peers, {}, peer_router); })
      .and_then([&] {
        clients_input = inputs.size();
        return add_input(InputKind::clients, {}, client_router);
      });
}

Status NodeBus::Impl::open_peer(ReplicaId id, const CurveKey& key, const Endpoints& endpoints) {
  const QueueLimits read{options.high_water_mark, options.high_water_mark, options.max_frame_bytes};
  // A peer answers on its own DEALER, so nothing ought to come in here; what comes in all the same is not queued.
  const QueueLimits write{options.high_water_mark, 1, options.max_frame_bytes};

  zmq::socket_t subscription(context, zmq::socket_type::sub);
  subscription.set(zmq::sockopt::subscribe, "");
  zmq::socket_t dealer(context, zmq::socket_type::dealer);
  if (auto status = configure_client(subscription, curve, key, read, true); !status) return status;
  if (auto status = configure_client(dealer, curve, key, write, false); !status) return status;

  auto subscribed = Link::open(std::move(subscription), endpoints.publish, counters, monitors);
  if (!subscribed) return tl::unexpected("replica " + std::to_string(id.value) + ": " + subscribed.error());
  peers[id.value].subscription = std::move(*subscribed);
  auto dealing = Link::open(std::move(dealer), endpoints.peer, counters, monitors);
  if (!dealing) return tl::unexpected("replica " + std::to_string(id.value) + ": " + dealing.error());
  peers[id.value].dealer = std::move(*dealing);

  return add_input(InputKind::subscription, id, peers[id.value].subscription->socket()).and_then([&] {
    return add_input(InputKind::unread, id, peers[id.value].dealer->socket());
  });
}

Status NodeBus::Impl::add_input(InputKind kind, ReplicaId channel, zmq::socket_t& socket) {
  return poll_set.add(socket).map([&](std::size_t) {
    inputs.push_back({kind, channel, &socket});
    schedule.add(kind == InputKind::clients ? Schedule::Party::clients : Schedule::Party::replicas);
  });
}

void NodeBus::Impl::note_signals() {
  for (const std::size_t index : poll_set.signalled()) {
    if (index > 0) {
      schedule.set_ready(index - 1);
    } else {
      // Nothing is read from PUB, but its subscriptions are taken in only when somebody asks.
      static_cast<void>(publisher.get(zmq::sockopt::events));
    }
  }
}

void NodeBus::Impl::upkeep(Clock::time_point now) {
  if (now < next_upkeep) return;
  next_upkeep = now + node_upkeep_interval;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    Peer& peer = peers[inputs[i].channel.value];
    if (inputs[i].kind == InputKind::subscription && peer.subscription->renew_if_down(now, options.renew_after)) {
      schedule.set_ready(i);
    }
    if (inputs[i].kind == InputKind::unread) {
      peer.dealer->renew_if_down(now, options.renew_after);
      // What comes in where nothing ought to may have been signalled to a send; nobody waits for it, so now is soon
      // enough.
      schedule.set_ready(i);
    }
  }
}

std::size_t NodeBus::Impl::drain(std::size_t max_frames, NodeBusHandler& handler) {
  std::size_t taken = 0;
  Clock::time_point now = options.clock();
  while (taken < max_frames) {
    const auto position = schedule.next();
    if (!position) break;
    if (!read_one(inputs[*position], handler)) {
      schedule.set_empty(*position);
      continue;
    }
    const Clock::time_point before = std::exchange(now, options.clock());
    schedule.took(*position, now - before);
    ++taken;
  }
  return taken;
}

// A turn costs much the same for one frame and for many. Where others wait for the processor, what they do brings more
// frames; where nobody does, this is over at once.
std::size_t NodeBus::Impl::gather(std::size_t max_frames, NodeBusHandler& handler) {
  constexpr int rounds = 2;
  const Clock::time_point end = options.clock() + options.max_handing_over;
  schedule.begin_poll();
  std::size_t taken = drain(max_frames, handler);
  // Where something is left, the poll had to end.
  for (int i = 0; i < rounds && taken > 0 && !schedule.any_ready() && options.clock() < end; ++i) {
    std::this_thread::yield();
    static_cast<void>(poll_set.wait(Clock::duration::zero()));  // poll returns, which is what a wake asks for
    note_signals();
    const std::size_t found = drain(max_frames - taken, handler);
    if (found == 0) break;
    taken += found;
  }
  return taken;
}

bool NodeBus::Impl::read_one(Input& input, NodeBusHandler& handler) {
  switch (input.kind) {
    case InputKind::subscription:
      return read_subscription(input, handler);
    case InputKind::peers:
      return read_peers(input, handler);
    case InputKind::clients:
      return read_clients(input, handler);
    case InputKind::unread:
      return read_unread(input);
  }
  return false;
}

bool NodeBus::Impl::read_subscription(Input& input, NodeBusHandler& handler) {
  const Received got = receive(*input.socket, frame);
  if (got == Received::nothing) return false;
  if (got == Received::more) {
    drop_rest(*input.socket);
    counters.add(Counter::peer_multipart);
  } else if (frame.size() > options.max_frame_bytes) {
    counters.add(Counter::peer_oversized);
  } else {
    counters.add(Counter::peer_frames_received);
    handler.on_peer_frame(to_shared(std::move(frame)), input.channel);
  }
  return true;
}

bool NodeBus::Impl::read_unread(Input& input) {
  const Received got = receive(*input.socket, frame);
  if (got == Received::nothing) return false;
  if (got == Received::more) drop_rest(*input.socket);
  counters.add(Counter::peer_unexpected);
  return true;
}

bool NodeBus::Impl::read_router(zmq::socket_t& socket, Counter multipart, bool& usable) {
  const Received first = receive(socket, routing_id);
  if (first == Received::nothing) return false;
  // A ROUTER always puts the routing id in front of at least one part.
  usable = first == Received::more;
  if (usable && receive(socket, frame) == Received::more) {
    drop_rest(socket);
    usable = false;
  }
  if (!usable) counters.add(multipart);
  return true;
}

bool NodeBus::Impl::read_peers(Input& input, NodeBusHandler& handler) {
  bool usable = false;
  if (!read_router(*input.socket, Counter::peer_multipart, usable)) return false;
  if (!usable) return true;
  const char* user = user_id(frame);
  const auto peer = user == nullptr ? replica_of_user.end() : replica_of_user.find(std::string_view(user));
  if (peer == replica_of_user.end()) {
    counters.add(Counter::peer_user_id_missing);
  } else if (frame.size() > options.max_frame_bytes) {
    counters.add(Counter::peer_oversized);
  } else {
    counters.add(Counter::peer_frames_received);
    handler.on_peer_frame(to_shared(std::move(frame)), peer->second);
  }
  return true;
}

bool NodeBus::Impl::read_clients(Input& input, NodeBusHandler& handler) {
  bool usable = false;
  if (!read_router(*input.socket, Counter::client_multipart, usable)) return false;
  if (!usable) return true;
  const char* user = user_id(frame);
  const auto key = user == nullptr ? std::nullopt : to_curve_key(user);
  const auto origin = to_origin(routing_id);
  if (!key) {
    counters.add(Counter::client_user_id_missing);
  } else if (!origin) {
    counters.add(Counter::client_chosen_routing_id);
  } else if (frame.size() > std::min(options.max_client_frame_bytes, options.max_frame_bytes)) {
    counters.add(Counter::client_oversized);
  } else {
    counters.add(Counter::client_frames_received);
    handler.on_client_frame(to_shared(std::move(frame)), *key, *origin);
  }
  return true;
}

bool NodeBus::Impl::fits(const Bytes& bytes) {
  // The receiver would end the connection over it.
  if (bytes.size() <= options.max_frame_bytes) return true;
  counters.add(Counter::send_oversized);
  return false;
}

Sent NodeBus::Impl::send_to_client(Origin origin, Bytes bytes) {
  auto id = to_routing_id(origin);
  if (!id) return Sent::unreachable;
  // Sending may take the signal of a frame that came in meanwhile.
  schedule.set_ready(clients_input);
  if (const Sent sent = bus::send(client_router, *id, ZMQ_SNDMORE); sent != Sent::ok) return sent;
  zmq::message_t message = to_message(std::move(bytes));
  return bus::send(client_router, message);
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
  Clock::time_point now = Clock::now();
  const Clock::time_point deadline = now + std::min<std::chrono::microseconds>(timeout, longest_poll);
  while (true) {
    const Clock::duration patience = std::min(deadline, impl_->next_upkeep) - now;
    const bool woken = impl_->poll_set.wait(impl_->schedule.any_ready() ? Clock::duration::zero() : patience);
    impl_->note_signals();
    const bool found = impl_->gather(max_frames, handler) > 0;
    now = Clock::now();
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
  zmq::message_t message = to_message(std::move(frame));
  const bool sent = bus::send(impl_->peers[to.value].dealer->socket(), message) == Sent::ok;
  impl_->counters.add(sent ? Counter::peer_frames_sent : Counter::peer_send_dropped);
}

void NodeBus::reply(const ClientId& client, SessionId session, RequestNumber number, Bytes frame) {
  const auto origin = impl_->routes.find(client, session, number);
  if (!origin) {
    impl_->counters.add(Counter::client_no_route);
    return;
  }
  if (!impl_->fits(frame)) return;
  switch (impl_->send_to_client(*origin, std::move(frame))) {
    case Sent::ok:
      impl_->counters.add(Counter::client_frames_sent);
      break;
    case Sent::full:
      impl_->counters.add(Counter::client_queue_full);
      break;
    case Sent::unreachable:
      impl_->counters.add(Counter::client_unroutable);
      impl_->routes.forget(client, session, number, *origin);
      break;
  }
}

void NodeBus::answer(Origin origin, Bytes frame) {
  if (!impl_->fits(frame)) return;
  switch (impl_->send_to_client(origin, std::move(frame))) {
    case Sent::ok:
      impl_->counters.add(Counter::client_frames_sent);
      break;
    case Sent::full:
      impl_->counters.add(Counter::client_queue_full);
      break;
    case Sent::unreachable:
      impl_->counters.add(Counter::client_unroutable);
      break;
  }
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
  const Peer& links = impl_->peers[peer.value];
  return links.subscription && links.subscription->up() && links.dealer && links.dealer->up();
}

void NodeBus::stop_zap_for_testing() {
  impl_->zap->stop_answering();
}

}  // namespace pbft::bus
