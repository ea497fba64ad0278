#include "tests/pbft/harness.h"

#include <cassert>

#include "node/pbft/client_table.h"

namespace pbft::testing {

ClientId client_id(std::uint8_t number) {
  ClientId id;
  id.bytes.fill(number);
  return id;
}

BundlePtr make_bundle(ClientId client, SessionId session, std::uint64_t low, const std::vector<std::uint64_t>& numbers,
                      RequestKind kind) {
  Bundle bundle;
  bundle.client = client;
  bundle.session = session;
  bundle.low = RequestNumber{low};
  std::string body = "body";
  for (const std::uint8_t byte : client.bytes) body += static_cast<char>(byte);
  body += std::to_string(session.value) + "/" + std::to_string(low);
  for (const std::uint64_t number : numbers) {
    Request request;
    request.number = RequestNumber{number};
    request.kind = kind;
    if (kind == RequestKind::execute) request.operation = SharedBytes::own(to_bytes("op" + std::to_string(number)));
    bundle.requests.push_back(request);
    body += "," + std::to_string(number);
  }
  bundle.body = SharedBytes::own(to_bytes(body));
  bundle.digest = bundle_digest(bundle.body.view());
  return std::make_shared<const Bundle>(std::move(bundle));
}

BundlePtr make_open(ClientId client, std::uint64_t number) {
  return make_bundle(client, SessionId{}, 0, {number}, RequestKind::open_session);
}

BatchPtr make_batch(std::uint64_t time, std::vector<BundlePtr> bundles) {
  const Digest digest = batch_digest(Timestamp{time}, bundles);
  return std::make_shared<const Batch>(Batch{Timestamp{time}, std::move(bundles), digest});
}

// ---- CoreNode --------------------------------------------------------------------------------------

CoreNode::CoreNode(const ClusterParameters& cluster_parameters, const LocalParameters& local_parameters)
    : cluster(cluster_parameters), local(local_parameters) {
  restart();
}

void CoreNode::restart() {
  replica_.emplace(cluster, local, recover());
}

std::size_t CoreNode::count(Reject reason) const {
  std::size_t result = 0;
  for (const Event& event : events) {
    const auto* rejected = std::get_if<Rejected>(&event);
    result += rejected != nullptr && rejected->reason == reason ? 1 : 0;
  }
  return result;
}

std::vector<Send> CoreNode::step(const Input& first) {
  std::vector<Send> sent;
  std::deque<Input> inputs{first};
  while (!inputs.empty()) {
    const Input input = std::move(inputs.front());
    inputs.pop_front();
    Effects effects = replica_->step(input);
    if (on_step) on_step(*this, input, effects);
    replica_->invariants();
    events.insert(events.end(), effects.events.begin(), effects.events.end());
    for (const JournalRecord& record : effects.persist) persist(record);
    for (Send& send : effects.send) {
      if (const auto* batch = std::get_if<ServeBatch>(&send)) {
        for (Send& answer : serve(*batch)) sent.push_back(std::move(answer));
      } else if (const auto* ledger = std::get_if<ServeLedger>(&send)) {
        for (Send& answer : serve(*ledger)) sent.push_back(std::move(answer));
      } else {
        auto* broadcast = std::get_if<Broadcast>(&send);
        auto* checkpoint = broadcast == nullptr ? nullptr : std::get_if<Checkpoint>(&broadcast->message);
        if (checkpoint != nullptr) {
          checkpoint->signed_bytes = SharedBytes::own(to_bytes("signed by " + std::to_string(local.self.value)));
          inputs.emplace_back(PeerInput{Forge::peer(local.self, *checkpoint)});
        }
        sent.push_back(std::move(send));
      }
    }
    for (const ExecuteEffect& effect : effects.execute) {
      if (const auto* run = std::get_if<Execute>(&effect)) execute(*run, inputs);
      if (const auto* checkpoint = std::get_if<TakeCheckpoint>(&effect)) take_checkpoint(checkpoint->n, inputs);
    }
    if (effects.truncate) slots_.erase(slots_.begin(), slots_.upper_bound(effects.truncate->n));
  }
  return sent;
}

void CoreNode::persist(const JournalRecord& record) {
  journal.push_back(record);
  if (const auto* batch = std::get_if<PersistBatch>(&record)) {
    batches_[batch->n][batch->batch->digest] = batch->batch;
  } else if (const auto* accepted = std::get_if<PersistAccepted>(&record)) {
    slots_[accepted->n].accepted = RecoveredMark{accepted->view, accepted->digest};
  } else if (const auto* prepared = std::get_if<PersistPrepared>(&record)) {
    slots_[prepared->n].prepared = RecoveredMark{prepared->view, prepared->digest};
  } else if (const auto* stable = std::get_if<PersistStable>(&record)) {
    stable_ = *stable;
  }
}

void CoreNode::execute(const Execute& effect, std::deque<Input>& completions) {
  assert(ledger_.empty() ? effect.n.value == 1 : effect.n == ledger_.rbegin()->first.next());
  assert(batches_.at(effect.n).contains(effect.batch->digest));  // durable before it is executed
  executed[effect.n] = effect.batch->digest;
  ledger_[effect.n] = {effect.batch->digest, effect.ledger_head, effect.time};
  for (const ClientUpdate& update : effect.clients) clients_[update.client] = update;
  for (const SessionUpdate& update : effect.sessions) {
    SessionState& session = sessions_[{update.client, update.session}];
    session.update = update;
    session.replies.erase(session.replies.begin(), session.replies.lower_bound(update.low));
  }
  for (const RunRequest& run : effect.run) {
    const Bundle& bundle = *effect.batch->bundles.at(run.bundle);
    const Request& request = bundle.requests.at(run.request);
    ReplyRecord reply{bundle.client, bundle.session, request.number, ReplyStatus::ok, encode_number(effect.n.value)};
    if (run.decided) std::tie(reply.status, reply.result) = *run.decided;
    const auto session = sessions_.find({bundle.client, bundle.session});
    assert(!run.cached || request.kind == RequestKind::open_session || session != sessions_.end());
    if (run.cached && session != sessions_.end()) session->second.replies[request.number] = reply;
    replies.push_back(reply);
  }
  for (const EvictedSession& evicted : effect.evicted) sessions_.erase({evicted.client, evicted.session});
  completions.emplace_back(Executed{effect.n});
}

void CoreNode::take_checkpoint(SequenceNumber n, std::deque<Input>& completions) {
  assert(ledger_.rbegin()->first == n);
  const LedgerEntry& entry = ledger_.at(n);
  CheckpointSummary summary;
  summary.n = n;
  summary.state = tagged_digest(corrupt_state ? "corrupt" : "state", entry.head.view());
  summary.ledger_head = entry.head;
  summary.time = entry.time;
  summary.epoch = cluster.epoch;
  summaries_[n] = summary;
  completions.emplace_back(CheckpointTaken{summary});
}

std::vector<Send> CoreNode::serve(const ServeBatch& serve) const {
  const auto found = batches_.find(serve.n);
  if (found == batches_.end() || !found->second.contains(serve.digest)) return {};
  return {SendTo{serve.to, BatchResponse{serve.n, found->second.at(serve.digest)}}};
}

std::vector<Send> CoreNode::serve(const ServeLedger& serve) const {
  if (!summaries_.contains(serve.last)) return {};
  LedgerRange range{serve.first, summaries_.at(serve.last), {}};
  for (SequenceNumber n = serve.first; n <= serve.last; n = n.next()) range.digests.push_back(ledger_.at(n).batch);
  return {SendTo{serve.to, std::move(range)}};
}

Recovered CoreNode::recover() const {
  Recovered recovered;
  recovered.ledger_head = genesis_ledger_head();
  if (!ledger_.empty()) {
    recovered.executed = ledger_.rbegin()->first;
    recovered.ledger_head = ledger_.rbegin()->second.head;
    recovered.time = ledger_.rbegin()->second.time;
  }
  recovered.stable = stable_;
  const SequenceNumber low = stable_ ? stable_->proof.n : SequenceNumber{};
  for (const auto& [n, summary] : summaries_) {
    if (n > low) recovered.checkpoints.push_back(summary);
  }
  recovered.slots = slots_;
  for (const auto& [n, known] : batches_) {
    if (n > low) recovered.slots[n].batches = known;
  }
  for (const auto& [id, client] : clients_) recovered.clients.push_back(client);
  for (const auto& [key, session] : sessions_) {
    RecoveredSession copy{session.update, {}};
    for (const auto& [number, reply] : session.replies) copy.executed.push_back(number);
    recovered.sessions.push_back(std::move(copy));
  }
  return recovered;
}

// ---- CoreCluster -------------------------------------------------------------------------------------

CoreCluster::CoreCluster(std::uint32_t replicas, std::uint64_t interval, std::uint64_t window) {
  cluster_.replicas = replicas;
  cluster_.checkpoint_interval = interval;
  cluster_.window = window;
  cluster_.session_window = 16;
  cluster_.max_sessions = 4;
  for (std::uint8_t i = 1; i <= 8; ++i) cluster_.clients.insert(client_id(i));
  for (std::uint32_t i = 0; i < replicas; ++i) {
    LocalParameters local;
    local.self = ReplicaId{i};
    local.status_interval_ticks = 4;
    local.idle_status_interval_ticks = 10;
    local.fetch_timeout_ticks = 4;
    nodes_.emplace_back(cluster_, local);
  }
  tick_all();
  network.clear();
}

void CoreCluster::route(ReplicaId from, std::vector<Send> sends) {
  for (Send& send : sends) {
    if (const auto* broadcast = std::get_if<Broadcast>(&send)) {
      for (std::uint32_t to = 0; to < size(); ++to) {
        if (ReplicaId{to} != from) network.push_back({from, ReplicaId{to}, broadcast->message});
      }
    } else if (auto* to = std::get_if<SendTo>(&send)) {
      network.push_back({from, to->to, std::move(to->message)});
    }
  }
}

void CoreCluster::input(std::uint32_t id, const Input& input) {
  if (down_.contains(id)) return;
  route(ReplicaId{id}, nodes_[id].step(input));
}

void CoreCluster::request(std::uint32_t id, const BundlePtr& bundle) {
  input(id, ClientInput{Forge::client(bundle->client, ClientRequest{bundle}), Origin{1}});
  input(id, TurnEnd{});
}

void CoreCluster::send(std::uint32_t from, std::uint32_t to, PeerMessage message) {
  input(to, PeerInput{Forge::peer(ReplicaId{from}, std::move(message))});
}

void CoreCluster::tick(std::uint32_t id) {
  input(id, Tick{Timestamp{clock_us}});
  input(id, TurnEnd{});
}

void CoreCluster::tick_all() {
  clock_us += 10'000;
  for (std::uint32_t id = 0; id < size(); ++id) tick(id);
}

void CoreCluster::run(const Filter& drop) {
  while (!network.empty()) {
    InFlight next = std::move(network.front());
    network.pop_front();
    if (drop && drop(next)) continue;
    // The Authenticator verifies each bundle on the way in.
    if (auto* pre_prepare = std::get_if<PrePrepare>(&next.message); pre_prepare && pre_prepare->authentic.empty()) {
      pre_prepare->authentic.assign(pre_prepare->batch->bundles.size(), true);
    }
    if (auto* forward = std::get_if<Forward>(&next.message)) forward->authentic = true;
    input(next.to.value, PeerInput{Forge::peer(next.from, std::move(next.message))});
    input(next.to.value, TurnEnd{});
  }
}

void CoreCluster::settle(int rounds, const Filter& drop) {
  for (int i = 0; i < rounds; ++i) {
    tick_all();
    run(drop);
  }
}

void CoreCluster::restart(std::uint32_t id) {
  down_.erase(id);
  nodes_[id].restart();
  tick(id);
}

SessionId CoreCluster::open(ClientId client, std::uint64_t number) {
  request(0, make_open(client, number));
  run();
  for (const ReplyRecord& reply : nodes_[0].replies) {
    if (reply.client != client || reply.session != SessionId{} || reply.number.value != number) continue;
    std::uint64_t id = 0;
    for (const std::uint8_t byte : reply.result) id = id << 8 | byte;
    return SessionId{id};
  }
  return {};
}

}  // namespace pbft::testing
