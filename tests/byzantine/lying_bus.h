// Lets the simulator's liars (tools/sim/byzantine) loose on a real cluster: what a correct replica says goes through
// them before it goes to ZeroMQ, and what comes in goes by them first. One thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "node/crypto/authenticator.h"
#include "node/runtime/interceptor.h"
#include "tools/sim/byzantine/liar.h"

namespace pbft::byzantine {

class LyingBus final : public runtime::Interceptor {
 public:
  // Told of the counts at the end of each turn in which one of them changed.
  using Tell = std::function<void(const sim::LieCounts&)>;

  // `bus` outlives this.
  LyingBus(const sim::LiarFacts& facts, const std::vector<sim::Lie>& lies, runtime::Transport& bus, Tell tell);
  ~LyingBus() override;

  [[nodiscard]] bool hears(const SharedBytes& frame, ReplicaId channel) override;
  [[nodiscard]] bool hears(const SharedBytes& frame, Origin origin) override;
  void turn_ended() override;

  // A broadcast goes to each replica by itself, as everybody may be told something else.
  void broadcast(Bytes frame) override;
  void send(ReplicaId to, Bytes frame) override;
  void reply(const ClientId& client, SessionId session, RequestNumber number, Bytes frame) override;
  bool answer(const ClientId& client, Origin origin, Bytes frame) override;

 private:
  using Clock = std::chrono::steady_clock;
  class Here;
  struct HeldBack {
    ReplicaId to;
    Bytes frame;
  };

  void lie(ReplicaId to, const std::vector<PeerMessage>& messages);
  [[nodiscard]] Bytes lie(const ClientId& client, Bytes frame);

  const ReplicaId self_;
  const std::uint32_t replicas_;
  runtime::Transport& bus_;
  const Tell tell_;
  sim::LieCounts counts_{};
  bool told_ = false;  // since the last turn
  sim::Liar liar_;
  crypto::Authenticator authenticator_;                   // seals what clients are told
  std::multimap<Clock::time_point, HeldBack> held_back_;  // by when it is sent
};

}  // namespace pbft::byzantine
