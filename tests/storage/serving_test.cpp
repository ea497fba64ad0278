// What a replica gives to one that fetches a state.
#include "storage/fields.h"
#include "storage/serving_session.h"
#include "storage/state_view.h"
#include "tests/storage/transfer_support.h"

using namespace pbft;
using namespace pbft::storage;
using namespace pbft::storage::testing;

namespace {

Content names_of(const Content& state, const Content& clients) {
  Content names;
  for (const auto& [key, value] : state) names[pair_name(Namespace::state, key)] = value;
  for (const auto& [key, value] : clients) names[pair_name(Namespace::clients, key)] = value;
  return names;
}

// All buckets from nothing, a part at a time.
Content given(Store& store, std::uint64_t n, ReplicaId to = asker) {
  Content names;
  for (std::uint32_t bucket = 0; bucket < DigestTree::bucket_count; ++bucket) {
    std::uint32_t skip = 0;
    for (;;) {
      const auto part = must(store.bucket_part({SequenceNumber{n}, bucket, skip, {}}, to));
      REQUIRE(part);
      REQUIRE(part->skip == skip);
      REQUIRE(part->wrong.empty());
      for (const StatePair& pair : part->pairs) {
        const Bytes name = pair_name(pair.name_space, pair.key.view());
        REQUIRE(DigestTree::bucket_of(name) == bucket);
        const BytesView value = pair.value.view();
        REQUIRE(names.emplace(name, Bytes{value.begin(), value.end()}).second);
      }
      skip += static_cast<std::uint32_t>(part->pairs.size());
      REQUIRE(skip <= part->total);
      if (skip == part->total) break;
      REQUIRE_FALSE(part->pairs.empty());
    }
  }
  return names;
}

}  // namespace

TEMPLATE_TEST_CASE("the lists of the buckets are the state at the last checkpoint", "[serving]", MemoryDisk,
                   RocksDisk) {
  Machine<TestType> machine;
  for (std::uint64_t n = 4; n <= 24; n += 4) {
    machine.run_to(n);
    const Content at_checkpoint = names_of(machine.model.state, machine.model.clients);
    machine.run_to(n + 3);
    Content listed;
    for (const auto& [key, value] : content_of(machine.engine().scan(Family::buckets, {}, {}))) {
      FieldReader reader{key};
      const std::uint32_t bucket = reader.u16();
      const BytesView name = reader.rest();
      CHECK(DigestTree::bucket_of(name) == bucket);
      listed[Bytes{name.begin(), name.end()}] = value;
    }
    Content wanted;
    for (const auto& [name, value] : at_checkpoint) {
      const PairHash hash = hash_of(name, value);
      wanted[name] = {hash.bytes.begin(), hash.bytes.end()};
    }
    REQUIRE(listed == wanted);
  }
}

TEMPLATE_TEST_CASE("tree and buckets of every kept checkpoint are given, after a restart too", "[serving]", MemoryDisk,
                   RocksDisk) {
  Machine<TestType> machine;
  std::map<std::uint64_t, Content> contents;
  for (std::uint64_t n = 4; n <= 20; n += 4) {
    machine.run_to(n);
    contents[n] = names_of(machine.model.state, machine.model.clients);
    if (n > 8) machine.make_stable(n - 8);
  }
  machine.run_to(22);
  for (const bool restarted : {false, true}) {
    if (restarted) machine.restart();
    CHECK_FALSE(must(machine.store->tree_at(SequenceNumber{4}, asker)));   // not kept
    CHECK_FALSE(must(machine.store->tree_at(SequenceNumber{10}, asker)));  // no checkpoint
    CHECK_FALSE(must(machine.store->tree_at(SequenceNumber{24}, asker)));  // not taken
    CHECK_FALSE(must(machine.store->tree_at(SequenceNumber{0}, asker)));
    for (std::uint64_t n = 8; n <= 20; n += 4) {
      const auto tree = must(machine.store->tree_at(SequenceNumber{n}, asker));
      REQUIRE(tree);
      CHECK(tree->summary == machine.summaries.at(n));
      CHECK(tree_root(tree->leaves) == machine.summaries.at(n).state);
      REQUIRE(given(*machine.store, n) == contents.at(n));
    }
  }
}

TEMPLATE_TEST_CASE("what was asked for is given to the end, whatever goes on meanwhile", "[serving]", MemoryDisk,
                   RocksDisk) {
  Machine<TestType> machine;
  machine.run_to(8);
  const Content wanted = names_of(machine.model.state, machine.model.clients);
  machine.run_to(10);
  REQUIRE(must(machine.store->tree_at(SequenceNumber{8}, asker)));
  for (std::uint64_t n = 12; n <= 24; n += 4) {
    machine.run_to(n + 1);
    machine.make_stable(n);
  }
  CHECK(refusal(machine.store->state_at(SequenceNumber{8})).kind == StorageError::Kind::missing);
  CHECK(given(*machine.store, 8) == wanted);
  SECTION("idle for long") {
    machine.store->tick_serving(ServingSessions::idle_ticks - 1);
    CHECK(must(machine.store->tree_at(SequenceNumber{8}, asker)));
    machine.store->tick_serving(ServingSessions::idle_ticks - 1);
    CHECK(must(machine.store->bucket_part({SequenceNumber{8}, 0, 0, {}}, asker)));
    machine.store->tick_serving(ServingSessions::idle_ticks);
  }
  SECTION("old, though not idle") {
    for (std::uint64_t i = 0; i < ServingSessions::life_ticks / 10; ++i) {
      static_cast<void>(must(machine.store->tree_at(SequenceNumber{8}, asker)));
      machine.store->tick_serving(10);
    }
  }
  SECTION("two others were asked for") {
    CHECK(must(machine.store->tree_at(SequenceNumber{20}, asker)));
    CHECK(must(machine.store->tree_at(SequenceNumber{8}, asker)));
    CHECK(must(machine.store->tree_at(SequenceNumber{24}, asker)));
    CHECK(must(machine.store->tree_at(SequenceNumber{8}, asker)));
    CHECK(must(machine.store->tree_at(SequenceNumber{20}, asker)));
    CHECK(must(machine.store->tree_at(SequenceNumber{24}, asker)));
  }
  CHECK_FALSE(must(machine.store->tree_at(SequenceNumber{8}, asker)));
  CHECK_FALSE(must(machine.store->bucket_part({SequenceNumber{8}, 0, 0, {}}, asker)));
}

TEMPLATE_TEST_CASE("what one peer asks for takes nothing from another", "[serving]", MemoryDisk, RocksDisk) {
  const ReplicaId laggard{1};
  const ReplicaId greedy{3};
  Machine<TestType> machine;
  machine.run_to(8);
  const Content wanted = names_of(machine.model.state, machine.model.clients);
  machine.run_to(10);
  REQUIRE(must(machine.store->tree_at(SequenceNumber{8}, laggard)));
  for (std::uint64_t n = 12; n <= 28; n += 4) {
    machine.run_to(n + 1);
    machine.make_stable(n);
    REQUIRE(must(machine.store->tree_at(SequenceNumber{n}, greedy)));
    REQUIRE(must(machine.store->bucket_part({SequenceNumber{n}, 0, 0, {}}, greedy)));
  }
  CHECK(given(*machine.store, 8, laggard) == wanted);
  // Its own places are two, and what is not kept is nobody's but its holder's.
  CHECK(must(machine.store->tree_at(SequenceNumber{28}, greedy)));
  CHECK(must(machine.store->tree_at(SequenceNumber{24}, greedy)));
  CHECK_FALSE(must(machine.store->tree_at(SequenceNumber{20}, greedy)));
}

TEMPLATE_TEST_CASE("peers that ask for one checkpoint share a session, each for its own time", "[serving]", MemoryDisk,
                   RocksDisk) {
  Machine<TestType> machine;
  machine.run_to(8);
  const SequenceNumber n{8};
  const ReplicaId first{1};
  const ReplicaId second{2};
  const ReplicaId third{3};
  ServingSessions sessions;
  const auto ask = [&](ReplicaId peer) { return must(sessions.at(peer, n, machine.engine(), nullptr)); };
  const ServingSession* const session = ask(first);
  REQUIRE(session != nullptr);
  SECTION("one that is idle loses its own") {
    CHECK(ask(second) == session);
    CHECK(sessions.size() == 1);
    sessions.tick(ServingSessions::idle_ticks - 1);
    CHECK(ask(second) == session);
    sessions.asked_for_batch(second, SequenceNumber{9});  // keeps nothing of the first's
    sessions.tick(1);
    CHECK(sessions.lowest() == n);
    sessions.tick(ServingSessions::idle_ticks - 1);
    CHECK(sessions.size() == 0);
  }
  SECTION("who comes late has a life of its own, and nobody prolongs another's") {
    const auto wait = [&](std::uint64_t ticks, const std::vector<ReplicaId>& peers) {
      for (std::uint64_t i = 0; i < ticks; i += 100) {
        for (const ReplicaId peer : peers) static_cast<void>(ask(peer));
        sessions.tick(100);
      }
    };
    wait(ServingSessions::life_ticks - 100, {first});
    CHECK(ask(second) == session);
    wait(100, {first, second});  // the first's is over
    CHECK(ask(second) == session);
    const ServingSession* const fresh = ask(third);  // the session is too old for another holder
    CHECK(fresh != session);
    CHECK(ask(first) == fresh);
    CHECK(sessions.size() == 2);
    wait(ServingSessions::life_ticks - 300, {second, third});
    CHECK(ask(second) == session);
    wait(200, {third});
    CHECK(sessions.size() == 1);
    CHECK(ask(second) == fresh);
  }
  CHECK_FALSE(must(sessions.at(first, SequenceNumber{6}, machine.engine(), nullptr)));
}

TEST_CASE("what the asker has is not sent, and what is wrong of it is named", "[serving]") {
  Machine<MemoryDisk> machine;
  machine.script = {.keys = 30'000, .most = 4'000};
  machine.run_to(8);
  std::map<std::uint32_t, Content> buckets;
  for (const auto& [name, value] : names_of(machine.model.state, machine.model.clients)) {
    buckets[DigestTree::bucket_of(name)][name] = value;
  }
  const auto found =
      std::find_if(buckets.begin(), buckets.end(), [](const auto& one) { return one.second.size() > 3; });
  REQUIRE(found != buckets.end());
  const auto& [bucket, content] = *found;
  FetchBucket request{SequenceNumber{8}, bucket, 0, {}};
  const auto& [known, known_value] = *std::next(content.begin());
  const PairHash right = pair_hash(space_of(known), key_of(known), known_value);
  PairHash wrong;
  request.have = {wrong, right};  // all zeros sorts first
  auto part = must(machine.store->bucket_part(request, asker));
  REQUIRE(part);
  CHECK(part->wrong == std::vector<std::uint32_t>{0});
  CHECK(part->total == content.size() - 1);
  CHECK(part->pairs.size() == content.size() - 1);
  for (const StatePair& pair : part->pairs) CHECK(pair_name(pair.name_space, pair.key.view()) != known);

  request.skip = 2;
  part = must(machine.store->bucket_part(request, asker));
  CHECK(part->wrong.empty());
  CHECK(part->total == content.size() - 1);
  CHECK(part->pairs.size() == content.size() - 3);

  request.skip = static_cast<std::uint32_t>(content.size() - 1);
  CHECK_FALSE(must(machine.store->bucket_part(request, asker)));
  request.skip = UINT32_MAX;
  CHECK_FALSE(must(machine.store->bucket_part(request, asker)));
  request.skip = 0;
  request.bucket = DigestTree::bucket_count;
  CHECK_FALSE(must(machine.store->bucket_part(request, asker)));
  request.bucket = bucket;
  request.have = {right, wrong};
  CHECK_FALSE(must(machine.store->bucket_part(request, asker)));  // not ascending
}

TEST_CASE("a part has a size", "[serving]") {
  Machine<MemoryDisk> machine;
  // Keys of one bucket: two small, one larger than a part, many of a tenth of one.
  std::vector<std::string> keys;
  for (int i = 0; keys.size() < 30; ++i) {
    std::string key = "key" + std::to_string(i);
    if (DigestTree::bucket_of(Namespace::state, as_bytes(key)) == 7) keys.push_back(std::move(key));
  }
  std::sort(keys.begin(), keys.end());
  machine.run_to(4, [&](std::uint64_t n, std::vector<StateChange>& changes) {
    changes.clear();
    if (n != 1) return;
    for (std::size_t i = 0; i < keys.size(); ++i) {
      const std::size_t size = i == 1 ? 3 * Limits::bucket_part_bytes : Limits::bucket_part_bytes / 10;
      changes.push_back(put(keys[i], std::string(size, static_cast<char>('a' + i))));
    }
  });
  FetchBucket request{SequenceNumber{4}, 7, 0, {}};
  std::vector<std::size_t> sizes;
  while (request.skip < keys.size()) {
    const auto part = must(machine.store->bucket_part(request, asker));
    REQUIRE(part);
    CHECK(part->total == keys.size());
    CHECK(as_text(part->pairs.front().key.view()) == keys[request.skip]);
    sizes.push_back(part->pairs.size());
    request.skip += static_cast<std::uint32_t>(part->pairs.size());
  }
  CHECK(sizes == std::vector<std::size_t>{1, 1, 9, 9, 9, 1});
}

namespace {

// A bucket with these values, as it is given.
struct ServedBucket {
  static constexpr std::uint32_t bucket = 7;

  explicit ServedBucket(const std::vector<std::size_t>& sizes) : keys(keys_of(bucket, sizes.size())) {
    machine.run_to(4, [&](std::uint64_t n, std::vector<StateChange>& changes) {
      changes.clear();
      if (n != 1) return;
      for (std::size_t i = 0; i < keys.size(); ++i) changes.push_back(put(keys[i], std::string(sizes[i], 'v')));
    });
    static_cast<void>(must(machine.store->tree_at(SequenceNumber{4}, asker)));
  }
  // What each part takes.
  std::vector<std::uint64_t> work(std::vector<PairHash> have = {}) {
    FetchBucket request{SequenceNumber{4}, bucket, 0, std::move(have)};
    std::vector<std::uint64_t> work;
    for (std::uint32_t total = 1; request.skip < total;) {
      const auto part = must(machine.store->bucket_part(request, asker, &work.emplace_back()));
      REQUIRE(part);
      total = part->total;
      request.skip += static_cast<std::uint32_t>(part->pairs.size());
    }
    return work;
  }

  Machine<MemoryDisk> machine;
  std::vector<std::string> keys;
};

}  // namespace

TEST_CASE("of large values no more is read than is given", "[serving]") {
  constexpr std::size_t large = 1U << 20;
  std::vector<std::size_t> sizes(40, large);
  SECTION("all are large") {
    ServedBucket served{sizes};
    const auto work = served.work();
    CHECK(work.size() == sizes.size());
    for (const std::uint64_t one : work) CHECK(one < large + large / 16);
  }
  SECTION("small ones come first") {
    std::fill_n(sizes.begin(), 20, 10);
    ServedBucket served{sizes};
    const auto first = served.work();
    CHECK(std::ranges::count_if(first, [](std::uint64_t one) { return one > 2 * large; }) <= 1);
    // By now it is known that there are large ones.
    for (const std::uint64_t one : served.work()) CHECK(one < large + large / 16);
  }
}

TEST_CASE("the parts of a bucket go through its list once", "[serving]") {
  ServedBucket served{std::vector<std::size_t>(30, Limits::bucket_part_bytes / 10)};
  std::vector<PairHash> have(100'000);
  for (std::uint32_t i = 0; i < have.size(); ++i) {
    for (std::size_t k = 0; k < 4; ++k) have[i].bytes[k] = static_cast<std::uint8_t>(i >> (8 * (3 - k)));
  }
  const std::uint64_t list = have.size() * PairHash::size;
  const auto work = served.work(have);
  REQUIRE(work.size() >= 3);
  CHECK(work[0] >= list);
  for (std::size_t i = 1; i < work.size(); ++i) CHECK(work[i] < list / 2);
  // Another list is gone through again, also in the middle of an answer.
  have.pop_back();
  std::uint64_t again = 0;
  const FetchBucket request{SequenceNumber{4}, ServedBucket::bucket, 9, have};
  const auto part = must(served.machine.store->bucket_part(request, asker, &again));
  REQUIRE(part);
  CHECK(part->total == 30);
  CHECK(as_text(part->pairs[0].key.view()) == served.keys[9]);
  CHECK(again >= list - PairHash::size);
}

TEST_CASE("what one asker lacks is not taken for what another lacks", "[serving]") {
  ServedBucket served{std::vector<std::size_t>(30, Limits::bucket_part_bytes / 10)};
  const std::string value(Limits::bucket_part_bytes / 10, 'v');
  const auto part_of = [&](ReplicaId peer, std::uint32_t skip, std::vector<std::size_t> has) {
    FetchBucket request{SequenceNumber{4}, ServedBucket::bucket, skip, {}};
    for (const std::size_t i : has) {
      request.have.push_back(pair_hash(Namespace::state, as_bytes(served.keys[i]), as_bytes(value)));
    }
    std::ranges::sort(request.have);
    return must(served.machine.store->bucket_part(request, peer)).value();
  };
  CHECK(part_of(ReplicaId{1}, 0, {}).total == 30);
  CHECK(part_of(ReplicaId{2}, 0, {0, 1}).total == 28);
  CHECK(part_of(ReplicaId{1}, 9, {}).total == 30);
  const BucketPart part = part_of(ReplicaId{2}, 9, {0, 1});
  CHECK(part.total == 28);
  CHECK(as_text(part.pairs[0].key.view()) == served.keys[11]);
  CHECK(part_of(ReplicaId{2}, 9, {0}).total == 29);
}

TEST_CASE("a state that does not give its root is not given", "[serving]") {
  Machine<MemoryDisk> machine;
  machine.run_to(8);
  machine.restart();
  const auto undo = content_of(machine.engine().scan(Family::undo, number_key(4), {}));
  WriteBatch batch;
  batch.erase(Family::undo, undo.begin()->first);
  must(machine.engine().write(batch, Sync::no));
  CHECK(refusal(machine.store->tree_at(SequenceNumber{4}, asker)).kind == StorageError::Kind::damaged);
  CHECK(must(machine.store->tree_at(SequenceNumber{8}, asker)));  // known without undo
  must(machine.store->mark_damaged());
  CHECK_FALSE(must(machine.store->tree_at(SequenceNumber{8}, asker)));
}
