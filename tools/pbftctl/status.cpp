// pbftctl status: what each replica says about itself. Nothing here is proven; each speaks for itself only.
#include <fmt/format.h>

#include <algorithm>

#include "node/pbft/quorum.h"
#include "tools/pbftctl/cluster.h"
#include "tools/pbftctl/output.h"

namespace pbft::ctl {
namespace {

using nlohmann::json;

struct ReplicaInfo {
  std::string name;  // as configured here
  std::optional<json> info;
};

// A replica may be faulty, so nothing is taken for granted in what it sends.
std::optional<json> read_info(const std::optional<std::string>& text) {
  if (!text) {
    return std::nullopt;
  }
  json value = json::parse(*text, nullptr, false);
  return value.is_object() ? std::optional{std::move(value)} : std::nullopt;
}

std::optional<std::uint64_t> number(const json& info, const char* key) {
  const auto found = info.find(key);
  return found != info.end() && found->is_number_unsigned() ? std::optional{found->get<std::uint64_t>()} : std::nullopt;
}

std::string number_text(const json& info, const char* key) {
  const auto value = number(info, key);
  return value ? std::to_string(*value) : "?";
}

bool flag(const json& info, const char* key) {
  const auto found = info.find(key);
  return found != info.end() && found->is_boolean() && found->get<bool>();
}

// The highest number that f+1 replicas say they have executed: one liar cannot make all others look late.
std::uint64_t executed_by_weak_quorum(const std::vector<ReplicaInfo>& replicas, const Quorum& quorum) {
  std::vector<std::uint64_t> executed(replicas.size(), 0);
  for (std::size_t i = 0; i < replicas.size(); ++i) {
    executed[i] = replicas[i].info ? number(*replicas[i].info, "executed").value_or(0) : 0;
  }
  std::sort(executed.rbegin(), executed.rend());
  return executed[quorum.faults()];
}

std::string state_text(const json& info) {
  if (flag(info, "diverged")) {
    return "DIVERGED";
  }
  if (flag(info, "catching_up")) {
    return "catching up";
  }
  const auto waiting = info.find("waiting_for");
  if (waiting != info.end() && waiting->is_string() && !waiting->get<std::string>().empty()) {
    return waiting->get<std::string>();
  }
  return "ok";
}

std::uint64_t lag_of(const json& info, std::uint64_t reference) {
  const std::uint64_t executed = number(info, "executed").value_or(0);
  return executed < reference ? reference - executed : 0;
}

void print_table(const std::vector<ReplicaInfo>& replicas, std::uint64_t reference, const Quorum& quorum) {
  Table table;
  table.add({{"ID", Table::Mark::none, true},
             {"NAME"},
             {"REACHABLE"},
             {"ROLE"},
             {"VIEW", Table::Mark::none, true},
             {"EXECUTED", Table::Mark::none, true},
             {"STABLE", Table::Mark::none, true},
             {"LAG", Table::Mark::none, true},
             {"STATE"}});
  for (std::uint32_t id = 0; id < replicas.size(); ++id) {
    const ReplicaInfo& replica = replicas[id];
    const auto right = [](std::string text) { return Table::Cell{std::move(text), Table::Mark::none, true}; };
    if (!replica.info) {
      table.add({right(std::to_string(id)),
                 {replica.name},
                 {"no", Table::Mark::bad},
                 {"-"},
                 right("-"),
                 right("-"),
                 right("-"),
                 right("-"),
                 {"-"}});
      continue;
    }
    const auto view = number(*replica.info, "view");
    const bool primary = view && quorum.primary(View{*view}) == ReplicaId{id};
    const std::string state = state_text(*replica.info);
    table.add({right(std::to_string(id)),
               {replica.name},
               {"yes", Table::Mark::good},
               {primary ? "primary" : "backup"},
               right(number_text(*replica.info, "view")),
               right(number_text(*replica.info, "executed")),
               right(number_text(*replica.info, "stable")),
               right(std::to_string(lag_of(*replica.info, reference))),
               {state, flag(*replica.info, "diverged") ? Table::Mark::bad : Table::Mark::none}});
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
    replicas.push_back({config->replicas[i].name, read_info(answers[i])});
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
  CLI::App* command = app.add_subcommand("status", "Show all replicas: view, executed, lag, reachable");
  add_global_options(*command, globals);
  command->footer("Exit code 0: all replicas are reachable; 1: some are not; 3: fewer than a quorum are.");
  command->callback([&globals, &action] { action = [&globals] { return status(globals); }; });
}

}  // namespace pbft::ctl
