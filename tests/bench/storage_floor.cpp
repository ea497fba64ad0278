// The storage floor: n processes that do nothing but what a replica writes for the same operations, on its own store
// over RocksDB: batch and marks, the changes of the state with the clients' records, checkpoints, truncation. What a
// node takes beyond this is the cost of the protocol and of its messages.
//   storage_floor [--n 4] [--batch 100] [--bytes 256] [--result-bytes 0] [--keys 1000000] [--clients 64] [--seconds 5]
//                 [--durability os]
#include <fmt/format.h>
#include <sodium.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "node/pbft/digests.h"
#include "node/wire/codec.h"
#include "storage/client_records.h"
#include "storage/rocksdb_engine.h"
#include "storage/store.h"
#include "tests/bench/must.h"
#include "tests/temporary_directory.h"

namespace pbft {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::uint32_t n = 4;
  std::size_t batch = 100;       // operations
  std::size_t bytes = 256;       // of a value
  std::size_t result_bytes = 0;  // of a result, which waits until its session is used again
  std::uint64_t keys = 1'000'000;
  std::size_t clients = 64;  // whose sessions the operations come from, as many of each
  double seconds = 5;
  double warm_up = 1;
  std::string durability = "os";
  std::filesystem::path directory = std::filesystem::temp_directory_path();
  bool json = false;
};

// One replica's store, and the batches that it would have been given.
class Replica {
 public:
  Replica(const Options& options, std::uint32_t id) : options_(options), random_(1) {
    const storage::StoreIdentity identity{ClusterId{}, ReplicaId{id}};
    auto engine = must(storage::open_rocksdb(options.directory / std::to_string(id), storage::OpenMode::create));
    must(storage::Store::create(*engine, identity));
    storage::StoreOptions store;
    store.durability = options.durability == "fsync" ? storage::Sync::durable : storage::Sync::no;
    store.checkpoint_interval = interval;
    store.gather_bytes = 64U << 20;  // as in the node
    store_ = must(storage::Store::open(engine, identity, store));
    for (std::size_t i = 0; i < options.clients; ++i) sessions_.push_back(session(i));
  }

  // Everything that becomes of one batch. The wire's work of making its bytes is not the store's, and is not timed.
  void order_one() {
    const BatchPtr batch = make_batch();
    const auto start = Clock::now();
    n_ = n_.next();
    must(store_->persist({PersistBatch{n_, batch}, PersistAccepted{View{}, n_, batch->digest}}));
    must(store_->persist({PersistPrepared{View{}, n_, batch->digest}}));
    head_ = ledger_head(head_, n_, batch->digest);
    must(store_->apply({n_, batch->time, batch->digest, head_, changes_, records_}));
    if (n_.value % interval == 0) checkpoint();
    busy_ += Clock::now() - start;
    ++batches_;
  }
  void reset() { busy_ = {}, batches_ = 0; }
  [[nodiscard]] double operations_per_second() const {
    return static_cast<double>(batches_ * options_.batch) / std::chrono::duration<double>(busy_).count();
  }

 private:
  using Content = std::map<Bytes, std::optional<Bytes>>;

  static constexpr std::uint64_t interval = 128;  // as in a genesis that says nothing else

  [[nodiscard]] static storage::SessionRecord session(std::size_t i) {
    storage::SessionRecord record;
    for (std::size_t byte = 0; byte < sizeof i; ++byte) {
      record.session.client.bytes[byte] = static_cast<std::uint8_t>(i >> (8 * byte));
    }
    record.session.session = SessionId{i + 1};
    return record;
  }

  void checkpoint() {
    const CheckpointSummary summary = must(store_->take_checkpoint(n_, Epoch{1}, Digest{}));
    StableCheckpoint proof{n_, checkpoint_root(summary), {}};
    for (std::uint32_t replica = 0; replica < 3; ++replica) {
      const Bytes body = wire::encode_checkpoint_body({Epoch{1}, ReplicaId{replica}, n_, proof.root});
      proof.votes.push_back({ReplicaId{replica}, SharedBytes::own(wire::encode_signed(body, Signature{}))});
    }
    must(store_->persist({PersistStable{proof, summary}}));
    must(store_->truncate(n_));
  }

  // A bundle of each client that has a share in it, and what its puts change.
  [[nodiscard]] BatchPtr make_batch() {
    Content state;
    Content records;
    auto batch = std::make_shared<Batch>();
    batch->time = Timestamp{n_.value + 1};
    const std::size_t share = std::max<std::size_t>(options_.batch / options_.clients, 1);
    for (std::size_t made = 0; made < options_.batch; made += share) {
      auto& record = sessions_[next_session_++ % sessions_.size()];
      for (const storage::CachedReply& reply : record.replies) set_result(record.session, reply, std::nullopt, records);
      batch->bundles.push_back(make_bundle(record, std::min(share, options_.batch - made), state));
      for (const storage::CachedReply& reply : record.replies) set_result(record.session, reply, reply.result, records);
      records[storage::session_key(record.session.client, record.session.session)] = storage::encode_session(record);
    }
    batch->digest = batch_digest(batch->time, batch->bundles);
    changes_ = as_changes(state);
    records_ = as_changes(records);
    return batch;
  }

  // The record of the reply's result, where it has one; no value: it is dropped.
  static void set_result(const SessionUpdate& session, const storage::CachedReply& reply, std::optional<Bytes> value,
                         Content& records) {
    if (!storage::has_own_record(reply)) return;
    records[storage::result_key(session.client, session.session, reply.number)] = std::move(value);
  }

  [[nodiscard]] BundlePtr make_bundle(storage::SessionRecord& record, std::size_t count, Content& state) {
    const RequestNumber low = numbers_[record.session.session].next();
    record.session.low = low;
    record.session.last_used = n_.next();
    record.replies.clear();
    std::vector<Request> requests;
    for (std::size_t i = 0; i < count; ++i) {
      const RequestNumber number{low.value + i};
      const std::string key = fmt::format("{}", random_() % options_.keys);
      Bytes value = random_bytes();
      Bytes operation = to_bytes("put " + key + " ");
      operation.insert(operation.end(), value.begin(), value.end());
      requests.push_back({number, RequestKind::execute, SharedBytes::own(std::move(operation))});
      record.replies.push_back({number, ReplyStatus::ok, Bytes(options_.result_bytes)});
      state[to_bytes(key)] = std::move(value);
      numbers_[record.session.session] = number;
    }
    Bytes body = wire::encode_bundle_body(record.session.client, record.session.session, low, requests);
    auto bundle = wire::decode_bundle(SharedBytes::own(std::move(body)), SharedBytes::own(Bytes(65, 1)));
    if (!bundle) throw std::runtime_error("the bundle cannot be decoded");
    return *bundle;
  }

  [[nodiscard]] Bytes random_bytes() {
    Bytes bytes(options_.bytes);
    for (std::size_t i = 0; i < bytes.size(); i += 8) {
      const std::uint64_t drawn = random_();
      std::memcpy(bytes.data() + i, &drawn, std::min<std::size_t>(8, bytes.size() - i));
    }
    return bytes;
  }
  [[nodiscard]] static std::vector<storage::StateChange> as_changes(Content& content) {
    std::vector<storage::StateChange> changes;
    changes.reserve(content.size());
    for (auto& [key, value] : content) changes.push_back({key, std::move(value)});
    return changes;
  }

  const Options& options_;
  std::mt19937_64 random_;
  std::unique_ptr<storage::Store> store_;
  std::vector<storage::SessionRecord> sessions_;
  std::size_t next_session_ = 0;
  std::map<SessionId, RequestNumber> numbers_;
  std::vector<storage::StateChange> changes_, records_;
  SequenceNumber n_;
  Digest head_ = genesis_ledger_head();
  Clock::duration busy_{};
  std::size_t batches_ = 0;
};

// What a replica's process found, in operations a second of the time that its store was busy.
double measure(const Options& options, std::uint32_t id) {
  Replica replica{options, id};
  const auto for_seconds = [&](double seconds) {
    const auto end = Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
    while (Clock::now() < end) replica.order_one();
  };
  for_seconds(options.warm_up);
  replica.reset();
  for_seconds(options.seconds);
  return replica.operations_per_second();
}

// All replicas at once, each in a process of its own: the slowest of them counts.
int run(Options options) {
  const testing::TemporaryDirectory directory{options.directory};
  options.directory = directory.path();
  std::vector<std::pair<pid_t, int>> children;
  for (std::uint32_t i = 0; i < options.n; ++i) {
    int pipe[2] = {-1, -1};
    if (::pipe(pipe) != 0) throw std::runtime_error("cannot make a pipe");
    const pid_t child = ::fork();
    if (child < 0) throw std::runtime_error("cannot fork");
    if (child == 0) {
      double found = 0;
      try {
        found = measure(options, i);
      } catch (const std::exception& error) {
        fmt::print(stderr, "storage_floor: replica {}: {}\n", i, error.what());
      }
      ::_exit(::write(pipe[1], &found, sizeof found) == sizeof found && found > 0 ? 0 : 1);
    }
    ::close(pipe[1]);
    children.emplace_back(child, pipe[0]);
  }
  double slowest = 0;
  bool ok = true;
  for (const auto& [child, pipe] : children) {
    double found = 0;
    ok = ::read(pipe, &found, sizeof found) == sizeof found && ok;
    slowest = slowest == 0 ? found : std::min(slowest, found);
    int status = 0;
    ::waitpid(child, &status, 0);
    ok = ok && WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }
  if (options.json) {
    fmt::print("{}\n", nlohmann::json{{"per_second", slowest}}.dump());
  } else {
    fmt::print("storage floor, n = {}, {}: {:.0f} operations per second (batches of {}, values of {} bytes, {} keys)\n",
               options.n, options.durability, slowest, options.batch, options.bytes, options.keys);
  }
  return ok ? 0 : 1;
}

}  // namespace
}  // namespace pbft

int main(int argc, char** argv) {
  if (sodium_init() < 0) return 1;  // it chooses what this processor can do
  CLI::App app{"storage_floor: what a replica writes, and nothing else"};
  pbft::Options options;
  app.add_option("--n", options.n, "Replicas, a process each")->check(CLI::Range(1, 31))->capture_default_str();
  app.add_option("--batch", options.batch, "Operations in a batch")->check(CLI::Range(1, 4'000))->capture_default_str();
  app.add_option("--bytes", options.bytes, "Size of a value")->check(CLI::Range(1, 1'000'000))->capture_default_str();
  app.add_option("--result-bytes", options.result_bytes, "Size of a result")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
  app.add_option("--keys", options.keys, "Keys, chosen uniformly")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--clients", options.clients, "Sessions")->check(CLI::Range(1, 100'000))->capture_default_str();
  app.add_option("--seconds", options.seconds, "That are measured")->capture_default_str();
  app.add_option("--warm-up", options.warm_up, "Seconds before")->capture_default_str();
  app.add_option("--durability", options.durability, "fsync or os")
      ->check(CLI::IsMember({"fsync", "os"}))
      ->capture_default_str();
  app.add_option("--tmp", options.directory, "Where the stores are made")->capture_default_str();
  app.add_flag("--json", options.json, "Print JSON");
  CLI11_PARSE(app, argc, argv);
  try {
    return pbft::run(options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "storage_floor: {}\n", error.what());
    return 1;
  }
}
