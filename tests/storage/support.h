// What the storage tests share: both engines behind one face, batches, and an independent model of the content.
#pragma once

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "node/pbft/digests.h"
#include "node/wire/codec.h"
#include "storage/memory_engine.h"
#include "storage/rocksdb_engine.h"
#include "storage/store.h"
#include "tests/temporary_directory.h"

namespace pbft::storage::testing {

using pbft::testing::TemporaryDirectory;

// What every error says that leaves a replica without its memory.
inline const std::string leave_it_down = "older copy of the store";

// Slots in which something was promised; the others are known for what was executed in them.
inline std::vector<SequenceNumber> promised(const Recovered& recovered) {
  std::vector<SequenceNumber> slots;
  for (const auto& [n, slot] : recovered.slots) {
    if (!slot.batches.empty()) slots.push_back(n);
  }
  return slots;
}

// What was returned, with the error's message in the failure where it is one.
template <class T>
T must(Result<T> result) {
  INFO((result ? std::string{} : result.error().message));
  REQUIRE(result);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

template <class T>
StorageError refusal(const Result<T>& result) {
  REQUIRE_FALSE(result.has_value());
  return result.error();
}

// A machine with a disk: restart() is the end of the process and a new one.
class MemoryDisk {
 public:
  MemoryDisk() : memory_(std::make_shared<MemoryEngine>()) {}
  [[nodiscard]] std::shared_ptr<Engine> engine() const { return memory_; }
  [[nodiscard]] MemoryEngine& memory() const { return *memory_; }
  void restart() {}

 private:
  std::shared_ptr<MemoryEngine> memory_;
};

class RocksDisk {
 public:
  explicit RocksDisk(RocksOptions options = {}) : options_(options) {
    engine_ = must(open_rocksdb(path(), OpenMode::create, options_));
  }
  [[nodiscard]] std::filesystem::path path() const { return directory_.path() / "store"; }
  [[nodiscard]] std::shared_ptr<Engine> engine() const { return engine_; }
  void stop() {
    REQUIRE(engine_.use_count() <= 1);
    engine_.reset();
  }
  void restart() {
    stop();
    engine_ = must(open_rocksdb(path(), OpenMode::existing, options_));
  }

 private:
  TemporaryDirectory directory_;
  RocksOptions options_;
  std::shared_ptr<Engine> engine_;
};

inline StoreIdentity identity() {
  StoreIdentity made;
  made.cluster.bytes.fill(0x5a);
  made.replica = ReplicaId{2};
  return made;
}

// The peer that asks, where it does not matter which.
inline constexpr ReplicaId asker{0};

inline Digest digest_of(std::string_view text) {
  return tagged_digest("test", as_bytes(text));
}

// A batch with one request. `salt` makes different ones.
inline BatchPtr make_batch(std::uint64_t time, std::string_view salt, std::size_t operation_bytes = 16) {
  ClientId client;
  client.bytes.fill(7);
  std::string operation{salt};
  operation.resize(std::max(operation_bytes, operation.size()), '.');
  const Request request{RequestNumber{1}, RequestKind::execute, SharedBytes::copy_of(as_bytes(operation))};
  Bytes body = wire::encode_bundle_body(client, SessionId{3}, RequestNumber{1}, {request});
  auto bundle = wire::decode_bundle(SharedBytes::own(std::move(body)), SharedBytes::own(Bytes(64, 1)));
  REQUIRE(bundle);
  auto batch = std::make_shared<Batch>();
  batch->time = Timestamp{time};
  batch->bundles.push_back(*bundle);
  batch->digest = batch_digest(batch->time, batch->bundles);
  return batch;
}
// The batch that tests commit as n.
inline BatchPtr committed_batch(std::uint64_t n) {
  return make_batch(1000 + n, "batch " + std::to_string(n));
}

using Content = std::map<Bytes, Bytes>;

// What a store must hold, kept with maps and nothing else.
struct Model {
  std::uint64_t executed = 0;
  Digest head = genesis_ledger_head();
  Content state;
  Content clients;

  [[nodiscard]] Applied next(std::vector<StateChange> state_changes, std::vector<StateChange> client_changes = {}) {
    ++executed;
    const Digest batch = committed_batch(executed)->digest;
    head = ledger_head(head, SequenceNumber{executed}, batch);
    change(state, state_changes);
    change(clients, client_changes);
    return {SequenceNumber{executed}, Timestamp{1000 + executed}, batch, head,
            std::move(state_changes), std::move(client_changes)};
  }
  static void change(Content& content, const std::vector<StateChange>& changes) {
    for (const StateChange& one : changes) {
      if (one.value) {
        content[one.key] = *one.value;
      } else {
        content.erase(one.key);
      }
    }
  }
};

inline StateChange put(std::string_view key, std::string_view value) {
  return {to_bytes(key), to_bytes(value)};
}
inline StateChange erase(std::string_view key) {
  return {to_bytes(key), std::nullopt};
}

inline std::vector<StateChange> random_changes(std::mt19937_64& random, std::size_t most, std::size_t keys) {
  std::map<Bytes, StateChange> changes;
  const std::size_t count = random() % (most + 1);
  for (std::size_t i = 0; i < count; ++i) {
    const std::string key = "key" + std::to_string(random() % keys);
    // Each draw is a statement of its own: compilers differ in which operand they evaluate first.
    const std::string end = std::to_string(random() % 8);
    StateChange made = put(key, std::string(random() % 40, 'v') + end);
    if (random() % 4 == 0) made.value.reset();
    changes[made.key] = made;
  }
  std::vector<StateChange> list;
  for (auto& [key, change] : changes) list.push_back(std::move(change));
  return list;
}

inline Content content_of(std::unique_ptr<Iterator> entries) {
  Content content;
  for (; entries->valid(); entries->next()) {
    const auto [at, fresh] = content.emplace(Bytes{entries->key().begin(), entries->key().end()},
                                             Bytes{entries->value().begin(), entries->value().end()});
    REQUIRE(fresh);
    REQUIRE(std::next(at) == content.end());  // ascending
  }
  must(entries->status());
  return content;
}

// A new store on a disk of its own, with a checkpoint every four batches where nothing else is said.
template <class Disk>
struct StoreOn {
  Disk disk;
  StoreOptions options;
  std::unique_ptr<Store> store;
  explicit StoreOn(const StoreOptions& with = {.checkpoint_interval = 4}) : options(with) {
    must(Store::create(*disk.engine(), identity()));
    open();
  }
  void open() { store = must(Store::open(disk.engine(), identity(), options)); }
  void reopen() {
    store.reset();
    disk.restart();
    open();
  }
  Recovered restart() {
    reopen();
    return must(store->recover());
  }
};

inline CheckpointSummary take(Store& store, std::uint64_t n) {
  return must(store.take_checkpoint(SequenceNumber{n}, Epoch{1}, digest_of("plugin")));
}

inline PersistStable stable_at(const CheckpointSummary& summary) {
  StableCheckpoint proof{summary.n, checkpoint_root(summary), {}};
  for (std::uint32_t replica = 0; replica < 3; ++replica) {
    const Bytes body = wire::encode_checkpoint_body({Epoch{1}, ReplicaId{replica}, summary.n, proof.root});
    proof.votes.push_back({ReplicaId{replica}, SharedBytes::own(wire::encode_signed(body, Signature{}))});
  }
  return {proof, summary};
}

// A block of the file goes bad: one bit of the byte at `offset` changes.
inline void flip(const std::filesystem::path& file, std::uintmax_t offset) {
  std::fstream stream{file, std::ios::in | std::ios::out | std::ios::binary};
  stream.seekg(static_cast<std::streamoff>(offset));
  const char byte = static_cast<char>(stream.get() ^ 0x10);
  stream.seekp(static_cast<std::streamoff>(offset));
  stream.put(byte);
  REQUIRE(stream.flush());
}

}  // namespace pbft::storage::testing
