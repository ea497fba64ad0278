// The records of the store, one by one: what can be read is written again to the same bytes.
// Input: which record, and its bytes.
#include <map>

#include "storage/client_records.h"
#include "storage/fields.h"
#include "storage/memory_engine.h"
#include "storage/store_impl.h"
#include "tests/fuzz/msgpack_tree.h"
#include "tests/wire/samples.h"

namespace pbft::fuzz {
namespace {

using namespace storage;

// Nothing where the bytes are no such record.
using Again = std::optional<Bytes> (*)(const Bytes&);

template <class Record, std::optional<Record> (*Decode)(BytesView), Bytes (*Encode)(const Record&)>
std::optional<Bytes> again(const Bytes& bytes) {
  const auto record = Decode(bytes);
  if (!record) return std::nullopt;
  return Encode(*record);
}

StoreIdentity identity() {
  StoreIdentity made;
  made.cluster.bytes.fill(0x5a);
  made.replica = ReplicaId{2};
  return made;
}

std::optional<Bytes> identity_again(const Bytes& bytes) {
  const auto checked = check_identity(bytes, identity(), "store");
  if (checked) return encode_identity(identity());
  holds(checked.error().message.starts_with("store: "), "an error names the store");
  return std::nullopt;
}

std::optional<Bytes> undo_again(const Bytes& bytes) {
  const auto before = decode_before(undo_key(4, pair_name(Namespace::state, as_bytes("key"))), bytes);
  if (!before) return std::nullopt;
  std::optional<Bytes> value;
  if (before->value) value.emplace(before->value->begin(), before->value->end());
  return encode_before(value);
}

// Family clients with these records, by their keys.
Result<ClientRecords> read_clients(const std::map<Bytes, Bytes>& entries) {
  MemoryEngine engine;
  WriteBatch batch;
  for (const auto& [key, value] : entries) batch.put(Family::clients, key, value);
  holds(engine.write(batch, Sync::no).has_value(), "memory takes all");
  return read_client_records(*engine.scan(Family::clients, {}, {}), "store");
}

std::optional<Bytes> client_again(const Bytes& bytes) {
  const auto records = read_clients({{client_key({}), bytes}});
  if (!records) return std::nullopt;
  holds(records->clients.size() == 1 && records->sessions.empty(), "one record is one client");
  return encode_client(records->clients.front());
}

// Numbers of the session's results that have records of their own, and its record.
Bytes encode_numbered(const SessionRecord& session) {
  std::vector<RequestNumber> numbers;
  for (const CachedReply& reply : session.replies) {
    if (has_own_record(reply)) numbers.push_back(reply.number);
  }
  FieldWriter writer;
  writer.u8(static_cast<std::uint8_t>(numbers.size()));
  for (const RequestNumber number : numbers) writer.u64(number.value);
  return writer.raw(encode_session(session)).take();
}

std::optional<Bytes> session_again(const Bytes& bytes) {
  FieldReader fields{bytes};
  constexpr SessionId id{7};
  std::map<Bytes, Bytes> entries;
  for (std::uint64_t count = fields.u8(), last = 0; count > 0; --count) {
    const RequestNumber number{fields.u64()};
    if (!entries.empty() && number.value <= last) return std::nullopt;  // else these would have two forms here
    last = number.value;
    entries.emplace(result_key({}, id, number), Bytes(inline_result_bytes + 1 + number.value % 99));
  }
  if (!fields.ok()) return std::nullopt;
  entries.emplace(session_key({}, id), Bytes(fields.rest().begin(), fields.rest().end()));
  const auto records = read_clients(entries);
  if (!records) return std::nullopt;
  holds(records->sessions.size() == 1 && records->clients.empty(), "one record is one session");
  const SessionRecord& session = records->sessions.front();
  for (std::size_t i = 0; i < session.replies.size(); ++i) {
    const CachedReply& reply = session.replies[i];
    holds(reply.number >= session.session.low, "no reply is below the session's low");
    holds(i == 0 || session.replies[i - 1].number < reply.number, "replies ascend");
    holds(entries.contains(result_key({}, id, reply.number)) == has_own_record(reply), "a result is in one place");
  }
  holds(recovered_sessions(*records).front().executed.size() == session.replies.size(), "the core is told of each");
  return encode_numbered(session);
}

// Key and value of any record of family clients: refused, or one of the two.
std::optional<Bytes> any_client_record(const Bytes& bytes) {
  const std::size_t cut = bytes.empty() ? 0 : std::min<std::size_t>(bytes[0], bytes.size() - 1);
  const auto start = bytes.begin() + (bytes.empty() ? 0 : 1);
  const Bytes key{start, start + static_cast<std::ptrdiff_t>(cut)};
  const auto records = read_clients({{key, {start + static_cast<std::ptrdiff_t>(cut), bytes.end()}}});
  if (records) {
    for (const ClientUpdate& one : records->clients) holds(client_key(one.client) == key, "a key has one form");
    for (const SessionRecord& one : records->sessions) {
      holds(session_key(one.session.client, one.session.session) == key, "a key has one form");
    }
  }
  return std::nullopt;
}

constexpr Again records[] = {again<ExecutedRecord, decode_executed, encode_executed>,
                             again<KeptRecord, decode_kept, encode_kept>,
                             again<LedgerRecord, decode_ledger, encode_ledger>,
                             again<PersistStable, decode_stable_record, encode_stable_record>,
                             identity_again,
                             undo_again,
                             client_again,
                             session_again,
                             any_client_record};

}  // namespace

void run(BytesView input) {
  if (input.empty()) return;
  const Bytes bytes{input.begin() + 1, input.end()};
  const auto written = records[input[0] % std::size(records)](bytes);
  holds(!written || *written == bytes, "a record has one encoding");
}

Seeds seeds() {
  testing::Samples samples{3};
  SessionRecord session;
  session.session.low = RequestNumber{3};
  session.replies = {{RequestNumber{3}, ReplyStatus::ok, to_bytes("result")},
                     {RequestNumber{9}, ReplyStatus::failed, to_bytes("no")},
                     {RequestNumber{10}, ReplyStatus::ok, Bytes(inline_result_bytes + 1)}};
  CheckpointSummary summary = samples.summary();
  StableCheckpoint proof{summary.n, samples.fixed<Digest>(), {{ReplicaId{1}, samples.checkpoint().signed_bytes}}};
  Bytes with_key = client_key(samples.fixed<ClientId>());
  with_key.insert(with_key.begin(), static_cast<std::uint8_t>(with_key.size()));
  const Bytes client = encode_client({{}, RequestNumber{5}, SessionId{6}});
  with_key.insert(with_key.end(), client.begin(), client.end());
  const Bytes all[] = {encode_executed({SequenceNumber{5}, Timestamp{6}, samples.fixed<Digest>()}),
                       encode_kept({SequenceNumber{8}, SequenceNumber{4}, 4, 1, 3}),
                       encode_ledger({samples.fixed<Digest>(), samples.fixed<Digest>(), Timestamp{1}}),
                       encode_stable_record({proof, summary}),
                       encode_identity(identity()),
                       encode_before(to_bytes("value")),
                       client,
                       encode_numbered(session),
                       with_key};
  Seeds made;
  for (std::size_t i = 0; i < std::size(all); ++i) {
    made.push_back(all[i]);
    made.back().insert(made.back().begin(), static_cast<std::uint8_t>(i));
  }
  return made;
}

}  // namespace pbft::fuzz
