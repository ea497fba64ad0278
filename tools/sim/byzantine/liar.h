// All strategies of one Byzantine replica, one after the other.
#pragma once

#include <memory>
#include <vector>

#include "tools/sim/byzantine/strategy.h"

namespace pbft::sim {

class Liar {
 public:
  Liar(LiarFacts facts, std::unique_ptr<Setting> setting, const std::vector<Lie>& lies);

  struct Outgoing {
    ReplicaId to;
    SharedBytes frame;
    Microseconds delay = 0;
  };
  // What becomes of a frame of the core's for one replica: nothing, or one or several frames.
  [[nodiscard]] std::vector<Outgoing> speak(ReplicaId to, const std::vector<PeerMessage>& messages);
  void reply(const ClientId& client, std::vector<ReplicaToClientMessage>& messages);
  [[nodiscard]] bool hear(const std::vector<PeerMessage>& messages);
  [[nodiscard]] bool hear(const ClientId& client, const std::vector<ClientMessage>& messages);

 private:
  template <class... What>
  [[nodiscard]] bool all_hear(const What&... what);

  Mouth mouth_;
  std::vector<std::unique_ptr<Strategy>> strategies_;
};

}  // namespace pbft::sim
