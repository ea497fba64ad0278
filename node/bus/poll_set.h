// Waits for any of many ZeroMQ sockets, or for wake(), with one system call and no set-up per wait.
//
// A socket's descriptor says only that libzmq has something to work through, and says it once. So: after a signal the
// owner reads the socket until nothing is left, and after a send on a socket that it reads from it tries again, since
// the send may have taken the signal.
#pragma once

#include <sys/epoll.h>

#include <chrono>
#include <cstddef>
#include <span>
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
  PollSet(PollSet&& other) noexcept;
  PollSet& operator=(PollSet&&) = delete;
  ~PollSet();

  // The socket must outlive its last wait(). Gives its index, ascending from 0.
  [[nodiscard]] tl::expected<std::size_t, std::string> add(zmq::socket_t& socket);
  // True: wake() was called since the last wait, or a signal came.
  [[nodiscard]] bool wait(std::chrono::nanoseconds timeout);
  // The sockets that signalled during the last wait, by index.
  [[nodiscard]] std::span<const std::size_t> signalled() const { return signalled_; }
  // Any thread. Never lost: a wait that comes later returns at once.
  void wake() const { wake_up_.set(); }

 private:
  PollSet(WakeUp wake_up, int descriptor);
  [[nodiscard]] tl::expected<void, std::string> watch(int descriptor, std::uint64_t token) const;

  WakeUp wake_up_;
  int descriptor_;  // of epoll
  std::vector<epoll_event> events_;
  std::vector<std::size_t> signalled_;
};

}  // namespace pbft::bus
