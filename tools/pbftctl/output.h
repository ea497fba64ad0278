// How pbftctl speaks: results on standard output, the rest on standard error; tables and colour on a terminal only.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "node/execution/plugin.h"
#include "tools/client/cpp/pbft/client_core.h"
#include "tools/pbftctl/commands.h"

namespace pbft::ctl {

void print_error(const std::string& message);  // "pbftctl: message"
// print_error, and the code to return.
[[nodiscard]] int usage_error(const std::string& message);

// One line of JSON, or several where there is an indent. Bytes that are no UTF-8 are shown as the replacement
// character.
void print_json(const nlohmann::json& value, int indent = -1);
[[nodiscard]] bool stdout_is_terminal();
// On standard error, where that is a terminal: a line that the next one replaces, until the end.
void print_progress(const std::string& line);
void end_progress();

// The text as one that may come from a faulty replica is shown: control characters, which could forge rows or command
// the terminal, become question marks.
[[nodiscard]] std::string printable(std::string text);

// The first row is the heading. On a terminal: aligned columns, bold heading; elsewhere: fields between tabs.
class Table {
 public:
  enum class Mark { none, good, bad };
  struct Cell {
    std::string text;
    Mark mark = Mark::none;  // green or red on a terminal
    bool right = false;      // aligned to the right
  };
  // Cells are made printable().
  void add(std::vector<Cell> row);
  void print() const;
  [[nodiscard]] std::string text(bool terminal) const;  // what print() prints

 private:
  std::vector<std::vector<Cell>> rows_;
};

// What one operation came to, as text and as exit code.
[[nodiscard]] std::string describe(const execution::Plugin& plugin, BytesView operation,
                                   const client::Outcome& outcome);
[[nodiscard]] nlohmann::json to_json(const execution::Plugin& plugin, BytesView operation,
                                     const client::Outcome& outcome);
[[nodiscard]] ExitCode exit_code(client::OutcomeKind kind);
// Prints the result or the error and gives the exit code.
[[nodiscard]] int print_outcome(const execution::Plugin& plugin, BytesView operation, const client::Outcome& outcome,
                                const Globals& globals);

}  // namespace pbft::ctl
