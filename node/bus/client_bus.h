// The sockets of the clients of a process, which share libzmq's thread and one wait: for each client one DEALER per
// replica, CURVE with the client's key, no routing id of its own. One thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "node/bus/frame_limits.h"
#include "node/crypto/keys.h"
#include "node/pbft/messages.h"

namespace pbft::bus {

struct ClientPeer {
  PublicKey key;
  std::string endpoint;  // the replica's client ROUTER
};

struct ClientBusOptions {
  std::vector<ClientPeer> replicas;  // index = ReplicaId
  int high_water_mark = 10'000;      // frames per replica and direction
  // While a replica is not connected, frames to it wait this long for the connection, and no more than these; so the
  // first request of a new client is not lost, and a replica that comes back is not sent what is stale.
  std::chrono::milliseconds max_wait{1'000};
  std::size_t max_waiting_frames = 256;
  std::size_t max_waiting_bytes = 4U << 20;
  // Of frames of 1 KiB or more that wait to be sent to a replica, connected or not. One that reads nothing gets no
  // more.
  std::size_t max_unsent_bytes = 64U << 20;
  std::chrono::milliseconds renew_after{5'000};            // as in NodeBusOptions
  std::size_t max_frame_bytes = Limits::max_packet_bytes;  // of what a replica sends
  std::size_t max_sent_frame_bytes = max_client_frame_bytes;
};

class ClientBus {
 public:
  // `client` is a position among the identities.
  using Handler = std::function<void(SharedBytes frame, ReplicaId from, std::size_t client)>;

  [[nodiscard]] static tl::expected<std::unique_ptr<ClientBus>, std::string> open(
      std::span<const crypto::Identity> clients, ClientBusOptions options);
  [[nodiscard]] static tl::expected<std::unique_ptr<ClientBus>, std::string> open(const crypto::Identity& client,
                                                                                  ClientBusOptions options);
  ~ClientBus();

  // Never blocks; false: dropped, the queue to that replica is full.
  bool send(ReplicaId to, Bytes frame, std::size_t client = 0);
  // Waits for frames, wake() or the end of the time; hands at most max_frames to the handler.
  void poll(std::chrono::microseconds timeout, std::size_t max_frames, const Handler& handler);
  void wake();  // any thread

  [[nodiscard]] bool connected(ReplicaId replica, std::size_t client = 0) const;
  // Counted since the start, by name. Any thread.
  [[nodiscard]] std::map<std::string, std::uint64_t> counters() const;

 private:
  struct Impl;
  explicit ClientBus(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace pbft::bus
