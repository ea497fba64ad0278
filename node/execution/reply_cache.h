// The sessions with their cached replies: in memory, and as the records that the store keeps of them. The core decides
// what is in it, and ResultBudget how large its results may be; this holds them, and forgets some where all sessions
// together keep too many bytes. One thread.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "node/execution/large_results.h"
#include "node/execution/result_budget.h"
#include "storage/client_records.h"

namespace pbft::execution {

// All sessions together keep at most table_bytes of large results at the end of a batch. Where they would keep more,
// results are forgotten until they do not: all large ones of a session at once, whose is said in LargeResults. Those
// that the batch itself has made are spared as long as others are left. So who confirms nothing loses its own results
// first. All of this follows from the records and the batch, so it is the same on every replica.
//
// A reply that is forgotten stays under its number, so that the request never runs again, but says unknown_session and
// has no result. To its client that means what it does where the session was evicted: it cannot know the outcome.
class ReplyCache {
 public:
  explicit ReplyCache(storage::ClientRecords records = {}, std::size_t table_bytes = ResultBudget::table_bytes);

  // In the order of a batch: updates, then replies, then evictions, then clients to forget, then take_changes.
  void update(const ClientUpdate& client);
  // New or changed session; replies below its low mark are forgotten.
  void update(const SessionUpdate& session);
  // False where there is no such session. A reply below the session's low mark is not kept.
  [[nodiscard]] bool add(const ClientId& client, SessionId session, storage::CachedReply reply);
  void evict(const EvictedSession& session);
  // The client's own record goes. One that has a session keeps it: a session never stands without its client.
  void forget(const ClientId& client);
  // Ends the batch: forgets large results where there are too many, and gives the records of everything that was
  // touched since the last call, one for each key, ascending. A session that was touched costs its own record, and of
  // the results that have theirs (storage/client_records.h) those that were made or dropped, whatever else waits in it.
  [[nodiscard]] std::vector<storage::StateChange> take_changes();

  // Bytes of the large results that the session keeps, apart from the one of this number.
  [[nodiscard]] std::size_t large_bytes(const ClientId& client, SessionId session, RequestNumber except) const;
  // And that all sessions keep.
  [[nodiscard]] std::size_t large_bytes() const { return large_.bytes(); }

  // Valid until the next change.
  [[nodiscard]] const storage::CachedReply* find(const ClientId& client, SessionId session, RequestNumber number) const;
  // The session that this open_session request has opened.
  [[nodiscard]] std::optional<SessionId> opened_by(const ClientId& client, RequestNumber number) const;

 private:
  using Key = std::pair<ClientId, SessionId>;

  [[nodiscard]] bool has_session(const ClientId& client) const;
  // Notes that the reply is made, or dropped, where its result has a record of its own. `first`: it never had one.
  void result_changes(const Key& key, const storage::CachedReply& reply, bool first = false);
  // The session's record, noted as changed; null where there is no such session.
  [[nodiscard]] storage::SessionRecord* change(const Key& key);
  void keep_bound();
  // False: there is nothing that may be forgotten.
  [[nodiscard]] bool forget_first();

  std::size_t table_bytes_;
  std::map<Key, storage::SessionRecord> sessions_;  // Invariant: replies ascend and are not below session.low
  // Invariant: counts the large results in sessions_, and offers the sessions that keep one which is not in made_.
  LargeResults large_;
  std::map<Key, std::set<RequestNumber>> made_;                      // large results of the batch that is running
  std::map<ClientId, std::optional<ClientUpdate>> changed_clients_;  // nothing: the record goes
  std::map<Key, std::map<RequestNumber, bool>> changed_results_;  // whether it is the first; invariant: none is empty
  std::set<Key> changed_sessions_;
  // The last one that change() gave. Invariant: in sessions_, and noted as changed; or null.
  std::pair<const Key, storage::SessionRecord>* changing_ = nullptr;
};

}  // namespace pbft::execution
