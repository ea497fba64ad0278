// cluster_load: many clients that write to a cluster of the kv plugin, and what came of it. For tests and benchmarks.
//   cluster_load --dir DIR                checked writes until it is told to stop
//   cluster_load --dir DIR --fill ...     fills or overwrites keys
//   cluster_load --dir DIR --history FILE a mix of reads and writes, with each operation written down in FILE
// Takes commands on standard input, a line each, and answers with a line of JSON:
//   report    the counts so far
//   reset     measures gaps from now on
//   stop      ends the lanes, waits for what is outstanding, verifies; the end of the input does the same
// Exit code 1: something that was acknowledged is not there, or took effect twice.
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <condition_variable>
#include <iostream>
#include <nlohmann/json.hpp>

#include "tests/load/recorded_mix.h"
#include "tests/load/tally.h"
#include "tests/load/workload.h"
#include "tools/pbftctl/cluster.h"

namespace pbft::load {
namespace {

struct Options {
  std::filesystem::path directory;
  std::size_t clients = 16;
  std::size_t lanes = 1;  // per client
  double timeout_s = 60;
  bool fill = false;
  Fill::Options filling;
  RecordedMix::Options recording;

  [[nodiscard]] std::chrono::milliseconds timeout() const {
    return std::chrono::milliseconds{static_cast<std::int64_t>(timeout_s * 1000)};
  }
};

// Keeps each lane busy with one operation at a time. The callbacks run on the clients' threads.
class Lanes {
 public:
  Lanes(Workload& workload, Tally& tally, std::chrono::milliseconds timeout)
      : workload_(workload), tally_(tally), timeout_(timeout) {}

  void start(client::Client& client, std::size_t lane) {
    {
      const std::lock_guard lock{mutex_};
      ++running_;
    }
    go_on(client, lane);
  }
  void stop() { stopping_ = true; }
  [[nodiscard]] bool wait(std::chrono::milliseconds most) {
    std::unique_lock lock{mutex_};
    return ended_.wait_for(lock, most, [this] { return running_ == 0; });
  }

 private:
  void go_on(client::Client& client, std::size_t lane) {
    auto operation = stopping_ ? std::nullopt : workload_.next(lane);
    if (!operation) {
      const std::lock_guard lock{mutex_};
      --running_;
      ended_.notify_all();
      return;
    }
    const BytesView bytes = as_bytes(operation->bytes);
    const auto sent = Clock::now();
    Bytes copy{bytes.begin(), bytes.end()};
    const bool read = operation->read;
    auto done = [this, &client, lane, sent, done = std::move(*operation)](const client::Outcome& outcome) {
      tally_.count(outcome.kind, sent);
      workload_.done(lane, done, outcome);
      go_on(client, lane);
    };
    read ? client.query(std::move(copy), timeout_, std::move(done))
         : client.submit(std::move(copy), timeout_, std::move(done));
  }

  Workload& workload_;
  Tally& tally_;
  std::chrono::milliseconds timeout_;
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  std::condition_variable ended_;
  std::size_t running_ = 0;  // guarded by mutex_
};

// Every client has a session of its own; where there are more of them than keys, some share one.
ctl::Result<std::vector<std::unique_ptr<client::Client>>> connect_all(const Options& options) {
  std::vector<runtime::ClientConfig> configs;
  for (std::size_t i = 0; i < options.clients; ++i) {
    const auto file = options.directory / (i == 0 ? "client" : fmt::format("client-{}", i + 1)) / "client.toml";
    if (i != 0 && !std::filesystem::exists(file)) break;
    auto config = runtime::load_client_config(file);
    if (!config) return tl::unexpected(config.error());
    configs.push_back(std::move(*config));
  }
  std::vector<std::unique_ptr<client::Client>> clients;
  for (std::size_t i = 0; i < options.clients; ++i) {
    auto client = ctl::connect(configs[i % configs.size()]);
    if (!client) return tl::unexpected(client.error());
    clients.push_back(std::move(*client));
  }
  return clients;
}

nlohmann::json as_json(const Tally::Counts& counts) {
  return {{"acknowledged", counts.acknowledged}, {"unknown", counts.unknown},
          {"refused", counts.refused},           {"seconds", counts.seconds},
          {"slowest_ms", counts.slowest_ms},     {"longest_gap_ms", counts.longest_gap_ms}};
}

void answer(const nlohmann::json& json) {
  std::cout << json.dump() << std::endl;
}

bool input_within(std::chrono::milliseconds timeout) {
  pollfd entry{STDIN_FILENO, POLLIN, 0};
  return std::cin.rdbuf()->in_avail() > 0 || ::poll(&entry, 1, static_cast<int>(timeout.count())) > 0;
}

// Until it is told to stop, or all lanes have done their work.
void obey(Lanes& lanes, Tally& tally) {
  const std::chrono::milliseconds moment{20};
  for (std::string line; !lanes.wait(std::chrono::milliseconds{0});) {
    if (!input_within(moment)) continue;
    if (!std::getline(std::cin, line) || line == "stop") break;
    if (line == "reset") tally.reset();
    answer(as_json(tally.counts()));
  }
  lanes.stop();
}

std::unique_ptr<Workload> make_workload(const Options& options, std::size_t lanes) {
  if (options.fill) return std::make_unique<Fill>(options.filling);
  if (!options.recording.file.empty()) return std::make_unique<RecordedMix>(options.recording, lanes);
  return std::make_unique<CheckedWrites>(fmt::format("load{}", ::getpid()), lanes);
}

int run(const Options& options) {
  auto clients = connect_all(options);
  if (!clients) {
    fmt::print(stderr, "cluster_load: {}\n", clients.error());
    return 2;
  }
  const std::size_t total = options.clients * options.lanes;
  const std::unique_ptr<Workload> workload = make_workload(options, total);
  Tally tally;
  Lanes lanes{*workload, tally, options.timeout()};
  for (std::size_t i = 0; i < total; ++i) lanes.start(*(*clients)[i % options.clients], i);
  obey(lanes, tally);
  // Every operation has a deadline, so the lanes end.
  while (!lanes.wait(std::chrono::seconds{1})) {
  }
  const auto counts = tally.counts();
  const auto problems = workload->verify(*clients->front());
  nlohmann::json json = as_json(counts);
  json["problems"] = problems;
  answer(json);
  return problems.empty() ? 0 : 1;
}

}  // namespace
}  // namespace pbft::load

int main(int argc, char** argv) {
  CLI::App app{"cluster_load: clients that write to a cluster, and a check of what they were told"};
  pbft::load::Options options;
  app.add_option("--dir", options.directory, "The directory that `pbftctl init` made")->required();
  app.add_option("--clients", options.clients, "Clients, each with a session and a thread of its own")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  app.add_option("--lanes", options.lanes, "Operations that each client has outstanding")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--timeout", options.timeout_s, "For one operation, in seconds")->capture_default_str();
  app.add_flag("--fill", options.fill, "Put random values instead of checked writes");
  app.add_option("--keys", options.filling.keys, "Number of keys to fill")->check(CLI::Range(1, 1'000'000'000));
  app.add_option("--writes", options.filling.writes, "Puts in all; 0: until stopped");
  app.add_option("--value-bytes", options.filling.value_bytes, "Size of a value")->check(CLI::Range(0, 100'000));
  std::uint64_t seed = 1;
  app.add_option("--seed", seed, "Of the values, or of the mix");
  app.add_flag("--random", options.filling.random, "Keys in random order");
  app.add_option("--history", options.recording.file, "Reads and writes instead, each written down in this file");
  CLI11_PARSE(app, argc, argv);
  options.filling.seed = options.recording.seed = seed;
  try {
    return pbft::load::run(options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "cluster_load: {}\n", error.what());
    return 2;
  }
}
