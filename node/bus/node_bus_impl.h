// What the source files of NodeBus share.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>
#include <zmq.hpp>

#include "node/bus/counters.h"
#include "node/bus/link.h"
#include "node/bus/monitor.h"
#include "node/bus/node_bus.h"
#include "node/bus/poll_set.h"
#include "node/bus/route_table.h"
#include "node/bus/schedule.h"
#include "node/bus/send_budget.h"
#include "node/bus/sockets.h"
#include "node/bus/zap.h"

namespace pbft::bus {

struct NodeBus::Impl {
  using Clock = std::chrono::steady_clock;

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

  Impl(const crypto::Identity& identity, NodeBusOptions given, PollSet poll)
      : options(std::move(given)),
        curve(identity.curve()),
        context(options.io_threads),
        monitors(context),
        poll_set(std::move(poll)),
        schedule(options.max_handing_over),
        routes(options.max_routes, options.max_routes_per_client),
        to_peers({options.peer_send_bytes}),
        to_clients({options.connection_send_bytes, options.client_send_bytes, options.clients_send_bytes,
                    options.client_send_share}) {
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
  [[nodiscard]] Sent hand_to_client(const ClientId& client, Origin origin, Bytes bytes);
  // False: nobody is there any more.
  [[nodiscard]] bool send_to_client(const ClientId& client, Origin origin, Bytes bytes);

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
  SendBudget to_peers;    // by replica
  SendBudget to_clients;  // by origin and client
  Endpoints bound;
  Clock::time_point next_upkeep = Clock::now();
  zmq::message_t routing_id;
  zmq::message_t frame;
};

}  // namespace pbft::bus
