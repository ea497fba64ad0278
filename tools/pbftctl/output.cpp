#include "tools/pbftctl/output.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace pbft::ctl {

void print_error(const std::string& message) {
  std::fflush(stdout);
  fmt::print(stderr, "pbftctl: {}\n", message);
}

int usage_error(const std::string& message) {
  print_error(message);
  return exit_usage;
}

void print_json(const nlohmann::json& value, int indent) {
  fmt::print("{}\n", value.dump(indent, ' ', false, nlohmann::json::error_handler_t::replace));
}

bool stdout_is_terminal() {
  return isatty(STDOUT_FILENO) != 0;
}

void print_progress(const std::string& line) {
  if (isatty(STDERR_FILENO) == 0) return;
  fmt::print(stderr, "\r\x1b[K{}", line);
  std::fflush(stderr);
}

void end_progress() {
  print_progress({});
}

namespace {

std::size_t columns_of(const std::string& text) {  // code points, which is near enough for names and numbers
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

const char* colour(Table::Mark mark, bool heading) {
  if (heading) {
    return "\x1b[1m";
  }
  return mark == Table::Mark::good ? "\x1b[32m" : mark == Table::Mark::bad ? "\x1b[31m" : "";
}

}  // namespace

std::string printable(std::string text) {
  const auto byte = [&text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (byte(i) < 0x20U || byte(i) == 0x7FU) {
      text[i] = '?';
    } else if (byte(i) == 0xC2U && i + 1 < text.size() && byte(i + 1) >= 0x80U && byte(i + 1) < 0xA0U) {
      text.replace(i, 2, "?");  // U+0080 to U+009F, which terminals take for control characters too
    }
  }
  return text;
}

void Table::add(std::vector<Cell> row) {
  for (Cell& cell : row) cell.text = printable(std::move(cell.text));
  rows_.push_back(std::move(row));
}

void Table::print() const {
  fmt::print("{}", text(stdout_is_terminal()));
}

std::string Table::text(bool terminal) const {
  std::string all;
  std::vector<std::size_t> widths;
  for (const std::vector<Cell>& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], columns_of(row[i].text));
    }
  }
  for (std::size_t r = 0; r < rows_.size(); ++r) {
    std::string line;
    for (std::size_t i = 0; i < rows_[r].size(); ++i) {
      const Cell& cell = rows_[r][i];
      if (!terminal) {
        line += (i == 0 ? "" : "\t") + cell.text;
        continue;
      }
      const std::string padding(widths[i] - columns_of(cell.text), ' ');
      const std::string start = colour(cell.mark, r == 0);
      line += (i == 0 ? "" : "  ") + (cell.right ? padding : "") + start + cell.text +
              (start.empty() ? "" : "\x1b[0m") + (cell.right ? "" : padding);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    all += line + "\n";
  }
  return all;
}

std::string describe(const execution::Plugin& plugin, BytesView operation, const client::Outcome& outcome) {
  return outcome.kind == client::OutcomeKind::ok ? plugin.format(operation, outcome.result) : outcome.message;
}

nlohmann::json to_json(const execution::Plugin& plugin, BytesView operation, const client::Outcome& outcome) {
  static constexpr const char* names[] = {"ok", "failed", "refused", "timed_out", "busy", "unknown"};
  nlohmann::json value{{"outcome", names[static_cast<std::size_t>(outcome.kind)]}};
  value[outcome.kind == client::OutcomeKind::ok ? "result" : "message"] = describe(plugin, operation, outcome);
  return value;
}

ExitCode exit_code(client::OutcomeKind kind) {
  switch (kind) {
    case client::OutcomeKind::ok:
      return exit_ok;
    case client::OutcomeKind::timed_out:
      return exit_no_answer;
    case client::OutcomeKind::busy:
      return exit_busy;
    case client::OutcomeKind::unknown:
      return exit_unknown;
    case client::OutcomeKind::failed:
    case client::OutcomeKind::refused:
      break;
  }
  return exit_failed;
}

int print_outcome(const execution::Plugin& plugin, BytesView operation, const client::Outcome& outcome,
                  const Globals& globals) {
  if (globals.json) {
    print_json(to_json(plugin, operation, outcome));
  } else if (outcome.kind == client::OutcomeKind::ok) {
    fmt::print("{}\n", describe(plugin, operation, outcome));
  } else {
    print_error(describe(plugin, operation, outcome));
  }
  return exit_code(outcome.kind);
}

}  // namespace pbft::ctl
