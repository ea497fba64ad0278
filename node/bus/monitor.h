// Sees connections come, fail and go, through libzmq's socket monitors.
#pragma once

#include <functional>
#include <string>
#include <tl/expected.hpp>
#include <vector>
#include <zmq.hpp>

#include "node/bus/sockets.h"

namespace pbft::bus {

enum class ConnectionEvent : std::uint8_t { up, handshake_failed, down };

// One thread at a time.
class MonitorSet {
 public:
  using Callback = std::function<void(ConnectionEvent)>;

  explicit MonitorSet(zmq::context_t& context) : context_(context) {}

  // Before the socket binds or connects. `callback` is called by drain() and must be good for as long as that is.
  [[nodiscard]] Status add(zmq::socket_t& socket, Callback callback);
  // Handles what has come in; never blocks.
  void drain();
  // The same for the monitor that was added as number `index`, from 0.
  void drain(std::size_t index);
  [[nodiscard]] zmq::socket_t& events(std::size_t index) { return monitors_[index].events; }
  void append_poll_items(std::vector<zmq_pollitem_t>& items);

 private:
  struct Monitor {
    zmq::socket_t events;
    Callback callback;
  };

  zmq::context_t& context_;
  std::vector<Monitor> monitors_;
};

// To be called before a watched socket is closed, by its owner. Others are left as they are.
void unwatch(zmq::socket_t& socket);

}  // namespace pbft::bus
