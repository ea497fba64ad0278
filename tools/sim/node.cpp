#include "tools/sim/node.h"

#include <fmt/format.h>

#include <algorithm>

#include "node/wire/codec.h"
#include "pbft/plugin.h"
#include "tools/sim/describe.h"
#include "tools/sim/kv_language.h"
#include "tools/sim/liar_in_run.h"
#include "tools/sim/node_process.h"
#include "tools/sim/rocks_disk.h"

// The kv plugin, linked in.
extern "C" const pbft_plugin_v1* pbft_kv_plugin(void);

namespace pbft::sim {
namespace {

constexpr std::size_t inbox_limit = 20'000;  // like the high-water marks of the bus

storage::StoreOptions store_options(const Plan& plan) {
  storage::StoreOptions options;
  options.checkpoint_interval = plan.cluster.checkpoint_interval;
  options.ledger_keep = plan.ledger_keep;
  options.gather_bytes = plan.gather_bytes;
  options.write_bytes = plan.write_bytes;
  options.least_tree_rows = plan.tree_rows;
  options.pairs_per_tree_row = plan.pairs_per_row;
  return options;
}

// What must be durable before it is said, beyond votes.
bool is_promise(const PeerMessage& message) {
  return std::holds_alternative<Checkpoint>(message) || std::holds_alternative<ViewChange>(message) ||
         std::holds_alternative<NewView>(message);
}

std::optional<SequenceNumber> voted_on(const PeerMessage& message) {
  if (const auto* pre_prepare = std::get_if<PrePrepare>(&message)) return pre_prepare->n;
  if (const auto* prepare = std::get_if<Prepare>(&message)) return prepare->n;
  if (const auto* commit = std::get_if<Commit>(&message)) return commit->n;
  return std::nullopt;
}

}  // namespace

Node::Node(World& world, ReplicaId id, Endpoint endpoint)
    : world_(world),
      id_(id),
      endpoint_(endpoint),
      random_(Random::stream(world.plan.seed, fmt::format("node {}", endpoint))),
      liar_(world.plan.lies(id.value) ? make_liar(world, id) : nullptr) {
  new_disk();
  const auto created = storage::Store::create(*disk_, {world_.roster.cluster, id_});
  if (!created) world_.findings.report({"storage", 0, {id_.value}, "create: " + created.error().message});
}

Node::~Node() = default;

// ---- Life and death ---------------------------------------------------------------------------------

void Node::new_disk() {
  auto medium =
      world_.plan.rocksdb
          ? rocksdb_medium(Random::stream(world_.plan.seed, fmt::format("rocksdb {} {}", endpoint_, disks_++)))
          : memory_medium();
  disk_ = std::make_shared<Disk>(std::move(medium), [this] { boundary(Boundary::write); });
}

void Node::wipe() {
  new_disk();
  world_.checkers.promises.wiped(id_);
  world_.checkers.progress.wiped(id_);
  const storage::StoreIdentity identity{world_.roster.cluster, id_};
  const auto report = [this](const storage::StorageError& error) {
    world_.findings.report({"storage", 0, {id_.value}, "create anew: " + error.message});
  };
  if (const auto created = storage::Store::create(*disk_, identity); !created) return report(created.error());
  auto store = storage::Store::open(disk_, identity, store_options(world_.plan));
  if (!store) return report(store.error());
  if (const auto done = (*store)->persist({PersistRejoin{}}); !done) report(done.error());
}

void Node::remember_disk() {
  old_disk_ = disk_->image();
}

void Node::forget() {
  new_disk();
  world_.injected(Fault::crash);
  ++world_.lies[static_cast<std::size_t>(Lie::amnesia)];
  if (const auto done = disk_->write(*old_disk_, storage::Sync::durable); !done) {
    world_.findings.report({"storage", 0, {id_.value}, "amnesia: " + done.error().message});
  }
}

void Node::start() {
  ++life_;
  ++starts_;
  inbox_.clear();
  turn_scheduled_ = false;
  boundaries_left_ = 0;
  damage_due_ = false;
  paused_until_ = 0;
  repair_disk();
  disk_was_broken_ = false;
  world_.trace.record(Trace::Kind::process, endpoint_, starts_, 0);
  process_ = std::make_unique<Process>(*this);
  if (const std::optional<std::string> error = open()) {
    process_.reset();
    world_.findings.report({"recovery", 0, {id_.value}, *error});
    return;
  }
  const Cadence& late = world_.plan.of(Fault::late_subscription);
  if (starts_ > 1 && late.longest > 0)
    world_.network.quiet(endpoint_, world_.scheduler.now() + random_.below(late.longest));
  schedule_tick();
}

std::optional<std::string> Node::open() {
  Process& process = *process_;
  if (const auto started = disk_->start(); !started) return "open: " + started.error().message;
  auto store = storage::Store::open(disk_, {world_.roster.cluster, id_}, store_options(world_.plan));
  if (!store) return "open: " + store.error().message;
  process.store = std::move(*store);
  auto recovered = process.store->recover(world_.cluster.window);
  if (!recovered) return "recover: " + recovered.error().message;
  auto plugin = execution::Plugin::from_table(pbft_kv_plugin(), "");
  if (!plugin) return "plugin: " + plugin.error();
  process.plugin = std::move(*plugin);
  auto executor = execution::Executor::open(*process.store, *process.plugin, world_.plan.table_bytes);
  if (!executor) return "executor: " + executor.error().message;
  process.executor = std::move(*executor);

  count_restart(*recovered);
  world_.trace.say([&] {
    return fmt::format("{} starts, executed {} stable {}", endpoint_, recovered->executed.value,
                       recovered->stable ? recovered->stable->proof.n.value : 0);
  });

  LocalParameters local = world_.plan.local;
  local.self = id_;
  process.replica.emplace(world_.cluster, local, std::move(*recovered));
  process.authenticator.emplace(world_.roster, id_, world_.replica_identities[id_.value], world_.scheme);
  runtime::DriverParts parts{*process.replica,
                             *process.authenticator,
                             *process.store,
                             *process.executor,
                             process,
                             process,
                             world_.cluster.epoch,
                             process.plugin->identity(),
                             {},
                             {},
                             id_,
                             world_.cluster.replicas,
                             world_.plan.checkpoint_pairs};
  parts.learn_route = [&process](const ClientId& client, SessionId session, RequestNumber number, Origin origin) {
    process.learn_route({client, session, session.value == 0 ? number : RequestNumber{}},
                        static_cast<Endpoint>(origin.value));
  };
  process.driver.emplace(std::move(parts));
  return std::nullopt;
}

void Node::count_restart(const Recovered& recovered) {
  const View entered = recovered.new_view ? recovered.new_view->view : View{};
  const View left = recovered.view_change ? recovered.view_change->view : View{};
  process_->entered = entered;
  if (!liar_) {
    world_.checkers.promises.recovered(id_, recovered);
    world_.checkers.progress.restarted(id_, recovered.executed,
                                       recovered.stable ? recovered.stable->proof.n : SequenceNumber{},
                                       std::max(entered, left));
  }
  if (left > entered) ++world_.sometimes.restart_inactive;
  if (recovered.executed.value < last_executed_) ++world_.sometimes.executed_again;
  for (const auto& [n, slot] : recovered.slots) {
    if (n <= recovered.executed) continue;
    if (slot.prepared) {
      ++world_.sometimes.restart_prepared;
    } else if (!slot.accepted.empty()) {
      ++world_.sometimes.restart_accepted;
    }
  }
}

void Node::crash(std::size_t kept) {
  if (!running()) return;
  ++life_;
  const std::size_t unsynced = disk_->unsynced_writes();
  if (kept > 0 && kept < unsynced) world_.injected(Fault::torn_log);
  world_.trace.say([&] { return fmt::format("{} crashes, keeps {} of {} writes", endpoint_, kept, unsynced); });
  world_.trace.record(Trace::Kind::process, endpoint_, 0, kept);
  last_executed_ = process_->replica->status().executed.value;
  process_.reset();
  inbox_.clear();
  boundaries_left_ = 0;
  disk_->lose_power(kept);
  down_since_ = world_.scheduler.now();
}

void Node::crash() {
  const std::size_t unsynced = disk_->unsynced_writes();
  const std::uint64_t how = random_.below(3);
  crash(how == 0 ? 0 : how == 1 ? unsynced : random_.below(unsynced + 1));
}

const char* to_string(Boundary boundary) {
  switch (boundary) {
    case Boundary::write:
      return "before a write";
    case Boundary::before_send:
      return "before a send";
    case Boundary::after_send:
      return "after a send";
    case Boundary::executed:
      return "after an execution";
    case Boundary::checkpoint:
      return "after a checkpoint";
    case Boundary::count_:
      break;
  }
  return "unknown";
}

void Node::boundary(Boundary at) {
  if (boundary_watcher_) boundary_watcher_(at);
  if (boundaries_left_ == 0 || --boundaries_left_ > 0) return;
  throw SimulatedCrash{};
}

void Node::break_disk() {
  disk_broken_ = true;
  disk_was_broken_ = true;
  disk_->fail(true);
}

void Node::repair_disk() {
  disk_broken_ = false;
  disk_->fail(false);
}

void Node::find_damage() {
  if (!running()) return;
  damage_due_ = true;
  schedule_turn();
}

void Node::mend() {
  repair_disk();
  // It may have failed already where that shows only at the next write.
  if (disk_was_broken_ && disk_->fails_late()) crash();
  set_clock(0, 0, std::nullopt);
  boundaries_left_ = 0;
  paused_until_ = 0;
}

void Node::stopped(const storage::StorageError& error) {
  world_.trace.say([&] { return fmt::format("{} stops: {}", endpoint_, error.message); });
  if (disk_broken_ || liar_ || (disk_was_broken_ && disk_->fails_late())) {
    world_.injected(Fault::disk_error);
  } else {
    world_.findings.report({"node-error", 0, {id_.value}, error.message});
  }
  crash();
}

// ---- Turns ------------------------------------------------------------------------------------------

void Node::set_clock(std::int64_t offset_us, std::int64_t drift_ppm, std::optional<Fault> cause) {
  clock_offset_us_ = offset_us;
  clock_drift_ppm_ = drift_ppm;
  clock_cause_ = cause;
}

void Node::clock_shows() {
  if (clock_cause_ && (clock_offset_us_ != 0 || clock_drift_ppm_ != 0)) world_.injected(*clock_cause_);
}

void Node::pause(Microseconds until) {
  paused_until_ = until;
  pause_shows_ = false;
}

// A pause counts with the first thing that it holds back.
bool Node::held_back() {
  if (paused_until_ <= world_.scheduler.now()) return false;
  if (!std::exchange(pause_shows_, true)) world_.injected(Fault::pause);
  return true;
}

Timestamp Node::clock() const {
  const auto drift = static_cast<std::int64_t>(world_.scheduler.now()) / 1'000'000 * clock_drift_ppm_;
  return Timestamp{world_.wall_clock().value + static_cast<std::uint64_t>(clock_offset_us_ + drift)};
}

void Node::schedule_tick() {
  world_.scheduler.after(world_.plan.tick, [this, life = life_] {
    if (life != life_) return;
    schedule_tick();
    if (!held_back()) turn(true);
  });
}

void Node::schedule_turn() {
  if (turn_scheduled_) return;
  turn_scheduled_ = true;
  const Microseconds time = world_.scheduler.now() + random_.below(world_.plan.turn_max);
  (void)held_back();
  world_.scheduler.at(std::max(time, paused_until_), [this, life = life_] {
    if (life == life_) turn(false);
  });
}

void Node::receive(Endpoint from, const SharedBytes& frame) {
  if (!running() || inbox_.size() >= inbox_limit) return;
  inbox_.push_back({from, frame});
  schedule_turn();
}

void Node::take(const Frame& frame) {
  if (world_.is_replica(frame.from)) {
    if (liar_ && !liar_->hear(open_peer_frame(frame.bytes).messages)) return;
    if (world_.plan.proofs_break()) judge_proofs(frame.bytes);
    return process_->driver->peer_frame(frame.bytes, world_.replica_at(frame.from));
  }
  const std::uint32_t client = world_.client_processes.at(frame.from);
  const ClientId id = world_.client_identities[client].client_id();
  if (liar_ && !liar_->hear(id, open_client_frame(frame.bytes).messages)) return;
  process_->driver->client_frame(frame.bytes, world_.client_channels[client], Origin{frame.from});
}

void Node::judge_proofs(const SharedBytes& frame) {
  for (const PeerMessage& message : open_peer_frame(frame).messages) {
    const auto* proposal = std::get_if<PrePrepare>(&message);
    if (proposal == nullptr) continue;
    for (const BundlePtr& bundle : proposal->batch->bundles) {
      if (!process_->authenticator->bundle_authentic(*bundle)) unproven_.insert(proposal->batch->digest);
    }
  }
}

void Node::turn(bool tick) {
  turn_scheduled_ = false;
  try {
    if (tick) process_->driver->tick(clock());
    for (const Frame& frame : std::exchange(inbox_, {})) take(frame);
    if (std::exchange(damage_due_, false)) {
      world_.injected(Fault::state_damaged);
      world_.checkers.progress.damaged(id_);
      if (auto marked = process_->driver->state_damaged(); !marked) return stopped(marked.error());
    }
    if (auto done = process_->driver->end_turn(); !done) return stopped(done.error());
  } catch (const SimulatedCrash&) {
    world_.injected(Fault::crash_at_boundary);
    return lose_all_ ? crash(0) : crash();
  }
  after_turn();
}

void Node::after_turn() {
  if (!liar_) process_->replica->invariants();
  const ReplicaStatus status = process_->replica->status();
  if (!liar_) world_.checkers.progress.status(id_, status);
  if (status.primary == id_ && status.last_accepted == status.high) ++world_.sometimes.window_stall;
  world_.trace.record(Trace::Kind::turn, endpoint_, status.executed.value, status.stable.value);
}

void Node::sent(Endpoint to, bool broadcast, const SharedBytes& frame) {
  const Opened<PeerMessage> opened = open_peer_frame(frame);
  world_.trace.say([&] {
    return fmt::format("{} -> {}  {}", endpoint_, broadcast ? std::string{"*"} : std::to_string(to),
                       describe(opened.messages));
  });
  world_.trace.record(Trace::Kind::send, endpoint_, broadcast ? ~0U : to, fast_hash(frame.view()));
  if (frame.size() > Limits::max_packet_bytes) {
    world_.findings.report({"bounds", 0, {id_.value}, "a frame beyond the limit was sent"});
  }
  if (liar_) return lie(to, broadcast, opened.messages);
  check_sent(opened.messages);
  if (!broadcast) return world_.send(endpoint_, ReplicaId{to}, frame, opened.types);
  for (Endpoint peer = 0; peer < world_.cluster.replicas; ++peer) {
    if (peer != id_.value) world_.send(endpoint_, ReplicaId{peer}, frame, opened.types);
  }
}

void Node::check_sent(const std::vector<PeerMessage>& messages) {
  bool promise = false;
  const ReplicaStatus status = process_->replica->status();
  for (const PeerMessage& message : messages) {
    if (const std::optional<SequenceNumber> n = voted_on(message)) {
      world_.checkers.progress.voted(id_, *n, status.stable);
    }
    promise = promise || voted_on(message) || is_promise(message);
    world_.checkers.promises.sent(id_, message);
    count_sent(message, status);
  }
  if (promise && disk_->promises_unsynced()) {
    world_.findings.report(
        {"durable-before-audible", 0, {id_.value}, "sent while a promise was not synced: " + describe(messages)});
  }
  // What the disk holds is all durable now as far as promises go, so a look into it now and then shows whether what
  // has just been said is there.
  if (promise && random_.chance(10)) {
    if (const auto memory = process_->store->recover()) world_.checkers.promises.recovered(id_, *memory);
  }
}

void Node::count_sent(const PeerMessage& message, const ReplicaStatus& status) {
  Sometimes& sometimes = world_.sometimes;
  if (const auto* proposal = std::get_if<PrePrepare>(&message)) {
    proposes(*proposal);
  } else if (const auto* prepare = std::get_if<Prepare>(&message)) {
    if (unproven_.erase(prepare->digest) > 0) ++sometimes.vouched;
    const auto ran = ran_in_.find(prepare->n);
    if (ran != ran_in_.end() && prepare->n <= status.executed && ran->second < prepare->view) ++sometimes.voted_again;
  } else if (std::holds_alternative<FetchBatch>(message)) {
    if (!status.active) ++sometimes.fetched_between_views;
  } else if (std::holds_alternative<Committed>(message)) {
    ++sometimes.told_committed;
  }
}

// Of a twin's copies both are asked, of others only what their clock did.
void Node::proposes(const PrePrepare& proposal) {
  clock_shows();
  if (!world_.plan.twins(id_.value)) return;
  const auto [at, fresh] = world_.twin_proposals.try_emplace({id_, proposal.view, proposal.n}, proposal.batch->digest);
  if (!fresh && at->second != proposal.batch->digest) ++world_.sometimes.twins_differ;
}

void Node::lie(Endpoint to, bool broadcast, const std::vector<PeerMessage>& messages) {
  for (const PeerMessage& message : messages) {
    if (const auto* proposal = std::get_if<PrePrepare>(&message)) proposes(*proposal);
  }
  for (Endpoint peer = 0; peer < world_.cluster.replicas; ++peer) {
    if (peer == id_.value || (!broadcast && peer != to)) continue;
    for (const Liar::Outgoing& outgoing : liar_->speak(ReplicaId{peer}, messages)) {
      const auto send = [this, peer, frame = outgoing.frame] {
        world_.send(endpoint_, ReplicaId{peer}, frame, open_peer_frame(frame).types);
      };
      outgoing.delay > 0 ? world_.scheduler.after(outgoing.delay, send) : send();
    }
  }
}

// ---- For the end of a run ---------------------------------------------------------------------------

ReplicaStatus Node::status() const {
  return process_->replica->status();
}

std::optional<std::string> Node::value(const std::string& key) const {
  KvOperation get;
  get.key = key;
  const ReadReply reply = process_->executor->query({}, RequestNumber{}, get.bytes());
  if (reply.status != ReplyStatus::ok) return std::nullopt;
  return std::string{as_text(reply.result.view())};
}

Digest Node::state_digest() const {
  const auto digest = process_->store->recompute_state_digest();
  if (digest) return *digest;
  world_.findings.report({"storage", 0, {id_.value}, digest.error().message});
  return {};
}

}  // namespace pbft::sim
