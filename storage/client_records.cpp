#include "storage/client_records.h"

#include "storage/fields.h"
#include "storage/state_view.h"

namespace pbft::storage {
namespace {

constexpr std::uint8_t client_tag = 'c';
constexpr std::uint8_t session_tag = 's';
constexpr auto last_status = static_cast<std::uint8_t>(ReplyStatus::busy);

std::optional<ClientUpdate> read_client(FieldReader& key, BytesView value) {
  FieldReader fields{value};
  ClientUpdate client;
  client.client = key.fixed<ClientId>();
  client.last_open = RequestNumber{fields.u64()};
  client.last_session = SessionId{fields.u64()};
  if (!key.complete() || !fields.complete()) return std::nullopt;
  return client;
}

std::optional<SessionRecord> read_session(FieldReader& key, BytesView value) {
  FieldReader fields{value};
  SessionRecord record;
  record.session.client = key.fixed<ClientId>();
  record.session.session = SessionId{key.u64()};
  record.session.opened_by = RequestNumber{fields.u64()};
  record.session.low = RequestNumber{fields.u64()};
  record.session.last_used = SequenceNumber{fields.u64()};
  if (!key.complete() || !fields.ok()) return std::nullopt;
  // To the end of the record: a count would be one more thing that can be wrong.
  while (!fields.complete()) {
    CachedReply reply;
    reply.number = RequestNumber{fields.u64()};
    const std::uint8_t status = fields.u8();
    const BytesView result = fields.raw(fields.u32());
    const bool ascends =
        record.replies.empty() ? reply.number >= record.session.low : reply.number > record.replies.back().number;
    if (!fields.ok() || status > last_status || !ascends) return std::nullopt;
    reply.status = static_cast<ReplyStatus>(status);
    reply.result.assign(result.begin(), result.end());
    record.replies.push_back(std::move(reply));
  }
  return record;
}

}  // namespace

Bytes client_key(const ClientId& client) {
  return FieldWriter{}.u8(client_tag).raw(client.view()).take();
}

Bytes session_key(const ClientId& client, SessionId session) {
  return FieldWriter{}.u8(session_tag).raw(client.view()).u64(session.value).take();
}

Bytes encode_client(const ClientUpdate& client) {
  return FieldWriter{}.u64(client.last_open.value).u64(client.last_session.value).take();
}

Bytes encode_session(const SessionRecord& record) {
  FieldWriter writer;
  const SessionUpdate& session = record.session;
  writer.u64(session.opened_by.value).u64(session.low.value).u64(session.last_used.value);
  for (const CachedReply& reply : record.replies) {
    writer.u64(reply.number.value).u8(static_cast<std::uint8_t>(reply.status));
    writer.u32(static_cast<std::uint32_t>(reply.result.size())).raw(reply.result);
  }
  return writer.take();
}

Result<ClientRecords> load_client_records(const Store& store) {
  return read_client_records(*store.clients_scan(), "store");
}

Result<ClientRecords> read_client_records(Iterator& entries, const std::string& where) {
  ClientRecords records;
  for (; entries.valid(); entries.next()) {
    FieldReader key{entries.key()};
    const std::uint8_t tag = key.u8();
    bool read = false;
    if (tag == client_tag) {
      if (auto client = read_client(key, entries.value())) {
        records.clients.push_back(*client);
        read = true;
      }
    } else if (tag == session_tag) {
      if (auto session = read_session(key, entries.value())) {
        records.sessions.push_back(std::move(*session));
        read = true;
      }
    }
    if (!read) {
      return tl::unexpected(
          damage_error(where, "record " + to_hex(entries.key()) + " of family clients cannot be read"));
    }
  }
  if (auto status = entries.status(); !status) return tl::unexpected(status.error());
  return records;
}

std::vector<RecoveredSession> recovered_sessions(const ClientRecords& records) {
  std::vector<RecoveredSession> sessions;
  for (const SessionRecord& record : records.sessions) {
    RecoveredSession session{record.session, {}};
    for (const CachedReply& reply : record.replies) session.executed.push_back(reply.number);
    sessions.push_back(std::move(session));
  }
  return sessions;
}

}  // namespace pbft::storage
