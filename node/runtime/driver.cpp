#include "node/runtime/driver.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <tuple>

#include "node/pbft/digests.h"
#include "node/wire/codec.h"

namespace pbft::runtime {

namespace {

// Results up to this size are sent in full by every replica: a digest would be no smaller.
constexpr std::size_t small_result_bytes = 64;
// A frame is closed when it holds this much, well below what receivers take at most.
constexpr std::size_t frame_target_bytes = 4U << 20;
// What one turn sends again or reads from storage for one party, and for all: who asks for more asks again.
constexpr std::size_t turn_budget_bytes = 8U << 20;
constexpr std::size_t turn_budget_bytes_in_all = 64U << 20;
constexpr std::size_t buckets_per_turn = 4;
// Unordered reads are answered until they have cost this much in one turn, in bytes of state and results.
constexpr std::size_t read_budget_bytes = 1U << 20;
// Origins that are known to be gone: only so that their reads cost nothing.
constexpr std::size_t most_gone = 4096;
constexpr std::size_t buckets_left = 2;  // of each peer for the next turn: as many as an honest one asks for at a time

template <class T>
void append(std::vector<T>& to, std::vector<T>& from) {
  if (to.empty()) {
    to = std::move(from);
  } else {
    to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
  }
  from.clear();
}

std::size_t size_of(const Batch& batch) {
  std::size_t size = 64;
  for (const BundlePtr& bundle : batch.bundles) size += bundle->body.size() + bundle->proof.size() + 16;
  return size;
}

std::size_t size_of(const BucketPart& part) {
  std::size_t size = 64 + 5 * part.wrong.size();
  for (const StatePair& pair : part.pairs) size += pair.key.size() + pair.value.size() + 12;
  return size;
}

std::size_t size_of(const PeerMessage& message) {
  if (const auto* pre_prepare = std::get_if<PrePrepare>(&message)) return size_of(*pre_prepare->batch);
  if (const auto* response = std::get_if<BatchResponse>(&message)) return size_of(*response->batch);
  if (const auto* range = std::get_if<LedgerRange>(&message)) return 256 + range->digests.size() * (Digest::size + 2);
  if (const auto* forward = std::get_if<Forward>(&message)) return 64 + forward->bundle->body.size();
  if (const auto* change = std::get_if<ViewChange>(&message)) return 64 + change->signed_bytes.size();
  if (const auto* view = std::get_if<NewView>(&message)) return 64 + view->signed_bytes.size();
  if (const auto* tree = std::get_if<Tree>(&message)) return 256 + tree->leaves.size() * (Digest::size + 2);
  if (const auto* fetch = std::get_if<FetchBucket>(&message)) return 64 + fetch->have.size() * (PairHash::size + 2);
  if (const auto* part = std::get_if<BucketPart>(&message)) return size_of(*part);
  return 256;
}

std::size_t size_of(const ReplicaToClientMessage& message) {
  if (const auto* reply = std::get_if<Reply>(&message)) return 128 + (reply->result ? reply->result->size() : 0);
  return 256;
}

bool is_signed(const PeerMessage& message) {
  return crypto::is_signed(message);
}
bool is_signed(const ReplicaToClientMessage&) {
  return false;
}

// What is in one frame.
struct Load {
  template <class Message>
  void add(const Message& message) {
    bytes += size_of(message);
    ++messages;
    signed_messages += is_signed(message) ? 1 : 0;
  }
  [[nodiscard]] bool fits() const {
    return bytes <= frame_target_bytes && messages <= Limits::max_packet_messages &&
           signed_messages <= crypto::max_signed_messages_per_packet;
  }

  std::size_t bytes = 0;
  std::size_t messages = 0;
  std::size_t signed_messages = 0;
};

// Cuts the messages into runs that fit a frame each.
template <class Message, class Seal>
void seal_in_frames(std::vector<Message> messages, const Seal& seal) {
  Load load;
  for (const Message& message : messages) load.add(message);
  if (load.fits()) {
    if (!messages.empty()) seal(messages);
    return;
  }
  std::vector<Message> frame;
  load = {};
  for (Message& message : messages) {
    load.add(message);
    if (!frame.empty() && !load.fits()) {
      seal(frame);
      frame.clear();
      load = {};
      load.add(message);
    }
    frame.push_back(std::move(message));
  }
  if (!frame.empty()) seal(frame);
}

}  // namespace

struct Driver::Gathered {
  // Where replies go: a session, or before it is open the number that opens it.
  using Route = std::tuple<ClientId, SessionId, RequestNumber>;

  std::vector<PeerMessage> broadcasts;
  std::map<ReplicaId, std::vector<PeerMessage>> to_peers;
  std::map<Route, std::vector<ReplicaToClientMessage>> to_clients;
  // Where the last reply went: mostly the next one goes there, too. Null where `to_clients` was taken.
  std::pair<const Route, std::vector<ReplicaToClientMessage>>* last_to_client = nullptr;

  std::set<Route> resent;  // each request's once
  std::map<ClientId, std::size_t> resent_bytes;
  std::map<ReplicaId, std::size_t> served_bytes;  // for buckets and trees what it took to find them
  std::map<ReplicaId, std::size_t> served_buckets;
  std::size_t bytes = 0;  // of both

  // False where `spent` or the whole is used up.
  [[nodiscard]] bool within_budget(std::size_t spent) const {
    return spent < turn_budget_bytes && bytes < turn_budget_bytes_in_all;
  }
  void spend(std::size_t& spent, std::size_t size) {
    spent += size;
    bytes += size;
  }

  void reply(const ClientId& client, Reply reply) {
    const RequestNumber opens = reply.session == SessionId{} ? reply.number : RequestNumber{};
    const Route route{client, reply.session, opens};
    if (last_to_client == nullptr || last_to_client->first != route)
      last_to_client = &*to_clients.try_emplace(route).first;
    last_to_client->second.emplace_back(std::move(reply));
  }
};

Driver::Driver(DriverParts parts) : parts_(std::move(parts)) {
  const auto expected = [&replica = parts_.replica](ReplicaId sender, const auto& message) {
    return replica.expects(sender, message);
  };
  parts_.authenticator.verify_bundles_only_if({expected, expected});
}

// ---- In --------------------------------------------------------------------------------------------

void Driver::step(const Input& input) {
  Effects effects = parts_.replica.step(input);
  sign(effects);
  for (const Event& event : effects.events) parts_.observer.on_event(event);
  append(gathered_.persist, effects.persist);
  append(gathered_.send, effects.send);
  append(gathered_.execute, effects.execute);
  if (effects.truncate) gathered_.truncate = effects.truncate;
}

// VIEW-CHANGE and NEW-VIEW are kept as they go out. The same message has the same bytes each time.
void Driver::sign(Effects& effects) {
  const auto sign_one = [&](auto& message) {
    if (message.signed_bytes.empty()) message = parts_.authenticator.sign(message);
  };
  for (JournalRecord& record : effects.persist) {
    if (auto* change = std::get_if<PersistViewChange>(&record)) sign_one(change->message);
    if (auto* view = std::get_if<PersistNewView>(&record)) sign_one(view->message);
  }
  for (Send& send : effects.send) {
    auto* broadcast = std::get_if<Broadcast>(&send);
    if (broadcast == nullptr) continue;
    if (auto* change = std::get_if<ViewChange>(&broadcast->message)) sign_one(*change);
    if (auto* view = std::get_if<NewView>(&broadcast->message)) sign_one(*view);
    if (auto* report = std::get_if<ClientReport>(&broadcast->message)) sign_one(*report);
  }
}

void Driver::peer_frame(const SharedBytes& frame, ReplicaId channel) {
  if (failed_) return;
  came_in_ = true;
  const auto opened = parts_.authenticator.open_peer(
      frame, channel, [&](AuthenticatedPeerMessage&& message) { step(PeerInput{std::move(message)}); });
  if (!opened) parts_.observer.on_refused_frame(opened.error(), false);
}

void QuietSessions::set(const ClientId& client, SessionId session, bool quiet) {
  constexpr std::size_t most = 100'000;
  if (!quiet) {
    sessions_.erase({session, client});
    return;
  }
  if (sessions_.size() >= most) sessions_.clear();  // their clients say so again
  sessions_.emplace(session, client);
}

void Driver::client_frame(const SharedBytes& frame, const std::array<std::uint8_t, 32>& channel, Origin origin) {
  if (failed_) return;
  came_in_ = true;
  auto opened = parts_.authenticator.open_client(frame, channel);
  if (!opened) return parts_.observer.on_refused_frame(opened.error(), true);
  for (AuthenticatedClientMessage& authenticated : *opened) {
    const ClientId client = authenticated.sender();
    const ClientMessage& message = authenticated.message();
    const auto learn = [&](SessionId session, RequestNumber number) {
      if (!parts_.learn_route) return;
      parts_.learn_route(client, session, session == SessionId{} ? number : RequestNumber{}, origin);
    };
    if (const auto* hello = std::get_if<Hello>(&message)) {
      learn(hello->session, hello->number);
      quiet_.set(client, hello->session, hello->quiet);
      const ReplicaStatus status = parts_.replica.status();
      parts_.transport.answer(client, origin,
                              parts_.authenticator.seal_to_client(client, {Welcome{status.view, status.executed}}));
    } else if (const auto* info = std::get_if<InfoRequest>(&message)) {
      InfoReply reply{info->number, parts_.info ? parts_.info() : "{}"};
      parts_.transport.answer(client, origin, parts_.authenticator.seal_to_client(client, {std::move(reply)}));
    } else {
      if (const auto* request = std::get_if<ClientRequest>(&message)) {
        learn(request->bundle->session, request->bundle->requests.front().number);
        quiet_.set(client, request->bundle->session, false);
      }
      step(ClientInput{std::move(authenticated), origin});
    }
  }
}

void Driver::tick(Timestamp wall_clock) {
  if (failed_) return;
  ticked_ = true;
  parts_.store.tick_serving(1);
  step(Tick{wall_clock});
}

storage::Result<void> Driver::state_damaged() {
  if (failed_) return tl::unexpected(*failed_);
  if (auto marked = parts_.store.mark_damaged(); !marked) {
    failed_ = marked.error();
    return marked;
  }
  gathered_.execute.clear();  // all of it needs the state, or a plan that rested on it
  reads_.clear();
  step(StateDamaged{});
  return {};
}

// ---- Out, in the order of the contract ---------------------------------------------------------------

storage::Result<void> Driver::end_turn() {
  read_cost_ = 0;
  pairs_ = pairs_of_this_turn();
  serves_left_ = true;
  for (bool again = false; !failed_; again = true) {
    step(TurnEnd{again, reads_.size()});
    if (auto done = perform(); !done) {
      if (done.error().kind != storage::StorageError::Kind::damaged) {
        failed_ = done.error();
        break;
      }
      // The state cannot be read, but all promises can: the replica goes on, and is given the state of the others.
      parts_.observer.on_damage(done.error());
      // What this replica has signed and sent has still to be counted.
      std::erase_if(completions_, [](const Input& input) { return !std::holds_alternative<PeerInput>(input); });
      if (auto marked = state_damaged(); !marked) break;
      continue;
    }
    if (completions_.empty()) return {};
    for (const Input& completion : std::exchange(completions_, {})) step(completion);
  }
  return tl::unexpected(*failed_);
}

storage::Result<void> Driver::perform() {
  Effects effects = std::exchange(gathered_, {});
  if (auto done = parts_.store.persist(effects.persist); !done) return done;
  if (auto sent = perform(effects.send); !sent) return sent;
  if (auto done = execute(effects.execute); !done) return done;
  if (effects.truncate) return parts_.store.truncate(effects.truncate->n);
  return {};
}

// Where the state is damaged, what needs it is left out; all else is a promise that was made.
storage::Result<void> Driver::perform(std::vector<Send>& all) {
  Gathered sends;
  storage::Result<void> outcome = serve_left(sends);
  if (!outcome && outcome.error().kind != storage::StorageError::Kind::damaged) return outcome;
  for (Send& send : all) {
    // What was said in the view before goes out ahead of the message that ends it.
    const auto* broadcast = std::get_if<Broadcast>(&send);
    if (broadcast != nullptr && std::holds_alternative<ViewChange>(broadcast->message)) seal_and_send(sends);
    auto done = gather(send, sends);
    if (done) continue;
    if (done.error().kind != storage::StorageError::Kind::damaged) return done;
    outcome = std::move(done);
  }
  seal_and_send(sends);
  return outcome;
}

storage::Result<void> Driver::gather(Send& send, Gathered& gathered) {
  if (auto* broadcast = std::get_if<Broadcast>(&send)) {
    if (const auto* checkpoint = std::get_if<Checkpoint>(&broadcast->message)) {
      // A replica's own vote counts like any other's: it comes back to the core as it went out.
      AuthenticatedPeerMessage own = parts_.authenticator.sign(*checkpoint);
      gathered.broadcasts.push_back(own.message());
      completions_.emplace_back(PeerInput{std::move(own)});
      return {};
    }
    // So do the other signed ones.
    const bool comes_back = std::holds_alternative<ViewChange>(broadcast->message) ||
                            std::holds_alternative<NewView>(broadcast->message) ||
                            std::holds_alternative<ClientReport>(broadcast->message);
    if (comes_back) completions_.emplace_back(PeerInput{parts_.authenticator.own(broadcast->message)});
    gathered.broadcasts.push_back(std::move(broadcast->message));
  } else if (auto* to = std::get_if<SendTo>(&send)) {
    gathered.to_peers[to->to].push_back(std::move(to->message));
  } else if (const auto* batch = std::get_if<ServeBatch>(&send)) {
    return serve(*batch, gathered);
  } else if (const auto* ledger = std::get_if<ServeLedger>(&send)) {
    return serve(*ledger, gathered);
  } else if (const auto* tree = std::get_if<ServeTree>(&send)) {
    return serve(*tree, gathered);
  } else if (const auto* bucket = std::get_if<ServeBucket>(&send)) {
    return serve(*bucket, gathered);
  } else if (const auto* request = std::get_if<RequestBucket>(&send)) {
    return ask(*request, gathered);
  } else if (const auto* resend = std::get_if<ResendReply>(&send)) {
    resend_reply(*resend, gathered);
  } else if (auto* reply = std::get_if<SendReply>(&send)) {
    gathered.reply(reply->client, std::move(reply->reply));
  }
  return {};
}

void Driver::resend_reply(const ResendReply& resend, Gathered& gathered) {
  std::size_t& spent = gathered.resent_bytes[resend.client];
  if (!gathered.within_budget(spent)) return;
  if (!gathered.resent.emplace(resend.client, resend.session, resend.number).second) return;
  auto cached = parts_.executor.cached(resend.client, resend.session, resend.number);
  if (!cached) return;  // ordered, but not executed yet: the reply comes with the execution
  gathered.spend(spent, small_result_bytes + cached->result.size());
  cached->view = resend.view;
  add_reply(gathered, *cached, true);
}

storage::Result<void> Driver::serve(const ServeBatch& serve, Gathered& gathered) {
  std::size_t& spent = gathered.served_bytes[serve.to];
  if (!gathered.within_budget(spent)) return {};
  auto bytes = parts_.store.batch_bytes(serve.n, serve.digest, serve.to);
  if (!bytes) return tl::unexpected(bytes.error());
  if (!*bytes) return {};
  gathered.spend(spent, (*bytes)->size());
  auto batch = wire::decode_batch(SharedBytes::own(std::move(**bytes)));
  if (!batch || (*batch)->digest != serve.digest) {
    return tl::unexpected(storage::StorageError{
        storage::StorageError::Kind::corrupt,
        "the stored batch " + std::to_string(serve.n.value) + " does not have its digest; the store is damaged"});
  }
  gathered.to_peers[serve.to].emplace_back(BatchResponse{serve.n, *batch});
  return {};
}

// What storage found for a peer; where it holds nothing, the peer gets no answer.
template <class Message>
storage::Result<void> Driver::give(ReplicaId to, storage::Result<std::optional<Message>> found, Gathered& gathered) {
  if (!found) return tl::unexpected(found.error());
  if (*found) gathered.to_peers[to].emplace_back(std::move(**found));
  return {};
}

storage::Result<void> Driver::serve(const ServeLedger& serve, Gathered& gathered) {
  return give(serve.to, parts_.store.ledger_range(serve.first, serve.last, serve.to), gathered);
}

storage::Result<void> Driver::serve(const ServeTree& serve, Gathered& gathered) {
  std::uint64_t work = 0;
  auto tree = parts_.store.tree_at(serve.n, serve.to, &work);
  gathered.spend(gathered.served_bytes[serve.to], work);
  return give(serve.to, std::move(tree), gathered);
}

storage::Result<void> Driver::serve(const ServeBucket& serve, Gathered& gathered) {
  // A few for each peer and turn: ordering goes on in between. What it took is known afterwards; who has taken more
  // than a turn's worth waits for the next turn, which comes at once, and is not left without an answer.
  std::size_t& spent = gathered.served_bytes[serve.to];
  if (!gathered.within_budget(spent)) {
    const auto is_its = [&](const ServeBucket& one) { return one.to == serve.to; };
    if (static_cast<std::size_t>(std::ranges::count_if(left_, is_its)) < buckets_left) left_.push_back(serve);
    return {};
  }
  if (++gathered.served_buckets[serve.to] > buckets_per_turn) return {};
  std::uint64_t work = 0;
  auto part = parts_.store.bucket_part(serve.request, serve.to, &work);
  gathered.spend(spent, work);
  return give(serve.to, std::move(part), gathered);
}

storage::Result<void> Driver::serve_left(Gathered& gathered) {
  if (!std::exchange(serves_left_, false)) return {};
  for (const ServeBucket& one : std::exchange(left_, {})) {
    if (auto done = serve(one, gathered); !done) return done;
  }
  return {};
}

storage::Result<void> Driver::ask(const RequestBucket& request, Gathered& gathered) {
  auto have = parts_.store.bucket_hashes(request.bucket, request.skip);
  if (!have) return tl::unexpected(have.error());
  gathered.to_peers[request.to].emplace_back(FetchBucket{request.n, request.bucket, request.skip, std::move(*have)});
  return {};
}

void Driver::seal_and_send(Gathered& gathered) {
  seal_in_frames(std::exchange(gathered.broadcasts, {}), [&](const std::vector<PeerMessage>& messages) {
    parts_.transport.broadcast(parts_.authenticator.seal_broadcast(messages));
  });
  for (auto& [to, messages] : std::exchange(gathered.to_peers, {})) {
    seal_in_frames(std::move(messages), [&, to = to](const std::vector<PeerMessage>& frame) {
      parts_.transport.send(to, parts_.authenticator.seal_to(to, frame));
    });
  }
  gathered.last_to_client = nullptr;
  for (auto& [route, messages] : std::exchange(gathered.to_clients, {})) {
    const auto& [client, session, number] = route;
    seal_in_frames(std::move(messages), [&, client = client, session = session,
                                         number = number](const std::vector<ReplicaToClientMessage>& frame) {
      parts_.transport.reply(client, session, number, parts_.authenticator.seal_to_client(client, frame));
    });
  }
}

// ---- Execution ---------------------------------------------------------------------------------------

storage::Result<void> Driver::execute(std::vector<ExecuteEffect>& effects) {
  Gathered replies;
  for (ExecuteEffect& effect : effects) {
    if (const auto* batch = std::get_if<Execute>(&effect)) {
      if (auto done = run(*batch, replies); !done) return done;
    } else if (const auto* checkpoint = std::get_if<TakeCheckpoint>(&effect)) {
      auto begun = parts_.store.begin_checkpoint(checkpoint->n, parts_.epoch, parts_.plugin);
      if (!begun) return begun;
    } else if (auto* read = std::get_if<AnswerRead>(&effect)) {
      reads_.push_back(std::move(*read));
    } else if (auto done = transfer(effect); !done) {
      return done;
    }
  }
  seal_and_send(replies);
  if (auto done = answer_reads(); !done) return done;
  return continue_checkpoint();
}

// At least one in each turn; the rest in the next ones, from what is executed by then.
storage::Result<void> Driver::answer_reads() {
  while (!reads_.empty() && read_cost_ < read_budget_bytes) {
    const AnswerRead read = std::move(reads_.front());
    reads_.pop_front();
    if (gone_.contains(read.origin)) continue;
    execution::WorkBudget work;
    const auto reply = parts_.executor.try_query(read.client, read.number, read.operation.view(), work);
    if (!reply) return tl::unexpected(reply.error());
    read_cost_ += work.spent() + reply->result.size();
    if (!parts_.transport.answer(read.client, read.origin,
                                 parts_.authenticator.seal_to_client(read.client, {*reply}))) {
      if (gone_.size() >= most_gone) gone_.clear();
      gone_.insert(read.origin);
    }
  }
  return {};
}

// Who waits for an answer waits for all replicas: where there is something else to do a checkpoint takes only what is
// due for the batches that were executed, and a little in each tick.
std::size_t Driver::pairs_of_this_turn() {
  const bool came_in = std::exchange(came_in_, false);
  const bool ticked = std::exchange(ticked_, false);
  if (!came_in) return parts_.checkpoint_pairs;
  return ticked ? std::max<std::size_t>(parts_.checkpoint_pairs / 8, 1) : 0;
}

storage::Result<void> Driver::continue_checkpoint() {
  if (auto done = parts_.store.continue_checkpoint(std::exchange(pairs_, 0)); !done) return done;
  while (const auto summary = parts_.store.next_taken()) {
    parts_.observer.on_checkpoint(*summary);
    completions_.emplace_back(CheckpointTaken{*summary});
  }
  return {};
}

storage::Result<void> Driver::transfer(const ExecuteEffect& effect) {
  if (const auto* plan = std::get_if<PlanTransfer>(&effect)) {
    auto missing = parts_.store.plan_transfer(plan->summary, plan->leaves);
    if (!missing) return tl::unexpected(missing.error());
    completions_.emplace_back(TransferPlanned{plan->summary.n, std::move(*missing)});
  } else if (const auto* part = std::get_if<StageBucket>(&effect)) {
    auto staged = parts_.store.stage_bucket(part->part);
    if (!staged) return tl::unexpected(staged.error());
    staged->source = part->source;
    completions_.emplace_back(std::move(*staged));
  } else if (const auto* install = std::get_if<InstallState>(&effect)) {
    auto installed = parts_.store.install_state(install->proof, install->summary);
    if (!installed) return tl::unexpected(installed.error());
    if (auto loaded = parts_.executor.reload(); !loaded) return loaded;
    completions_.emplace_back(std::move(*installed));
  }
  return {};
}

storage::Result<void> Driver::run(const Execute& effect, Gathered& replies) {
  auto results = parts_.executor.execute(effect);
  if (!results) return tl::unexpected(results.error());
  parts_.observer.on_executed(effect, *results);
  for (const execution::OutgoingReply& reply : *results) {
    const bool in_full = sends_in_full(reply);
    // A large result is sent by one alone.
    const bool needed = in_full && reply.result.size() > small_result_bytes;
    if (!needed && quiet_.holds(reply.client, reply.session)) {
      parts_.observer.on_left_out(reply);
    } else {
      add_reply(replies, reply, in_full);
    }
  }
  completions_.emplace_back(Executed{effect.n});
  return {};
}

bool Driver::sends_in_full(const execution::OutgoingReply& reply) const {
  if (parts_.replicas == 0 || reply.result.size() <= small_result_bytes) return true;
  return full_replier(reply, parts_.replicas) == parts_.self;
}

void Driver::add_reply(Gathered& gathered, const execution::OutgoingReply& reply, bool in_full) {
  Reply message;
  message.view = reply.view;
  message.session = reply.session;
  message.number = reply.number;
  message.status = reply.status;
  if (in_full) {
    message.result = reply.result;
  } else {
    message.result_digest = reply_digest(reply.status, reply.result.view());
  }
  gathered.reply(reply.client, std::move(message));
}

}  // namespace pbft::runtime
