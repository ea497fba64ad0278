// One way to lie. A Byzantine replica runs a correct core; its strategies stand between that core and the network, see
// what the core would say and what it is told, and change what they like.
#pragma once

#include <memory>
#include <vector>

#include "node/pbft/messages.h"
#include "tools/sim/byzantine/mouth.h"

namespace pbft::sim {

// What goes to one replica in one frame.
struct Speech {
  ReplicaId to;
  std::vector<PeerMessage> messages;
  std::vector<Bytes> frames;  // further frames with one message each, in any form
  Microseconds delay = 0;
};

class Strategy {
 public:
  // `mouth` outlives the strategy.
  explicit Strategy(Mouth& mouth) : mouth_(mouth) {}
  virtual ~Strategy() = default;
  Strategy(const Strategy&) = delete;
  Strategy& operator=(const Strategy&) = delete;

  // A broadcast comes here once for each receiver.
  virtual void speak(Speech& speech) { (void)speech; }
  virtual void reply(const ClientId& client, ReplicaToClientMessage& message) {
    (void)client;
    (void)message;
  }
  // Before the core gets it; false: it does not get it.
  [[nodiscard]] virtual bool hear(const std::vector<PeerMessage>& messages) {
    (void)messages;
    return true;
  }
  [[nodiscard]] virtual bool hear(const ClientId& client, const std::vector<ClientMessage>& messages) {
    (void)client;
    (void)messages;
    return true;
  }

 protected:
  Random& random() { return mouth_.random(); }
  // Some lie always, some now and then.
  [[nodiscard]] bool tempted() { return random().chance(rate_); }

  Mouth& mouth_;
  const std::uint64_t rate_ = draw_rate(mouth_.random());  // per mille

 private:
  [[nodiscard]] static std::uint64_t draw_rate(Random& random) {
    const std::uint64_t rates[] = {1000, 700, 200, 50};
    return rates[random.below(4)];
  }
};

[[nodiscard]] std::unique_ptr<Strategy> make_strategy(Lie lie, Mouth& mouth);

}  // namespace pbft::sim
