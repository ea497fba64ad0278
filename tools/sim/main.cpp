// pbft-sim: runs the real replica and client code over a simulated world, all from one seed.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <optional>
#include <set>
#include <string>
#include <thread>

#include "tools/sim/batch.h"
#include "tools/sim/report.h"

namespace {

using namespace pbft::sim;

constexpr int exit_violation = 1;
constexpr int exit_usage = 2;

struct Options {
  std::optional<std::uint64_t> seed;
  std::string seeds;
  std::string corpus;
  unsigned jobs = std::max(1U, std::thread::hardware_concurrency());
  std::size_t stop_after = 20;
  bool twice = false;
  bool verbose = false;
  bool json = false;
};

std::optional<std::uint64_t> number(const std::string& text) {
  if (text.empty() || text.size() > 19 || text.find_first_not_of("0123456789") != std::string::npos) {
    return std::nullopt;
  }
  return std::stoull(text);
}

bool add_range(const std::string& range, std::vector<std::uint64_t>& seeds) {
  const std::size_t dots = range.find("..");
  const auto first = number(range.substr(0, dots));
  const auto last = dots == std::string::npos ? first : number(range.substr(dots + 2));
  if (!first || !last || *last < *first || *last - *first >= 10'000'000) {
    fmt::print(stderr, "pbft-sim: --seeds {}: give FIRST..LAST, two whole numbers, at most 10 million seeds\n", range);
    return false;
  }
  for (std::uint64_t seed = *first; seed <= *last; ++seed) seeds.push_back(seed);
  return true;
}

// One seed a line; what follows a # is a comment.
bool add_corpus(const std::string& file, std::vector<std::uint64_t>& seeds) {
  std::ifstream in(file);
  if (!in) {
    fmt::print(stderr, "pbft-sim: --corpus {}: cannot be read\n", file);
    return false;
  }
  std::string line;
  for (std::size_t at = 1; std::getline(in, line); ++at) {
    line = line.substr(0, line.find('#'));
    const std::size_t first = line.find_first_not_of(" \t\r");
    if (first == std::string::npos) continue;
    const auto seed = number(line.substr(first, line.find_last_not_of(" \t\r") - first + 1));
    if (!seed) {
      fmt::print(stderr, "pbft-sim: {}:{}: one seed a line, and # before a comment\n", file, at);
      return false;
    }
    seeds.push_back(*seed);
  }
  return true;
}

void show_progress(std::uint64_t done, std::size_t all, std::size_t failed) {
  if (isatty(STDERR_FILENO) == 0) return;
  fmt::print(stderr, "\r{}/{} seeds, {} failed ", done, all, failed);
  if (done == all) fmt::print(stderr, "\r\033[K");
}

int run_single(const Options& options) {
  BatchOptions batch;
  batch.seeds = {*options.seed};
  batch.verbose = options.verbose;
  batch.twice = [&options](std::uint64_t) { return options.twice; };
  bool failed = false;
  run_batch(batch, [&](const RunResult& result) {
    failed = !result.findings.empty();
    if (options.json) {
      fmt::print("{}\n", to_json(result).dump(2));
    } else {
      fmt::print("{}", describe(result));
    }
  });
  return failed ? exit_violation : 0;
}

int run_many(const Options& options, std::vector<std::uint64_t> seeds) {
  BatchOptions batch;
  batch.seeds = std::move(seeds);
  batch.jobs = options.jobs;
  batch.stop_after = options.stop_after;
  batch.twice = [&options](std::uint64_t seed) { return options.twice || seed % 100 == 0; };
  Summary summary;
  const auto start = std::chrono::steady_clock::now();
  run_batch(batch, [&](const RunResult& result) {
    summary.add(result);
    if (!result.findings.empty()) fmt::print(stderr, "{}", describe_failure(result));
    show_progress(summary.runs, batch.seeds.size(), summary.failed.size());
  });
  summary.wall_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (options.json) {
    fmt::print("{}\n", to_json(summary).dump(2));
  } else {
    fmt::print("{}", describe(summary));
  }
  return summary.failed.empty() ? 0 : exit_violation;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app{"Runs PBFT clusters in simulation: real code, simulated network, disk, clock and clients.", "pbft-sim"};
  app.add_option("--seed", options.seed, "Run one seed and show what happened");
  app.add_option("--seeds", options.seeds, "Run the seeds FIRST..LAST");
  app.add_option("--corpus", options.corpus, "Run the seeds in this file first, one a line")->type_name("FILE");
  app.add_option("--jobs", options.jobs, "Processes to run seeds on")->check(CLI::Range(1, 256))->capture_default_str();
  app.add_option("--stop-after", options.stop_after, "Give up after so many seeds have failed")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_flag("--twice", options.twice, "Run each seed twice and compare the traces (otherwise one seed in 100)");
  app.add_flag("--verbose", options.verbose, "With --seed: print the timeline");
  app.add_flag("--json", options.json, "Print the result as JSON");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : exit_usage;
  }
  if (options.seed.has_value() != (options.seeds.empty() && options.corpus.empty())) {
    fmt::print(stderr, "pbft-sim: give either --seed N, or --seeds FIRST..LAST and/or --corpus FILE\n");
    return exit_usage;
  }
  if (options.verbose && (!options.seed || options.json)) {
    fmt::print(stderr, "pbft-sim: --verbose goes with --seed, and not with --json\n");
    return exit_usage;
  }
  if (options.seed) return run_single(options);
  std::vector<std::uint64_t> seeds;
  if (!options.corpus.empty() && !add_corpus(options.corpus, seeds)) return exit_usage;
  if (!options.seeds.empty() && !add_range(options.seeds, seeds)) return exit_usage;
  return run_many(options, std::move(seeds));
}
