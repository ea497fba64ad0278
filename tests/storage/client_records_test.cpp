#include "storage/client_records.h"

#include "storage/fields.h"
#include "tests/storage/support.h"

using namespace pbft;
using namespace pbft::storage;
using namespace pbft::storage::testing;

namespace {

ClientId client(std::uint8_t fill) {
  ClientId id;
  id.bytes.fill(fill);
  return id;
}

SessionRecord session_with_replies() {
  SessionRecord record;
  record.session = {client(3), SessionId{77}, RequestNumber{5}, RequestNumber{10}, SequenceNumber{99}};
  record.replies.push_back({RequestNumber{10}, ReplyStatus::ok, to_bytes("done")});
  record.replies.push_back({RequestNumber{12}, ReplyStatus::failed, {}});
  return record;
}

// Two results have records of their own.
SessionRecord session_with_large_results() {
  SessionRecord record = session_with_replies();
  record.replies.push_back({RequestNumber{13}, ReplyStatus::ok, Bytes(65, 'x')});
  record.replies.push_back({RequestNumber{14}, ReplyStatus::ok, Bytes(64, 'y')});
  record.replies.push_back({RequestNumber{15}, ReplyStatus::failed, Bytes(100'000, 'z')});
  return record;
}

struct RecordStore {
  std::shared_ptr<MemoryEngine> engine = std::make_shared<MemoryEngine>();
  std::unique_ptr<Store> store;
  Model model;
  RecordStore() {
    must(Store::create(*engine, identity()));
    store = must(Store::open(engine, identity(), {}));
  }
  void write(const Bytes& key, const Bytes& value) { must(store->apply(model.next({}, {{key, value}}))); }
  void write(const SessionRecord& record) {
    const SessionUpdate& session = record.session;
    write(session_key(session.client, session.session), encode_session(record));
    for (const CachedReply& reply : record.replies) {
      if (has_own_record(reply)) write(result_key(session.client, session.session, reply.number), reply.result);
    }
  }
  void erase(const Bytes& key) { must(store->apply(model.next({}, {{key, std::nullopt}}))); }
};

}  // namespace

TEST_CASE("client records come back as they were written", "[client_records]") {
  RecordStore fixture;
  const ClientUpdate update{client(3), RequestNumber{5}, SessionId{77}};
  const SessionRecord record = session_with_replies();
  SessionRecord empty;
  empty.session = {client(4), SessionId{1}, RequestNumber{1}, RequestNumber{0}, SequenceNumber{1}};
  fixture.write(client_key(update.client), encode_client(update));
  fixture.write(session_key(record.session.client, record.session.session), encode_session(record));
  fixture.write(session_key(empty.session.client, empty.session.session), encode_session(empty));

  const ClientRecords read = must(load_client_records(*fixture.store));
  REQUIRE(read.clients.size() == 1);
  CHECK(read.clients[0].client == update.client);
  CHECK(read.clients[0].last_open == update.last_open);
  CHECK(read.clients[0].last_session == update.last_session);
  REQUIRE(read.sessions.size() == 2);
  CHECK(read.sessions[0].session.client == client(3));
  CHECK(read.sessions[0].session.session == SessionId{77});
  CHECK(read.sessions[0].session.opened_by == RequestNumber{5});
  CHECK(read.sessions[0].session.low == RequestNumber{10});
  CHECK(read.sessions[0].session.last_used == SequenceNumber{99});
  REQUIRE(read.sessions[0].replies.size() == 2);
  CHECK(read.sessions[0].replies[0].result == to_bytes("done"));
  CHECK(read.sessions[0].replies[1].number == RequestNumber{12});
  CHECK(read.sessions[0].replies[1].status == ReplyStatus::failed);
  CHECK(read.sessions[1].session.session == SessionId{1});
  CHECK(read.sessions[1].replies.empty());

  const Recovered recovered = must(fixture.store->recover());
  REQUIRE(recovered.sessions.size() == 2);
  const std::vector<RequestNumber> executed{RequestNumber{10}, RequestNumber{12}};
  CHECK(recovered.sessions[0].executed == executed);
  CHECK(recovered.clients.size() == 1);
}

TEST_CASE("results of every size come back, in whatever session they wait", "[client_records]") {
  RecordStore fixture;
  std::vector<SessionRecord> written;
  const std::pair<std::uint8_t, std::uint64_t> sessions[] = {{3, 77}, {3, 78}, {4, 1}, {4, 256}, {200, 2}};
  for (const auto& [name, session] : sessions) {
    written.push_back(session_with_large_results());
    SessionRecord& record = written.back();
    record.session.client = client(name);
    record.session.session = SessionId{session};
    record.replies[4].result = Bytes(100'000 + session, name);
  }
  written[1].replies.erase(written[1].replies.begin() + 2, written[1].replies.end());  // small ones only
  written[3].replies = {{RequestNumber{255}, ReplyStatus::ok, Bytes(70)}, {RequestNumber{256}, {}, Bytes(80)}};
  for (const SessionRecord& record : written) fixture.write(record);

  const ClientRecords read = must(load_client_records(*fixture.store));
  REQUIRE(read.sessions.size() == written.size());
  for (std::size_t i = 0; i < written.size(); ++i) {
    CAPTURE(i);
    CHECK(read.sessions[i].session.client == written[i].session.client);
    CHECK(read.sessions[i].session.session == written[i].session.session);
    REQUIRE(read.sessions[i].replies.size() == written[i].replies.size());
    for (std::size_t at = 0; at < written[i].replies.size(); ++at) {
      CHECK(read.sessions[i].replies[at].number == written[i].replies[at].number);
      CHECK(read.sessions[i].replies[at].status == written[i].replies[at].status);
      CHECK(read.sessions[i].replies[at].result == written[i].replies[at].result);
    }
  }
  CHECK(must(fixture.store->recover()).sessions.size() == written.size());
}

TEST_CASE("what is written of a checkpoint that is not done is not taken for damage", "[client_records]") {
  auto engine = std::make_shared<MemoryEngine>();
  must(Store::create(*engine, identity()));
  StoreOptions options{.checkpoint_interval = 1, .gather_bytes = 1U << 20};
  auto store = must(Store::open(engine, identity(), options));
  Model model;
  const auto change = [&](SessionRecord record, std::optional<Bytes> result) {
    std::vector<StateChange> changes;
    changes.push_back({result_key(client(3), SessionId{77}, RequestNumber{10}), std::move(result)});
    changes.push_back({session_key(client(3), SessionId{77}), encode_session(record)});
    must(store->apply(model.next({}, std::move(changes))));
  };
  SessionRecord record = session_with_replies();
  record.replies[0].result = Bytes(100, 'x');
  change(record, record.replies[0].result);
  take(*store, 1);
  record.replies.clear();
  change(record, std::nullopt);
  must(store->begin_checkpoint(SequenceNumber{2}, Epoch{1}, Digest{}));
  REQUIRE(must(store->recover()).sessions.at(0).executed.size() == 2);
  must(store->continue_checkpoint(1));
  REQUIRE(store->checkpointing());
  const Recovered half = must(store->recover());
  CHECK_FALSE(half.damaged);
  CHECK(half.sessions.empty());
  CHECK(must(load_client_records(*store)).sessions.at(0).replies.empty());
  if (GENERATE(false, true)) {  // a crash leads back to the checkpoint before
    store.reset();
    store = must(Store::open(engine, identity(), options));
    CHECK(must(store->recover()).sessions.at(0).executed.size() == 2);
  } else {
    must(store->continue_checkpoint(100));
    CHECK(must(store->recover()).sessions.at(0).executed.empty());
  }
}

TEST_CASE("the layout of client records is fixed", "[client_records]") {
  const Bytes session{0, 0, 0, 0, 0, 0, 0, 5,  0, 0, 0,   0,   0,   0,   0, 10, 0, 0, 0, 0, 0, 0,  0, 99,
                      0, 0, 0, 0, 0, 0, 0, 10, 0, 4, 'd', 'o', 'n', 'e', 0, 0,  0, 0, 0, 0, 0, 12, 1, 0};
  CHECK(encode_session(session_with_replies()) == session);
  Bytes large = session;
  large.insert(large.end(), {0, 0, 0, 0, 0, 0, 0, 13, 0, 255, 0, 0, 0, 0, 0, 0, 0, 14, 0, 64});
  large.insert(large.end(), 64, 'y');
  large.insert(large.end(), {0, 0, 0, 0, 0, 0, 0, 15, 1, 255});
  CHECK(encode_session(session_with_large_results()) == large);
  const Bytes update{0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 77};
  CHECK(encode_client({client(3), RequestNumber{5}, SessionId{77}}) == update);
  Bytes key{'s'};
  key.insert(key.end(), 32, 3);
  key.insert(key.end(), {0, 0, 0, 0, 0, 0, 0, 77});
  CHECK(session_key(client(3), SessionId{77}) == key);
  key[0] = 'r';
  key.insert(key.end(), {0, 0, 0, 0, 0, 0, 1, 2});
  CHECK(result_key(client(3), SessionId{77}, RequestNumber{258}) == key);
}

TEST_CASE("damaged client records are refused", "[client_records]") {
  Bytes key = session_key(client(3), SessionId{77});
  Bytes value = encode_session(session_with_replies());
  SECTION("cut short") {
    value.pop_back();
  }
  SECTION("too long") {
    value.push_back(0);
  }
  SECTION("unknown status") {
    value[32] = 7;
  }
  SECTION("replies out of order") {
    value[value.size() - 3] = 10;
  }
  SECTION("a reply after the one with the highest number") {
    SessionRecord record = session_with_replies();
    record.replies[0].number = RequestNumber{UINT64_MAX};
    value = encode_session(record);
  }
  SECTION("a reply below low") {
    value[31] = 9;
  }
  SECTION("a key of another length") {
    key.pop_back();
  }
  SECTION("a key of another kind") {
    key[0] = 'x';
  }
  RecordStore fixture;
  fixture.write(key, value);
  const StorageError error = refusal(load_client_records(*fixture.store));
  CHECK(error.kind == StorageError::Kind::damaged);
  CHECK(must(fixture.store->recover()).damaged);
}

TEST_CASE("results that do not go together with their session's record are refused", "[client_records]") {
  RecordStore fixture;
  SessionRecord record = session_with_large_results();
  const Bytes key = session_key(client(3), SessionId{77});
  const auto key_of_result = [](std::uint64_t number, std::uint64_t session = 77, std::uint8_t name = 3) {
    return result_key(client(name), SessionId{session}, RequestNumber{number});
  };
  fixture.write(record);
  REQUIRE(load_client_records(*fixture.store));
  std::string what = to_hex(key) + " of family clients cannot be read";
  SECTION("one is missing") {
    fixture.erase(key_of_result(GENERATE(13, 15)));
  }
  SECTION("all are missing") {
    fixture.erase(key_of_result(13));
    fixture.erase(key_of_result(15));
  }
  SECTION("it is small, and has a record") {
    fixture.write(key_of_result(13), Bytes(GENERATE(0, 64)));
    what = to_hex(key_of_result(13)) + " of family clients cannot be read";
  }
  SECTION("it is large, and stands in the session's record") {
    const std::uint8_t length = GENERATE(65, 254);
    Bytes value = encode_session(session_with_replies());
    value.back() = length;
    value.insert(value.end(), length, 'x');
    fixture.erase(key_of_result(13));
    fixture.erase(key_of_result(15));
    fixture.write(key, value);
  }
  SECTION("it stands in the session's record, and has a record") {
    record.replies[4].result = to_bytes("small");
    fixture.write(key, encode_session(record));
    what = to_hex(key_of_result(15)) + " of family clients is a result that no session has";
  }
  SECTION("no session is there") {
    fixture.erase(key);
    what = to_hex(key_of_result(13)) + " of family clients is a result that no session has";
  }
  SECTION("the session has no such reply") {
    const std::uint64_t number = GENERATE(9, 10, 16);
    fixture.write(key_of_result(number), Bytes(65));
    if (number == 16) what = to_hex(key_of_result(16)) + " of family clients is a result that no session has";
  }
  SECTION("it is of another session, or another client") {
    const auto [session, name] = GENERATE(std::pair(76, 3), std::pair(78, 3), std::pair(77, 2), std::pair(77, 4));
    const Bytes other = key_of_result(13, static_cast<std::uint64_t>(session), static_cast<std::uint8_t>(name));
    fixture.write(other, Bytes(65));
    if (other > key_of_result(13)) what = to_hex(other) + " of family clients is a result that no session has";
  }
  SECTION("its key has another length") {
    Bytes cut = key_of_result(13);
    GENERATE(false, true) ? cut.pop_back() : cut.push_back(0);
    fixture.write(cut, Bytes(65));
    what = to_hex(cut) + " of family clients cannot be read";
  }
  const StorageError error = refusal(load_client_records(*fixture.store));
  CHECK(error.kind == StorageError::Kind::damaged);
  CHECK_THAT(error.message, Catch::Matchers::Contains(what));
  CHECK(must(fixture.store->recover()).damaged);
}
