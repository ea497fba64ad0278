// The commands of pbftctl. Each add_...() registers one subcommand on `app`: its options, its help, and a callback that
// CLI11 runs once everything is parsed and that puts the work into `action`. main() then runs the action and exits with
// what it returns. A command prints results on standard output and everything else on standard error.
//
// The shape of a command:
//
//   void add_down(CLI::App& app, Globals& globals, Action& action) {
//     CLI::App* command = app.add_subcommand("down", "Stop a cluster that `up` started");
//     auto options = std::make_shared<DownOptions>();
//     command->add_option("DIR", options->directory, "...")->required();
//     add_global_options(*command, globals);
//     command->callback([options, &globals, &action] { action = [options, &globals] { return run(*options, globals); };
//     });
//   }
#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace pbft::ctl {

// Exit codes of every command.
enum ExitCode : int {
  exit_ok = 0,
  exit_failed = 1,     // the operation failed, or was refused: it has no effect
  exit_usage = 2,      // wrong arguments, wrong or missing configuration
  exit_no_answer = 3,  // the cluster did not answer in time
  exit_busy = 4,       // the same, since it has more work than it can take
  exit_unknown = 5,    // the result is lost, or cannot be written; the operation may have taken effect
};

// What every command understands, before or after the command's name.
struct Globals {
  std::filesystem::path config;     // --config FILE
  std::filesystem::path directory;  // --dir DIR: the directory that `init` made; its client/client.toml is used
  bool json = false;                // --json
  std::optional<double> timeout_s;  // --timeout SECONDS, for one operation

  [[nodiscard]] std::chrono::milliseconds timeout(std::chrono::milliseconds otherwise = std::chrono::seconds{
                                                      10}) const {
    return timeout_s ? std::chrono::milliseconds{static_cast<std::int64_t>(*timeout_s * 1000)} : otherwise;
  }
};

using Action = std::function<int()>;

// --config, --dir, --json and --timeout on one more (sub)command. `globals` must outlive the parsing.
void add_global_options(CLI::App& command, Globals& globals);

// Operations are words, and options come before them. What to say where the first word was meant for an option that
// `command` has not; empty: it was not.
[[nodiscard]] std::string stray_option(const CLI::App& command, const std::vector<std::string>& words);

void add_init(CLI::App& app, Globals& globals, Action& action);        // init.cpp
void add_up(CLI::App& app, Globals& globals, Action& action);          // up.cpp
void add_down(CLI::App& app, Globals& globals, Action& action);        // down.cpp
void add_status(CLI::App& app, Globals& globals, Action& action);      // status.cpp
void add_exec(CLI::App& app, Globals& globals, Action& action);        // exec.cpp
void add_query(CLI::App& app, Globals& globals, Action& action);       // query.cpp
void add_bench(CLI::App& app, Globals& globals, Action& action);       // bench.cpp
void add_completion(CLI::App& app, Globals& globals, Action& action);  // completion.cpp

}  // namespace pbft::ctl
