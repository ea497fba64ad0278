// pbftctl status: what each replica says about itself. Nothing here is proven; each speaks for itself only.
#include <fmt/format.h>

#include <algorithm>

#include "node/pbft/quorum.h"
#include "tools/pbftctl/cluster.h"
#include "tools/pbftctl/output.h"
#include "tools/pbftctl/status_text.h"

namespace pbft::ctl {
namespace {

using nlohmann::json;

struct ReplicaInfo {
  std::string name;  // as configured here
  std::optional<json> info;
};

// The highest number that f+1 replicas say they have executed: one liar cannot make all others look late.
std::uint64_t executed_by_weak_quorum(const std::vector<ReplicaInfo>& replicas, const Quorum& quorum) {
  std::vector<std::uint64_t> executed(replicas.size(), 0);
  for (std::size_t i = 0; i < replicas.size(); ++i) {
    executed[i] = replicas[i].info ? number(*replicas[i].info, "executed").value_or(0) : 0;
  }
  std::sort(executed.rbegin(), executed.rend());
  return executed[quorum.faults()];
}

std::uint64_t lag_of(const json& info, std::uint64_t reference) {
  const std::uint64_t executed = number(info, "executed").value_or(0);
  return executed < reference ? reference - executed : 0;
}

Table::Cell right(std::string text) {
  return {std::move(text), Table::Mark::none, true};
}

// Whom the replica takes for the primary. The name is that of the configuration here, and not what the replica calls
// it.
std::string primary_text(const std::vector<ReplicaInfo>& replicas, const json& info, const Quorum& quorum) {
  const auto view = number(info, "view");
  return view ? replicas[quorum.primary(View{*view}).value].name : "?";
}

void print_table(const std::vector<ReplicaInfo>& replicas, std::uint64_t reference, const Quorum& quorum) {
  Table table;
  table.add({right("ID"),
             {"NAME"},
             {"REACHABLE"},
             right("VIEW"),
             {"PRIMARY"},
             right("EXECUTED"),
             right("STABLE"),
             right("LAG"),
             {"STATE"}});
  for (std::uint32_t id = 0; id < replicas.size(); ++id) {
    const ReplicaInfo& replica = replicas[id];
    std::vector<Table::Cell> row{right(std::to_string(id)), {replica.name}};
    if (!replica.info) {
      row.push_back({"no", Table::Mark::bad});
      for (Table::Cell cell : {right("-"), {"-"}, right("-"), right("-"), right("-"), {"-"}}) row.push_back(cell);
    } else {
      const json& info = *replica.info;
      row.push_back({"yes", Table::Mark::good});
      row.push_back(right(view_text(info)));
      row.push_back({primary_text(replicas, info, quorum)});
      row.push_back(right(number_text(info, "executed")));
      row.push_back(right(number_text(info, "stable")));
      row.push_back(right(std::to_string(lag_of(info, reference))));
      row.push_back({state_text(info), flag(info, "diverged") ? Table::Mark::bad : Table::Mark::none});
    }
    table.add(std::move(row));
  }
  table.print();
}

void print_as_json(const std::vector<ReplicaInfo>& replicas, std::uint64_t reference, const Quorum& quorum,
                   std::size_t reachable) {
  json list = json::array();
  for (std::uint32_t id = 0; id < replicas.size(); ++id) {
    json entry{{"id", id}, {"name", replicas[id].name}, {"reachable", replicas[id].info.has_value()}};
    if (replicas[id].info) {
      entry["lag"] = lag_of(*replicas[id].info, reference);
      entry["info"] = *replicas[id].info;
    }
    list.push_back(std::move(entry));
  }
  print_json({{"replicas", std::move(list)}, {"reachable", reachable}, {"quorum", quorum.quorum()}});
}

int status(const Globals& globals) {
  const auto config = load_client_config(globals);
  if (!config) {
    return usage_error(config.error());
  }
  const auto client = connect(*config);
  if (!client) {
    return usage_error(client.error());
  }
  const auto answers = (*client)->info(globals.timeout(std::chrono::seconds{2}));
  std::vector<ReplicaInfo> replicas;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    replicas.push_back({config->replicas[i].name, answers[i] ? read_info(*answers[i]) : std::nullopt});
  }
  const Quorum quorum{static_cast<std::uint32_t>(replicas.size())};
  const auto reachable = static_cast<std::size_t>(std::count_if(
      replicas.begin(), replicas.end(), [](const ReplicaInfo& replica) { return replica.info.has_value(); }));
  const std::uint64_t reference = executed_by_weak_quorum(replicas, quorum);
  if (globals.json) {
    print_as_json(replicas, reference, quorum, reachable);
  } else {
    print_table(replicas, reference, quorum);
  }
  if (reachable < quorum.quorum()) {
    print_error(fmt::format("{} of {} replicas are reachable; the cluster needs {} to work", reachable, replicas.size(),
                            quorum.quorum()));
    return exit_no_answer;
  }
  return reachable == replicas.size() ? exit_ok : exit_failed;
}

}  // namespace

void add_status(CLI::App& app, Globals& globals, Action& action) {
  CLI::App* command =
      app.add_subcommand("status", "Show all replicas: view, primary, checkpoint, lag, and what they wait for");
  add_global_options(*command, globals);
  command->footer("Exit code 0: all replicas are reachable; 1: some are not; 3: fewer than a quorum are.");
  command->callback([&globals, &action] { action = [&globals] { return status(globals); }; });
}

}  // namespace pbft::ctl
