#include "storage/client_records.h"

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

struct RecordStore {
  std::shared_ptr<MemoryEngine> engine = std::make_shared<MemoryEngine>();
  std::unique_ptr<Store> store;
  Model model;
  RecordStore() {
    must(Store::create(*engine, identity()));
    store = must(Store::open(engine, identity(), {}));
  }
  void write(const Bytes& key, const Bytes& value) { must(store->apply(model.next({}, {{key, value}}))); }
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

TEST_CASE("the layout of client records is fixed", "[client_records]") {
  const Bytes session{0, 0, 0, 0, 0,  0, 0, 5, 0, 0, 0,   0,   0,   0,   0, 10, 0, 0, 0, 0, 0, 0,  0, 99, 0, 0, 0,
                      0, 0, 0, 0, 10, 0, 0, 0, 0, 4, 'd', 'o', 'n', 'e', 0, 0,  0, 0, 0, 0, 0, 12, 1, 0,  0, 0, 0};
  CHECK(encode_session(session_with_replies()) == session);
  const Bytes update{0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 77};
  CHECK(encode_client({client(3), RequestNumber{5}, SessionId{77}}) == update);
  Bytes key{'s'};
  key.insert(key.end(), 32, 3);
  key.insert(key.end(), {0, 0, 0, 0, 0, 0, 0, 77});
  CHECK(session_key(client(3), SessionId{77}) == key);
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
    value[value.size() - 6] = 10;
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
