// What a checkpoint costs with many keys and with few, when as many of them have changed since the one before. Over the
// store of a replica on RocksDB.
//   checkpoint_cost [--keys N] [--few N] [--changed N] [--checkpoints N] [--json]
#include <fmt/format.h>
#include <sodium.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <random>
#include <unordered_set>

#include "storage/rocksdb_engine.h"
#include "storage/store.h"
#include "tests/bench/must.h"
#include "tests/temporary_directory.h"

namespace pbft {
namespace {

struct Options {
  std::uint64_t keys = 1'000'000;
  std::uint64_t few = 10'000;
  std::uint64_t changed = 1'000;  // distinct keys that are overwritten between two checkpoints
  std::size_t value_bytes = 100;
  std::size_t checkpoints = 15;
  std::string durability = "fsync";
  std::filesystem::path directory = std::filesystem::temp_directory_path();
  bool json = false;
};

// Medians over the checkpoints, in milliseconds.
struct Cost {
  double take = 0;             // take_checkpoint(): digests, own summary, synced
  double truncate = 0;         // truncate(): what is below it goes
  double least = 0, most = 0;  // of both together
};

// A store with `keys` keys; every interval is of ten batches.
class Subject {
 public:
  Subject(const Options& options, std::uint64_t keys)
      : options_(options), keys_(keys), directory_(options.directory), random_(keys) {
    const storage::StoreIdentity identity{ClusterId{}, ReplicaId{0}};
    auto engine = must(storage::open_rocksdb(directory_ / "store", storage::OpenMode::create));
    must(storage::Store::create(*engine, identity));
    storage::StoreOptions store;
    store.durability = options.durability == "fsync" ? storage::Sync::durable : storage::Sync::no;
    store.checkpoint_interval = interval;
    store.gather_bytes = 64U << 20;  // as in the node
    store.ledger_keep = 1'000;
    store_ = must(storage::Store::open(engine, identity, store));
    fill();
  }

  [[nodiscard]] Cost measure() {
    std::vector<double> take, truncate, both;
    for (std::size_t i = 0; i < options_.checkpoints; ++i) {
      const auto changed = pick();
      for (std::uint64_t batch = 0; batch < interval; ++batch) {
        const std::size_t from = changed.size() * batch / interval, to = changed.size() * (batch + 1) / interval;
        apply({changed.begin() + static_cast<std::ptrdiff_t>(from), changed.begin() + static_cast<std::ptrdiff_t>(to)});
      }
      take.push_back(milliseconds([this] { this->take(); }));
      truncate.push_back(milliseconds([this] { must(store_->truncate(n_)); }));
      both.push_back(take.back() + truncate.back());
    }
    const auto [least, most] = std::minmax_element(both.begin(), both.end());
    return {median(take), median(truncate), *least, *most};
  }

 private:
  static constexpr std::uint64_t interval = 10;

  void fill() {
    constexpr std::uint64_t at_once = 10'000;
    for (std::uint64_t first = 0; first < keys_ || n_.value % interval != 0; first += at_once) {
      std::vector<std::uint64_t> numbers;
      for (std::uint64_t i = first; i < std::min(first + at_once, keys_); ++i) numbers.push_back(i);
      apply(numbers);
      if (n_.value % interval == 0) {
        take();
        must(store_->truncate(n_));
      }
    }
  }

  [[nodiscard]] std::vector<std::uint64_t> pick() {
    std::unordered_set<std::uint64_t> picked;
    while (picked.size() < std::min(options_.changed, keys_)) picked.insert(random_() % keys_);
    return {picked.begin(), picked.end()};
  }

  void apply(const std::vector<std::uint64_t>& numbers) {
    n_ = n_.next();
    storage::Applied applied;
    applied.n = n_;
    applied.time = Timestamp{n_.value};
    for (const std::uint64_t number : numbers) {
      const std::string key = fmt::format("key{:010}", number);
      Bytes value(options_.value_bytes);
      for (auto& byte : value) byte = static_cast<std::uint8_t>(random_());
      applied.state.push_back({Bytes{as_bytes(key).begin(), as_bytes(key).end()}, std::move(value)});
    }
    must(store_->apply(applied));
  }

  void take() { must(store_->take_checkpoint(n_, Epoch{1}, Digest{})); }

  template <class Run>
  static double milliseconds(Run run) {
    const auto start = std::chrono::steady_clock::now();
    run();
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  }

  static double median(std::vector<double> samples) {
    std::sort(samples.begin(), samples.end());
    return samples[samples.size() / 2];
  }

  const Options& options_;
  std::uint64_t keys_;
  testing::TemporaryDirectory directory_;
  std::mt19937_64 random_;
  std::unique_ptr<storage::Store> store_;
  SequenceNumber n_;
};

void print(const Options& options, std::uint64_t keys, const Cost& cost) {
  fmt::print("{:>9} keys of {} bytes: take {:6.2f} ms, truncate {:6.2f} ms (both {:.2f} to {:.2f} ms)\n", keys,
             options.value_bytes, cost.take, cost.truncate, cost.least, cost.most);
}

int run(const Options& options) {
  Subject large{options, options.keys};
  Subject small{options, options.few};
  const Cost many = large.measure();
  const Cost few = small.measure();
  const double ratio = (many.take + many.truncate) / (few.take + few.truncate);
  if (options.json) {
    const auto as_json = [](const Cost& cost) {
      return nlohmann::json{{"take_ms", cost.take}, {"truncate_ms", cost.truncate}};
    };
    const nlohmann::json json{{"many", as_json(many)}, {"few", as_json(few)}, {"ratio", ratio}};
    fmt::print("{}\n", json.dump());
    return 0;
  }
  fmt::print("a checkpoint after {} keys were overwritten, durability \"{}\", median of {}:\n", options.changed,
             options.durability, options.checkpoints);
  print(options, options.keys, many);
  print(options, options.few, few);
  fmt::print("with {} times as many keys it costs {:.2f} times as much\n", options.keys / options.few, ratio);
  return 0;
}

}  // namespace
}  // namespace pbft

int main(int argc, char** argv) {
  if (sodium_init() < 0) return 1;  // it chooses what this processor can do
  CLI::App app{"checkpoint_cost: what a checkpoint costs with many keys and with few"};
  pbft::Options options;
  app.add_option("--keys", options.keys, "The many")->capture_default_str()->check(CLI::PositiveNumber);
  app.add_option("--few", options.few, "The few")->capture_default_str()->check(CLI::PositiveNumber);
  app.add_option("--changed", options.changed, "Keys overwritten per interval")->capture_default_str();
  app.add_option("--value-bytes", options.value_bytes, "Size of a value")->capture_default_str();
  app.add_option("--checkpoints", options.checkpoints, "How many to measure")
      ->capture_default_str()
      ->check(CLI::Range(1, 10'000));
  app.add_option("--durability", options.durability, "fsync or os")
      ->capture_default_str()
      ->check(CLI::IsMember({"fsync", "os"}));
  app.add_option("--tmp", options.directory, "Where the stores are made")->capture_default_str();
  app.add_flag("--json", options.json, "Print JSON");
  CLI11_PARSE(app, argc, argv);
  try {
    return pbft::run(options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "checkpoint_cost: {}\n", error.what());
    return 1;
  }
}
