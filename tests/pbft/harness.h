// Cores wired to each other by hand: no bytes, no keys, no disk. What the driver and storage do for the core is done
// here in the plainest way, so that tests decide which message arrives when.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "node/pbft/digests.h"
#include "node/pbft/replica.h"
#include "tests/pbft/forge.h"

namespace pbft::testing {

ClientId client_id(std::uint8_t number);
inline const ClientId alice = client_id(1);
inline const ClientId bob = client_id(2);

// A bundle as a client would send it, with a body that tells it from every other bundle.
BundlePtr make_bundle(ClientId client, SessionId session, std::uint64_t low, const std::vector<std::uint64_t>& numbers,
                      RequestKind kind = RequestKind::execute);
BundlePtr make_open(ClientId client, std::uint64_t number);
BatchPtr make_batch(std::uint64_t time, std::vector<BundlePtr> bundles);

struct ReplyRecord {
  ClientId client;
  SessionId session;
  RequestNumber number;
  ReplyStatus status = ReplyStatus::ok;
  Bytes result;
};

// One core with a disk that never fails. A request's result is the sequence number that it ran at.
class CoreNode {
 public:
  CoreNode(const ClusterParameters& cluster, const LocalParameters& local);

  // Steps, checks the invariants, performs persist and execute, feeds completions back, and returns all that is sent.
  std::vector<Send> step(const Input& input);
  // Forgets all but the disk.
  void restart();
  // Loses the disk, too, and comes back as a replica that knows that it did.
  void wipe();

  Replica& core() { return *replica_; }
  const Replica& core() const { return *replica_; }
  ReplicaStatus status() const { return replica_->status(); }

  const ClusterParameters cluster;
  const LocalParameters local;

  // What was executed: per sequence number its batch, and what of it took effect.
  std::map<SequenceNumber, Digest> executed;
  std::vector<ReplyRecord> replies;
  std::vector<Event> events;
  std::vector<JournalRecord> journal;  // everything ever persisted, in order
  // Told of every step and what came of it.
  std::function<void(const CoreNode&, const Input&, const Effects&)> on_step;
  // Changes what the state's digest says, to play a replica whose state went wrong; a transfer puts it right.
  bool corrupt_state = false;
  // Ledger and batches below the stable checkpoint go, so that others can be helped by the state only.
  bool keeps_ledger = true;

  [[nodiscard]] std::size_t count(Reject reason) const;
  [[nodiscard]] Recovered recover() const;

 private:
  struct SessionState {
    SessionUpdate update;
    std::map<RequestNumber, ReplyRecord> replies;
  };
  struct LedgerEntry {
    Digest batch;
    Digest head;
    Timestamp time;
  };
  // The replicated state. Its tree has one bucket that tells one state from another.
  struct State {
    SequenceNumber n;
    LedgerEntry last;
    std::map<ClientId, ClientUpdate> clients;
    std::map<std::pair<ClientId, SessionId>, SessionState> sessions;
  };
  void persist(JournalRecord record);
  void execute(const Execute& effect, std::deque<Input>& completions);
  void take_checkpoint(SequenceNumber n, std::deque<Input>& completions);
  void stage(const StageBucket& effect, std::deque<Input>& completions);
  void install(const InstallState& effect, std::deque<Input>& completions);
  void send(Send send, std::vector<Send>& sent, std::deque<Input>& inputs);
  void perform(const ExecuteEffect& effect, std::deque<Input>& inputs);
  [[nodiscard]] std::vector<Send> serve(const ServeBatch& serve) const;
  [[nodiscard]] std::vector<Send> serve(const ServeLedger& serve) const;
  [[nodiscard]] std::vector<Send> serve(const ServeTree& serve) const;
  [[nodiscard]] std::vector<Send> serve(const ServeBucket& serve) const;
  [[nodiscard]] std::vector<Digest> leaves(const State& state) const;

  std::optional<Replica> replica_;
  std::optional<PlanTransfer> plan_;
  mutable std::deque<State> served_;  // what was handed out by its address stays where it is
  std::optional<State> staged_;

  // The disk.
  State state_;
  std::map<SequenceNumber, std::map<Digest, BatchPtr>> batches_;
  std::map<SequenceNumber, RecoveredSlot> slots_;
  std::map<SequenceNumber, LedgerEntry> ledger_;
  std::map<SequenceNumber, CheckpointSummary> summaries_;
  std::map<SequenceNumber, State> states_;  // at the checkpoints
  std::optional<PersistStable> stable_;
  std::optional<ViewChange> view_change_;
  std::optional<NewView> new_view_;
  std::optional<PersistRejoin> rejoin_;
};

// A cluster of `replicas` for many clients with many requests each.
ClusterParameters many_clients(std::uint32_t replicas, bool signed_requests);

// A cluster of cores and the messages under way between them.
class CoreCluster {
 public:
  struct InFlight {
    ReplicaId from;
    ReplicaId to;
    PeerMessage message;
  };
  using Filter = std::function<bool(const InFlight&)>;

  explicit CoreCluster(std::uint32_t replicas, std::uint64_t interval = 4, std::uint64_t window = 8,
                       bool signed_requests = true, std::uint64_t transfer_above = 1'000'000,
                       std::uint64_t transfer_bytes_per_tick = 0);
  explicit CoreCluster(ClusterParameters cluster, std::uint64_t transfer_above = 1'000'000,
                       std::uint64_t transfer_bytes_per_tick = 0);

  CoreNode& node(std::uint32_t id) { return nodes_.at(id); }
  [[nodiscard]] std::uint32_t size() const { return static_cast<std::uint32_t>(nodes_.size()); }
  [[nodiscard]] const ClusterParameters& parameters() const { return cluster_; }

  void input(std::uint32_t id, const Input& input);
  // A request arrives at one replica; the turn ends there.
  void request(std::uint32_t id, const BundlePtr& bundle);
  void send(std::uint32_t from, std::uint32_t to, PeerMessage message);
  void tick(std::uint32_t id);
  void tick_all();

  // Delivers what is under way until nothing is; messages for which `drop` is true vanish.
  void run(const Filter& drop = {});
  // Ticks and runs so many times.
  void settle(int rounds = 40, const Filter& drop = {});
  void crash(std::uint32_t id) { down_.insert(id); }
  void restart(std::uint32_t id);
  void wipe(std::uint32_t id);

  // Opens a session at all live replicas and returns it.
  SessionId open(ClientId client, std::uint64_t number = 1);

  std::deque<InFlight> network;
  std::uint64_t clock_us = 1'000'000;

 private:
  void route(ReplicaId from, std::vector<Send> sends);

  ClusterParameters cluster_;
  std::vector<CoreNode> nodes_;
  std::set<std::uint32_t> down_;
};

}  // namespace pbft::testing
