// A seam between a replica and its bus, for tests: an interceptor hears first what comes in, and sends what goes out,
// as it likes. A plain node has none.
#pragma once

#include <functional>
#include <memory>

#include "node/runtime/transport.h"

namespace pbft::runtime {

// What the replica sends comes to the functions of Transport. All functions are called on the thread of the node's
// loop.
class Interceptor : public Transport {
 public:
  // False: the replica does not get the frame. Nobody has looked at it yet: it may be anything.
  [[nodiscard]] virtual bool hears(const SharedBytes& frame, ReplicaId channel) = 0;
  [[nodiscard]] virtual bool hears(const SharedBytes& frame, Origin origin) = 0;
  // At the end of each turn, which is at least once a tick.
  virtual void turn_ended() = 0;
};

// `bus` outlives what is made. Empty: no interceptor.
using MakeInterceptor = std::function<std::unique_ptr<Interceptor>(Transport& bus)>;

}  // namespace pbft::runtime
