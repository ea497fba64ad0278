// pbftctl exec: operations that the cluster orders and runs.
#include <fmt/format.h>

#include <cerrno>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <exception>
#include <future>
#include <iostream>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>

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

// Operations on their way. Results are printed in the order of the lines, by a thread of its own, each as soon as it
// and those before it are there: whoever writes a line and waits for its result before the next one gets it.
class Pipeline {
 public:
  Pipeline(const Connection& connection, const Globals& globals)
      : connection_(connection), globals_(globals), printer_([this] { print_all(); }) {}
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;
  ~Pipeline() { end(); }

  // False: results can no longer be printed, so nothing more is to be sent.
  [[nodiscard]] bool line(std::size_t number, const std::string& text) {
    const auto words = split_words(text);
    if (!words) return push({number, words.error(), {}, {}});
    if (words->empty()) return true;
    auto parsed = parse(*words);
    if (!parsed) return push({number, parsed.error(), {}, {}});
    if (!await_room()) return false;
    std::future<client::Outcome> outcome = connection_.client->submit(parsed->operation, globals_.timeout());
    return push({number, {}, std::move(parsed->operation), std::move(outcome)});
  }

  // The highest exit code of all lines, once all are printed. Throws what the printing threw.
  int finish() {
    end();
    if (failure_) std::rethrow_exception(failure_);
    return worst_;
  }

 private:
  static constexpr std::size_t most_pending = 4096;
  struct Pending {
    std::size_t line;
    std::string problem;  // why it was not sent; empty: it was
    Bytes operation;
    std::future<client::Outcome> outcome;
  };

  Result<execution::Plugin::Parsed> parse(const std::vector<std::string>& words) {
    const std::lock_guard lock{plugin_mutex_};
    return parse_operation(*connection_.plugin, words);
  }

  [[nodiscard]] bool await_room() {
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [this] { return pending_.size() < most_pending || failure_; });
    return !failure_;
  }

  [[nodiscard]] bool push(Pending next) {
    if (!await_room()) return false;
    const std::lock_guard lock{mutex_};
    pending_.push_back(std::move(next));
    changed_.notify_all();
    return true;
  }

  void end() {
    {
      const std::lock_guard lock{mutex_};
      ended_ = true;
      changed_.notify_all();
    }
    if (printer_.joinable()) printer_.join();
  }

  // ---- on the printing thread ----

  void print_all() {
    try {
      while (auto next = take()) {
        if (next->problem.empty()) {
          print_outcome_of(*next);
        } else {
          print_problem_of(*next);
        }
        if (std::fflush(stdout) != 0) throw std::system_error{errno, std::generic_category(), "standard output"};
      }
    } catch (...) {
      const std::lock_guard lock{mutex_};
      failure_ = std::current_exception();
      changed_.notify_all();
    }
  }

  // The next one in order; nothing: there will be none.
  std::optional<Pending> take() {
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [this] { return !pending_.empty() || ended_; });
    if (pending_.empty()) return std::nullopt;
    Pending next = std::move(pending_.front());
    pending_.pop_front();
    changed_.notify_all();
    return next;
  }

  void print_problem_of(const Pending& pending) {
    if (globals_.json) {
      print_json({{"line", pending.line}, {"outcome", "not_sent"}, {"message", pending.problem}});
    } else {
      print_error(fmt::format("line {}: {}", pending.line, pending.problem));
    }
    worst_ = std::max<int>(worst_, exit_usage);
  }

  void print_outcome_of(Pending& pending) {
    const client::Outcome outcome = pending.outcome.get();
    const std::lock_guard lock{plugin_mutex_};
    if (globals_.json) {
      nlohmann::json value = to_json(*connection_.plugin, pending.operation, outcome);
      value["line"] = pending.line;
      print_json(value);
    } else if (outcome.kind == client::OutcomeKind::ok) {
      fmt::print("{}\n", describe(*connection_.plugin, pending.operation, outcome));
    } else {
      print_error(fmt::format("line {}: {}", pending.line, outcome.message));
    }
    worst_ = std::max<int>(worst_, exit_code(outcome.kind));
  }

  const Connection& connection_;
  const Globals& globals_;
  std::mutex plugin_mutex_;  // a plugin is asked by one thread at a time
  std::mutex mutex_;         // of what follows, up to failure_
  std::condition_variable changed_;
  std::deque<Pending> pending_;  // without the one that is being printed
  bool ended_ = false;           // no more lines come
  std::exception_ptr failure_;
  int worst_ = exit_ok;  // of the printing thread, until it has ended
  std::thread printer_;
};

int exec_lines(const Globals& globals) {
  const auto connection = connect(globals);
  if (!connection) {
    return usage_error(connection.error());
  }
  Pipeline pipeline{*connection, globals};
  std::string text;
  for (std::size_t number = 1; std::getline(std::cin, text); ++number) {
    if (!pipeline.line(number, text)) break;
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
