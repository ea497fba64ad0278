// What RocksDB takes on this disk: pairs written to a replica's engine in batches as large as a part of a state
// transfer, without anything else. What is written at the end is synced, and that counts.
//   rocksdb_floor [--bytes 256] [--megabytes 256] [--tmp DIR] [--json]
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <random>

#include "node/pbft/messages.h"
#include "storage/rocksdb_engine.h"
#include "tests/bench/must.h"
#include "tests/temporary_directory.h"

namespace pbft {
namespace {

struct Options {
  std::size_t bytes = 256;  // of a value
  std::size_t megabytes = 256;
  std::filesystem::path directory = std::filesystem::temp_directory_path();
  bool json = false;
};

class Pairs {
 public:
  explicit Pairs(std::size_t value_bytes) : value_bytes_(value_bytes) {}

  // Keys in random order, as buckets come.
  [[nodiscard]] storage::WriteBatch next(std::size_t bytes) {
    storage::WriteBatch batch;
    for (std::size_t size = 0; size < bytes;) {
      const std::string key = fmt::format("key{:016x}", random_());
      Bytes value(value_bytes_);
      for (auto& byte : value) byte = static_cast<std::uint8_t>(random_());
      size += key.size() + value.size();
      batch.put(storage::Family::state, to_bytes(key), std::move(value));
    }
    return batch;
  }

 private:
  std::size_t value_bytes_;
  std::mt19937_64 random_{1};  // NOLINT: the same pairs every time
};

int run(const Options& options) {
  const testing::TemporaryDirectory directory{options.directory};
  const auto engine = must(storage::open_rocksdb(directory / "store", storage::OpenMode::create));
  Pairs pairs{options.bytes};
  const std::size_t wanted = options.megabytes * 1'000'000;
  std::chrono::steady_clock::duration busy{};  // making the pairs is not the disk's work
  std::size_t written = 0;
  while (written < wanted) {
    const storage::WriteBatch batch = pairs.next(Limits::bucket_part_bytes);
    written += Limits::bucket_part_bytes;
    const auto start = std::chrono::steady_clock::now();
    must(engine->write(batch, written < wanted ? storage::Sync::no : storage::Sync::durable));
    busy += std::chrono::steady_clock::now() - start;
  }
  const double per_second = static_cast<double>(written) / std::chrono::duration<double>(busy).count();
  if (options.json) {
    fmt::print("{}\n", nlohmann::json{{"bytes_per_second", per_second}, {"bytes", written}}.dump());
  } else {
    fmt::print("RocksDB: {:.1f} MB per second (values of {} bytes, {:.0f} MB)\n", per_second / 1e6, options.bytes,
               static_cast<double>(written) / 1e6);
  }
  return 0;
}

}  // namespace
}  // namespace pbft

int main(int argc, char** argv) {
  CLI::App app{"rocksdb_floor: what RocksDB writes on this disk"};
  pbft::Options options;
  app.add_option("--bytes", options.bytes, "Size of a value")->check(CLI::Range(1, 1'000'000))->capture_default_str();
  app.add_option("--megabytes", options.megabytes, "To write")->check(CLI::Range(1, 100'000))->capture_default_str();
  app.add_option("--tmp", options.directory, "Where the store is made")->capture_default_str();
  app.add_flag("--json", options.json, "Print JSON");
  CLI11_PARSE(app, argc, argv);
  try {
    return pbft::run(options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "rocksdb_floor: {}\n", error.what());
    return 1;
  }
}
