// How a bus comes up and goes down.
#include <algorithm>
#include <set>

#include "node/bus/node_bus_impl.h"

namespace pbft::bus {
namespace {

constexpr const char* replicas_domain = "replicas";
constexpr const char* clients_domain = "clients";
constexpr std::size_t subscription_bytes = 1'024;  // all that a SUB has to send, handshake included

}  // namespace

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

}  // namespace pbft::bus
