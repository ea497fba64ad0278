#include "node/pbft/replica.h"

#include <cassert>
#include <string>
#include <utility>

#include "node/pbft/catch_up.h"
#include "node/pbft/checkpointing.h"
#include "node/pbft/client_table.h"
#include "node/pbft/delivery.h"
#include "node/pbft/digests.h"
#include "node/pbft/message_log.h"
#include "node/pbft/normal_operation.h"
#include "node/pbft/outbox.h"
#include "node/pbft/reads.h"
#include "node/pbft/request_queue.h"
#include "node/pbft/retransmission.h"

namespace pbft {

struct Replica::Parts {
  Parts(const ClusterParameters& cluster_parameters, const LocalParameters& local_parameters, Recovered recovered)
      : cluster(cluster_parameters),
        local(local_parameters),
        quorum(cluster.replicas),
        log(cluster.replicas, cluster.window, recovered.stable ? recovered.stable->proof.n : SequenceNumber{}),
        clients(cluster, recovered.clients, recovered.sessions),
        queue(local),
        delivery(cluster, clients, queue, recovered),
        normal(cluster, local, log, delivery, clients, queue),
        checkpointing(cluster, local, log, delivery, recovered),
        retransmission(cluster, local, log, delivery, normal, checkpointing),
        catch_up(cluster, local, log, delivery, checkpointing),
        reads(delivery) {
    assert(quorum.is_replica(local.self));
    assert(recovered.executed >= log.low());
    normal.recover(recovered);
  }

  void on(const Tick& tick);
  void on(const TurnEnd&) { normal.propose(out); }
  void on(const PeerInput& input);
  void on(const ClientInput& input);
  void on(const Executed& done) {
    if (!delivery.on_executed(done.n)) out.reject(Reject::stray_completion);
  }
  void on(const CheckpointTaken& done) { checkpointing.on_taken(done.summary, out); }

  void on_peer(ReplicaId sender, const PrePrepare& m) { normal.on_pre_prepare(sender, m, out); }
  void on_peer(ReplicaId sender, const Prepare& m) { normal.on_prepare(sender, m, out); }
  void on_peer(ReplicaId sender, const Commit& m) { normal.on_commit(sender, m, out); }
  void on_peer(ReplicaId sender, const Checkpoint& m) { checkpointing.on_checkpoint(sender, m, out); }
  void on_peer(ReplicaId sender, const StableCheckpoint& m) { checkpointing.on_stable_checkpoint(sender, m, out); }
  void on_peer(ReplicaId sender, const Status& m) { retransmission.on_status(sender, m, out); }
  void on_peer(ReplicaId sender, const FetchBatch& m) { retransmission.on_fetch_batch(sender, m, out); }
  void on_peer(ReplicaId sender, const BatchResponse& m);
  void on_peer(ReplicaId sender, const FetchLedger& m) { catch_up.on_fetch_ledger(sender, m, out); }
  void on_peer(ReplicaId sender, const LedgerRange& m) { catch_up.on_ledger_range(sender, m, out); }
  void on_peer(ReplicaId sender, const Forward& m);

  void on_request(const BundlePtr& bundle);
  [[nodiscard]] bool needs_order(const Bundle& bundle);
  void refuse(const Bundle& bundle, const Request& request, ReplyStatus status, const Bytes& result = {});
  void enqueue(const BundlePtr& bundle);

  [[nodiscard]] std::string waiting_for() const;
  [[nodiscard]] std::string missing_votes(const std::vector<std::optional<Vote>>& votes,
                                          const std::optional<Vote>& vote, std::uint32_t needed,
                                          bool backups_only) const;

  const ClusterParameters cluster;
  const LocalParameters local;
  const Quorum quorum;
  Outbox out;
  MessageLog log;
  ClientTable clients;
  RequestQueue queue;
  Delivery delivery;
  NormalOperation normal;
  Checkpointing checkpointing;
  Retransmission retransmission;
  CatchUp catch_up;
  Reads reads;
  Ticks now = 0;
  bool resumed = false;
};

// ---- Routing ---------------------------------------------------------------------------------------

void Replica::Parts::on(const Tick& tick) {
  ++now;
  normal.set_time(now, tick.wall_clock);
  retransmission.on_tick(now, out);
  catch_up.on_tick(now, normal.view(), out);
}

void Replica::Parts::on(const PeerInput& input) {
  const ReplicaId sender = input.message.sender();
  if (!quorum.is_replica(sender)) return out.reject(Reject::not_a_replica, sender);
  std::visit([&](const auto& message) { on_peer(sender, message); }, input.message.message());
}

void Replica::Parts::on_peer(ReplicaId sender, const BatchResponse& m) {
  const Digest& digest = m.batch->digest;
  bool wanted = false;
  if (catch_up.wants(m.n, digest)) {
    wanted = true;
    catch_up.on_batch(m.n, m.batch);
    catch_up.deliver(normal.view(), out);
  }
  if (retransmission.wants(m.n, digest)) {
    wanted = true;
    normal.on_batch(m.n, m.batch, out);
  }
  if (!wanted) out.reject(Reject::not_asked_for, sender);
}

void Replica::Parts::on_peer(ReplicaId sender, const Forward& m) {
  if (!m.authentic) return out.reject(Reject::bundle_not_authentic, sender);
  if (!normal.is_primary()) return out.reject(Reject::not_primary, sender);
  on_request(m.bundle);
}

void Replica::Parts::on(const ClientInput& input) {
  const ClientId& client = input.message.sender();
  if (!clients.is_client(client)) return out.reject(Reject::not_a_client);
  if (const auto* read = std::get_if<ReadRequest>(&input.message.message())) {
    return reads.on_read(client, *read, input.origin, normal.highest_prepared(), out);
  }
  if (const auto* request = std::get_if<ClientRequest>(&input.message.message())) return on_request(request->bundle);
}

// ---- Requests --------------------------------------------------------------------------------------

void Replica::Parts::on_request(const BundlePtr& bundle) {
  if (delivery.stopped()) return;
  if (!clients.is_client(bundle->client)) return out.reject(Reject::not_a_client);
  if (needs_order(*bundle)) enqueue(bundle);
}

// Answers what is known already: from the cache what was executed, with a refusal what can never be. True where
// anything in the bundle has still to be ordered.
bool Replica::Parts::needs_order(const Bundle& bundle) {
  bool fresh = false;
  for (const Request& request : bundle.requests) {
    switch (clients.state_of(bundle, request)) {
      case RequestState::fresh:
        fresh = true;
        break;
      case RequestState::executed:
        out.send(ResendReply{bundle.client, normal.view(), bundle.session, request.number});
        break;
      case RequestState::forgotten:
        out.reject(Reject::request_too_old);
        break;
      case RequestState::outside_window:
        out.reject(Reject::request_outside_window);
        refuse(bundle, request, ReplyStatus::outside_window);
        break;
      case RequestState::stale_open:
        refuse(bundle, request, ReplyStatus::stale_open, encode_number(clients.last_open(bundle.client).value));
        break;
      case RequestState::unknown_session:
        // A session that this replica has not executed the opening of yet is not unknown.
        if (bundle.session > SessionId{delivery.delivered().value}) {
          fresh = true;
        } else {
          out.reject(Reject::unknown_session);
          refuse(bundle, request, ReplyStatus::unknown_session);
        }
        break;
      case RequestState::not_a_client:
        break;  // checked before
    }
  }
  return fresh;
}

void Replica::Parts::refuse(const Bundle& bundle, const Request& request, ReplyStatus status, const Bytes& result) {
  Reply reply;
  reply.view = normal.view();
  reply.session = bundle.session;
  reply.number = request.number;
  reply.status = status;
  reply.result_digest = reply_digest(status, result);
  reply.result = SharedBytes::copy_of(result);
  out.send(SendReply{bundle.client, std::move(reply)});
}

void Replica::Parts::enqueue(const BundlePtr& bundle) {
  // A client turns to a backup when the primary did not answer it: perhaps it cannot reach the primary.
  if (!normal.is_primary()) return out.send_to(normal.primary(), Forward{bundle, false});
  const RequestQueue::Added added = queue.add(bundle);
  switch (added) {
    case RequestQueue::Added::yes:
      break;
    case RequestQueue::Added::known:
      out.reject(Reject::already_known);
      break;
    case RequestQueue::Added::full:
    case RequestQueue::Added::client_full:
      out.reject(added == RequestQueue::Added::full ? Reject::queue_full : Reject::client_queue_full);
      for (const Request& request : bundle->requests) refuse(*bundle, request, ReplyStatus::busy);
      break;
  }
}

// ---- For people ------------------------------------------------------------------------------------

std::string Replica::Parts::missing_votes(const std::vector<std::optional<Vote>>& votes,
                                          const std::optional<Vote>& vote, std::uint32_t needed,
                                          bool backups_only) const {
  std::string missing;
  for (std::uint32_t i = 0; i < votes.size(); ++i) {
    if (backups_only && ReplicaId{i} == normal.primary()) continue;
    if (vote && votes[i] == vote) continue;
    missing += (missing.empty() ? "" : ", ") + std::to_string(i);
  }
  const std::uint32_t have = vote ? count_matching(votes, *vote) : 0;
  return std::to_string(needed - std::min(have, needed)) + " of " + std::to_string(needed) + " {} at " +
         std::to_string(delivery.next().value) + ", none yet from replica " + missing;
}

std::string Replica::Parts::waiting_for() const {
  if (delivery.stopped()) return "the state here differs from what a quorum certified; execution is stopped";
  if (catch_up.needs_state_transfer()) {
    return "no peer's ledger reaches back to " + std::to_string(delivery.next().value) + " any more";
  }
  if (catch_up.active()) return "batches of the ledger, from " + std::to_string(delivery.next().value) + " on";
  const auto named = [](std::string text, const char* what) { return text.replace(text.find("{}"), 2, what); };
  const Slot* slot = log.find(delivery.next());
  if (slot == nullptr) return "";
  const std::string at = std::to_string(delivery.next().value);
  if (slot->committed) return "the batch of " + at;
  if (!slot->accepted) return "the pre-prepare of " + at + " from replica " + std::to_string(normal.primary().value);
  if (!slot->prepared) {
    return "waiting for " + named(missing_votes(slot->prepares, slot->accepted, quorum.quorum() - 1, true), "PREPAREs");
  }
  return "waiting for " + named(missing_votes(slot->commits, slot->prepared, quorum.quorum(), false), "COMMITs");
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
  parts_->normal.deliver_committed(parts_->out);
  parts_->reads.answer_ready(parts_->out);
  return parts_->out.take();
}

bool Replica::expects(ReplicaId sender, const PrePrepare& message) const {
  return parts_->normal.expects(sender, message);
}

void Replica::invariants() const {
  const Parts& p = *parts_;
  p.clients.invariants();
  p.queue.invariants();
  p.normal.invariants();
  p.checkpointing.invariants();
  assert(p.delivery.executed() <= p.delivery.delivered());
  assert(p.delivery.delivered() >= p.log.low());
}

ReplicaStatus Replica::status() const {
  const Parts& p = *parts_;
  ReplicaStatus s;
  s.view = p.normal.view();
  s.primary = p.normal.primary();
  s.executed = p.delivery.executed();
  s.committed = p.delivery.delivered();
  s.stable = p.log.low();
  s.high = p.log.high();
  s.last_accepted = p.normal.last_proposed();
  s.queued_requests = p.queue.requests();
  s.sessions = p.clients.sessions();
  s.catching_up = p.catch_up.active();
  s.diverged = p.delivery.stopped();
  if (!p.checkpointing.own().empty()) {
    const auto& [n, summary] = *p.checkpointing.own().rbegin();
    s.last_checkpoint = n;
    s.last_root = checkpoint_root(summary);
  }
  s.time = p.delivery.time();
  for (std::uint32_t i = 0; i < p.cluster.replicas; ++i) {
    s.peer_executed.push_back(ReplicaId{i} == p.local.self ? s.executed : p.retransmission.executed_by(ReplicaId{i}));
  }
  s.waiting_for = p.waiting_for();
  return s;
}

const char* to_string(Reject reason) {
  switch (reason) {
    case Reject::not_a_replica:
      return "not_a_replica";
    case Reject::not_from_primary:
      return "not_from_primary";
    case Reject::wrong_view:
      return "wrong_view";
    case Reject::outside_window:
      return "outside_window";
    case Reject::second_preprepare:
      return "second_preprepare";
    case Reject::time_not_later:
      return "time_not_later";
    case Reject::time_ahead:
      return "time_ahead";
    case Reject::empty_batch:
      return "empty_batch";
    case Reject::batch_too_large:
      return "batch_too_large";
    case Reject::not_a_client:
      return "not_a_client";
    case Reject::bundle_not_authentic:
      return "bundle_not_authentic";
    case Reject::vote_from_primary:
      return "vote_from_primary";
    case Reject::second_vote:
      return "second_vote";
    case Reject::already_known:
      return "already_known";
    case Reject::checkpoint_not_boundary:
      return "checkpoint_not_boundary";
    case Reject::proof_too_small:
      return "proof_too_small";
    case Reject::not_asked_for:
      return "not_asked_for";
    case Reject::wrong_digest:
      return "wrong_digest";
    case Reject::bad_ledger_range:
      return "bad_ledger_range";
    case Reject::rate_limited:
      return "rate_limited";
    case Reject::unknown_session:
      return "unknown_session";
    case Reject::request_outside_window:
      return "request_outside_window";
    case Reject::request_too_old:
      return "request_too_old";
    case Reject::queue_full:
      return "queue_full";
    case Reject::client_queue_full:
      return "client_queue_full";
    case Reject::not_primary:
      return "not_primary";
    case Reject::stray_completion:
      return "stray_completion";
    case Reject::count_:
      break;
  }
  return "?";
}

}  // namespace pbft
