// What the replicated client table holds of a client and of a session, apart from the results.
#pragma once

#include <vector>

#include "node/pbft/types.h"

namespace pbft {

struct SessionUpdate {
  ClientId client;
  SessionId session;
  RequestNumber opened_by;  // number of the open_session request
  RequestNumber low;        // replies below are forgotten
  SequenceNumber last_used;
};
struct ClientUpdate {
  ClientId client;
  RequestNumber last_open;  // highest open_session number that took effect
  SessionId last_session;   // highest session id ever given to this client
};
struct RecoveredSession {
  SessionUpdate session;
  std::vector<RequestNumber> executed;  // numbers whose replies are cached, ascending
};

}  // namespace pbft
