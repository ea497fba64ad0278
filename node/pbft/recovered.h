// What a replica remembers when it starts: read from storage, handed to the core once.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "node/pbft/effects.h"
#include "node/pbft/messages.h"

namespace pbft {

struct RecoveredMark {
  View view;
  Digest digest;
};

struct RecoveredSlot {
  std::optional<RecoveredMark> accepted;  // highest view
  std::optional<RecoveredMark> prepared;  // highest view
  std::map<Digest, BatchPtr> batches;
};

struct RecoveredSession {
  SessionUpdate session;
  std::vector<RequestNumber> executed;  // numbers whose replies are cached, ascending
};

struct Recovered {
  SequenceNumber executed;                        // 0: genesis
  Digest ledger_head;                             // at executed
  Timestamp time;                                 // agreed time at executed
  std::optional<PersistStable> stable;            // absent: genesis
  std::vector<CheckpointSummary> checkpoints;     // own, above stable, ascending
  std::map<SequenceNumber, RecoveredSlot> slots;  // above stable
  std::vector<ClientUpdate> clients;
  std::vector<RecoveredSession> sessions;
};

}  // namespace pbft
