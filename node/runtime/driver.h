// Performs what the core asks for, in the order of the contract in node/pbft/effects.h, and feeds the completions
// back. The same code runs in the node (RocksDB, ZeroMQ) and in the simulator (memory, simulated network).
// It gathers the steps of one turn: all they persist goes into one synced write, what they broadcast into one frame,
// what they send to one peer or client into one frame each; a VIEW-CHANGE begins new frames. One thread.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tl/expected.hpp>
#include <utility>
#include <vector>

#include "node/crypto/authenticator.h"
#include "node/execution/executor.h"
#include "node/pbft/replica.h"
#include "node/runtime/transport.h"
#include "storage/store.h"

namespace pbft::runtime {

// Told of everything that an operator, a metric or a checker cares about; changes nothing.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void on_event(const Event&) {}
  virtual void on_refused_frame(const crypto::Refused&, bool from_client) { (void)from_client; }
  virtual void on_executed(const Execute&, const std::vector<execution::OutgoingReply>&) {}
  // A reply that is not sent, since the client has enough without it.
  virtual void on_left_out(const execution::OutgoingReply&) {}
  virtual void on_checkpoint(const CheckpointSummary&) {}
  // A part of the state could not be read where it was needed.
  virtual void on_damage(const storage::StorageError&) {}
};

// Handles a client's InfoRequest; gives JSON.
using InfoSource = std::function<std::string()>;
// Told of the route that an authenticated client message proves.
using RouteLearner = std::function<void(const ClientId&, SessionId, RequestNumber, Origin)>;

// Sessions whose clients can do without the replies of this replica. One thread.
class QuietSessions {
 public:
  void set(const ClientId& client, SessionId session, bool quiet);
  [[nodiscard]] bool holds(const ClientId& client, SessionId session) const {
    return sessions_.contains({session, client});
  }

 private:
  std::set<std::pair<SessionId, ClientId>> sessions_;
};

struct DriverParts {
  Replica& replica;
  crypto::Authenticator& authenticator;
  storage::Store& store;
  execution::Executor& executor;
  Transport& transport;
  Observer& observer;
  Epoch epoch{1};
  Digest plugin;  // identity
  InfoSource info;
  RouteLearner learn_route;
  ReplicaId self;
  // n: of the n replies to a request one carries a large result in full, the others its digest. 0: all in full.
  std::uint32_t replicas = 0;
  std::size_t checkpoint_pairs = 128;  // of a checkpoint that is being written, in a turn in which nothing comes in
};

class Driver {
 public:
  explicit Driver(DriverParts parts);

  // Give the core what came in. Effects are performed by end_turn().
  void peer_frame(const SharedBytes& frame, ReplicaId channel);
  void client_frame(const SharedBytes& frame, const std::array<std::uint8_t, 32>& channel, Origin origin);
  void tick(Timestamp wall_clock);
  // The scrub found that the stored state is not what its digests say: it is used no more, and replaced by that of the
  // others.
  [[nodiscard]] storage::Result<void> state_damaged();

  // Something is left that goes on in the next turn, whether or not anything comes in.
  [[nodiscard]] bool busy() const { return parts_.replica.reads_are_left() || !reads_.empty() || !left_.empty(); }
  // A checkpoint is being written: as batches are executed, and in turns in which nothing comes in.
  [[nodiscard]] bool checkpointing() const { return parts_.store.checkpointing(); }

  // Performs everything gathered, and what follows from its completions, until nothing is left. After an error the
  // driver does nothing any more: the replica must stop. The error says what failed.
  [[nodiscard]] storage::Result<void> end_turn();

  // Of that many replicas the one that sends a large result in full. Another one in another session: it may be silent,
  // and the result be forgotten before the client asks the others for it.
  [[nodiscard]] static ReplicaId full_replier(const execution::OutgoingReply& reply, std::uint32_t replicas) {
    const std::uint64_t spread = reply.client.bytes[0] + reply.session.value + reply.number.value;
    return ReplicaId{static_cast<std::uint32_t>(spread % replicas)};
  }

 private:
  struct Gathered;  // messages by destination, to be sealed together

  void step(const Input& input);
  void sign(Effects& effects);
  [[nodiscard]] storage::Result<void> perform();
  [[nodiscard]] storage::Result<void> perform(std::vector<Send>& all);
  [[nodiscard]] storage::Result<void> gather(Send& send, Gathered& gathered);
  [[nodiscard]] storage::Result<void> execute(std::vector<ExecuteEffect>& effects);
  [[nodiscard]] storage::Result<void> answer_reads();
  [[nodiscard]] storage::Result<void> continue_checkpoint();
  [[nodiscard]] std::size_t pairs_of_this_turn();
  [[nodiscard]] storage::Result<void> run(const Execute& effect, Gathered& replies);
  [[nodiscard]] storage::Result<void> serve(const ServeBatch& serve, Gathered& gathered);
  [[nodiscard]] storage::Result<void> serve(const ServeLedger& serve, Gathered& gathered);
  [[nodiscard]] storage::Result<void> serve(const ServeTree& serve, Gathered& gathered);
  [[nodiscard]] storage::Result<void> serve(const ServeBucket& serve, Gathered& gathered);
  template <class Message>
  [[nodiscard]] storage::Result<void> give(ReplicaId to, storage::Result<std::optional<Message>> found,
                                           Gathered& gathered);
  [[nodiscard]] storage::Result<void> ask(const RequestBucket& request, Gathered& gathered);
  [[nodiscard]] storage::Result<void> transfer(const ExecuteEffect& effect);
  [[nodiscard]] storage::Result<void> serve_left(Gathered& gathered);
  void resend_reply(const ResendReply& resend, Gathered& gathered);
  void add_reply(Gathered& gathered, const execution::OutgoingReply& reply, bool in_full);
  void seal_and_send(Gathered& gathered);
  [[nodiscard]] bool sends_in_full(const execution::OutgoingReply& reply) const;

  DriverParts parts_;
  QuietSessions quiet_;
  Effects gathered_;
  std::vector<Input> completions_;
  std::deque<AnswerRead> reads_;  // to be answered; a few, since the core is told how many are left
  std::size_t read_cost_ = 0;     // in bytes, of those that this turn has answered
  std::set<Origin> gone_;         // where nobody is any more
  bool came_in_ = false;          // in this turn
  bool ticked_ = false;           // in this turn
  std::size_t pairs_ = 0;         // of a checkpoint, beside what is due, that this turn may still write
  std::deque<ServeBucket> left_;  // what a turn had no room for. Invariant: at most buckets_left of each peer
  bool serves_left_ = false;      // in this turn
  std::optional<storage::StorageError> failed_;
};

}  // namespace pbft::runtime
