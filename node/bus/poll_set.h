// Waits for any of several ZeroMQ sockets, or for wake(), with one system call and no set-up per wait.
//
// A socket's descriptor says only that libzmq has something to work through, and says it once. So: after a signal the
// owner reads the socket until nothing is left, and after a send on a socket that it reads from it tries again, since
// the send may have taken the signal.
#pragma once

#include <poll.h>

#include <chrono>
#include <cstddef>
#include <string>
#include <tl/expected.hpp>
#include <vector>
#include <zmq.hpp>

#include "node/bus/wake_up.h"

namespace pbft::bus {

inline constexpr std::chrono::hours longest_poll{1};  // any longer time is to be cut to it

class PollSet {
 public:
  [[nodiscard]] static tl::expected<PollSet, std::string> create();

  // The socket must outlive its last wait(). Gives the index for signalled().
  std::size_t add(zmq::socket_t& socket);
  // True: wake() was called since the last wait, or a signal came.
  [[nodiscard]] bool wait(std::chrono::nanoseconds timeout);
  [[nodiscard]] bool signalled(std::size_t index) const { return descriptors_[index].revents != 0; }
  // Any thread. Never lost: a wait that comes later returns at once.
  void wake() const { wake_up_.set(); }

 private:
  explicit PollSet(WakeUp wake_up);

  WakeUp wake_up_;
  std::vector<pollfd> descriptors_;  // the first is that of wake_up_
};

}  // namespace pbft::bus
