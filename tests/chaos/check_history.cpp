// check_history FILE [--json]: whether what the clients of a cluster saw can be explained. Exit code 1: it cannot.
// tests/chaos/README.md says what a history is.
#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tools/sim/checkers/client_history.h"
#include "tools/sim/checkers/exactly_once.h"
#include "tools/sim/checkers/linearizability.h"

namespace pbft::sim {
namespace {

int refuse(const std::string& why) {
  fmt::print(stderr, "check_history: {}\n", why);
  return 2;
}

struct Counts {
  std::size_t acknowledged = 0, failed = 0, unknown = 0, reads = 0;
};

Counts count(const std::vector<ClientOperation>& history) {
  Counts counts;
  for (const ClientOperation& one : history) {
    if (!one.returned) {
      ++counts.unknown;
    } else {
      ++(one.answer.status == ReplyStatus::ok ? counts.acknowledged : counts.failed);
      if (one.operation.read_only()) ++counts.reads;
    }
  }
  return counts;
}

void show(const std::vector<ClientOperation>& history, const Findings& findings, bool as_json) {
  const Counts counts = count(history);
  nlohmann::ordered_json json{{"operations", history.size()}, {"acknowledged", counts.acknowledged},
                              {"failed", counts.failed},      {"unknown", counts.unknown},
                              {"reads", counts.reads},        {"findings", nlohmann::json::array()}};
  for (const Finding& finding : findings.all()) {
    json["findings"].push_back({{"invariant", finding.invariant}, {"what", finding.what}});
  }
  if (as_json) return fmt::print("{}\n", json.dump());
  fmt::print("{} operations: {} acknowledged, {} ran and failed, {} unknown; {} answered reads among them\n",
             history.size(), counts.acknowledged, counts.failed, counts.unknown, counts.reads);
  for (const Finding& finding : findings.all()) fmt::print("VIOLATION {}: {}\n", finding.invariant, finding.what);
}

int run(const std::string& file, bool as_json) {
  std::ifstream stream{file};
  if (!stream) return refuse(file + ": cannot be read");
  std::vector<ClientOperation> history;
  for (std::string line; std::getline(stream, line);) {
    auto one = from_line(line);
    if (!one) return refuse(fmt::format("{}:{}: {}", file, history.size() + 1, one.error()));
    history.push_back(std::move(*one));
  }
  // A checker that was given nothing has nothing to say.
  if (history.empty()) return refuse(file + ": is empty");
  Findings findings;
  check_linearizability(history, findings);
  check_exactly_once(history, findings);
  show(history, findings, as_json);
  return findings.any() ? 1 : 0;
}

}  // namespace
}  // namespace pbft::sim

int main(int argc, char** argv) {
  const std::vector<std::string> arguments{argv + 1, argv + argc};
  const bool as_json = arguments.size() == 2 && arguments[1] == "--json";
  if (arguments.size() != 1 && !as_json) return pbft::sim::refuse("usage: check_history FILE [--json]");
  return pbft::sim::run(arguments[0], as_json);
}
