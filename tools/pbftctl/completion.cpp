// pbftctl completion: a script that teaches a shell the commands, their options, and the plugin's operations.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <set>

#include "tools/pbftctl/cluster.h"
#include "tools/pbftctl/output.h"

namespace pbft::ctl {
namespace {

struct CommandWords {
  std::string name;
  std::string help;
  std::vector<std::string> options;  // "--json"
};

struct OperationWord {
  std::string name;
  std::string help;
  bool read_only = false;
};

std::vector<std::string> long_options(const CLI::App& app) {
  std::set<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      names.insert("--" + name);
    }
  }
  return {names.begin(), names.end()};
}

std::vector<CommandWords> commands_of(const CLI::App& app) {
  std::vector<CommandWords> commands;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    commands.push_back({command->get_name(), command->get_description(), long_options(*command)});
  }
  return commands;
}

// The plugin's operations where a client configuration is at hand; otherwise none.
std::vector<OperationWord> operations(const Globals& globals) {
  std::vector<OperationWord> words;
  const auto plugin = load_client_config(globals).and_then(load_text_form);
  if (plugin) {
    for (const execution::Command& command : (*plugin)->commands()) {
      words.push_back({command.name, command.help, command.read_only});
    }
  }
  return words;
}

// Text inside single quotes, which bash and zsh share; fish escapes with a backslash.
std::string shell_quoted(const std::string& text, bool fish = false) {
  std::string result = "'";
  for (const char c : text) {
    if (c == '\'') {
      result += fish ? "\\'" : "'\\''";
    } else if (fish && c == '\\') {
      result += "\\\\";
    } else if (c != '\n' && c != '\r') {
      result += c;
    }
  }
  return result + "'";
}

std::vector<std::string> names_for(const std::string& command, const std::vector<OperationWord>& operations) {
  std::vector<std::string> names;
  for (const OperationWord& operation : operations) {
    if (command == "exec" || command == "bench" || (command == "query" && operation.read_only)) {
      names.push_back(operation.name);
    }
  }
  return names;
}

void print_bash(const std::vector<CommandWords>& commands, const std::vector<OperationWord>& operations) {
  std::vector<std::string> names;
  std::string cases;
  for (const CommandWords& command : commands) {
    names.push_back(command.name);
    std::vector<std::string> words = names_for(command.name, operations);
    words.insert(words.end(), command.options.begin(), command.options.end());
    if (command.name == "completion") {
      words.insert(words.end(), {"bash", "zsh", "fish"});
    }
    cases += fmt::format("    {}) words={} ;;\n", command.name, shell_quoted(fmt::format("{}", fmt::join(words, " "))));
  }
  fmt::print(R"(# bash completion of pbftctl. Use: source <(pbftctl completion bash)
_pbftctl() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" previous="${{COMP_WORDS[COMP_CWORD-1]}}" command="" words="" i
  COMPREPLY=()
  case "$previous" in
    --config|--dir) mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
  esac
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "${{COMP_WORDS[i]}}" in
      --config|--dir|--timeout) ((i++)) ;;
      -*) ;;
      *) command="${{COMP_WORDS[i]}}"; break ;;
    esac
  done
  case "$command" in
    "") words={} ;;
{}  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}}
complete -o default -F _pbftctl pbftctl
)",
             shell_quoted(fmt::format("{} --config --dir --json --timeout --help --version", fmt::join(names, " "))),
             cases);
}

void print_zsh(const std::vector<CommandWords>& commands, const std::vector<OperationWord>& operations) {
  std::string names;
  std::string cases;
  for (const CommandWords& command : commands) {
    names += "    " + shell_quoted(command.name + ":" + command.help) + "\n";
    std::vector<std::string> words = names_for(command.name, operations);
    words.insert(words.end(), command.options.begin(), command.options.end());
    if (command.name == "completion") {
      words.insert(words.end(), {"bash", "zsh", "fish"});
    }
    for (std::string& word : words) {
      word = shell_quoted(word);
    }
    cases += fmt::format("    {}) compadd -- {}; _files ;;\n", command.name, fmt::join(words, " "));
  }
  fmt::print(R"(#compdef pbftctl
# zsh completion of pbftctl. Use: source <(pbftctl completion zsh), after compinit.
_pbftctl() {{
  local -a commands
  local command="" i
  commands=(
{}  )
  case "${{words[CURRENT-1]}}" in
    --config|--dir) _files; return ;;
  esac
  for ((i = 2; i < CURRENT; i++)); do
    case "${{words[i]}}" in
      --config|--dir|--timeout) ((i++)) ;;
      -*) ;;
      *) command="${{words[i]}}"; break ;;
    esac
  done
  case "$command" in
    "") _describe command commands; compadd -- --config --dir --json --timeout --help --version ;;
{}  esac
}}
compdef _pbftctl pbftctl
)",
             names, cases);
}

void print_fish(const std::vector<CommandWords>& commands, const std::vector<OperationWord>& operations) {
  fmt::print("# fish completion of pbftctl. Use: pbftctl completion fish | source\n");
  fmt::print("complete -c pbftctl -l config -r -d 'The client configuration'\n");
  fmt::print("complete -c pbftctl -l dir -r -d 'The directory of the cluster'\n");
  for (const CommandWords& command : commands) {
    fmt::print("complete -c pbftctl -n __fish_use_subcommand -f -a {} -d {}\n", command.name,
               shell_quoted(command.help, true));
    const std::string seen = fmt::format("'__fish_seen_subcommand_from {}'", command.name);
    for (const std::string& option : command.options) {
      if (option != "--config" && option != "--dir") {
        fmt::print("complete -c pbftctl -n {} -l {}\n", seen, option.substr(2));
      }
    }
    const std::vector<std::string> names = names_for(command.name, operations);
    for (const OperationWord& operation : operations) {
      if (std::find(names.begin(), names.end(), operation.name) != names.end()) {
        fmt::print("complete -c pbftctl -n {} -f -a {} -d {}\n", seen, shell_quoted(operation.name, true),
                   shell_quoted(operation.help, true));
      }
    }
    if (command.name == "completion") {
      fmt::print("complete -c pbftctl -n {} -f -a 'bash zsh fish'\n", seen);
    }
  }
}

}  // namespace

void add_completion(CLI::App& app, Globals& globals, Action& action) {
  CLI::App* command = app.add_subcommand("completion", "Print a completion script: completion bash|zsh|fish");
  add_global_options(*command, globals);
  auto shell = std::make_shared<std::string>();
  command->add_option("SHELL", *shell, "bash, zsh or fish")->required()->check(CLI::IsMember({"bash", "zsh", "fish"}));
  command->footer("The plugin's operations are included where the client's configuration is found.");
  command->callback([&app, shell, &globals, &action] {
    action = [&app, shell, &globals]() -> int {
      const std::vector<CommandWords> commands = commands_of(app);
      const std::vector<OperationWord> known = operations(globals);
      if (*shell == "bash") {
        print_bash(commands, known);
      } else if (*shell == "zsh") {
        print_zsh(commands, known);
      } else {
        print_fish(commands, known);
      }
      return exit_ok;
    };
  });
}

}  // namespace pbft::ctl
