// One replica, running: the real parts wired together, and the event loop that turns them. A turn takes what the bus
// has, gives it to the driver, ticks when a tick is due, and lets the driver perform what followed.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <tl/expected.hpp>

#include "node/bus/node_bus.h"
#include "node/crypto/keys.h"
#include "node/execution/executor.h"
#include "node/execution/plugin.h"
#include "node/pbft/replica.h"
#include "node/runtime/config.h"
#include "node/runtime/driver.h"
#include "node/runtime/interceptor.h"
#include "node/runtime/node_observer.h"
#include "storage/store.h"

namespace pbft::runtime {

// What an operator says at a start.
struct StartOptions {
  // The replica has lost its store: a new one is made, and it takes part again once it is safe.
  bool rejoin = false;
  // A state that differs from what a quorum certified is repaired, whatever the configuration says.
  bool repair = false;
  // The store has failed on a thread of its own, which is about to end the process without a word: ends it in order.
  // From any thread.
  std::function<void(const std::string& reason)> on_lost_store;
};

// How far the scrub is.
struct ScrubStatus {
  double share = 0;  // of the present pass, 0 to 1
  std::uint64_t passes = 0;
  std::string damage;  // the first of what was found last; empty: nothing
};

// What a replica needs besides its store and its sockets, each checked against the genesis.
struct NodeInputs {
  NodeConfig config;
  crypto::Identity identity;
  std::optional<crypto::Identity> gateway;  // none: no gateway key is configured
  std::unique_ptr<execution::Plugin> plugin;
};
// Loads keys and plugin. Nothing is opened for writing and no port is bound: this is what --check does.
[[nodiscard]] Loaded<NodeInputs> load_inputs(NodeConfig config);

class Node final : private bus::NodeBusHandler {
 public:
  // Opens the store, recovers, binds the sockets. The error says what failed and what to do.
  [[nodiscard]] static Loaded<std::unique_ptr<Node>> open(NodeInputs inputs, StartOptions options = {},
                                                          const MakeInterceptor& make_interceptor = {});
  ~Node() override;

  // Turns until stop() or an error, which says why the replica had to stop. One thread, once.
  [[nodiscard]] tl::expected<void, std::string> run();

  // The functions below may be called from any thread.
  void stop();
  // The node's account of itself, at most a few ticks old.
  [[nodiscard]] std::string status_json() const;
  // Why this node is not healthy; nothing: it is.
  [[nodiscard]] std::optional<std::string> unhealthy() const;

  [[nodiscard]] const NodeConfig& config() const { return inputs_.config; }

 private:
  using Clock = std::chrono::steady_clock;

  explicit Node(NodeInputs inputs);
  [[nodiscard]] Loaded<void> make_store_for_rejoining(const StartOptions& options) const;
  [[nodiscard]] Loaded<void> open_store(const StartOptions& options);
  [[nodiscard]] Loaded<void> open_bus();
  void wire();
  [[nodiscard]] tl::expected<void, std::string> turn();
  void refresh_status(Clock::time_point now);
  [[nodiscard]] storage::Result<void> scrub(Clock::time_point now);

  void on_peer_frame(SharedBytes frame, ReplicaId channel) override;
  void on_client_frame(SharedBytes frame, const bus::CurveKey& channel, Origin origin) override;

  NodeInputs inputs_;
  Clock::time_point started_ = Clock::now();
  NodeObserver observer_;
  std::shared_ptr<storage::Engine> engine_;
  std::unique_ptr<storage::Store> store_;
  std::unique_ptr<execution::Executor> executor_;
  std::unique_ptr<crypto::Authenticator> authenticator_;
  std::unique_ptr<Replica> replica_;
  std::unique_ptr<bus::NodeBus> bus_;
  std::unique_ptr<Interceptor> interceptor_;  // null: what the replica sends goes to the bus
  std::unique_ptr<Driver> driver_;

  Clock::time_point next_tick_{};
  Clock::time_point next_status_{};
  std::uint64_t run_again_ = 0;                    // batches that were executed before, on a state that is not stored
  Clock::time_point pass_started_ = Clock::now();  // of the scrub
  std::size_t scrub_pairs_ = 1;                    // in a tick; follows how far the pass should be
  ScrubStatus scrub_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> diverged_{false};
  std::atomic<Clock::rep> last_turn_{0};  // 0: none yet
  mutable std::mutex status_mutex_;
  std::string status_;
};

// The status that people and pbftctl read; keys are described in README.md of this folder.
[[nodiscard]] std::string describe(const NodeConfig& config, const std::string& plugin_version,
                                   const ReplicaStatus& status, const ScrubStatus& scrub,
                                   const std::map<std::string, std::uint64_t>& counters, double uptime_s);

}  // namespace pbft::runtime
