// The contract of Engine, on both engines.
#include <atomic>
#include <thread>

#include "tests/storage/support.h"

using namespace pbft;
using namespace pbft::storage;
using namespace pbft::storage::testing;

namespace {

void put_text(WriteBatch& batch, Family family, std::string_view key, std::string_view value) {
  batch.put(family, as_bytes(key), as_bytes(value));
}

std::string walk(std::unique_ptr<Iterator> at) {
  std::string text;
  for (; at->valid(); at->next()) {
    text += std::string{as_text(at->key())} + "=" + std::string{as_text(at->value())} + " ";
  }
  must(at->status());
  return text;
}

void fill(Engine& engine) {
  WriteBatch batch;
  for (const char* key : {"a", "ab", "b", "c"}) put_text(batch, Family::state, key, key);
  put_text(batch, Family::meta, "a", "other family");
  must(engine.write(batch, Sync::no));
}

}  // namespace

TEMPLATE_TEST_CASE("an engine gives back what was written, family by family", "[engine]", MemoryDisk, RocksDisk) {
  TestType disk;
  fill(*disk.engine());
  const auto check = [&] {
    const auto engine = disk.engine();
    CHECK(must(engine->get(Family::state, as_bytes("ab"))) == to_bytes("ab"));
    CHECK(must(engine->get(Family::meta, as_bytes("a"))) == to_bytes("other family"));
    CHECK(must(engine->get(Family::state, as_bytes("abc"))) == std::nullopt);
    CHECK(must(engine->get(Family::undo, as_bytes("a"))) == std::nullopt);
  };
  check();
  disk.restart();
  check();
}

TEMPLATE_TEST_CASE("several keys at once give what each gives alone", "[engine]", MemoryDisk, RocksDisk) {
  TestType disk;
  const auto check = [&] {
    const auto engine = disk.engine();
    std::vector<Bytes> keys;
    for (int i = 0; i < 100; ++i) keys.push_back(to_bytes("key" + std::to_string(1000 + i)));
    std::vector<BytesView> views(keys.begin(), keys.end());
    const auto found = must(engine->get_many(Family::state, views));
    REQUIRE(found.size() == keys.size());
    for (std::size_t i = 0; i < keys.size(); ++i) {
      const auto alone = must(engine->get(Family::state, keys[i]));
      CHECK(found[i] == alone);
      CHECK(alone.has_value() == (i % 3 != 0));
    }
    CHECK(must(engine->get_many(Family::state, {})).empty());
    CHECK(must(engine->get_many(Family::undo, {as_bytes("key1001")})) ==
          std::vector<std::optional<Bytes>>{std::nullopt});
  };
  WriteBatch batch;
  for (int i = 0; i < 100; ++i) {
    if (i % 3 != 0)
      batch.put(Family::state, to_bytes("key" + std::to_string(1000 + i)), Bytes(static_cast<std::size_t>(i)));
  }
  must(disk.engine()->write(batch, Sync::durable));
  check();
  disk.restart();
  check();
}

TEMPLATE_TEST_CASE("a scan gives a range in byte order", "[engine]", MemoryDisk, RocksDisk) {
  TestType disk;
  const auto engine = disk.engine();
  fill(*engine);
  WriteBatch batch;
  batch.put(Family::state, Bytes{0xff, 0}, to_bytes("high"));
  batch.put(Family::state, Bytes{}, to_bytes("empty"));
  must(engine->write(batch, Sync::durable));
  CHECK(walk(engine->scan(Family::state, as_bytes("ab"), as_bytes("c"))) == "ab=ab b=b ");
  CHECK(walk(engine->scan(Family::state, as_bytes("bb"), as_bytes("d"))) == "c=c ");
  CHECK(walk(engine->scan(Family::state, as_bytes("b"), as_bytes("b"))).empty());
  CHECK(walk(engine->scan(Family::state, as_bytes("c"), as_bytes("a"))).empty());
  CHECK(walk(engine->scan(Family::ledger, {}, {})).empty());
  const Content all = content_of(engine->scan(Family::state, {}, {}));
  CHECK(all.size() == 6);
  CHECK(all.begin()->second == to_bytes("empty"));
  CHECK(all.rbegin()->second == to_bytes("high"));
}

TEMPLATE_TEST_CASE("the operations of a batch act in order", "[engine]", MemoryDisk, RocksDisk) {
  TestType disk;
  const auto engine = disk.engine();
  fill(*engine);
  WriteBatch batch;
  put_text(batch, Family::state, "bb", "gone");
  batch.erase(Family::state, to_bytes("ab"), to_bytes("c"));
  put_text(batch, Family::state, "b", "new");
  batch.erase(Family::state, to_bytes("a"));
  batch.erase(Family::state, to_bytes("never there"));
  batch.erase(Family::state, to_bytes("z"), to_bytes("a"));
  must(engine->write(batch, Sync::no));
  CHECK(walk(engine->scan(Family::state, {}, {})) == "b=new c=c ");
  CHECK(walk(engine->scan(Family::meta, {}, {})) == "a=other family ");
}

TEMPLATE_TEST_CASE("a scan sees the state at its creation", "[engine]", MemoryDisk, RocksDisk) {
  TestType disk;
  const auto engine = disk.engine();
  fill(*engine);
  auto scan = engine->scan(Family::state, {}, {});
  WriteBatch batch;
  batch.erase(Family::state, to_bytes("a"), to_bytes("c"));
  put_text(batch, Family::state, "c", "changed");
  put_text(batch, Family::state, "d", "new");
  must(engine->write(batch, Sync::no));
  CHECK(walk(std::move(scan)) == "a=a ab=ab b=b c=c ");
  CHECK(walk(engine->scan(Family::state, {}, {})) == "c=changed d=new ");
}

TEMPLATE_TEST_CASE("reads go on beside writes", "[engine]", MemoryDisk, RocksDisk) {
  TestType disk;
  const auto engine = disk.engine();
  fill(*engine);
  // Both keys are always written together: a reader that sees them differ saw half a batch.
  std::atomic<bool> done{false};
  std::atomic<int> halves{0};
  std::thread reader{[&] {
    while (!done) {
      std::string first;
      std::string second;
      const auto scan = engine->scan(Family::clients, {}, {});
      if (scan->valid()) {
        first = as_text(scan->value());
        scan->next();
        if (scan->valid()) second = as_text(scan->value());
      }
      if (first != second) ++halves;
      if (!engine->get(Family::clients, as_bytes("x"))) ++halves;
    }
  }};
  bool written = true;
  for (int i = 0; i < 300; ++i) {
    WriteBatch batch;
    put_text(batch, Family::clients, "x", std::to_string(i));
    put_text(batch, Family::clients, "y", std::to_string(i));
    written = written && engine->write(batch, Sync::no).has_value();
  }
  done = true;
  reader.join();
  CHECK(written);
  CHECK(halves == 0);
}

TEST_CASE("a loss of power keeps the synced writes and a prefix of the others", "[engine]") {
  for (std::size_t kept = 0; kept <= 4; ++kept) {
    MemoryEngine engine;
    WriteBatch synced;
    put_text(synced, Family::state, "a", "synced");
    put_text(synced, Family::state, "b", "synced");
    must(engine.write(synced, Sync::no));
    must(engine.write({}, Sync::durable));  // also makes durable what was written before
    CHECK(engine.unsynced_writes() == 0);

    std::vector<std::string> states{walk(engine.scan(Family::state, {}, {}))};
    const auto write = [&](const auto& add) {
      WriteBatch batch;
      add(batch);
      must(engine.write(batch, Sync::no));
      states.push_back(walk(engine.scan(Family::state, {}, {})));
    };
    write([](WriteBatch& batch) { put_text(batch, Family::state, "a", "changed"); });
    write([](WriteBatch& batch) { batch.erase(Family::state, to_bytes("a"), to_bytes("c")); });
    write([](WriteBatch& batch) { put_text(batch, Family::state, "b", "again"); });
    write([](WriteBatch& batch) { batch.erase(Family::state, to_bytes("b")); });
    CHECK(engine.unsynced_writes() == 4);

    engine.lose_power(kept);
    CHECK(walk(engine.scan(Family::state, {}, {})) == states[kept]);
    CHECK(engine.unsynced_writes() == 0);
    engine.lose_power(0);  // what was found after the first loss is on the disk
    CHECK(walk(engine.scan(Family::state, {}, {})) == states[kept]);
  }
}

TEST_CASE("a failed write changes nothing and lets none follow", "[engine]") {
  MemoryEngine engine;
  engine.fail_writes(StorageError{StorageError::Kind::no_space, "the disk is full"});
  WriteBatch batch;
  put_text(batch, Family::state, "a", "1");
  CHECK(refusal(engine.write(batch, Sync::durable)).kind == StorageError::Kind::no_space);
  CHECK(refusal(engine.write(batch, Sync::no)).message == "the disk is full");
  CHECK(must(engine.get(Family::state, as_bytes("a"))) == std::nullopt);
  engine.fail_writes(std::nullopt);
  must(engine.write(batch, Sync::no));
  CHECK(must(engine.get(Family::state, as_bytes("a"))) == to_bytes("1"));
}
