// What a store refuses at its opening, by name.
#include "storage/fields.h"
#include "storage/meta.h"
#include "tests/storage/support.h"

using namespace pbft;
using namespace pbft::storage;
using namespace pbft::storage::testing;
using Kind = StorageError::Kind;
using Catch::Contains;

namespace {

void overwrite(Engine& engine, Family family, const Bytes& key, const Bytes& value) {
  WriteBatch batch;
  batch.put(family, key, value);
  must(engine.write(batch, Sync::durable));
}

StorageError open_error(const std::shared_ptr<Engine>& engine, const StoreIdentity& as = identity()) {
  const StorageError error = refusal(Store::open(engine, as, {}));
  const bool lost = error.kind == Kind::corrupt || error.kind == Kind::missing;
  CHECK((error.message.find(leave_it_down) != std::string::npos) == lost);
  CHECK(error.message.find("backup") == std::string::npos);
  return error;
}

}  // namespace

TEMPLATE_TEST_CASE("a new store is at genesis", "[open]", MemoryDisk, RocksDisk) {
  TestType disk;
  must(Store::create(*disk.engine(), identity()));
  disk.restart();
  const auto store = must(Store::open(disk.engine(), identity(), {}));
  const Recovered recovered = must(store->recover());
  CHECK(recovered.executed == SequenceNumber{0});
  CHECK(recovered.ledger_head == genesis_ledger_head());
  CHECK_FALSE(recovered.stable);
  CHECK(recovered.slots.empty());
  CHECK(recovered.checkpoints.empty());
  CHECK(recovered.sessions.empty());
}

TEMPLATE_TEST_CASE("a store is created once", "[open]", MemoryDisk, RocksDisk) {
  TestType disk;
  must(Store::create(*disk.engine(), identity()));
  CHECK(refusal(Store::create(*disk.engine(), identity())).kind == Kind::exists);
}

TEMPLATE_TEST_CASE("an empty store is refused with what to do", "[open]", MemoryDisk, RocksDisk) {
  TestType disk;
  const StorageError error = open_error(disk.engine());
  CHECK(error.kind == Kind::missing);
  CHECK_THAT(error.message, Contains("pbftctl init") && Contains("--rejoin"));
}

TEMPLATE_TEST_CASE("the store of another cluster, replica or format is refused", "[open]", MemoryDisk, RocksDisk) {
  TestType disk;
  must(Store::create(*disk.engine(), identity()));
  StoreIdentity other = identity();
  SECTION("cluster") {
    other.cluster.bytes[15] = 0;
    const StorageError error = open_error(disk.engine(), other);
    CHECK(error.kind == Kind::mismatch);
    CHECK_THAT(error.message, Contains("another cluster"));
  }
  SECTION("replica") {
    other.replica = ReplicaId{3};
    const StorageError error = open_error(disk.engine(), other);
    CHECK(error.kind == Kind::mismatch);
    CHECK_THAT(error.message, Contains("another replica: 2"));
  }
  SECTION("newer format") {
    overwrite(*disk.engine(), Family::meta, identity_key, encode_identity(identity(), format_version + 1));
    const StorageError error = open_error(disk.engine());
    CHECK(error.kind == Kind::newer_format);
    CHECK_THAT(error.message, Contains("format version 6"));
  }
  SECTION("older format") {
    overwrite(*disk.engine(), Family::meta, identity_key, encode_identity(identity(), format_version - 1));
    const StorageError error = open_error(disk.engine());
    CHECK(error.kind == Kind::older_format);
    CHECK_THAT(error.message, Contains("format version 4") && Contains("earlier version") && Contains("--rejoin"));
  }
  SECTION("a format that never was") {
    overwrite(*disk.engine(), Family::meta, identity_key, encode_identity(identity(), 0));
    CHECK(open_error(disk.engine()).kind == Kind::corrupt);
  }
}

TEST_CASE("damaged records are refused at the opening", "[open]") {
  const auto engine = std::make_shared<MemoryEngine>();
  must(Store::create(*engine, identity()));
  {
    const auto store = must(Store::open(engine, identity(), {}));
    Model model;
    must(store->apply(model.next({put("a", "1")})));
  }
  SECTION("every bit of the identity record counts") {
    const Bytes good = encode_identity(identity());
    for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
      Bytes bad = good;
      bad[bit / 8] = static_cast<std::uint8_t>(bad[bit / 8] ^ (1U << (bit % 8)));
      overwrite(*engine, Family::meta, identity_key, bad);
      REQUIRE(open_error(engine).kind == Kind::corrupt);
    }
    for (std::size_t length = 0; length < good.size(); ++length) {
      overwrite(*engine, Family::meta, identity_key, Bytes{good.begin(), good.begin() + static_cast<long>(length)});
      REQUIRE(open_error(engine).kind == Kind::corrupt);
    }
  }
  SECTION("the identity record is missing") {
    WriteBatch batch;
    batch.erase(Family::meta, identity_key);
    must(engine->write(batch, Sync::no));
    CHECK(open_error(engine).kind == Kind::corrupt);
  }
  SECTION("another record of meta is missing") {
    for (const Bytes& key : {executed_key, interval_key, kept_key}) {
      const Bytes value = must(engine->get(Family::meta, key)).value();
      WriteBatch batch;
      batch.erase(Family::meta, key);
      must(engine->write(batch, Sync::no));
      const StorageError error = open_error(engine);
      CHECK(error.kind == Kind::corrupt);
      CHECK_THAT(error.message, Contains(std::string{as_text(key)}));
      overwrite(*engine, Family::meta, key, value);
    }
    must(Store::open(engine, identity(), {}));
  }
  SECTION("a checkpoint beyond what was executed") {
    overwrite(*engine, Family::meta, interval_key, number_key(2));
    CHECK(open_error(engine).kind == Kind::corrupt);
  }
  SECTION("the ledger says otherwise than meta") {
    overwrite(*engine, Family::ledger, number_key(1), encode_ledger({Digest{}, Digest{}, Timestamp{1}}));
    CHECK_THAT(open_error(engine).message, Contains("ledger"));
  }
}

TEST_CASE("a state that cannot be read is no reason not to start", "[open]") {
  const auto engine = std::make_shared<MemoryEngine>();
  must(Store::create(*engine, identity()));
  {
    const auto store = must(Store::open(engine, identity(), {}));
    Model model;
    must(store->apply(model.next({put("a", "1")})));
  }
  SECTION("a bucket of another length") {
    overwrite(*engine, Family::tree, bucket_key(1), Bytes(7));
  }
  SECTION("an entry of undo") {
    overwrite(*engine, Family::undo, undo_key(0, Bytes{0, 'a'}), Bytes{2});
  }
  SECTION("a record of a client") {
    overwrite(*engine, Family::clients, to_bytes("c"), to_bytes("no client"));
  }
  for (int opening = 0; opening < 2; ++opening) {
    const auto store = must(Store::open(engine, identity(), {}));
    CHECK(must(store->recover()).damaged);
    CHECK(must(store->recover()).executed == SequenceNumber{1});
    CHECK(refusal(store->apply({SequenceNumber{2}, {}, {}, {}, {}, {}})).kind == Kind::damaged);
    CHECK(refusal(store->take_checkpoint(SequenceNumber{1}, {}, {})).kind == Kind::damaged);
    must(store->persist({PersistBatch{SequenceNumber{3}, make_batch(1, "promises go on")}}));
  }
}
