#include "tests/pbft/harness.h"

#include <cassert>
#include <cstring>
#include <type_traits>
#include <utility>

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
  plan_.reset();
  staged_.reset();
  replica_.emplace(cluster, local, recover());
}

void CoreNode::wipe() {
  state_ = {};
  batches_.clear();
  slots_.clear();
  ledger_.clear();
  summaries_.clear();
  states_.clear();
  stable_.reset();
  view_change_.reset();
  new_view_.reset();
  rejoin_ = PersistRejoin{};
  executed.clear();
  restart();
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
    for (JournalRecord& record : effects.persist) persist(std::move(record));
    for (Send& one : effects.send) send(std::move(one), sent, inputs);
    for (const ExecuteEffect& effect : effects.execute) perform(effect, inputs);
    if (effects.truncate) {
      slots_.erase(slots_.begin(), slots_.upper_bound(effects.truncate->n));
      states_.erase(states_.begin(), states_.lower_bound(effects.truncate->n));
      if (!keeps_ledger) {
        ledger_.erase(ledger_.begin(), ledger_.lower_bound(effects.truncate->n));
        batches_.erase(batches_.begin(), batches_.upper_bound(effects.truncate->n));
      }
    }
  }
  return sent;
}

namespace {

// What the driver's signature makes of a message: bytes that tell it from others.
template <class Message>
void sign(Message& message, ReplicaId self) {
  if (message.signed_bytes.empty()) {
    message.signed_bytes = SharedBytes::own(to_bytes("signed by " + std::to_string(self.value)));
  }
}

}  // namespace

void CoreNode::send(Send send, std::vector<Send>& sent, std::deque<Input>& inputs) {
  const auto append = [&](std::vector<Send> answers) {
    for (Send& answer : answers) sent.push_back(std::move(answer));
  };
  if (const auto* batch = std::get_if<ServeBatch>(&send)) return append(serve(*batch));
  if (const auto* ledger = std::get_if<ServeLedger>(&send)) return append(serve(*ledger));
  if (const auto* tree = std::get_if<ServeTree>(&send)) return append(serve(*tree));
  if (const auto* bucket = std::get_if<ServeBucket>(&send)) return append(serve(*bucket));
  if (const auto* request = std::get_if<RequestBucket>(&send)) {
    sent.emplace_back(SendTo{request->to, FetchBucket{request->n, request->bucket, request->skip, {}}});
    return;
  }
  if (auto* broadcast = std::get_if<Broadcast>(&send)) {
    std::visit(
        [&](auto& message) {
          using Message = std::decay_t<decltype(message)>;
          if constexpr (std::is_same_v<Message, Checkpoint> || std::is_same_v<Message, ViewChange> ||
                        std::is_same_v<Message, NewView> || std::is_same_v<Message, ClientReport>) {
            sign(message, local.self);
            inputs.emplace_back(PeerInput{Forge::peer(local.self, message)});
          }
        },
        broadcast->message);
  }
  sent.push_back(std::move(send));
}

void CoreNode::perform(const ExecuteEffect& effect, std::deque<Input>& inputs) {
  if (const auto* run = std::get_if<Execute>(&effect)) execute(*run, inputs);
  if (const auto* checkpoint = std::get_if<TakeCheckpoint>(&effect)) take_checkpoint(checkpoint->n, inputs);
  if (const auto* plan = std::get_if<PlanTransfer>(&effect)) {
    plan_ = *plan;
    const bool same = leaves(state_) == plan->leaves;
    inputs.emplace_back(
        TransferPlanned{plan->summary.n, same ? std::vector<std::uint32_t>{} : std::vector<std::uint32_t>{0}});
  }
  if (const auto* part = std::get_if<StageBucket>(&effect)) stage(*part, inputs);
  if (const auto* done = std::get_if<InstallState>(&effect)) install(*done, inputs);
}

void CoreNode::persist(JournalRecord record) {
  if (const auto* batch = std::get_if<PersistBatch>(&record)) {
    batches_[batch->n][batch->batch->digest] = batch->batch;
  } else if (const auto* accepted = std::get_if<PersistAccepted>(&record)) {
    const auto [mark, fresh] = slots_[accepted->n].accepted.emplace(accepted->view, accepted->digest);
    assert(fresh || mark->second == accepted->digest);
    assert(batches_[accepted->n].contains(accepted->digest));
  } else if (const auto* prepared = std::get_if<PersistPrepared>(&record)) {
    slots_[prepared->n].prepared = RecoveredMark{prepared->view, prepared->digest};
  } else if (const auto* stable = std::get_if<PersistStable>(&record)) {
    stable_ = *stable;
  } else if (auto* change = std::get_if<PersistViewChange>(&record)) {
    assert(!view_change_ || view_change_->view < change->message.view);
    sign(change->message, local.self);
    view_change_ = change->message;
  } else if (auto* view = std::get_if<PersistNewView>(&record)) {
    assert(!new_view_ || new_view_->view < view->message.view);
    sign(view->message, local.self);
    new_view_ = view->message;
  } else if (const auto* rejoin = std::get_if<PersistRejoin>(&record)) {
    rejoin_ = *rejoin;
  }
  journal.push_back(std::move(record));
}

void CoreNode::execute(const Execute& effect, std::deque<Input>& completions) {
  assert(effect.n == state_.n.next());
  // Durable before it is executed; the null batch needs no bytes.
  assert(effect.batch->digest == null_batch_digest() || batches_.at(effect.n).contains(effect.batch->digest));
  executed[effect.n] = effect.batch->digest;
  state_.n = effect.n;
  state_.last = {effect.batch->digest, effect.ledger_head, effect.time};
  ledger_[effect.n] = state_.last;
  for (const ClientUpdate& update : effect.clients) state_.clients[update.client] = update;
  for (const SessionUpdate& update : effect.sessions) {
    SessionState& session = state_.sessions[{update.client, update.session}];
    session.update = update;
    session.replies.erase(session.replies.begin(), session.replies.lower_bound(update.low));
  }
  for (const RunRequest& run : effect.run) {
    const Bundle& bundle = *effect.batch->bundles.at(run.bundle);
    const Request& request = bundle.requests.at(run.request);
    ReplyRecord reply{bundle.client, bundle.session, request.number, ReplyStatus::ok, encode_number(effect.n.value)};
    if (run.decided) std::tie(reply.status, reply.result) = *run.decided;
    const auto session = state_.sessions.find({bundle.client, bundle.session});
    assert(!run.cached || request.kind == RequestKind::open_session || session != state_.sessions.end());
    if (run.cached && session != state_.sessions.end()) session->second.replies[request.number] = reply;
    replies.push_back(reply);
  }
  for (const EvictedSession& evicted : effect.evicted) state_.sessions.erase({evicted.client, evicted.session});
  completions.emplace_back(Executed{effect.n});
}

std::vector<Digest> CoreNode::leaves(const State& state) const {
  std::vector<Digest> result(Limits::tree_buckets, tagged_digest("empty", {}));
  result[0] = tagged_digest(corrupt_state ? "corrupt" : "state", state.last.head.view());
  return result;
}

void CoreNode::take_checkpoint(SequenceNumber n, std::deque<Input>& completions) {
  assert(state_.n == n);
  CheckpointSummary summary;
  summary.n = n;
  summary.state = tree_root(leaves(state_));
  summary.ledger_head = state_.last.head;
  summary.time = state_.last.time;
  summary.epoch = cluster.epoch;
  summaries_[n] = summary;
  states_[n] = state_;
  completions.emplace_back(CheckpointTaken{summary});
}

void CoreNode::stage(const StageBucket& effect, std::deque<Input>& completions) {
  BucketStaged staged{effect.source, effect.part.n, effect.part.bucket, BucketStaged::Outcome::wrong, 1, 0};
  for (const StatePair& pair : effect.part.pairs) staged.bytes += pair.value.size();
  // The test cluster's states are passed by address: the pair's value is one. Liars make parts of it.
  if (effect.part.skip + effect.part.pairs.size() < effect.part.total) {
    staged.outcome = BucketStaged::Outcome::more;
  } else if (effect.part.pairs.size() == 1 && effect.part.pairs[0].value.size() == sizeof(const State*)) {
    const State* state = nullptr;
    std::memcpy(&state, effect.part.pairs[0].value.view().data(), sizeof state);
    const bool was_corrupt = std::exchange(corrupt_state, false);
    if (leaves(*state) == plan_->leaves) {
      staged_ = *state;
      staged.outcome = BucketStaged::Outcome::whole;
    }
    corrupt_state = was_corrupt;
  }
  completions.emplace_back(staged);
}

void CoreNode::install(const InstallState& effect, std::deque<Input>& completions) {
  if (staged_) state_ = std::exchange(staged_, std::nullopt).value();
  assert(state_.n == effect.summary.n);
  corrupt_state = false;
  ledger_.clear();
  summaries_.erase(summaries_.upper_bound(effect.summary.n), summaries_.end());
  states_.clear();
  summaries_[effect.summary.n] = effect.summary;
  states_[effect.summary.n] = state_;
  stable_ = PersistStable{effect.proof, effect.summary};
  const Recovered recovered = recover();
  completions.emplace_back(StateInstalled{effect.summary, recovered.clients, recovered.sessions, std::nullopt});
}

std::vector<Send> CoreNode::serve(const ServeTree& serve) const {
  const auto state = states_.find(serve.n);
  if (state == states_.end()) return {};
  return {SendTo{serve.to, Tree{summaries_.at(serve.n), leaves(state->second)}}};
}

std::vector<Send> CoreNode::serve(const ServeBucket& serve) const {
  const auto state = states_.find(serve.request.n);
  if (state == states_.end()) return {};
  const State* address = &served_.emplace_back(state->second);
  Bytes bytes(sizeof address);
  std::memcpy(bytes.data(), &address, sizeof address);
  BucketPart part{serve.request.n, serve.request.bucket, serve.request.skip, 1, {}, {}};
  part.pairs.push_back({Namespace::state, SharedBytes::own(to_bytes("state")), SharedBytes::own(std::move(bytes))});
  return {SendTo{serve.to, std::move(part)}};
}

std::vector<Send> CoreNode::serve(const ServeBatch& serve) const {
  const auto found = batches_.find(serve.n);
  if (found == batches_.end() || !found->second.contains(serve.digest)) return {};
  return {SendTo{serve.to, BatchResponse{serve.n, found->second.at(serve.digest)}}};
}

std::vector<Send> CoreNode::serve(const ServeLedger& serve) const {
  if (!summaries_.contains(serve.last) || ledger_.empty() || ledger_.begin()->first > serve.first) return {};
  LedgerRange range{serve.first, summaries_.at(serve.last), {}};
  for (SequenceNumber n = serve.first; n <= serve.last; n = n.next()) range.digests.push_back(ledger_.at(n).batch);
  return {SendTo{serve.to, std::move(range)}};
}

Recovered CoreNode::recover() const {
  Recovered recovered;
  recovered.ledger_head = genesis_ledger_head();
  if (state_.n > SequenceNumber{}) {
    recovered.executed = state_.n;
    recovered.ledger_head = state_.last.head;
    recovered.time = state_.last.time;
  }
  recovered.view_change = view_change_;
  recovered.new_view = new_view_;
  recovered.rejoin = rejoin_;
  recovered.stable = stable_;
  const SequenceNumber low = stable_ ? stable_->proof.n : SequenceNumber{};
  for (const auto& [n, summary] : summaries_) {
    if (n > low) recovered.checkpoints.push_back(summary);
  }
  recovered.slots = slots_;
  for (const auto& [n, known] : batches_) {
    if (n > low) recovered.slots[n].batches = known;
  }
  for (const auto& [n, entry] : ledger_) {
    if (n > low && n <= recovered.executed) recovered.slots[n].executed = entry.batch;
  }
  for (const auto& [id, client] : state_.clients) recovered.clients.push_back(client);
  for (const auto& [key, session] : state_.sessions) {
    RecoveredSession copy{session.update, {}};
    for (const auto& [number, reply] : session.replies) copy.executed.push_back(number);
    recovered.sessions.push_back(std::move(copy));
  }
  return recovered;
}

// ---- CoreCluster -------------------------------------------------------------------------------------

namespace {

ClusterParameters with_clients(std::uint8_t clients, std::uint32_t replicas, std::uint64_t interval,
                               std::uint64_t window, bool signed_requests) {
  ClusterParameters cluster;
  cluster.signed_requests = signed_requests;
  cluster.replicas = replicas;
  cluster.checkpoint_interval = interval;
  cluster.window = window;
  for (std::uint8_t i = 1; i <= clients; ++i) cluster.clients.insert(client_id(i));
  return cluster;
}

ClusterParameters few_clients(std::uint32_t replicas, std::uint64_t interval, std::uint64_t window,
                              bool signed_requests) {
  ClusterParameters cluster = with_clients(8, replicas, interval, window, signed_requests);
  cluster.session_window = 16;
  cluster.max_sessions = 4;
  return cluster;
}

}  // namespace

ClusterParameters many_clients(std::uint32_t replicas, bool signed_requests) {
  return with_clients(60, replicas, 64, 256, signed_requests);
}

CoreCluster::CoreCluster(std::uint32_t replicas, std::uint64_t interval, std::uint64_t window, bool signed_requests,
                         std::uint64_t transfer_above, std::uint64_t transfer_bytes_per_tick)
    : CoreCluster(few_clients(replicas, interval, window, signed_requests), transfer_above, transfer_bytes_per_tick) {}

CoreCluster::CoreCluster(ClusterParameters cluster, std::uint64_t transfer_above, std::uint64_t transfer_bytes_per_tick)
    : cluster_(std::move(cluster)) {
  for (std::uint32_t i = 0; i < cluster_.replicas; ++i) {
    LocalParameters local;
    local.self = ReplicaId{i};
    local.status_interval_ticks = 4;
    local.idle_status_interval_ticks = 10;
    local.fetch_timeout_ticks = 4;
    local.view_timeout_ticks = 20;
    local.view_timeout_max_ticks = 160;
    local.transfer_above = transfer_above;
    local.transfer_bytes_per_tick = transfer_bytes_per_tick;
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

void CoreCluster::wipe(std::uint32_t id) {
  down_.erase(id);
  nodes_[id].wipe();
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
