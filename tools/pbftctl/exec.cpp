// pbftctl exec: operations that the cluster orders and runs.
#include <fmt/format.h>

#include <deque>
#include <future>
#include <iostream>

#include "tools/pbftctl/cluster.h"
#include "tools/pbftctl/output.h"
#include "tools/pbftctl/words.h"

namespace pbft::ctl {
namespace {

int exec_words(const std::vector<std::string>& words, const Globals& globals) {
  const auto connection = connect(globals);
  if (!connection) {
    return usage_error(connection.error());
  }
  auto parsed = parse_operation(*connection->plugin, words);
  if (!parsed) {
    return usage_error(parsed.error());
  }
  const client::Outcome outcome = connection->client->submit(parsed->operation, globals.timeout()).get();
  return print_outcome(*connection->plugin, parsed->operation, outcome, globals);
}

// Operations on their way, in the order of the lines; results are printed in that order.
class Pipeline {
 public:
  Pipeline(const Connection& connection, const Globals& globals) : connection_(connection), globals_(globals) {}

  void line(std::size_t number, const std::string& text) {
    const auto words = split_words(text);
    if (!words) {
      fail(number, words.error());
      return;
    }
    if (words->empty()) {
      return;
    }
    auto parsed = parse_operation(*connection_.plugin, *words);
    if (!parsed) {
      fail(number, parsed.error());
      return;
    }
    while (pending_.size() >= most_pending) {
      print_first();
    }
    std::future<client::Outcome> outcome = connection_.client->submit(parsed->operation, globals_.timeout());
    pending_.push_back({number, std::move(parsed->operation), std::move(outcome)});
  }

  int finish() {
    while (!pending_.empty()) {
      print_first();
    }
    return worst_;
  }

 private:
  static constexpr std::size_t most_pending = 4096;
  struct Pending {
    std::size_t line;
    Bytes operation;
    std::future<client::Outcome> outcome;
  };

  void fail(std::size_t number, const std::string& message) {
    finish();
    if (globals_.json) {
      print_json({{"line", number}, {"outcome", "not_sent"}, {"message", message}});
    } else {
      print_error(fmt::format("line {}: {}", number, message));
    }
    worst_ = std::max<int>(worst_, exit_usage);
  }

  void print_first() {
    Pending first = std::move(pending_.front());
    pending_.pop_front();
    const client::Outcome outcome = first.outcome.get();
    if (globals_.json) {
      nlohmann::json value = to_json(*connection_.plugin, first.operation, outcome);
      value["line"] = first.line;
      print_json(value);
    } else if (outcome.kind == client::OutcomeKind::ok) {
      fmt::print("{}\n", describe(*connection_.plugin, first.operation, outcome));
    } else {
      print_error(fmt::format("line {}: {}", first.line, outcome.message));
    }
    worst_ = std::max<int>(worst_, exit_code(outcome.kind));
  }

  const Connection& connection_;
  const Globals& globals_;
  std::deque<Pending> pending_;
  int worst_ = exit_ok;
};

int exec_lines(const Globals& globals) {
  const auto connection = connect(globals);
  if (!connection) {
    return usage_error(connection.error());
  }
  Pipeline pipeline{*connection, globals};
  std::string text;
  for (std::size_t number = 1; std::getline(std::cin, text); ++number) {
    pipeline.line(number, text);
  }
  return pipeline.finish();
}

}  // namespace

void add_exec(CLI::App& app, Globals& globals, Action& action) {
  CLI::App* command = app.add_subcommand("exec", "Run an operation on the cluster: exec put a 1");
  add_global_options(*command, globals);
  auto lines = std::make_shared<bool>(false);
  command->add_flag("--stdin", *lines, "One operation per line of the standard input, results in the same order");
  // Everything from the first word on belongs to the operation, also what looks like an option.
  command->prefix_command();
  command->footer("pbftctl exec [OPTIONS] WORDS...\npbftctl exec [OPTIONS] --stdin\nOptions come before the words.");
  command->callback([command, lines, &globals, &action] {
    action = [command, lines, &globals] {
      const std::vector<std::string> words = command->remaining();
      if (const std::string stray = stray_option(*command, words); !stray.empty()) return usage_error(stray);
      if (*lines && !words.empty()) {
        return usage_error("exec: give either words or --stdin");
      }
      return *lines ? exec_lines(globals) : exec_words(words, globals);
    };
  });
}

}  // namespace pbft::ctl
