// pbft-sim: runs the real replica and client code over a simulated world, all from one seed.
#include <fmt/format.h>
#include <fmt/ranges.h>
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
#include "tools/sim/reduce.h"
#include "tools/sim/report.h"
#include "tools/sim/rocks_disk.h"

namespace {

using namespace pbft::sim;

constexpr int exit_violation = 1;
constexpr int exit_usage = 2;

struct Options {
  std::optional<std::uint64_t> seed;
  std::string seeds;
  std::string corpus;
  std::string mutant;
  std::optional<std::uint64_t> shrink;
  std::vector<std::string> reductions;
  unsigned jobs = std::max(1U, std::thread::hardware_concurrency());
  std::size_t stop_after = 20;
  std::uint64_t each_at_least = 0;
  Shares shares;
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

// The shares as options, to replay a seed with.
std::string as_options(const Shares& shares) {
  const Shares usual;
  std::string text;
  if (!shares.sizes.empty()) text += fmt::format(" --n {}", fmt::join(shares.sizes, ","));
  if (shares.crypto) text += fmt::format(" --crypto-share {}", *shares.crypto);
  if (shares.rocksdb != usual.rocksdb) text += fmt::format(" --rocksdb-share {}", shares.rocksdb);
  if (shares.hours != usual.hours) text += fmt::format(" --hours-share {}", shares.hours);
  return text;
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
  if (!reduced_plan(*options.seed, options.reductions, options.shares)) {
    fmt::print(stderr, "pbft-sim: --reduce {}: not all of this is in the plan of seed {}, and in this order\n",
               fmt::join(options.reductions, ","), *options.seed);
    return exit_usage;
  }
  BatchOptions batch;
  batch.seeds = {*options.seed};
  batch.reductions = options.reductions;
  batch.shares = options.shares;
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

// The invariants that a run breaks, without its death taking this process along.
std::set<std::string> broken_by(std::uint64_t seed, const std::vector<std::string>& reductions, const Shares& shares) {
  BatchOptions batch;
  batch.seeds = {seed};
  batch.reductions = reductions;
  batch.shares = shares;
  std::set<std::string> broken;
  run_batch(batch, [&](const RunResult& result) {
    for (const Finding& finding : result.findings) broken.insert(finding.invariant);
  });
  return broken;
}

int run_shrink(const Options& options) {
  const std::uint64_t seed = *options.shrink;
  const std::set<std::string> broken = broken_by(seed, {}, options.shares);
  if (broken.empty()) {
    fmt::print("seed {} breaks no invariant\n", seed);
    return 0;
  }
  const std::string& invariant = *broken.begin();
  fmt::print(stderr, "seed {} breaks {}; shrinking\n", seed, fmt::join(broken, ", "));
  std::size_t runs = 0;
  const auto still_fails = [&](const std::vector<std::string>& reductions) {
    const bool fails = broken_by(seed, reductions, options.shares).contains(invariant);
    if (isatty(STDERR_FILENO) != 0) fmt::print(stderr, "\r{} runs ", ++runs);
    if (fails) fmt::print(stderr, "{} still with {}\n", invariant, fmt::join(reductions, ","));
    return fails;
  };
  const auto taken = shrink(seed, still_fails, options.shares);
  const std::string reduce = taken.empty() ? "" : fmt::format(" --reduce {}", fmt::join(taken, ","));
  fmt::print("{}\n", describe(*reduced_plan(seed, taken, options.shares)));
  fmt::print("pbft-sim --seed {}{}{}{} --verbose\n", seed, as_options(options.shares), reduce,
             options.mutant.empty() ? "" : " --mutant " + options.mutant);
  return exit_violation;
}

int run_many(const Options& options, std::vector<std::uint64_t> seeds) {
  BatchOptions batch;
  batch.seeds = std::move(seeds);
  batch.jobs = options.jobs;
  batch.stop_after = options.stop_after;
  batch.shares = options.shares;
  batch.twice = [&options](std::uint64_t seed) { return options.twice || seed % 100 == 0; };
  Summary summary;
  const auto start = std::chrono::steady_clock::now();
  run_batch(batch, [&](const RunResult& result) {
    summary.add(result);
    if (!result.findings.empty()) fmt::print(stderr, "{}", describe_failure(result, as_options(options.shares)));
    show_progress(summary.runs, batch.seeds.size(), summary.failed.size());
  });
  summary.wall_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (options.json) {
    fmt::print("{}\n", to_json(summary).dump(2));
  } else {
    fmt::print("{}", describe(summary));
  }
  const std::vector<std::string> rare = rarer_than(options.each_at_least, summary);
  for (const std::string& one : rare) fmt::print(stderr, "below {}: {}\n", options.each_at_least, one);
  return summary.failed.empty() && rare.empty() ? 0 : exit_violation;
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
  app.add_option("--each-at-least", options.each_at_least,
                 "With --seeds: fail where a fault, a lie or a sometimes counter stays below this over all seeds")
      ->type_name("COUNT");
  app.add_option("--n", options.shares.sizes, "Replicas: each seed takes one of these numbers")
      ->delimiter(',')
      ->check(CLI::Range(1, 64))
      ->type_name("LIST");
  app.add_option("--crypto-share", options.shares.crypto, "Per cent of the seeds that sign with Ed25519 (usually 1)")
      ->check(CLI::Range(0, 100));
  app.add_option("--rocksdb-share", options.shares.rocksdb,
                 "Per cent of the seeds that keep their stores on RocksDB, on a simulated file system")
      ->check(CLI::Range(0, 100))
      ->capture_default_str();
  app.add_option("--hours-share", options.shares.hours, "Per cent of the seeds that run for hours")
      ->check(CLI::Range(0, 100))
      ->capture_default_str();
  app.add_option("--mutant", options.mutant, "Switch on a planted bug (a build of tests/mutants/build)")
      ->type_name("NAME");
  app.add_option("--shrink", options.shrink, "Look for the smallest plan in which this seed still fails")
      ->type_name("SEED");
  app.add_option("--reduce", options.reductions, "With --seed: leave this out of the plan, as --shrink says")
      ->delimiter(',')
      ->type_name("LIST");
  app.add_flag("--twice", options.twice, "Run each seed twice and compare the traces (otherwise one seed in 100)");
  app.add_flag("--verbose", options.verbose, "With --seed: print the timeline");
  app.add_flag("--json", options.json, "Print the result as JSON");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : exit_usage;
  }
  if (!options.mutant.empty()) {
    fmt::print(stderr,
               "pbft-sim: --mutant {}: there is no such bug in this program; tests/mutants/build makes one with "
               "all of tests/mutants/planted_bugs.py\n",
               options.mutant);
    return exit_usage;
  }
  if (options.shrink) {
    const bool alone = !options.seed && options.seeds.empty() && options.corpus.empty() && options.reductions.empty();
    if (alone) return run_shrink(options);
    fmt::print(stderr, "pbft-sim: --shrink SEED goes with --mutant only\n");
    return exit_usage;
  }
  if (!options.reductions.empty() && !options.seed) {
    fmt::print(stderr, "pbft-sim: --reduce goes with --seed\n");
    return exit_usage;
  }
  if (options.seed.has_value() != (options.seeds.empty() && options.corpus.empty())) {
    fmt::print(stderr, "pbft-sim: give either --seed N, or --seeds FIRST..LAST and/or --corpus FILE\n");
    return exit_usage;
  }
  if (options.each_at_least > 0 && options.seed) {
    fmt::print(stderr, "pbft-sim: --each-at-least goes with --seeds and --corpus\n");
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
