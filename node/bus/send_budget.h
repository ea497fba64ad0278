// How many bytes of frames wait to be sent over each connection, and to each party over all of its connections:
// libzmq's marks count frames, however long they are. A frame counts from take() until libzmq has encrypted it for the
// connection, or dropped it with that.
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
    std::size_t party = SIZE_MAX;
    std::size_t all = SIZE_MAX;  // beyond it a party has its share alone
    std::size_t share = 0;
  };
  explicit SendBudget(Bytes limits) : limits_(limits) {}

  // The frame as a message; nothing where the connection or the party that holds it has no room for it. With nothing
  // else waiting for the party, any frame has. Small ones (copy_below in sockets.h) are not counted: the mark bounds
  // them. So at most `all` waits, and beyond it for each party its share or one frame.
  [[nodiscard]] std::optional<zmq::message_t> take(std::uint64_t connection, pbft::Bytes frame,
                                                   const ClientId& party = {});
  // Forgets the connections and parties for which nothing waits.
  void sweep();

  [[nodiscard]] std::size_t waiting() const { return all_->load(); }

 private:
  using Count = std::shared_ptr<std::atomic<std::size_t>>;
  struct Counted;

  Bytes limits_;
  Count all_ = std::make_shared<std::atomic<std::size_t>>(0);
  std::map<std::uint64_t, Count> connections_;
  std::map<ClientId, Count> parties_;
};

}  // namespace pbft::bus
