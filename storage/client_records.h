// The records of the `clients` family: one per client, one per session with its cached replies, one per result that is
// not in its session's. They are replicated state: covered by the checkpoint's root, so their encoding is part of the
// protocol (README.md of this folder).
#pragma once

#include <vector>

#include "storage/store.h"

namespace pbft::storage {

struct SessionRecord {
  SessionUpdate session;
  std::vector<CachedReply> replies;  // ascending numbers, all >= session.low
};

// A result up to this size stands in its session's record, which every batch that touches the session writes anew,
// with all that waits in it: 75 KiB at most with the default session_window. A larger one has a record of its own,
// made with the reply and erased when that is dropped. Where a checkpoint lies in between that costs the store some
// 10 us: most results of operations that change something (nothing, a number, a short message) are not to pay it.
inline constexpr std::size_t inline_result_bytes = 64;
[[nodiscard]] inline bool has_own_record(const CachedReply& reply) {
  return reply.result.size() > inline_result_bytes;
}

[[nodiscard]] Bytes client_key(const ClientId& client);
[[nodiscard]] Bytes session_key(const ClientId& client, SessionId session);
// Of a result that has its own record, which is the result and nothing else.
[[nodiscard]] Bytes result_key(const ClientId& client, SessionId session, RequestNumber number);
[[nodiscard]] Bytes encode_client(const ClientUpdate& client);
// Without the results that have their own records.
[[nodiscard]] Bytes encode_session(const SessionRecord& record);

struct ClientRecords {
  std::vector<ClientUpdate> clients;
  std::vector<SessionRecord> sessions;
};
// All records of the family; damaged where one cannot be read, or a result and its session's record do not go together.
[[nodiscard]] Result<ClientRecords> load_client_records(const Store& store);
// The same of a scan of it; `where` names the store in errors.
[[nodiscard]] Result<ClientRecords> read_client_records(Iterator& entries, const std::string& where);
// What the core is told of the sessions.
[[nodiscard]] std::vector<RecoveredSession> recovered_sessions(const ClientRecords& records);

}  // namespace pbft::storage
