#include "storage/client_records.h"

#include <tuple>
#include <utility>

#include "storage/fields.h"
#include "storage/state_view.h"

namespace pbft::storage {
namespace {

constexpr std::uint8_t client_tag = 'c';
constexpr std::uint8_t result_tag = 'r';
constexpr std::uint8_t session_tag = 's';
constexpr auto last_status = static_cast<std::uint8_t>(ReplyStatus::busy);
// Where the length of a result would stand: it has its own record.
constexpr std::uint8_t own_record = 0xff;
static_assert(inline_result_bytes < own_record);

std::optional<ClientUpdate> read_client(FieldReader& key, BytesView value) {
  FieldReader fields{value};
  ClientUpdate client;
  client.client = key.fixed<ClientId>();
  client.last_open = RequestNumber{fields.u64()};
  client.last_session = SessionId{fields.u64()};
  if (!key.complete() || !fields.complete()) return std::nullopt;
  return client;
}

// The results of a scan, which come before all sessions, until the record of their session asks for them: both ascend
// by client, session and number. In memory are those that are here anyway once they are read.
class LooseResults {
 public:
  // False: not the key of a result, or a result that would stand in its session's record.
  [[nodiscard]] bool add(FieldReader& key, BytesView value) {
    const auto client = key.fixed<ClientId>();
    const SessionId session{key.u64()};
    const RequestNumber number{key.u64()};
    if (!key.complete() || value.size() <= inline_result_bytes) return false;
    results_.push_back({{client, session, number}, {value.begin(), value.end()}});
    return true;
  }
  // Nothing where the next one is of another reply.
  [[nodiscard]] std::optional<Bytes> take(const SessionUpdate& session, RequestNumber number) {
    if (!left() || results_[taken_].first != Name{session.client, session.session, number}) return std::nullopt;
    return std::move(results_[taken_++].second);
  }
  [[nodiscard]] bool left() const { return taken_ < results_.size(); }
  // The key of the next one. Precondition: one is left.
  [[nodiscard]] Bytes next_key() const { return std::apply(result_key, results_[taken_].first); }

 private:
  using Name = std::tuple<ClientId, SessionId, RequestNumber>;
  std::vector<std::pair<Name, Bytes>> results_;
  std::size_t taken_ = 0;
};

std::optional<CachedReply> read_reply(FieldReader& fields, const SessionUpdate& session, LooseResults& loose) {
  CachedReply reply;
  reply.number = RequestNumber{fields.u64()};
  const std::uint8_t status = fields.u8();
  const std::uint8_t length = fields.u8();
  if (!fields.ok() || status > last_status) return std::nullopt;
  reply.status = static_cast<ReplyStatus>(status);
  if (length == own_record) {
    auto result = loose.take(session, reply.number);
    if (!result) return std::nullopt;
    reply.result = *std::move(result);
  } else {
    const BytesView result = fields.raw(length);
    if (!fields.ok() || length > inline_result_bytes) return std::nullopt;
    reply.result.assign(result.begin(), result.end());
  }
  return reply;
}

std::optional<SessionRecord> read_session(FieldReader& key, BytesView value, LooseResults& loose) {
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
    auto reply = read_reply(fields, record.session, loose);
    if (!reply) return std::nullopt;
    const bool ascends =
        record.replies.empty() ? reply->number >= record.session.low : reply->number > record.replies.back().number;
    if (!ascends) return std::nullopt;
    record.replies.push_back(*std::move(reply));
  }
  return record;
}

// False where the entry is none of the family.
bool read_entry(BytesView entry_key, BytesView value, ClientRecords& records, LooseResults& loose) {
  FieldReader key{entry_key};
  switch (key.u8()) {
    case client_tag: {
      const auto client = read_client(key, value);
      if (client) records.clients.push_back(*client);
      return client.has_value();
    }
    case result_tag:
      return loose.add(key, value);
    case session_tag: {
      auto session = read_session(key, value, loose);
      if (session) records.sessions.push_back(*std::move(session));
      return session.has_value();
    }
    default:
      return false;
  }
}

}  // namespace

Bytes client_key(const ClientId& client) {
  return FieldWriter{}.u8(client_tag).raw(client.view()).take();
}

Bytes session_key(const ClientId& client, SessionId session) {
  return FieldWriter{}.u8(session_tag).raw(client.view()).u64(session.value).take();
}

Bytes result_key(const ClientId& client, SessionId session, RequestNumber number) {
  return FieldWriter{}.u8(result_tag).raw(client.view()).u64(session.value).u64(number.value).take();
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
    if (has_own_record(reply)) {
      writer.u8(own_record);
    } else {
      writer.u8(static_cast<std::uint8_t>(reply.result.size())).raw(reply.result);
    }
  }
  return writer.take();
}

Result<ClientRecords> load_client_records(const Store& store) {
  return read_client_records(*store.clients_scan(), "store");
}

Result<ClientRecords> read_client_records(Iterator& entries, const std::string& where) {
  const auto damaged = [&](BytesView key, const char* how) {
    return tl::unexpected(damage_error(where, "record " + to_hex(key) + " of family clients " + how));
  };
  ClientRecords records;
  LooseResults loose;
  for (; entries.valid(); entries.next()) {
    if (!read_entry(entries.key(), entries.value(), records, loose)) return damaged(entries.key(), "cannot be read");
  }
  if (auto status = entries.status(); !status) return tl::unexpected(status.error());
  if (loose.left()) return damaged(loose.next_key(), "is a result that no session has");
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
