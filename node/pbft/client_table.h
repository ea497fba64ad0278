// Exactly-once (rules 7, 8 and 10 of tests/README.md): decides, from replicated state alone, which requests of a
// committed batch take effect. Results are not here: the executor keeps them beside the state.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <vector>

#include "node/pbft/effects.h"
#include "node/pbft/parameters.h"
#include "node/pbft/recovered.h"

namespace pbft {

// What is known of a request when it comes in, before it is ordered. Only advice: the decision falls at execution.
enum class RequestState : std::uint8_t {
  fresh,      // to be ordered
  executed,   // has a cached reply
  forgotten,  // below the session's low mark: its client said that it has the answer
  outside_window,
  unknown_session,  // never opened, or evicted; no batch that is still to come opens it
  stale_open,
  not_a_client,
};

class ClientTable {
 public:
  // The table behind batch `applied`.
  ClientTable(const ClusterParameters& parameters, SequenceNumber applied, const std::vector<ClientUpdate>& clients,
              const std::vector<RecoveredSession>& sessions);

  [[nodiscard]] bool is_client(const ClientId& client) const;

  // Decides the whole batch, in its order, and fills run, clients, sessions and evicted of `execute`.
  void apply(SequenceNumber n, const Batch& batch, Execute& execute);

  [[nodiscard]] RequestState state_of(const Bundle& bundle, const Request& request) const;
  // Whether anything in it may still take effect, as far as this replica has executed.
  [[nodiscard]] bool needs_order(const Bundle& bundle) const;
  // The table behind batch `applied`, as a transfer has brought it.
  void load(SequenceNumber applied, const std::vector<ClientUpdate>& clients,
            const std::vector<RecoveredSession>& sessions);
  [[nodiscard]] RequestNumber last_open(const ClientId& client) const;
  [[nodiscard]] std::size_t sessions() const { return by_use_.size(); }

  void invariants() const;

 private:
  struct Session {
    RequestNumber opened_by;
    RequestNumber low;
    SequenceNumber last_used;
    // Bit (number mod window) for the numbers in [low, low + window): taken effect.
    std::vector<bool> executed;
  };
  struct Client {
    RequestNumber last_open;
    SessionId last_session;
    std::map<SessionId, Session> sessions;
  };
  using Use = std::tuple<SequenceNumber, ClientId, SessionId>;

  class Decision;

  [[nodiscard]] RequestState state_of_opening(const ClientId& client, RequestNumber number) const;
  [[nodiscard]] Session* find(const ClientId& client, SessionId session);
  [[nodiscard]] const Session* find(const ClientId& client, SessionId session) const;
  void touch(const ClientId& client, SessionId id, Session& session, SequenceNumber n);
  void raise_low(Session& session, RequestNumber low) const;
  // One client may hold this many of the sessions, so that it cannot push out everybody else's.
  [[nodiscard]] std::size_t max_sessions_per_client() const;
  // The session that goes when `opening` holds one more: its own least recently used, or anybody's; or none.
  [[nodiscard]] std::optional<Use> over_limit(const ClientId& opening) const;

  const ClusterParameters& parameters_;
  SequenceNumber applied_;
  std::map<ClientId, Client> clients_;
  // Invariant: exactly the sessions in clients_, ordered by use; the first is the next to be evicted.
  std::set<Use> by_use_;
  // Clients without sessions, by their last one; kept where clients are open, and bounded there.
  std::set<std::pair<SessionId, ClientId>> idle_;
};

// The result of open_session, and of stale_open: 8 bytes, big-endian.
[[nodiscard]] Bytes encode_number(std::uint64_t value);

}  // namespace pbft
