// How many bytes of frames wait to be sent over each connection: libzmq's marks count frames, however long they are. A
// frame counts from take() until libzmq has encrypted it for the connection, or dropped it with that.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <zmq.hpp>

#include "node/pbft/types.h"

namespace pbft::bus {

// One thread, apart from what libzmq's threads give back. Its messages may outlive it.
class SendBudget {
 public:
  struct Bytes {
    std::size_t connection;
    std::size_t all = SIZE_MAX;  // beyond it connections get one frame at a time
  };
  explicit SendBudget(Bytes limits) : limits_(limits) {}

  // The frame as a message; nothing where the connection has no room for it. With nothing else waiting, any frame has.
  // Small ones (copy_below in sockets.h) are not counted: the mark bounds them.
  [[nodiscard]] std::optional<zmq::message_t> take(std::uint64_t connection, pbft::Bytes frame);
  // Forgets the connections for which nothing waits.
  void sweep();

  [[nodiscard]] std::size_t waiting() const { return all_->load(); }

 private:
  using Count = std::shared_ptr<std::atomic<std::size_t>>;
  struct Counted;

  Bytes limits_;
  Count all_ = std::make_shared<std::atomic<std::size_t>>(0);
  std::map<std::uint64_t, Count> connections_;
};

}  // namespace pbft::bus
