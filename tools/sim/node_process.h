// What a simulated replica holds while it runs; gone with a crash. It stands between the driver and the world: what is
// said goes to the network, what happens is counted, told to the checkers and written to the trace.
#pragma once

#include <fmt/format.h>

#include <map>
#include <memory>
#include <optional>
#include <tuple>
#include <vector>

#include "node/execution/executor.h"
#include "node/runtime/driver.h"
#include "storage/store.h"
#include "tools/sim/node.h"

namespace pbft::sim {

struct Node::Process final : runtime::Transport, runtime::Observer {
  // A session, or before it is open the number that opens it.
  using Route = std::tuple<ClientId, SessionId, RequestNumber>;

  explicit Process(Node& owner) : node(owner) {}

  // ---- Transport
  void broadcast(Bytes frame) override;
  void send(ReplicaId to, Bytes frame) override;
  void reply(const ClientId& client, SessionId session, RequestNumber number, Bytes frame) override;
  bool answer(const ClientId& client, Origin origin, Bytes frame) override;
  void to_client(Endpoint to, SharedBytes frame);
  void learn_route(const Route& route, Endpoint to);

  // ---- Observer
  template <class... Arguments>
  void say(fmt::format_string<Arguments...> text, Arguments&&... arguments) {
    node.world_.trace.say([&] {
      return fmt::format("   {} ", node.endpoint_) + fmt::format(text, std::forward<Arguments>(arguments)...);
    });
  }
  [[nodiscard]] Sometimes& sometimes() { return node.world_.sometimes; }
  void happened(const Rejected& event);
  void happened(const BecameStable& event);
  void happened(const CatchUpStarted& event);
  void happened(const CatchUpFinished& event);
  void happened(const Diverged& event);
  void happened(const DivergenceLocated& event);
  void happened(const PrimarySuspected& event);
  void happened(const ViewLeft& event);
  void happened(const ViewEntered& event);
  void happened(const TransferStarted& event);
  void happened(const TransferFinished& event);
  void happened(const BadSource& event);
  void happened(const ClientSuspected& event);
  void happened(const Rejoined& event);
  void on_event(const Event& event) override;
  void on_refused_frame(const crypto::Refused& refused, bool) override;
  void on_left_out(const execution::OutgoingReply&) override;
  void on_executed(const Execute& effect, const std::vector<execution::OutgoingReply>& replies) override;
  void on_checkpoint(const CheckpointSummary& summary) override;

  Node& node;
  bool transferring = false;
  View entered;  // the last view that was active here
  std::map<Route, std::vector<Endpoint>> routes;
  std::unique_ptr<storage::Store> store;
  std::unique_ptr<execution::Plugin> plugin;
  std::unique_ptr<execution::Executor> executor;
  std::optional<Replica> replica;
  std::optional<crypto::Authenticator> authenticator;
  std::optional<runtime::Driver> driver;
};

}  // namespace pbft::sim
