// pbftctl: everything that a person does with a cluster. See tools/README.md.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <iostream>
#include <system_error>

#include "node/crypto/keys.h"
#include "node/runtime/toml_reader.h"
#include "tools/pbftctl/commands.h"
#include "tools/pbftctl/output.h"

namespace pbft::ctl {

void add_global_options(CLI::App& command, Globals& globals) {
  command.add_option("--config", globals.config, "The client's configuration (client.toml)")->type_name("FILE");
  command.add_option("--dir", globals.directory, "The directory of the cluster: DIR/client/client.toml is used")
      ->type_name("DIR");
  command.add_flag("--json", globals.json, "Print JSON");
  command
      .add_option("--timeout", globals.timeout_s,
                  "How long to wait: for one operation (10); for `up` the start of all (30), for `down` their "
                  "end (20), for `status` their answers (2)")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.001, 86400.0));
}

std::string stray_option(const CLI::App& command, const std::vector<std::string>& words) {
  if (words.empty() || !words.front().starts_with("--") || words.front() == "--") return "";
  const std::string option = words.front().substr(0, words.front().find('='));
  std::vector<std::string> known;
  for (const CLI::Option* there : command.get_options()) {
    for (const std::string& name : there->get_lnames()) known.push_back("--" + name);
  }
  const std::string near = runtime::nearest(option, known);
  return fmt::format(
      "{} has no option {}{} Options come before the words of the operation; `pbftctl {} --help` "
      "lists them.",
      command.get_name(), option, near.empty() ? "." : fmt::format("; did you mean {}?", near), command.get_name());
}

namespace {

int run(int argc, char** argv) {
  CLI::App app{"pbftctl: create, run, use and watch a cluster of pbft-node replicas"};
  app.name("pbftctl");
  app.set_version_flag("--version", PBFT_VERSION);
  app.footer(
      "The client's configuration is the first of: --config FILE, DIR/client/client.toml of --dir DIR,\n"
      "$PBFT_CLIENT_CONFIG, ./client.toml, ./client/client.toml, ./cluster/client/client.toml.\n"
      "Exit codes: 0 ok, 1 operation failed, 2 wrong usage or configuration, 3 no answer in time,\n"
      "4 no answer in time since the cluster has more work than it can take, 5 the result is lost, or cannot be\n"
      "written, and the operation may have taken effect.");
  // Exactly one: a word of an operation that is called like a command is then no second command.
  app.require_subcommand(1, 1);

  Globals globals;
  Action action;
  add_global_options(app, globals);
  add_init(app, globals, action);
  add_up(app, globals, action);
  add_down(app, globals, action);
  add_status(app, globals, action);
  add_exec(app, globals, action);
  add_query(app, globals, action);
  add_bench(app, globals, action);
  add_completion(app, globals, action);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? exit_ok : exit_usage;
  }
  return action ? action() : exit_usage;
}

struct Ended {
  int code = exit_ok;
  std::string output_problem;  // why standard output takes no more, where that ended it
};

// What is thrown because standard output takes no more comes after the operation was sent: that it has no effect cannot
// be promised then.
Ended run_to_the_end(int argc, char** argv) {
  try {
    return {run(argc, argv), {}};
  } catch (const std::system_error& error) {
    if (std::ferror(stdout) != 0) return {exit_unknown, error.code().message()};
    print_error(error.what());
  } catch (const std::exception& error) {
    print_error(error.what());
  }
  return {exit_failed, {}};
}

// What goes wrong with standard output shows here at the latest, since it is written through buffers. Whoever sees 0
// relies on having the results.
int finish_output(Ended ended) {
  errno = 0;
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0 && std::cout.flush().good()) return ended.code;
  if (ended.output_problem.empty()) {
    ended.output_problem = errno != 0 ? std::strerror(errno) : "an earlier part was not taken";
  }
  print_error(fmt::format("the results cannot be written: {}", ended.output_problem));
  return ended.code == exit_ok ? exit_unknown : ended.code;
}

}  // namespace
}  // namespace pbft::ctl

int main(int argc, char** argv) {
  pbft::crypto::initialize();
  return pbft::ctl::finish_output(pbft::ctl::run_to_the_end(argc, argv));
}
