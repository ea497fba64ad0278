// One simulated client: the real client::ClientCore in a closed loop, with operations whose effects can be told apart.
// Its process can be replaced by another one with the same key, as when a program is started again.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "tools/client/cpp/pbft/client_core.h"
#include "tools/sim/faulty_client.h"
#include "tools/sim/kv_language.h"
#include "tools/sim/world.h"

namespace pbft::sim {

class SimClient {
 public:
  SimClient(World& world, std::uint32_t index);

  void start();
  void restart();  // what was outstanding is forgotten; it may still take effect
  void stop_submitting() { submitting_ = false; }
  void receive(Endpoint process, Endpoint from, const SharedBytes& frame);

  [[nodiscard]] bool faulty() const { return faulty_ != nullptr; }
  [[nodiscard]] Endpoint endpoint() const { return process_; }
  [[nodiscard]] std::size_t outstanding() const { return outstanding_.size(); }
  [[nodiscard]] std::uint64_t answered() const { return answered_; }
  [[nodiscard]] std::uint64_t abandoned() const { return abandoned_; }  // outcome never known
  [[nodiscard]] std::string oldest() const;                             // for the report of a stall
  // Time from submission to answer.
  [[nodiscard]] Microseconds total_latency() const { return total_latency_; }

 private:
  struct Waiting {
    KvOperation operation;
    Microseconds since = 0;
  };
  [[nodiscard]] Microseconds now() const { return world_.scheduler.now() + 1; }
  void think();
  void submit_one();
  void submit(const KvOperation& operation);
  void look_at(const std::string& key);
  [[nodiscard]] KvOperation draw();
  void advance();
  void schedule_wakeup();
  void sent(const client::OutgoingFrame& frame);
  void completed(const client::Completion& completion);

  World& world_;
  const std::uint32_t index_;
  Random random_;
  std::unique_ptr<client::ClientCore> core_;
  std::unique_ptr<FaultyClient> faulty_;  // null: it is honest
  Endpoint process_ = 0;
  std::uint64_t life_ = 0;
  std::uint64_t wakeup_ = 0;  // number of the wake-up that counts
  bool submitting_ = true;
  std::uint64_t submitted_ = 0;
  std::uint64_t answered_ = 0;
  std::uint64_t abandoned_ = 0;
  Microseconds total_latency_ = 0;
  std::map<std::uint64_t, Waiting> outstanding_;  // by ticket
  std::map<std::string, std::string> last_seen_;  // values, to compare and swap with
};

}  // namespace pbft::sim
