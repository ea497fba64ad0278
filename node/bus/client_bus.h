// A client's sockets: one DEALER per replica, CURVE, no routing id of its own. One thread.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "node/crypto/keys.h"
#include "node/pbft/messages.h"

namespace pbft::bus {

struct ClientPeer {
  PublicKey key;
  std::string endpoint;  // the replica's client ROUTER
};

struct ClientBusOptions {
  std::vector<ClientPeer> replicas;  // index = ReplicaId
  int high_water_mark = 10'000;
  std::size_t max_frame_bytes = Limits::max_packet_bytes;
};

class ClientBus {
 public:
  [[nodiscard]] static tl::expected<std::unique_ptr<ClientBus>, std::string> open(const crypto::Identity& identity,
                                                                                  ClientBusOptions options);
  ~ClientBus();

  // Never blocks; false: dropped, the queue to that replica is full.
  bool send(ReplicaId to, Bytes frame);
  // Waits for frames, wake() or the end of the time; hands at most max_frames to the handler.
  void poll(std::chrono::microseconds timeout, std::size_t max_frames,
            const std::function<void(SharedBytes frame, ReplicaId from)>& handler);
  void wake();  // any thread

 private:
  struct Impl;
  explicit ClientBus(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace pbft::bus
