// A store with a history, and a state transfer between two of them as a driver performs it.
#pragma once

#include "storage/client_records.h"
#include "storage/digest_tree.h"
#include "tests/storage/support.h"

namespace pbft::storage::testing {

inline constexpr std::uint64_t transfer_interval = 4;

inline ClientId client_of(std::uint8_t name) {
  ClientId client;
  client.bytes.fill(name);
  return client;
}

// Keys of one bucket, lowest first.
inline std::vector<std::string> keys_of(std::uint32_t bucket, std::size_t count) {
  std::vector<std::string> keys;
  for (int i = 0; keys.size() < count; ++i) {
    std::string key = "key" + std::to_string(i);
    if (DigestTree::bucket_of(Namespace::state, as_bytes(key)) == bucket) keys.push_back(std::move(key));
  }
  std::sort(keys.begin(), keys.end());
  return keys;
}

// The changes of batch n, the same for all replicas: some of many keys, and the table of clients.
struct Script {
  std::size_t keys = 400;
  std::size_t most = 30;  // changes in a batch

  [[nodiscard]] std::vector<StateChange> state(std::uint64_t n) const {
    std::mt19937_64 random{n};
    auto changes = random_changes(random, most, keys);
    changes.push_back({to_bytes("last"), to_bytes(std::to_string(n))});
    return changes;
  }
  [[nodiscard]] static std::vector<StateChange> clients(std::uint64_t n) {
    const ClientId client = client_of(static_cast<std::uint8_t>(n % 7));
    SessionRecord record{{client, SessionId{n}, RequestNumber{1}, RequestNumber{1}, SequenceNumber{n}}, {}};
    record.replies.push_back({RequestNumber{2}, ReplyStatus::ok, to_bytes("result " + std::to_string(n))});
    std::vector<StateChange> changes;
    changes.push_back({client_key(client), encode_client({client, RequestNumber{1}, SessionId{n}})});
    if (n > 7) changes.push_back({session_key(client, SessionId{n - 7}), std::nullopt});
    changes.push_back({session_key(client, SessionId{n}), encode_session(record)});
    return changes;
  }
};

template <class Disk>
struct Machine {
  Disk disk;
  StoreOptions options{.checkpoint_interval = transfer_interval};
  Script script;
  Model model;
  std::unique_ptr<Store> store;
  std::map<std::uint64_t, CheckpointSummary> summaries;

  // Rows of family tree are of the last four checkpoints.
  explicit Machine(Sync durability = Sync::durable) : Machine(durability, DigestTree::bucket_count / 4) {}
  Machine(Sync durability, std::size_t least_tree_rows) {
    options.durability = durability;
    options.least_tree_rows = least_tree_rows;
    must(Store::create(*disk.engine(), identity()));
    store = must(Store::open(disk.engine(), identity(), options));
  }
  void restart() {
    store.reset();
    disk.restart();
    store = must(Store::open(disk.engine(), identity(), options));
  }
  // Applies batch after batch; `twist` may change what one of them does to the state.
  void run_to(std::uint64_t last, const std::function<void(std::uint64_t, std::vector<StateChange>&)>& twist = {}) {
    while (model.executed < last) {
      const std::uint64_t n = model.executed + 1;
      auto state = script.state(n);
      if (twist) twist(n, state);
      const BatchPtr batch = committed_batch(n);
      must(store->persist(
          {PersistBatch{SequenceNumber{n}, batch}, PersistAccepted{View{0}, SequenceNumber{n}, batch->digest}}));
      must(store->apply(model.next(std::move(state), Script::clients(n))));
      if (n % transfer_interval == 0) summaries[n] = take(*store, n);
    }
  }
  void make_stable(std::uint64_t n) {
    must(store->persist({stable_at(summaries.at(n))}));
    must(store->truncate(SequenceNumber{n}));
  }
  [[nodiscard]] Engine& engine() const { return *disk.engine(); }
};

// Fetches one bucket whole, and gives the last report.
inline BucketStaged fetch(Store& from, Store& to, SequenceNumber n, std::uint32_t bucket) {
  BucketStaged report;
  std::uint32_t skip = 0;
  do {
    const FetchBucket request{n, bucket, skip, must(to.bucket_hashes(bucket, skip))};
    const auto part = must(from.bucket_part(request, asker));
    REQUIRE(part);
    report = must(to.stage_bucket(*part));
    CHECK(report.pairs == part->pairs.size());
    skip += report.pairs;
  } while (report.outcome == BucketStaged::Outcome::more);
  return report;
}

inline std::vector<std::uint32_t> plan(Store& from, Store& to, const CheckpointSummary& target) {
  const auto tree = must(from.tree_at(target.n, asker));
  REQUIRE(tree);
  REQUIRE(tree->summary == target);
  REQUIRE(tree_root(tree->leaves) == target.state);
  return must(to.plan_transfer(target, tree->leaves));
}

inline void fetch_all(Store& from, Store& to, SequenceNumber n, const std::vector<std::uint32_t>& buckets) {
  for (const std::uint32_t bucket : buckets) {
    const BucketStaged staged = fetch(from, to, n, bucket);
    REQUIRE(staged.outcome == BucketStaged::Outcome::whole);
  }
}

inline StateInstalled transfer(Store& from, Store& to, const CheckpointSummary& target) {
  fetch_all(from, to, target.n, plan(from, to, target));
  return must(to.install_state(stable_at(target).proof, target));
}

// Everything that an installed state is held to.
inline void check_installed(Store& store, const Engine& engine, const CheckpointSummary& target, const Content& state,
                            const Content& clients) {
  CHECK(content_of(store.state_scan({}, {})) == state);
  CHECK(content_of(store.clients_scan()) == clients);
  CHECK(must(store.recompute_state_digest()) == target.state);
  CHECK(content_of(engine.scan(Family::undo, {}, {})).empty());
  CHECK(content_of(engine.scan(Family::staging, {}, {})).empty());
  CHECK(content_of(engine.scan(Family::buckets, {}, {})).size() == state.size() + clients.size());
  const Recovered recovered = must(store.recover());
  CHECK(recovered.executed == target.n);
  CHECK(recovered.ledger_head == target.ledger_head);
  CHECK(recovered.time == target.time);
  CHECK_FALSE(recovered.damaged);
  CHECK(recovered.stable->summary == target);
  CHECK(recovered.sessions.size() == std::min<std::size_t>(target.n.value, 7));
  CHECK(must(store.state_at(target.n)) == state);
  CHECK(must(store.clients_at(target.n)) == clients);
}

}  // namespace pbft::storage::testing
