// The state of a checkpoint comes from another store.
#include "storage/fields.h"
#include "tests/storage/transfer_support.h"

using namespace pbft;
using namespace pbft::storage;
using namespace pbft::storage::testing;
using Kind = StorageError::Kind;
using Outcome = BucketStaged::Outcome;

namespace {

template <class Disk>
struct TransferPair {
  Machine<Disk> from{Sync::no};
  Machine<Disk> to{Sync::no};
  Content state;  // of `from` at the checkpoint that run_from went to
  Content clients;

  void run_from(std::uint64_t n) {
    from.run_to(n);
    state = from.model.state;
    clients = from.model.clients;
  }
  // As the receiver goes on after an installation at n: from there on as everybody.
  void follow(std::uint64_t n, std::uint64_t last) {
    to.model = from.model;
    to.model.executed = n;
    to.model.head = from.summaries.at(n).ledger_head;
    to.model.state = state;
    to.model.clients = clients;
    to.run_to(last);
    from.run_to(last);
    CHECK(to.summaries.at(last) == from.summaries.at(last));
  }
};

std::function<void(std::uint64_t, std::vector<StateChange>&)> twist_at(std::uint64_t batch, const StateChange& change) {
  return [=](std::uint64_t n, std::vector<StateChange>& changes) {
    if (n == batch) changes.push_back(change);
  };
}

}  // namespace

TEMPLATE_TEST_CASE("a staged bucket that cannot be read is fetched again", "[transfer]", MemoryDisk, RocksDisk) {
  TransferPair<TestType> pair;
  pair.run_from(8);
  pair.to.run_to(2);
  const CheckpointSummary target = pair.from.summaries.at(8);
  const auto buckets = plan(*pair.from.store, *pair.to.store, target);
  fetch_all(*pair.from.store, *pair.to.store, target.n, buckets);
  // A head, or a pair.
  const Bytes from{GENERATE(as<std::uint8_t>{}, 'b', 'p')};
  WriteBatch batch;
  {
    const auto staged = pair.to.engine().scan(Family::staging, from, {});
    REQUIRE(staged->valid());
    batch.put(Family::staging, staged->key(), Bytes{2});
  }
  must(pair.to.engine().write(batch, Sync::durable));
  must(pair.to.store->mark_damaged());
  transfer(*pair.from.store, *pair.to.store, target);
  check_installed(*pair.to.store, pair.to.engine(), target, pair.state, pair.clients);
}

TEMPLATE_TEST_CASE("what is staged of a bucket whose head was lost is no part of it any more", "[transfer]", MemoryDisk,
                   RocksDisk) {
  TransferPair<TestType> pair;
  pair.run_from(8);
  pair.to.run_to(2);
  const CheckpointSummary target = pair.from.summaries.at(8);
  fetch_all(*pair.from.store, *pair.to.store, target.n, plan(*pair.from.store, *pair.to.store, target));
  WriteBatch batch;
  {
    const auto staged = pair.to.engine().scan(Family::staging, Bytes{'p'}, {});
    REQUIRE(staged->valid());
    Bytes stray{staged->key().begin(), staged->key().end()};
    stray.push_back('x');  // a name that nobody has
    batch.put(Family::staging, stray, {staged->value().begin(), staged->value().end()});
  }
  batch.erase(Family::staging, Bytes{'b'}, Bytes{'c'});
  must(pair.to.engine().write(batch, Sync::durable));
  pair.to.restart();
  transfer(*pair.from.store, *pair.to.store, target);
  check_installed(*pair.to.store, pair.to.engine(), target, pair.state, pair.clients);
}

TEMPLATE_TEST_CASE("a staged bucket of an earlier process that gives another digest is fetched again", "[transfer]",
                   MemoryDisk, RocksDisk) {
  TransferPair<TestType> pair;
  pair.run_from(8);
  pair.to.run_to(2);
  const CheckpointSummary target = pair.from.summaries.at(8);
  const auto buckets = plan(*pair.from.store, *pair.to.store, target);
  fetch_all(*pair.from.store, *pair.to.store, target.n, buckets);
  const bool other_key = GENERATE(true, false);
  WriteBatch batch;
  {
    const Bytes pairs{'p'};
    const auto staged = pair.to.engine().scan(Family::staging, pairs, {});
    REQUIRE(staged->valid());
    Bytes key{staged->key().begin(), staged->key().end()};
    Bytes value{staged->value().begin(), staged->value().end()};
    if (other_key) batch.erase(Family::staging, key);
    (other_key ? key : value).back() ^= 1;
    batch.put(Family::staging, key, value);
  }
  must(pair.to.engine().write(batch, Sync::durable));
  pair.to.restart();
  transfer(*pair.from.store, *pair.to.store, target);
  check_installed(*pair.to.store, pair.to.engine(), target, pair.state, pair.clients);
}

TEMPLATE_TEST_CASE("an empty replica gets all, one that lags what differs", "[transfer]", MemoryDisk, RocksDisk) {
  TransferPair<TestType> pair;
  const std::uint64_t behind = GENERATE(0, 8, 10);
  pair.run_from(8);
  pair.to.run_to(behind);
  pair.run_from(24);
  pair.from.run_to(26);
  const CheckpointSummary target = pair.from.summaries.at(24);
  const StateInstalled report = transfer(*pair.from.store, *pair.to.store, target);
  CHECK(report.summary == target);
  CHECK(report.clients.size() == 7);
  CHECK(report.sessions.size() == 7);
  for (const RecoveredSession& session : report.sessions) {
    CHECK(session.session.session.value > 24 - 7);
    CHECK(session.executed == std::vector<RequestNumber>{RequestNumber{2}});
  }
  CHECK_FALSE(report.difference);
  check_installed(*pair.to.store, pair.to.engine(), target, pair.state, pair.clients);
  CHECK_FALSE(must(pair.to.store->ledger_range(SequenceNumber{24}, SequenceNumber{24}, asker)));
  CHECK_FALSE(must(pair.to.store->ledger_range(SequenceNumber{1}, SequenceNumber{24}, asker)));
  pair.to.restart();
  check_installed(*pair.to.store, pair.to.engine(), target, pair.state, pair.clients);
  // It serves in turn, and comes to the same roots as the others.
  Machine<TestType> third;
  transfer(*pair.to.store, *third.store, target);
  check_installed(*third.store, third.engine(), target, pair.state, pair.clients);
  pair.follow(24, 36);
  const auto range = must(pair.to.store->ledger_range(SequenceNumber{25}, SequenceNumber{36}, asker));
  REQUIRE(range);
  CHECK(range->digests.size() == 12);
  CHECK_FALSE(must(pair.to.store->ledger_range(SequenceNumber{24}, SequenceNumber{36}, asker)));
  pair.to.make_stable(28);
  pair.to.make_stable(32);
  pair.to.restart();
  CHECK(must(pair.to.store->recover()).executed == SequenceNumber{36});
  CHECK_FALSE(must(pair.to.store->state_at(SequenceNumber{28})).empty());
}

TEST_CASE("only what differs is planned for and sent", "[transfer]") {
  TransferPair<MemoryDisk> pair;
  pair.run_from(16);
  pair.to.run_to(15, twist_at(14, put("key7", "not what the others have")));
  const CheckpointSummary target = pair.from.summaries.at(16);
  const auto missing = plan(*pair.from.store, *pair.to.store, target);
  CHECK(missing.size() > 1);
  CHECK(missing.size() < 45);  // one batch, not what has changed since the checkpoint at 12
  CHECK(std::is_sorted(missing.begin(), missing.end()));
  std::uint64_t pairs = 0;
  for (const std::uint32_t bucket : missing) pairs += fetch(*pair.from.store, *pair.to.store, target.n, bucket).pairs;
  CHECK(pairs < 45);
  CHECK(plan(*pair.from.store, *pair.to.store, target).empty());
  static_cast<void>(must(pair.to.store->install_state(stable_at(target).proof, target)));
  check_installed(*pair.to.store, pair.to.engine(), target, pair.state, pair.clients);
  CHECK(plan(*pair.from.store, *pair.to.store, target).empty());
}

TEMPLATE_TEST_CASE("a replica that went astray goes back, and is told where it differed", "[transfer]", MemoryDisk,
                   RocksDisk) {
  TransferPair<TestType> pair;
  pair.run_from(16);
  // Before the checkpoint at 12: one pair too many, one changed and later changed again by everybody, one lacking.
  pair.to.run_to(18, [&](std::uint64_t n, std::vector<StateChange>& changes) {
    if (n == 11) changes.insert(changes.begin(), {put("aa", "nobody has this"), put("zz", "nor this")});
    if (n == 14) changes.push_back(put("zz", "nor that"));
  });
  const std::uint64_t at = GENERATE(8, 12, 16);
  const Content own = must(pair.to.store->state_at(SequenceNumber{at}));
  const Content wanted = must(pair.from.store->state_at(SequenceNumber{at}));
  std::vector<Bytes> differing;
  for (const auto& [key, value] : own) {
    if (!wanted.contains(key) || wanted.at(key) != value) differing.push_back(key);
  }
  CHECK(differing.size() == (at == 8 ? 0 : 2));
  const CheckpointSummary target = pair.from.summaries.at(at);
  pair.state = wanted;
  pair.clients = must(pair.from.store->clients_at(SequenceNumber{at}));
  const StateInstalled report = transfer(*pair.from.store, *pair.to.store, target);
  CHECK(report.difference.has_value() == !differing.empty());
  if (report.difference) {
    CHECK(report.difference->name_space == Namespace::state);
    CHECK(report.difference->first == to_bytes("aa"));
    CHECK(report.difference->last == to_bytes("zz"));
    CHECK(report.difference->keys == 2);
  }
  check_installed(*pair.to.store, pair.to.engine(), target, pair.state, pair.clients);
  // Its ledger was right all the time.
  CHECK(must(pair.to.store->ledger_range(SequenceNumber{1}, target.n, asker)));
  // Promises above the checkpoint stay, those below go.
  const Recovered recovered = must(pair.to.store->recover());
  CHECK(recovered.slots.size() == 18 - at);
  for (const auto& [n, slot] : recovered.slots) {
    CHECK(n > target.n);
    CHECK(slot.accepted.size() == 1);
    CHECK(slot.batches.size() == 1);
  }
  pair.to.restart();
  check_installed(*pair.to.store, pair.to.engine(), target, pair.state, pair.clients);
}

TEST_CASE("a difference in the table of clients is told as such", "[transfer]") {
  TransferPair<MemoryDisk> pair;
  pair.run_from(8);
  pair.to.run_to(7);
  auto clients = Script::clients(8);
  clients[1].value = encode_session({{client_of(1), SessionId{8}, RequestNumber{9}, {}, SequenceNumber{8}}, {}});
  const Bytes key = clients[1].key;
  must(pair.to.store->apply(pair.to.model.next(pair.to.script.state(8), std::move(clients))));
  take(*pair.to.store, 8);
  const StateInstalled report = transfer(*pair.from.store, *pair.to.store, pair.from.summaries.at(8));
  REQUIRE(report.difference);
  CHECK(report.difference->name_space == Namespace::clients);
  CHECK(report.difference->first == key);
  CHECK(report.difference->last == key);
  CHECK(report.difference->keys == 1);
}

TEMPLATE_TEST_CASE("a transfer goes on after a restart, and when its target moves", "[transfer]", MemoryDisk,
                   RocksDisk) {
  TransferPair<TestType> pair;
  pair.run_from(12);
  pair.to.run_to(4);
  CheckpointSummary target = pair.from.summaries.at(12);
  auto missing = plan(*pair.from.store, *pair.to.store, target);
  const std::size_t half = missing.size() / 2;
  fetch_all(*pair.from.store, *pair.to.store, target.n, {missing.begin(), missing.begin() + static_cast<long>(half)});
  if (GENERATE(false, true)) pair.to.restart();
  CHECK(plan(*pair.from.store, *pair.to.store, target) ==
        std::vector<std::uint32_t>{missing.begin() + static_cast<long>(half), missing.end()});
  CHECK(refusal(pair.to.store->install_state(stable_at(target).proof, target)).kind == Kind::mismatch);

  // Of what is staged, all that did not change again is still of use.
  pair.run_from(13);
  pair.run_from(16);
  target = pair.from.summaries.at(16);
  const auto moved = plan(*pair.from.store, *pair.to.store, target);
  const auto fresh = [&] {
    Machine<TestType> other;
    other.run_to(4);
    return plan(*pair.from.store, *other.store, target).size();
  }();
  CHECK(moved.size() < fresh);
  CHECK(moved.size() > missing.size() - half);
  // What is staged counts as here even where the digest is another one by now.
  std::uint64_t pairs = 0;
  for (const std::uint32_t bucket : moved) {
    const BucketStaged staged = fetch(*pair.from.store, *pair.to.store, target.n, bucket);
    REQUIRE(staged.outcome == Outcome::whole);
    pairs += staged.pairs;
  }
  CHECK(pairs < pair.state.size());
  static_cast<void>(must(pair.to.store->install_state(stable_at(target).proof, target)));
  check_installed(*pair.to.store, pair.to.engine(), target, pair.state, pair.clients);
  pair.follow(16, 24);
}

TEST_CASE("a plan is for one state, and for one that hangs together", "[transfer]") {
  TransferPair<MemoryDisk> pair;
  pair.run_from(12);
  pair.to.run_to(5);
  const CheckpointSummary target = pair.from.summaries.at(12);
  auto tree = must(pair.from.store->tree_at(target.n, asker));
  REQUIRE(tree);
  const auto no_installation = [&] {
    CHECK(refusal(pair.to.store->install_state(stable_at(target).proof, target)).kind == Kind::mismatch);
    CHECK(content_of(pair.to.store->state_scan({}, {})) == pair.to.model.state);
    CHECK(must(pair.to.store->recover()).executed == SequenceNumber{pair.to.model.executed});
  };
  no_installation();  // no plan
  SECTION("leaves of another state") {
    tree->leaves[5] = Digest{};
    CHECK(refusal(pair.to.store->plan_transfer(target, tree->leaves)).kind == Kind::mismatch);
    tree->leaves.pop_back();
    CHECK(refusal(pair.to.store->plan_transfer(target, tree->leaves)).kind == Kind::mismatch);
  }
  SECTION("batches go on under a plan") {
    fetch_all(*pair.from.store, *pair.to.store, target.n, plan(*pair.from.store, *pair.to.store, target));
    pair.to.run_to(6);
    no_installation();
    // What was staged in the buckets that changed is of no use any more; the others are.
    const auto again = plan(*pair.from.store, *pair.to.store, target);
    CHECK_FALSE(again.empty());
    CHECK(again.size() < 45);
    fetch_all(*pair.from.store, *pair.to.store, target.n, again);
    static_cast<void>(must(pair.to.store->install_state(stable_at(target).proof, target)));
    check_installed(*pair.to.store, pair.to.engine(), target, pair.state, pair.clients);
    return;
  }
  SECTION("another summary, another proof, an older one") {
    fetch_all(*pair.from.store, *pair.to.store, target.n, plan(*pair.from.store, *pair.to.store, target));
    CheckpointSummary other = target;
    other.time = Timestamp{1};
    CHECK(refusal(pair.to.store->install_state(stable_at(other).proof, other)).kind == Kind::mismatch);
    CHECK(refusal(pair.to.store->install_state(stable_at(other).proof, target)).kind == Kind::mismatch);
    other.n = SequenceNumber{16};
    must(pair.to.store->persist({stable_at(other)}));
  }
  no_installation();
}

TEST_CASE("what lies around an installation stays consistent", "[transfer]") {
  TransferPair<MemoryDisk> pair;
  pair.run_from(12);
  pair.to.run_to(6);
  // Promises on both sides of the checkpoint, with losers among them.
  for (const std::uint64_t n : {5, 11, 12, 13, 14}) {
    const BatchPtr batch = make_batch(n, "proposed in vain");
    must(pair.to.store->persist({PersistBatch{SequenceNumber{n}, batch},
                                 PersistAccepted{View{1}, SequenceNumber{n}, batch->digest},
                                 PersistPrepared{View{1}, SequenceNumber{n}, batch->digest}}));
  }
  transfer(*pair.from.store, *pair.to.store, pair.from.summaries.at(12));
  pair.to.restart();
  Recovered recovered = must(pair.to.store->recover());
  CHECK(recovered.slots.size() == 2);
  CHECK(recovered.slots.at(SequenceNumber{13}).prepared);
  CHECK(content_of(pair.to.engine().scan(Family::batches, {}, {})).size() == 2);
  CHECK(content_of(pair.to.engine().scan(Family::journal, {}, {})).size() == 2 * 3);
  must(pair.to.store->truncate(SequenceNumber{12}));
  pair.follow(12, 20);
  CHECK(must(pair.to.store->state_at(SequenceNumber{12})) == pair.state);
  pair.to.make_stable(16);
  CHECK(content_of(pair.to.engine().scan(Family::ledger, {}, {})).size() == 8);  // not the one that only stood for 12
  CHECK(content_of(pair.to.engine().scan(Family::batches, {}, {})).size() == 8);
  pair.to.restart();
  recovered = must(pair.to.store->recover());
  CHECK(recovered.stable->proof.n == SequenceNumber{16});
  CHECK(recovered.slots.size() == 4);
}

TEST_CASE("rot in the own state that misled the digests is seen through", "[transfer]") {
  TransferPair<MemoryDisk> pair;
  pair.from.script = pair.to.script = {.keys = 20'000, .most = 4'000};
  pair.run_from(12);
  pair.to.run_to(4);
  // Two pairs of one bucket that nobody has changed after the checkpoint at 4.
  std::map<std::uint32_t, std::vector<Bytes>> buckets;
  for (const auto& [key, value] : pair.to.model.state) {
    const auto later = pair.state.find(key);
    if (later == pair.state.end() || later->second != value) continue;
    buckets[DigestTree::bucket_of(Namespace::state, key)].push_back(key);
  }
  const auto found = std::ranges::find_if(buckets, [](const auto& one) { return one.second.size() > 1; });
  REQUIRE(found != buckets.end());
  const auto& [bucket, keys] = *found;
  const bool another = GENERATE(false, true);
  WriteBatch rot;
  rot.put(Family::state, keys[0], to_bytes("rot"));
  if (another) rot.put(Family::state, keys[1], to_bytes("more of it"));
  must(pair.to.engine().write(rot, Sync::no));
  // One is written again, as it was: its bucket now misses what had never been in it.
  must(pair.to.store->apply(pair.to.model.next({{keys[0], pair.state.at(keys[0])}}, Script::clients(5))));
  const CheckpointSummary target = pair.from.summaries.at(12);
  auto missing = plan(*pair.from.store, *pair.to.store, target);
  CHECK(std::ranges::count(missing, bucket) == 1);
  for (const std::uint32_t one : missing) {
    const Outcome outcome = fetch(*pair.from.store, *pair.to.store, target.n, one).outcome;
    // Rot that is told as if it were right costs a second answer.
    CHECK(outcome == (one == bucket && another ? Outcome::wrong : Outcome::whole));
  }
  if (another) CHECK(fetch(*pair.from.store, *pair.to.store, target.n, bucket).outcome == Outcome::whole);
  static_cast<void>(must(pair.to.store->install_state(stable_at(target).proof, target)));
  check_installed(*pair.to.store, pair.to.engine(), target, pair.state, pair.clients);
}
