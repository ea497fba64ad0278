// Where the subprotocols put what they want done during one step. The order across the kinds is fixed by the
// contract in effects.h, so it does not matter in which order a rule calls these.
#pragma once

#include <optional>
#include <utility>

#include "node/pbft/effects.h"

namespace pbft {

class Outbox {
 public:
  void persist(JournalRecord record) { effects_.persist.push_back(std::move(record)); }
  void broadcast(PeerMessage message) { effects_.send.emplace_back(Broadcast{std::move(message)}); }
  void send_to(ReplicaId to, PeerMessage message) { effects_.send.emplace_back(SendTo{to, std::move(message)}); }
  void send(Send send) { effects_.send.push_back(std::move(send)); }
  void execute(ExecuteEffect effect) { effects_.execute.push_back(std::move(effect)); }
  void truncate(SequenceNumber n) { effects_.truncate = Truncate{n}; }
  void event(Event event) { effects_.events.push_back(std::move(event)); }
  void reject(Reject reason, std::optional<ReplicaId> peer = std::nullopt) { event(Rejected{reason, peer}); }

  [[nodiscard]] Effects take() { return std::exchange(effects_, {}); }

 private:
  Effects effects_;
};

}  // namespace pbft
