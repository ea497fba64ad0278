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
  std::map<View, Digest> accepted;        // every vote, by view
  std::optional<RecoveredMark> prepared;  // highest view
  std::map<Digest, BatchPtr> batches;
  std::optional<Digest> executed;  // set up to Recovered::executed, and beyond it where that is to be run again
};

struct Recovered {
  SequenceNumber executed;                        // whose state is there; 0: genesis
  Digest ledger_head;                             // at executed
  Timestamp time;                                 // agreed time at executed
  std::optional<PersistStable> stable;            // absent: genesis
  std::vector<CheckpointSummary> checkpoints;     // own, above stable, ascending
  std::map<SequenceNumber, RecoveredSlot> slots;  // above stable
  std::optional<ViewChange> view_change;          // the last one, as signed
  std::optional<NewView> new_view;                // the last one, as signed
  std::optional<PersistRejoin> rejoin;            // this replica has lost its memory and has not made up for it
  bool damaged = false;                           // the state was found damaged and has not been repaired
  std::vector<ClientUpdate> clients;
  std::vector<RecoveredSession> sessions;
};

}  // namespace pbft
