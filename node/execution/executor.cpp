#include "node/execution/executor.h"

#include <set>
#include <utility>

#include "node/execution/overlay.h"
#include "node/execution/reply_cache.h"
#include "node/pbft/recovered.h"
#include "storage/client_records.h"

namespace pbft::execution {
namespace {

using storage::StorageError;

StorageError mismatch(std::string message) {
  return {StorageError::Kind::mismatch, std::move(message)};
}

Bytes session_result(SessionId session) {
  Bytes result;
  for (int shift = 56; shift >= 0; shift -= 8) result.push_back(static_cast<std::uint8_t>(session.value >> shift));
  return result;
}

ReplyStatus status_of(const Outcome& outcome) {
  return outcome.ok ? ReplyStatus::ok : ReplyStatus::failed;
}

// A batch that is being run.
struct Running {
  const Execute& effect;
  Overlay overlay;
  ResultBudget budget;
  WorkBudget work;
  std::set<ClientId> ended;       // clients that an operation of was ended (WorkBudget)
  Bytes results;                  // of all replies so far, one after the other
  std::vector<std::size_t> ends;  // of each in `results`
};

}  // namespace

struct Executor::Impl {
  storage::Store& store;
  Plugin& plugin;
  std::size_t table_bytes;
  SequenceNumber executed;
  Timestamp time;
  ReplyCache replies;
  std::optional<StorageError> broken;  // Once set, the state in memory may be ahead of the store's.

  [[nodiscard]] storage::Result<std::vector<OutgoingReply>> execute(const Execute& effect);
  [[nodiscard]] storage::Result<OutgoingReply> run(Running& batch, const RunRequest& entry);
  [[nodiscard]] storage::Result<Outcome> ask_plugin(Running& batch, const Bundle& bundle, const Request& request);
  [[nodiscard]] storage::Result<Outcome> call_plugin(Running& batch, const Bundle& bundle, const Request& request);
  // Where there is no room for the outcome's result: the outcome is that refusal instead.
  void weigh(Running& batch, const Bundle& bundle, const Request& request, Outcome& outcome) const;
  void remove(const Execute& effect);
  // All results of a batch share one piece of memory.
  static void give_results(Running& batch, std::vector<OutgoingReply>& replies);
};

// One request, to its reply, whose result is put with the others. A failed one leaves nothing in the overlay.
storage::Result<OutgoingReply> Executor::Impl::run(Running& batch, const RunRequest& entry) {
  const Execute& effect = batch.effect;
  const auto& bundles = effect.batch->bundles;
  if (entry.bundle >= bundles.size() || entry.request >= bundles[entry.bundle]->requests.size()) {
    return tl::unexpected(mismatch("batch " + std::to_string(effect.n.value) + " has no request " +
                                   std::to_string(entry.request) + " in bundle " + std::to_string(entry.bundle)));
  }
  const Bundle& bundle = *bundles[entry.bundle];
  const Request& request = bundle.requests[entry.request];
  OutgoingReply reply{bundle.client, effect.view, bundle.session, request.number, ReplyStatus::ok, {}};
  Bytes result;
  if (entry.decided) {
    reply.status = entry.decided->first;
    result = entry.decided->second;
  } else {
    auto outcome = ask_plugin(batch, bundle, request);
    if (!outcome) return tl::unexpected(outcome.error());
    reply.status = status_of(*outcome);
    result = std::move(outcome->result);
  }
  batch.results.insert(batch.results.end(), result.begin(), result.end());
  batch.ends.push_back(batch.results.size());
  // The reply of an open_session needs no place of its own: it follows from the session that it opened.
  if (entry.cached && request.kind != RequestKind::open_session &&
      !replies.add(bundle.client, bundle.session, {request.number, reply.status, std::move(result)})) {
    return tl::unexpected(mismatch("batch " + std::to_string(effect.n.value) + " runs a request of session " +
                                   std::to_string(bundle.session.value) + ", which the client table does not hold"));
  }
  return reply;
}

storage::Result<Outcome> Executor::Impl::ask_plugin(Running& batch, const Bundle& bundle, const Request& request) {
  auto outcome = call_plugin(batch, bundle, request);
  if (outcome) weigh(batch, bundle, request, *outcome);
  if (outcome && outcome->ok) {
    batch.overlay.keep_request();
  } else {
    batch.overlay.drop_request();
  }
  return outcome;
}

storage::Result<Outcome> Executor::Impl::call_plugin(Running& batch, const Bundle& bundle, const Request& request) {
  if (batch.work.used_up() || batch.ended.contains(bundle.client)) {
    return Outcome{false, to_bytes(WorkBudget::refusal())};
  }
  const Context context{batch.effect.n, batch.effect.time, bundle.client};
  const BytesView operation = request.operation.view();
  auto outcome = request.kind == RequestKind::query ? plugin.query(context, batch.overlay, operation, batch.work)
                                                    : plugin.execute(context, batch.overlay, operation, batch.work);
  if (batch.work.ended()) batch.ended.insert(bundle.client);
  return outcome;
}

void Executor::Impl::weigh(Running& batch, const Bundle& bundle, const Request& request, Outcome& outcome) const {
  const std::size_t size = outcome.result.size();
  if (!ResultBudget::is_large(size)) return;
  const std::size_t kept = replies.large_bytes(bundle.client, bundle.session, request.number);
  if (const auto refusal = batch.budget.take(size, kept)) outcome = {false, to_bytes(*refusal)};
}

// After all evictions: whether a client has a session left decides whether its record may go.
void Executor::Impl::remove(const Execute& effect) {
  for (const EvictedSession& session : effect.evicted) replies.evict(session);
  for (const ClientId& client : effect.forgotten) replies.forget(client);
}

void Executor::Impl::give_results(Running& batch, std::vector<OutgoingReply>& replies) {
  const SharedBytes all = SharedBytes::own(std::move(batch.results));
  std::size_t begin = 0;
  for (std::size_t i = 0; i < replies.size(); ++i) {
    replies[i].result = all.slice(begin, batch.ends[i] - begin);
    begin = batch.ends[i];
  }
}

storage::Result<std::vector<OutgoingReply>> Executor::Impl::execute(const Execute& effect) {
  if (effect.n != executed.next()) {
    return tl::unexpected(mismatch("batch " + std::to_string(effect.n.value) + " is to be executed after batch " +
                                   std::to_string(executed.value)));
  }
  for (const ClientUpdate& client : effect.clients) replies.update(client);
  for (const SessionUpdate& session : effect.sessions) replies.update(session);

  Running batch{effect, Overlay(store), {}, {}, {}, {}, {}};
  std::vector<OutgoingReply> outgoing;
  outgoing.reserve(effect.run.size());
  for (const RunRequest& entry : effect.run) {
    auto reply = run(batch, entry);
    if (!reply) return tl::unexpected(reply.error());
    outgoing.push_back(*std::move(reply));
  }
  remove(effect);
  give_results(batch, outgoing);

  storage::Applied applied{effect.n,           effect.time,          effect.batch->digest,
                           effect.ledger_head, batch.overlay.take(), replies.take_changes()};
  if (auto written = store.apply(applied); !written) return tl::unexpected(written.error());
  executed = effect.n;
  time = effect.time;
  return outgoing;
}

Executor::Executor(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Executor::~Executor() = default;

storage::Result<std::unique_ptr<Executor>> Executor::open(storage::Store& store, Plugin& plugin,
                                                          std::size_t table_bytes) {
  auto impl = std::unique_ptr<Impl>(new Impl{store, plugin, table_bytes, {}, {}, ReplyCache{}, std::nullopt});
  auto executor = std::unique_ptr<Executor>(new Executor(std::move(impl)));
  if (auto loaded = executor->reload(); !loaded) return tl::unexpected(loaded.error());
  return executor;
}

storage::Result<void> Executor::reload() {
  const auto recovered = impl_->store.recover(0);  // not its batches
  if (!recovered) return tl::unexpected(recovered.error());
  storage::ClientRecords records;
  if (!recovered->damaged) {
    auto read = storage::load_client_records(impl_->store);
    if (!read) return tl::unexpected(read.error());
    records = *std::move(read);
  }
  impl_->executed = recovered->executed;
  impl_->time = recovered->time;
  impl_->replies = ReplyCache(std::move(records), impl_->table_bytes);
  impl_->broken.reset();
  return {};
}

storage::Result<std::vector<OutgoingReply>> Executor::execute(const Execute& effect) {
  if (impl_->broken) return tl::unexpected(*impl_->broken);
  auto outgoing = impl_->execute(effect);
  if (!outgoing) impl_->broken = outgoing.error();
  return outgoing;
}

storage::Result<ReadReply> Executor::try_query(const ClientId& client, RequestNumber number, BytesView operation,
                                               WorkBudget& work) const {
  if (impl_->broken) return tl::unexpected(*impl_->broken);
  const Overlay state(impl_->store);
  auto outcome = impl_->plugin.query({impl_->executed, impl_->time, client}, state, operation, work);
  if (!outcome) return tl::unexpected(outcome.error());
  return ReadReply{number, status_of(*outcome), impl_->executed, SharedBytes::own(std::move(outcome->result))};
}

ReadReply Executor::query(const ClientId& client, RequestNumber number, BytesView operation) const {
  WorkBudget work;
  auto reply = try_query(client, number, operation, work);
  return reply ? *std::move(reply) : ReadReply{number, ReplyStatus::busy, impl_->executed, {}};
}

std::optional<OutgoingReply> Executor::cached(const ClientId& client, SessionId session, RequestNumber number) const {
  if (session == SessionId{0}) {
    const auto opened = impl_->replies.opened_by(client, number);
    if (!opened) return std::nullopt;
    return OutgoingReply{client, View{}, session, number, ReplyStatus::ok, SharedBytes::own(session_result(*opened))};
  }
  const storage::CachedReply* found = impl_->replies.find(client, session, number);
  if (found == nullptr) return std::nullopt;
  return OutgoingReply{client, View{}, session, number, found->status, SharedBytes::copy_of(found->result)};
}

}  // namespace pbft::execution
