// The sessions with their cached replies: in memory, and as the records that the store keeps of them. The core decides
// what is in it, and ResultBudget how large its results may be; this only holds them. One thread.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "node/execution/result_budget.h"
#include "storage/client_records.h"

namespace pbft::execution {

class ReplyCache {
 public:
  ReplyCache() = default;
  explicit ReplyCache(storage::ClientRecords records);

  // In the order of a batch: updates, then replies, then evictions, then clients to forget, then take_changes.
  void update(const ClientUpdate& client);
  // New or changed session; replies below its low mark are forgotten.
  void update(const SessionUpdate& session);
  // False where there is no such session. A reply below the session's low mark is not kept.
  [[nodiscard]] bool add(const ClientId& client, SessionId session, storage::CachedReply reply);
  void evict(const EvictedSession& session);
  // The client's own record goes. One that has a session keeps it: a session never stands without its client.
  void forget(const ClientId& client);
  // The records of everything that was touched since the last call, one for each key, ascending.
  [[nodiscard]] std::vector<storage::StateChange> take_changes();

  // Bytes of the large results that the session keeps, and that all sessions keep, apart from its one of this number.
  [[nodiscard]] ResultBudget::Kept large_bytes(const ClientId& client, SessionId session, RequestNumber except) const;

  // Valid until the next change.
  [[nodiscard]] const storage::CachedReply* find(const ClientId& client, SessionId session, RequestNumber number) const;
  // The session that this open_session request has opened.
  [[nodiscard]] std::optional<SessionId> opened_by(const ClientId& client, RequestNumber number) const;

 private:
  using Key = std::pair<ClientId, SessionId>;

  [[nodiscard]] bool has_session(const ClientId& client) const;
  // The session's record, noted as changed; null where there is no such session.
  [[nodiscard]] storage::SessionRecord* change(const Key& key);

  std::map<Key, storage::SessionRecord> sessions_;  // Invariant: replies ascend and are not below session.low
  std::size_t large_ = 0;                           // Invariant: the bytes of all large results in sessions_
  std::map<ClientId, std::optional<ClientUpdate>> changed_clients_;  // nothing: the record goes
  std::set<Key> changed_sessions_;
  // The last one that change() gave. Invariant: in sessions_, and noted as changed; or null.
  std::pair<const Key, storage::SessionRecord>* changing_ = nullptr;
};

}  // namespace pbft::execution
