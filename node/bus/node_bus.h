// A replica's sockets: PUB and one SUB per peer for broadcasts, a ROUTER and one DEALER per peer for point to point,
// a ROUTER of its own for clients. CURVE on all, with an enforced ZAP handler that is bound before anything else.
// One thread uses a NodeBus (the ZAP handler has a thread of its own inside). The table of sockets and the contract
// are in README.md.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "node/bus/curve_key.h"
#include "node/bus/frame_limits.h"
#include "node/crypto/keys.h"
#include "node/pbft/messages.h"
#include "node/runtime/transport.h"

namespace pbft::bus {

// Endpoints as ZeroMQ writes them: "tcp://127.0.0.1:4001". To bind, "*" as port picks a free one.
struct Endpoints {
  std::string publish;  // PUB
  std::string peer;     // ROUTER for replicas
  std::string client;   // ROUTER for clients
};

struct PeerAddress {
  PublicKey key;
  Endpoints endpoints;
};

struct NodeBusOptions {
  ReplicaId self;
  Endpoints bind;
  std::vector<PeerAddress> replicas;  // index = ReplicaId; the own entry's endpoints are not used
  // Whether the holder of this X25519 key may connect as a client. Called from the ZAP thread.
  std::function<bool(const CurveKey&)> admit_client;
  int high_water_mark = 1'000;  // frames per connection of a replica and direction
  // The same for clients, lower since there are many of them. One that sends faster than it is read, or does not read,
  // waits or loses its own frames.
  int client_send_mark = 1024;
  int client_receive_mark = 16;
  // Bytes of frames of 1 KiB or more that wait to be sent: over a connection to a client, over all connections of a
  // client, over those of all clients together (beyond that each client has its share), and to a replica point to
  // point.
  std::size_t connection_send_bytes = 32U << 20;
  std::size_t client_send_bytes = 64U << 20;
  std::size_t clients_send_bytes = 256U << 20;
  std::size_t client_send_share = 4U << 20;
  std::size_t peer_send_bytes = 64U << 20;
  std::size_t max_frame_bytes = Limits::max_packet_bytes;
  // Of a frame that a client sends, if max_frame_bytes is not less.
  std::size_t max_client_frame_bytes = bus::max_client_frame_bytes;
  std::size_t max_routes = 65'536;  // client sessions whose route is known; the least recently learnt goes first
  std::size_t max_routes_per_client = 1'024;
  int io_threads = 1;  // of libzmq; they encrypt and decrypt
  // How long a connection to a peer may be down before it is made anew. (Reconnecting goes on all the time; libzmq
  // gives it up only after a protocol error.)
  std::chrono::milliseconds renew_after{5'000};
  // A poll hands over frames for this long and at least one; see schedule.h.
  std::chrono::microseconds max_handing_over{5'000};
  // What handing over is timed with; empty: the steady clock.
  std::function<std::chrono::steady_clock::time_point()> clock;
};

// Counted since the start. Names appear in /status and metrics as they are.
struct BusCounters {
  std::map<std::string, std::uint64_t> values;
};

class NodeBusHandler {
 public:
  virtual ~NodeBusHandler() = default;
  // A frame that came over the connection of replica `channel` (by CURVE key, or by SUB socket).
  virtual void on_peer_frame(SharedBytes frame, ReplicaId channel) = 0;
  // A frame from a client connection; `origin` answers it for as long as that connection stands, and nothing else
  // ever gets an answer to it.
  virtual void on_client_frame(SharedBytes frame, const CurveKey& channel, Origin origin) = 0;
};

class NodeBus final : public runtime::Transport {
 public:
  // Binds and connects. The error names the endpoint and the reason.
  [[nodiscard]] static tl::expected<std::unique_ptr<NodeBus>, std::string> open(const crypto::Identity& identity,
                                                                                NodeBusOptions options);
  ~NodeBus() override;

  // Waits until something arrives, wake() is called, a signal comes or the time is over; hands at most `max_frames`
  // frames to the handler, and no further one after max_handing_over, taking turns between sockets so that no peer
  // and no client can starve another.
  void poll(std::chrono::microseconds timeout, std::size_t max_frames, NodeBusHandler& handler);
  // Any thread: makes poll return.
  void wake();

  void broadcast(Bytes frame) override;
  void send(ReplicaId to, Bytes frame) override;
  void reply(const ClientId& client, SessionId session, RequestNumber number, Bytes frame) override;
  bool answer(const ClientId& client, Origin origin, Bytes frame) override;

  // Where replies to this session (session 0: to this open_session number) go from now on. Only to be called after a
  // message from there was authenticated and the connection's key is that of the client.
  void learn_route(const ClientId& client, SessionId session, RequestNumber number, Origin origin);

  [[nodiscard]] const Endpoints& bound() const;  // with the ports that were picked
  [[nodiscard]] BusCounters counters() const;    // any thread
  // Whether the connections to this replica's PUB and ROUTER both stand. Any thread.
  [[nodiscard]] bool connected(ReplicaId peer) const;

  // From now on every new connection is refused.
  void stop_zap_for_testing();

 private:
  struct Impl;
  explicit NodeBus(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace pbft::bus
