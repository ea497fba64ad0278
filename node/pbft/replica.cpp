#include "node/pbft/replica.h"

#include <algorithm>
#include <cassert>
#include <string>
#include <utility>

#include "node/pbft/catch_up.h"
#include "node/pbft/checkpointing.h"
#include "node/pbft/client_table.h"
#include "node/pbft/delivery.h"
#include "node/pbft/message_log.h"
#include "node/pbft/normal_operation.h"
#include "node/pbft/outbox.h"
#include "node/pbft/primary_watch.h"
#include "node/pbft/reads.h"
#include "node/pbft/rejoining.h"
#include "node/pbft/request_intake.h"
#include "node/pbft/request_queue.h"
#include "node/pbft/retransmission.h"
#include "node/pbft/state_transfer.h"
#include "node/pbft/suspects.h"
#include "node/pbft/view_changer.h"
#include "node/pbft/view_state.h"

namespace pbft {

struct Replica::Parts {
  Parts(const ClusterParameters& cluster_parameters, const LocalParameters& local_parameters, Recovered recovered)
      : cluster(cluster_parameters),
        local(local_parameters),
        view(Quorum{cluster.replicas}),
        log(cluster.replicas, cluster.window, recovered.stable ? recovered.stable->proof.n : SequenceNumber{}),
        clients(cluster, recovered.executed, recovered.clients, recovered.sessions),
        queue(local),
        suspects(cluster),
        watch(local, clients, queue, view.quorum),
        delivery(cluster, clients, queue, watch, recovered),
        normal(cluster, local, view, log, delivery, clients, queue, suspects),
        checkpointing(cluster, local, log, delivery, recovered),
        rejoining(cluster, local, view, log, recovered),
        view_changer(cluster, local, view, log, normal, checkpointing, watch),
        retransmission(cluster, local, view, log, delivery, normal, checkpointing, view_changer, rejoining),
        catch_up(cluster, local, log, delivery, checkpointing),
        transfer(cluster, local, log, delivery, checkpointing),
        reads(delivery),
        intake(view, clients, delivery, normal, queue, suspects, watch) {
    assert(view.quorum.is_replica(local.self));
    assert(recovered.executed >= log.low() || recovered.damaged);
    view_changer.recover(recovered);
    normal.recover(recovered);
    entered = view.active ? view.view : View{};
  }

  void on(const Tick& tick);
  void on(const TurnEnd&) {
    if (!transfer.active()) normal.propose(out);
  }
  void on(const PeerInput& input);
  void on(const ClientInput& input);
  void on(const Executed& done) {
    if (!delivery.on_executed(done.n)) out.reject(Reject::stray_completion);
  }
  void on(const CheckpointTaken& done) { checkpointing.on_taken(done.summary, out); }
  void on(const TransferPlanned& done) { transfer.on_planned(done, out); }
  void on(const BucketStaged& done) { transfer.on_staged(done, out); }
  void on(const StateInstalled& done);
  void on(const StateDamaged&);

  void on_peer(ReplicaId sender, const PrePrepare& m);
  void on_peer(ReplicaId sender, const Prepare& m) { normal.on_prepare(sender, m, out); }
  void on_peer(ReplicaId sender, const Commit& m) { normal.on_commit(sender, m, out); }
  void on_peer(ReplicaId sender, const Committed& m) { normal.on_committed(sender, m, out); }
  void on_peer(ReplicaId sender, const Checkpoint& m) { checkpointing.on_checkpoint(sender, m, out); }
  void on_peer(ReplicaId sender, const StableCheckpoint& m) { checkpointing.on_stable_checkpoint(sender, m, out); }
  void on_peer(ReplicaId sender, const Status& m);
  void on_peer(ReplicaId sender, const FetchBatch& m) { retransmission.on_fetch_batch(sender, m, out); }
  void on_peer(ReplicaId sender, const BatchResponse& m);
  void on_peer(ReplicaId sender, const FetchLedger& m) { catch_up.on_fetch_ledger(sender, m, out); }
  void on_peer(ReplicaId sender, const LedgerRange& m) { catch_up.on_ledger_range(sender, m, out); }
  void on_peer(ReplicaId sender, const Forward& m) { intake.on_forward(sender, m, now, out); }
  void on_peer(ReplicaId sender, const ViewChange& m) { view_changer.on_view_change(sender, m, out); }
  void on_peer(ReplicaId sender, const NewView& m) { view_changer.on_new_view(sender, m, out); }
  void on_peer(ReplicaId sender, const FetchTree& m) { transfer.on_fetch_tree(sender, m, out); }
  void on_peer(ReplicaId sender, const Tree& m) { transfer.on_tree(sender, m, out); }
  void on_peer(ReplicaId sender, const FetchBucket& m) { transfer.on_fetch_bucket(sender, m, out); }
  void on_peer(ReplicaId sender, const BucketPart& m) { transfer.on_bucket_part(sender, m, out); }
  void on_peer(ReplicaId sender, const ClientReport& m) {
    if (suspects.on_report(sender, m, now, out)) intake.forget_unsigned(m.client, out);
  }

  // What follows every input.
  void settle();
  void entered_view();

  [[nodiscard]] PrimaryWatch::Standing standing() const;
  [[nodiscard]] bool slot_waits() const;
  [[nodiscard]] std::string waiting_for(std::vector<ReplicaId>& from) const;
  [[nodiscard]] std::string waiting_at(const Slot& slot, std::vector<ReplicaId>& from) const;
  [[nodiscard]] std::string missing_votes(const char* what, const std::vector<std::optional<Vote>>& votes,
                                          const Vote& vote, std::uint32_t needed, std::vector<ReplicaId>& from) const;

  const ClusterParameters cluster;
  const LocalParameters local;
  Outbox out;
  ViewState view;
  MessageLog log;
  ClientTable clients;
  RequestQueue queue;
  Suspects suspects;
  PrimaryWatch watch;
  Delivery delivery;
  NormalOperation normal;
  Checkpointing checkpointing;
  Rejoining rejoining;
  ViewChanger view_changer;
  Retransmission retransmission;
  CatchUp catch_up;
  StateTransfer transfer;
  Reads reads;
  RequestIntake intake;
  Ticks now = 0;
  View entered;  // the last view that was active here
  bool resumed = false;
};

// ---- Routing ---------------------------------------------------------------------------------------

void Replica::Parts::on(const Tick& tick) {
  ++now;
  normal.set_time(now, tick.wall_clock);
  normal.vote_for_vouched(out);
  retransmission.look_for_stuck(now);
  view_changer.on_tick(now, standing(), out);
  intake.on_tick(now, out);
  retransmission.on_tick(now, out);
  const bool was_active = transfer.active();
  transfer.on_tick(now, catch_up.needs_state_transfer(), retransmission.executed_by_weak_quorum(), out);
  if (transfer.active() && !was_active) catch_up.reset();
  catch_up.on_tick(now, view.view, out);
}

void Replica::Parts::on(const PeerInput& input) {
  const ReplicaId sender = input.message.sender();
  if (!view.quorum.is_replica(sender)) return out.reject(Reject::not_a_replica, sender);
  retransmission.heard(sender);
  std::visit([&](const auto& message) { on_peer(sender, message); }, input.message.message());
}

void Replica::Parts::on_peer(ReplicaId sender, const PrePrepare& m) {
  if (normal.on_pre_prepare(sender, m, out)) {
    view_changer.suspect("the primary proposed two batches for one slot", out);
  }
}

void Replica::Parts::on_peer(ReplicaId sender, const Status& m) {
  rejoining.on_status(sender, m, out);
  view_changer.on_status(sender, m, out);
  retransmission.on_status(sender, m, out);
  if (rejoining.grants(sender, m, now)) {
    view_changer.suspect("a replica that has lost its memory asks for another view", out);
  }
}

void Replica::Parts::on_peer(ReplicaId sender, const BatchResponse& m) {
  const Digest& digest = m.batch->digest;
  bool wanted = false;
  if (catch_up.wants(m.n, digest)) {
    wanted = true;
    catch_up.on_batch(m.n, m.batch);
    catch_up.deliver(view.view, out);
  }
  if (normal.wants(m.n, digest) || view_changer.wants(m.n, digest)) {
    wanted = true;
    static_cast<void>(log.slot(m.n, now));
    normal.on_batch(m.n, m.batch, out);
  }
  if (!wanted) out.reject(Reject::not_asked_for, sender);
}

void Replica::Parts::on(const ClientInput& input) {
  const ClientId& client = input.message.sender();
  if (!clients.is_client(client)) return out.reject(Reject::not_a_client);
  if (const auto* read = std::get_if<ReadRequest>(&input.message.message())) {
    // Without its memory a replica does not know what had prepared here.
    if (view.abstains) return out.reject(Reject::rejoining);
    return reads.on_read(client, *read, input.origin, normal.highest_prepared(), out);
  }
  if (const auto* request = std::get_if<ClientRequest>(&input.message.message())) {
    return intake.on_request(request->bundle, now, out);
  }
}

void Replica::Parts::on(const StateInstalled& done) {
  const auto proof = transfer.on_installed(done, out);
  if (!proof) return;
  delivery.installed(done.summary);
  clients.load(done.summary.n, done.clients, done.sessions);
  checkpointing.installed(*proof, done.summary, out);
  catch_up.reset();
  watch.forget_requests();
  intake.state_replaced(now, out);
}

// What was fetched on the ground of this state begins anew, with what can be read of it.
void Replica::Parts::on(const StateDamaged&) {
  delivery.stop();
  transfer.abandon();
  catch_up.reset();
}

void Replica::Parts::settle() {
  static_cast<void>(rejoining.try_to_end(out));
  view_changer.try_to_open(out);
  if (view.active && entered != view.view) entered_view();
  normal.vote_on_opening(out);
  normal.deliver_committed(out);
  reads.answer_ready(out);
}

void Replica::Parts::entered_view() {
  entered = view.view;
  reads.lower_barriers(std::max(view.opening.end(), delivery.delivered()));
  intake.entered_view(now, out);
}

// ---- The primary's standing --------------------------------------------------------------------------

bool Replica::Parts::slot_waits() const {
  if (delivery.delivered() < view.opening.end()) return true;
  const auto& slots = log.slots();
  return std::any_of(slots.upper_bound(delivery.delivered()), slots.end(),
                     [](const auto& entry) { return entry.second.accepted || entry.second.held; });
}

PrimaryWatch::Standing Replica::Parts::standing() const {
  // A replica that is behind a certified state, or does not hear the others, has nothing to hold against the primary.
  // What others merely say that they executed is no excuse for it: it may have shown them more than it shows this one.
  const auto& proven = checkpointing.highest_proven();
  const bool behind = proven && proven->n > delivery.delivered();
  PrimaryWatch::Standing standing;
  standing.watching = view.votes() && !behind && delivery.open() && retransmission.connected();
  standing.primary = normal.is_primary();
  standing.suspected = view_changer.suspects();
  standing.slot_waits = slot_waits();
  standing.stuck = retransmission.others_are_stuck();
  standing.primary_silent = retransmission.silence_of(view.primary(), now);
  return standing;
}

// ---- For people ------------------------------------------------------------------------------------

std::string Replica::Parts::missing_votes(const char* what, const std::vector<std::optional<Vote>>& votes,
                                          const Vote& vote, std::uint32_t needed, std::vector<ReplicaId>& from) const {
  for (std::uint32_t i = 0; i < votes.size(); ++i) {
    const bool counts = needed == view.quorum.quorum() || ReplicaId{i} != view.primary();
    if (counts && votes[i] != vote) from.push_back(ReplicaId{i});
  }
  const std::uint32_t have = std::min(count_matching(votes, vote), needed);
  return "waiting for " + std::to_string(needed - have) + " of " + std::to_string(needed) + " " + what + " at " +
         std::to_string(delivery.next().value);
}

std::string Replica::Parts::waiting_at(const Slot& slot, std::vector<ReplicaId>& from) const {
  const std::string at = std::to_string(delivery.next().value);
  if (slot.committed) return "waiting for the batch of " + at;
  if (!slot.accepted) {
    from.assign(1, view.primary());
    return "waiting for the pre-prepare of " + at;
  }
  if (!slot.prepared || slot.prepared->view != view.view) {
    return missing_votes("PREPAREs", slot.prepares, *slot.accepted, view.quorum.quorum() - 1, from);
  }
  return missing_votes("COMMITs", slot.commits, *slot.prepared, view.quorum.quorum(), from);
}

std::string Replica::Parts::waiting_for(std::vector<ReplicaId>& from) const {
  if (transfer.active()) return transfer.waiting_for(from);
  if (delivery.stopped()) {
    return local.repair ? "the state here is not what a quorum certified; waiting for a checkpoint to repair it from"
                        : "the state here is not what a quorum certified; execution is stopped until the replica is "
                          "started with --repair";
  }
  if (catch_up.active()) return "batches of the ledger, from " + std::to_string(delivery.next().value) + " on";
  if (!view.active) return view_changer.waiting_for(from);
  const std::string rejoin = rejoining.waiting_for();
  if (!rejoin.empty()) return rejoin;
  const Slot* slot = log.find(delivery.next());
  if (slot != nullptr) return waiting_at(*slot, from);
  if (delivery.delivered() == log.high()) return checkpointing.waiting_for(from);
  return view_changer.suspects() ? view_changer.waiting_for(from) : "";
}

// ---- Replica ---------------------------------------------------------------------------------------

Replica::Replica(const ClusterParameters& cluster, const LocalParameters& local, Recovered recovered)
    : parts_(std::make_unique<Parts>(cluster, local, std::move(recovered))) {}
Replica::~Replica() = default;
Replica::Replica(Replica&&) noexcept = default;
Replica& Replica::operator=(Replica&&) noexcept = default;

Effects Replica::step(const Input& input) {
  // Before anything else: a checkpoint that a crash cut off is that of the state as it is now.
  if (!std::exchange(parts_->resumed, true)) parts_->checkpointing.resume(parts_->out);
  std::visit([&](const auto& concrete) { parts_->on(concrete); }, input);
  parts_->settle();
  if (const auto* end = std::get_if<TurnEnd>(&input); end != nullptr && !end->again)
    parts_->reads.end_turn(end->reads_left);
  return parts_->out.take();
}

bool Replica::expects(ReplicaId sender, const PrePrepare& message) const {
  return parts_->normal.expects(sender, message);
}

bool Replica::expects(ReplicaId, const Forward&) const {
  return parts_->normal.is_primary();
}

bool Replica::reads_are_left() const {
  return parts_->reads.any_ready();
}

bool Replica::must_sign(const ClientId& client) const {
  return parts_->suspects.must_sign(client, parts_->now);
}

void Replica::invariants() const {
  const Parts& p = *parts_;
  p.view_changer.invariants();
  p.watch.invariants();
  p.suspects.invariants();
  p.transfer.invariants();
  p.clients.invariants();
  p.queue.invariants();
  p.normal.invariants();
  p.checkpointing.invariants();
  assert(p.delivery.executed() <= p.delivery.delivered());
  assert(!p.queue.in_flight_up_to(p.delivery.delivered()));
  assert(p.delivery.delivered() >= p.log.low() || p.delivery.stopped());
}

ReplicaStatus Replica::status() const {
  const Parts& p = *parts_;
  ReplicaStatus s;
  s.view = p.view.view;
  s.active = p.view.active;
  s.primary = p.view.primary();
  s.executed = p.delivery.executed();
  s.committed = p.delivery.delivered();
  s.stable = p.log.low();
  s.high = p.log.high();
  for (const auto& [n, slot] : p.log.slots()) {
    if (slot.accepted) s.last_accepted = n;
  }
  s.queued_requests = p.queue.requests();
  s.sessions = p.clients.sessions();
  s.catching_up = p.catch_up.active();
  s.diverged = p.delivery.stopped();
  s.rejoining = p.view.abstains;
  s.transferring = p.transfer.active();
  const StateTransfer::Progress progress = p.transfer.progress();
  s.transfer_to = progress.to;
  s.transfer_buckets = progress.buckets;
  s.transfer_left = progress.left;
  s.transfer_bytes = progress.bytes;
  s.waiting_clients = p.watch.waiting();
  s.view_timeout_ticks = p.watch.timeout();
  if (const Checkpointing::Own* own = p.checkpointing.last_own()) {
    s.last_checkpoint = own->summary.n;
    s.last_root = own->root;
  }
  s.time = p.delivery.time();
  for (std::uint32_t i = 0; i < p.cluster.replicas; ++i) {
    s.peer_executed.push_back(ReplicaId{i} == p.local.self ? s.executed : p.retransmission.executed_by(ReplicaId{i}));
  }
  s.waiting_for = p.waiting_for(s.waiting_from);
  return s;
}

}  // namespace pbft
