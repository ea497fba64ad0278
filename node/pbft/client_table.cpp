#include "node/pbft/client_table.h"

#include <algorithm>
#include <cassert>

namespace pbft {

Bytes encode_number(std::uint64_t value) {
  Bytes bytes(8);
  for (std::size_t i = 0; i < 8; ++i) bytes[i] = static_cast<std::uint8_t>(value >> (56 - 8 * i));
  return bytes;
}

ClientTable::ClientTable(const ClusterParameters& parameters, SequenceNumber applied,
                         const std::vector<ClientUpdate>& clients, const std::vector<RecoveredSession>& sessions)
    : parameters_(parameters) {
  load(applied, clients, sessions);
}

void ClientTable::load(SequenceNumber applied, const std::vector<ClientUpdate>& clients,
                       const std::vector<RecoveredSession>& sessions) {
  applied_ = applied;
  clients_.clear();
  by_use_.clear();
  idle_.clear();
  for (const auto& client : clients) {
    clients_[client.client] = Client{client.last_open, client.last_session, {}};
  }
  for (const auto& recovered : sessions) {
    const SessionUpdate& update = recovered.session;
    Session session{update.opened_by, update.low, update.last_used,
                    std::vector<bool>(parameters_.session_window, false)};
    for (const RequestNumber number : recovered.executed) {
      session.executed[number.value % parameters_.session_window] = true;
    }
    clients_[update.client].sessions.emplace(update.session, std::move(session));
    by_use_.emplace(update.last_used, update.client, update.session);
  }
  if (!parameters_.open_clients) return;
  for (const auto& [id, client] : clients_) {
    if (client.sessions.empty()) idle_.emplace(client.last_session, id);
  }
}

bool ClientTable::needs_order(const Bundle& bundle) const {
  return std::any_of(bundle.requests.begin(), bundle.requests.end(),
                     [&](const Request& request) { return state_of(bundle, request) == RequestState::fresh; });
}

bool ClientTable::is_client(const ClientId& client) const {
  return parameters_.open_clients || parameters_.clients.contains(client);
}

ClientTable::Session* ClientTable::find(const ClientId& client, SessionId session) {
  return const_cast<Session*>(std::as_const(*this).find(client, session));
}

const ClientTable::Session* ClientTable::find(const ClientId& client, SessionId session) const {
  const auto owner = clients_.find(client);
  if (owner == clients_.end()) return nullptr;
  const auto found = owner->second.sessions.find(session);
  return found == owner->second.sessions.end() ? nullptr : &found->second;
}

void ClientTable::touch(const ClientId& client, SessionId id, Session& session, SequenceNumber n) {
  if (session.last_used == n) return;
  by_use_.erase(Use{session.last_used, client, id});
  session.last_used = n;
  by_use_.emplace(n, client, id);
}

void ClientTable::raise_low(Session& session, RequestNumber low) const {
  if (low <= session.low) return;
  const std::uint64_t window = parameters_.session_window;
  if (low.value - session.low.value >= window) {
    std::fill(session.executed.begin(), session.executed.end(), false);
  } else {
    for (std::uint64_t number = session.low.value; number < low.value; ++number) {
      session.executed[number % window] = false;
    }
  }
  session.low = low;
}

std::size_t ClientTable::max_sessions_per_client() const {
  return static_cast<std::size_t>(std::max<std::uint64_t>(parameters_.max_sessions / 16, 1));
}

std::optional<ClientTable::Use> ClientTable::over_limit(const ClientId& opening) const {
  const auto& own = clients_.at(opening).sessions;
  if (own.size() > max_sessions_per_client()) {
    const auto oldest = std::min_element(own.begin(), own.end(), [](const auto& a, const auto& b) {
      return std::tie(a.second.last_used, a.first) < std::tie(b.second.last_used, b.first);
    });
    return Use{oldest->second.last_used, opening, oldest->first};
  }
  if (by_use_.size() > parameters_.max_sessions) return *by_use_.begin();
  return std::nullopt;
}

// One batch being decided: collects what changed so that each client and session is reported once.
class ClientTable::Decision {
 public:
  Decision(ClientTable& table, SequenceNumber n, Execute& execute) : table_(table), n_(n), execute_(execute) {}

  void decide(std::uint32_t index, const Bundle& bundle) {
    bundle_ = index;
    if (!table_.is_client(bundle.client)) return refuse_all(bundle, ReplyStatus::not_a_client);
    if (bundle.session == SessionId{}) return open(bundle);
    Session* session = table_.find(bundle.client, bundle.session);
    if (session == nullptr) return refuse_all(bundle, ReplyStatus::unknown_session);
    table_.touch(bundle.client, bundle.session, *session, n_);
    table_.raise_low(*session, bundle.low);
    touched_.emplace(bundle.client, bundle.session);
    for (std::uint32_t i = 0; i < bundle.requests.size(); ++i) decide_request(*session, i, bundle.requests[i].number);
  }

  void finish() {
    for (const auto& [client, session] : touched_) {
      const Session* found = table_.find(client, session);
      if (found == nullptr) continue;  // evicted by a later bundle of this batch
      execute_.sessions.push_back({client, session, found->opened_by, found->low, found->last_used});
    }
    forget_idle_clients();
    for (const ClientId& id : opened_) {
      const auto client = table_.clients_.find(id);
      if (client == table_.clients_.end()) continue;
      execute_.clients.push_back({id, client->second.last_open, client->second.last_session});
    }
  }

 private:
  void decide_request(Session& session, std::uint32_t index, RequestNumber number) {
    if (number < session.low) return;
    const std::uint64_t window = table_.parameters_.session_window;
    if (number.value - session.low.value >= window) return refuse(index, ReplyStatus::outside_window, {});
    std::vector<bool>::reference executed = session.executed[number.value % window];
    if (executed) return;
    executed = true;
    execute_.run.push_back({bundle_, index, std::nullopt, true});
  }

  // A session's id is the sequence number that opened it, or the next number that this client never had: two
  // processes with one key never share a session, and no id comes back after its eviction.
  void open(const Bundle& bundle) {
    const RequestNumber number = bundle.requests.front().number;
    const RequestState state = table_.state_of_opening(bundle.client, number);
    if (state == RequestState::stale_open) {
      return refuse(0, ReplyStatus::stale_open, encode_number(table_.last_open(bundle.client).value));
    }
    if (state == RequestState::executed) return;
    Client& client = table_.clients_[bundle.client];
    table_.idle_.erase({client.last_session, bundle.client});
    client.last_open = number;
    client.last_session = SessionId{std::max(n_.value, client.last_session.value + 1)};
    Session session{number, RequestNumber{}, n_, std::vector<bool>(table_.parameters_.session_window, false)};
    client.sessions.emplace(client.last_session, std::move(session));
    table_.by_use_.emplace(n_, bundle.client, client.last_session);
    opened_.insert(bundle.client);
    touched_.emplace(bundle.client, client.last_session);
    execute_.run.push_back({bundle_, 0, {{ReplyStatus::ok, encode_number(client.last_session.value)}}, true});
    if (const auto use = table_.over_limit(bundle.client)) evict(*use);
  }

  void evict(const Use& use) {
    const auto& [used, id, session_id] = use;
    auto& sessions = table_.clients_.at(id).sessions;
    const auto victim = sessions.find(session_id);
    if (used == n_) {
      // This batch used it, or even opened it: its replies are still to be sent, and take its record until then.
      execute_.sessions.push_back({id, session_id, victim->second.opened_by, victim->second.low, n_});
    }
    sessions.erase(victim);
    table_.by_use_.erase(use);
    if (sessions.empty() && table_.parameters_.open_clients) {
      table_.idle_.emplace(table_.clients_.at(id).last_session, id);
    }
    execute_.evicted.push_back({id, session_id});
  }

  // Keys are without number where any may be a client. A forgotten client's next session has the number of a later
  // batch, so no id comes back.
  void forget_idle_clients() {
    while (table_.idle_.size() > table_.parameters_.max_idle_clients) {
      const auto [last_session, id] = *table_.idle_.begin();
      if (last_session > SessionId{n_.value}) return;
      table_.idle_.erase(table_.idle_.begin());
      table_.clients_.erase(id);
      execute_.forgotten.push_back(id);
    }
  }

  void refuse_all(const Bundle& bundle, ReplyStatus status) {
    for (std::uint32_t i = 0; i < bundle.requests.size(); ++i) refuse(i, status, {});
  }
  void refuse(std::uint32_t index, ReplyStatus status, Bytes result) {
    execute_.run.push_back({bundle_, index, {{status, std::move(result)}}, false});
  }

  ClientTable& table_;
  SequenceNumber n_;
  Execute& execute_;
  std::uint32_t bundle_ = 0;
  std::set<std::pair<ClientId, SessionId>> touched_;
  std::set<ClientId> opened_;
};

void ClientTable::apply(SequenceNumber n, const Batch& batch, Execute& execute) {
  applied_ = n;
  std::size_t requests = 0;
  for (const BundlePtr& bundle : batch.bundles) requests += bundle->requests.size();
  execute.run.reserve(requests);
  Decision decision{*this, n, execute};
  for (std::uint32_t i = 0; i < batch.bundles.size(); ++i) decision.decide(i, *batch.bundles[i]);
  decision.finish();
}

// The same number again is a retransmission: the session it opened answers from the cache, as long as it is there.
RequestState ClientTable::state_of_opening(const ClientId& client, RequestNumber number) const {
  const auto known = clients_.find(client);
  if (known == clients_.end() || number > known->second.last_open) return RequestState::fresh;
  const bool again = number == known->second.last_open && find(client, known->second.last_session) != nullptr;
  return again ? RequestState::executed : RequestState::stale_open;
}

RequestState ClientTable::state_of(const Bundle& bundle, const Request& request) const {
  if (!is_client(bundle.client)) return RequestState::not_a_client;
  if (bundle.session == SessionId{}) return state_of_opening(bundle.client, request.number);
  const Session* session = find(bundle.client, bundle.session);
  if (session == nullptr) {
    // The number of a session is at least that of the batch that opens it, so one above may still be opened.
    return bundle.session > SessionId{applied_.value} ? RequestState::fresh : RequestState::unknown_session;
  }
  if (request.number < session->low) return RequestState::forgotten;
  // The bundle's own low mark counts as well: it will be raised to it when the bundle is executed.
  const RequestNumber low = std::max(session->low, bundle.low);
  if (request.number < low || request.number.value - low.value >= parameters_.session_window) {
    return RequestState::outside_window;
  }
  if (request.number.value - session->low.value >= parameters_.session_window) return RequestState::fresh;
  return session->executed[request.number.value % parameters_.session_window] ? RequestState::executed
                                                                              : RequestState::fresh;
}

RequestNumber ClientTable::last_open(const ClientId& client) const {
  const auto known = clients_.find(client);
  return known == clients_.end() ? RequestNumber{} : known->second.last_open;
}

void ClientTable::invariants() const {
  std::size_t sessions = 0;
  for (const auto& [id, client] : clients_) {
    for (const auto& [session_id, session] : client.sessions) {
      ++sessions;
      assert(session_id <= client.last_session);
      assert(client.sessions.size() <= max_sessions_per_client());
      assert(by_use_.contains(Use{session.last_used, id, session_id}));
    }
  }
  assert(sessions == by_use_.size());
  for (const auto& [last_session, id] : idle_) assert(clients_.at(id).sessions.empty());
  assert(sessions <= parameters_.max_sessions);
}

}  // namespace pbft
