// One connecting socket and the state of its connection.
//
// libzmq reconnects by itself after a connection was lost, but gives up for good after a protocol error: a frame that
// is too long, an answer that is not ZMTP, a key that was not admitted yet. Whoever owns a link therefore renews it
// when it has been down for long.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>

#include "node/bus/counters.h"
#include "node/bus/monitor.h"
#include "node/bus/sockets.h"

namespace pbft::bus {

class Link {
 public:
  using Clock = std::chrono::steady_clock;

  // Watches and connects a socket that is configured. `counters` and `monitors` outlive the link.
  [[nodiscard]] static tl::expected<std::unique_ptr<Link>, std::string> open(zmq::socket_t socket, std::string endpoint,
                                                                             Counters& counters, MonitorSet& monitors);

  // Nobody may drain `monitors` any more.
  ~Link() { unwatch(socket_); }
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  [[nodiscard]] zmq::socket_t& socket() { return socket_; }
  // Any thread. What the monitor said last.
  [[nodiscard]] bool up() const { return up_; }
  // Connects anew if the link has been down for `patience` since it was opened, lost or renewed. True: it did, and may
  // have taken a signal of the socket (see poll_set.h).
  bool renew_if_down(Clock::time_point now, Clock::duration patience);

 private:
  Link(zmq::socket_t socket, std::string endpoint, Counters& counters)
      : socket_(std::move(socket)), endpoint_(std::move(endpoint)), counters_(counters) {}
  void on_event(ConnectionEvent event);

  zmq::socket_t socket_;
  std::string endpoint_;
  Counters& counters_;
  std::atomic<bool> up_{false};
  Clock::time_point patient_since_ = Clock::now();
};

}  // namespace pbft::bus
