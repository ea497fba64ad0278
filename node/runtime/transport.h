// What the driver sends through: the ZeroMQ bus in the node, the simulated network in the simulator.
#pragma once

#include "node/pbft/input.h"
#include "node/pbft/types.h"

namespace pbft::runtime {

// Sending never blocks and never fails visibly: what cannot be sent is dropped and counted below. The protocol
// repairs losses.
class Transport {
 public:
  virtual ~Transport() = default;
  virtual void broadcast(Bytes frame) = 0;
  virtual void send(ReplicaId to, Bytes frame) = 0;
  // To the processes of this client that hold the session; session 0: that opened with this number.
  virtual void reply(const ClientId& client, SessionId session, RequestNumber number, Bytes frame) = 0;
  // To where an input of this client came from. False: nobody is there any more, nor will be.
  virtual bool answer(const ClientId& client, Origin origin, Bytes frame) = 0;
};

}  // namespace pbft::runtime
