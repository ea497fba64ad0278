// pbftctl bench: how fast a cluster is.
#include "tools/pbftctl/bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tools/pbftctl/load_generator.h"
#include "tools/pbftctl/words.h"

namespace pbft::ctl {
namespace {

struct BenchOptions {
  std::size_t sequential = 0;  // 0: a load
  std::size_t clients = 1;
  std::size_t connections = 0;  // 0: each client has its own
  std::size_t pipeline = 1;
  LoadOptions load;
  double duration_s = 10;
  double warm_up_s = 2;
  std::string read;
};

std::size_t connections_of(const BenchOptions& options) {
  return options.connections == 0 ? options.clients : std::min(options.connections, options.clients);
}

nlohmann::json report_as_json(const LoadReport& report, const BenchOptions& options) {
  return {{"clients", options.clients},
          {"connections", connections_of(options)},
          {"pipeline", options.pipeline},
          {"rate", options.load.rate},
          {"seconds", report.seconds},
          {"completed", report.completed},
          {"per_second", report.per_second()},
          {"failed", report.failed},
          {"refused", report.refused},
          {"timed_out", report.timed_out},
          {"busy", report.busy},
          {"unknown", report.unknown},
          {"first_trouble", report.first_trouble},
          {"latency", to_json(report.latency)}};
}

void print_report(const LoadReport& report) {
  fmt::print("{} operations in {:.1f} s, {:.0f} per second\n", report.completed, report.seconds, report.per_second());
  fmt::print("latency  {}\n", describe(report.latency));
  if (report.failed > 0) fmt::print("{} of the results were failures of the state machine\n", report.failed);
}

// What had no result is told in any case. A failure of the state machine is a result like any other.
int exit_code_of(const LoadReport& report) {
  if (report.refused + report.timed_out + report.busy + report.unknown == 0) return exit_ok;
  print_error(fmt::format(
      "{} operations were refused, {} had no answer in time, {} since the cluster was busy, of {} the result was lost; "
      "the first: {}",
      report.refused, report.timed_out + report.busy, report.busy, report.unknown, report.first_trouble));
  if (report.unknown > 0) return exit_unknown;
  if (report.timed_out > 0) return exit_no_answer;
  return report.busy > 0 ? exit_busy : exit_failed;
}

int bench_load(const BenchOptions& options, const Globals& globals) {
  const auto config = load_client_config(globals);
  if (!config) return usage_error(config.error());
  const auto plugin = load_text_form(*config);
  if (!plugin) return usage_error(plugin.error());
  const auto clients = connect_many(*config, connections_of(options));
  if (!clients) return usage_error(clients.error());
  const auto progress = [&](double seconds, double per_second) {
    if (!globals.json) print_progress(fmt::format("{:4.0f} s  {:8.0f} per second", seconds, per_second));
  };
  const auto report = run_load(*clients, **plugin, options.load, progress);
  end_progress();
  if (!report) return usage_error(report.error());
  if (globals.json) {
    print_json(report_as_json(*report, options));
  } else {
    print_report(*report);
  }
  return exit_code_of(*report);
}

int bench(BenchOptions options, std::vector<std::string> words, const Globals& globals) {
  options.load.operation.words = std::move(words);
  if (options.sequential > 0) return bench_sequential(options.load.operation, options.sequential, globals);
  if (!options.read.empty()) {
    auto read = split_words(options.read);
    if (!read) return usage_error("--read: " + read.error());
    options.load.operation.read_words = std::move(*read);
  } else if (options.load.operation.reads_percent > 0) {
    return usage_error("--reads takes --read WORDS: which operation reads?");
  }
  const auto milliseconds = [](double s) { return std::chrono::milliseconds{std::llround(s * 1000)}; };
  options.load.duration = milliseconds(options.duration_s);
  options.load.warm_up = milliseconds(options.warm_up_s);
  options.load.timeout = globals.timeout();
  options.load.outstanding = options.clients * options.pipeline;
  return bench_load(options, globals);
}

// An option that has no effect beside another is refused, for it was given to have one.
void refuse_what_has_no_effect(CLI::App& command) {
  CLI::Option* sequential = command.get_option("--sequential");
  for (const char* of_loads :
       {"--clients", "--connections", "--pipeline", "--rate", "--duration", "--warm-up", "--reads", "--read"}) {
    sequential->excludes(command.get_option(of_loads));
  }
  command.get_option("--read")->needs(command.get_option("--reads"));
  command.get_option("--reads")->needs(command.get_option("--read"));
}

void add_options(CLI::App& command, BenchOptions& options) {
  const auto seconds = CLI::Range(0.0, 86'400.0);
  OperationOptions& operation = options.load.operation;
  command
      .add_option("--sequential", options.sequential,
                  "Instead of a load: this many operations of one client, one after the other")
      ->type_name("N")
      ->check(CLI::Range(std::size_t{1}, std::size_t{10'000'000}));
  command.add_option("--clients", options.clients, "Clients")->check(CLI::Range(1, 1'000))->capture_default_str();
  command
      .add_option("--connections", options.connections,
                  "Connections, with a key and a session each, that the clients share as the threads of a program "
                  "share one connection; each client has its own unless given")
      ->check(CLI::Range(1, 1'000));
  command.add_option("--pipeline", options.pipeline, "Operations that each client keeps outstanding")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
  command
      .add_option("--rate", options.load.rate,
                  "Operations a second by all clients together, each at its time, instead of one after the other; "
                  "latency counts from when an operation was due")
      ->check(CLI::Range(0.001, 10'000'000.0));
  command.add_option("--duration", options.duration_s, "Seconds that are measured")
      ->check(seconds)
      ->capture_default_str();
  command.add_option("--warm-up", options.warm_up_s, "Seconds before, that are not")
      ->check(seconds)
      ->capture_default_str();
  command.add_option("--keys", operation.keys, "{key} is a number below this")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 40U))
      ->capture_default_str();
  command.add_option("--distribution", operation.distribution, "Of {key}: uniform (default), or zipf with skew 0.99")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, Distribution>{{"uniform", Distribution::uniform}, {"zipf", Distribution::zipf}}));
  command.add_option("--size", operation.value_bytes, "Characters of {value}")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
  command.add_option("--reads", operation.reads_percent, "Percentage of operations that are that of --read")
      ->check(CLI::Range(0, 100));
  command.add_option("--read", options.read, "The read, as one word: --read \"get {key}\"")->type_name("WORDS");
  command.add_option("--seed", operation.seed, "Of keys and values")->capture_default_str();
  refuse_what_has_no_effect(command);
}

}  // namespace

void add_bench(CLI::App& app, Globals& globals, Action& action) {
  CLI::App* command = app.add_subcommand("bench", "Measure: bench --clients 16 put {key} {value}");
  add_global_options(*command, globals);
  auto options = std::make_shared<BenchOptions>();
  add_options(*command, *options);
  command->prefix_command();
  command->footer(
      "pbftctl bench [OPTIONS] WORDS...\n"
      "Options come before the words. In a word {i} is the number of the operation, {key} a number of the chosen\n"
      "distribution, {value} random characters.");
  command->callback([command, options, &globals, &action] {
    action = [command, options, &globals] {
      const std::vector<std::string> words = command->remaining();
      if (const std::string stray = stray_option(*command, words); !stray.empty()) return usage_error(stray);
      return bench(*options, words, globals);
    };
  });
}

}  // namespace pbft::ctl
