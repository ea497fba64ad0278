// pbftctl query: reads, linearizable, or each replica's own answer.
#include <fmt/format.h>

#include "node/pbft/quorum.h"
#include "tools/pbftctl/cluster.h"
#include "tools/pbftctl/output.h"

namespace pbft::ctl {
namespace {

int query_agreed(const Connection& connection, const Bytes& operation, const Globals& globals) {
  const client::Outcome outcome = connection.client->query(operation, globals.timeout()).get();
  return print_outcome(*connection.plugin, operation, outcome, globals);
}

int query_each(const Connection& connection, const Bytes& operation, const Globals& globals) {
  const auto answers = connection.client->query_each(operation, globals.timeout(std::chrono::seconds{2}));
  std::size_t answered = 0;
  Table table;
  table.add({{"REPLICA"}, {"OUTCOME"}, {"ANSWER"}});
  nlohmann::json all = nlohmann::json::array();
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const client::Outcome outcome =
        answers[i].value_or(client::Outcome{client::OutcomeKind::timed_out, {}, "no answer"});
    nlohmann::json value = to_json(*connection.plugin, operation, outcome);
    value["replica"] = connection.config.replicas[i].name;
    answered += answers[i] ? 1 : 0;
    const bool good = outcome.kind == client::OutcomeKind::ok;
    table.add({{connection.config.replicas[i].name},
               {value["outcome"].get<std::string>(), good ? Table::Mark::good : Table::Mark::bad},
               {describe(*connection.plugin, operation, outcome)}});
    all.push_back(std::move(value));
  }
  if (globals.json) {
    print_json(all);
  } else {
    table.print();
  }
  if (answered < Quorum{static_cast<std::uint32_t>(answers.size())}.quorum()) {
    print_error(fmt::format("only {} of {} replicas answered", answered, answers.size()));
    return exit_no_answer;
  }
  return exit_ok;
}

int query(const std::vector<std::string>& words, bool each, const Globals& globals) {
  const auto connection = connect(globals);
  if (!connection) {
    return usage_error(connection.error());
  }
  const auto parsed = parse_operation(*connection->plugin, words);
  if (!parsed) {
    return usage_error(parsed.error());
  }
  if (!parsed->read_only) {
    return usage_error(fmt::format("`{}` changes the state; run it with `pbftctl exec`", words.front()));
  }
  return each ? query_each(*connection, parsed->operation, globals)
              : query_agreed(*connection, parsed->operation, globals);
}

}  // namespace

void add_query(CLI::App& app, Globals& globals, Action& action) {
  CLI::App* command = app.add_subcommand("query", "Read from the cluster: query get a");
  add_global_options(*command, globals);
  auto each = std::make_shared<bool>(false);
  command->add_flag("--each", *each, "Show what each replica answers for itself, without agreement");
  command->prefix_command();
  command->footer("pbftctl query [OPTIONS] WORDS...\nOptions come before the words.");
  command->callback([command, each, &globals, &action] {
    action = [command, each, &globals] {
      const std::vector<std::string> words = command->remaining();
      if (const std::string stray = stray_option(*command, words); !stray.empty()) return usage_error(stray);
      return query(words, *each, globals);
    };
  });
}

}  // namespace pbft::ctl
