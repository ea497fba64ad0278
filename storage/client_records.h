// The records of the `clients` family: one per client, one per session with its cached replies. They are replicated
// state: covered by the checkpoint's root, so their encoding is part of the protocol (node/wire/README.md).
#pragma once

#include <vector>

#include "storage/store.h"

namespace pbft::storage {

struct SessionRecord {
  SessionUpdate session;
  std::vector<CachedReply> replies;  // ascending numbers, all >= session.low
};

[[nodiscard]] Bytes client_key(const ClientId& client);
[[nodiscard]] Bytes session_key(const ClientId& client, SessionId session);
[[nodiscard]] Bytes encode_client(const ClientUpdate& client);
[[nodiscard]] Bytes encode_session(const SessionRecord& record);

struct ClientRecords {
  std::vector<ClientUpdate> clients;
  std::vector<SessionRecord> sessions;
};
// All records of the family; damaged where one cannot be read.
[[nodiscard]] Result<ClientRecords> load_client_records(const Store& store);
// The same of a scan of it; `where` names the store in errors.
[[nodiscard]] Result<ClientRecords> read_client_records(Iterator& entries, const std::string& where);
// What the core is told of the sessions.
[[nodiscard]] std::vector<RecoveredSession> recovered_sessions(const ClientRecords& records);

}  // namespace pbft::storage
