// The text forms and the operations of our plugins, through the host: whatever a client sends ends as a result, the
// same on two replicas; what people typed is understood by the plugin itself; any result can be shown.
// Input: which plugin, and a script of operations on its state.
#include "node/pbft/messages.h"
#include "plugins/counter/counter.h"
#include "plugins/generals/generals.h"
#include "plugins/kv/kv.h"
#include "plugins/kv/operations.h"
#include "tests/execution/map_state.h"
#include "tests/fuzz/fuzz.h"

namespace pbft::fuzz {
namespace {

using execution::MapState;
using execution::Plugin;
using Words = std::vector<std::string>;

constexpr std::size_t most_operations = 16;

Plugin& plugin(std::size_t which) {
  static const auto open = [](const pbft_plugin_v1* table) { return Plugin::from_table(table, "").value(); };
  static const std::unique_ptr<Plugin> all[] = {open(pbft_kv_plugin()), open(pbft_counter_plugin()),
                                                open(pbft_generals_plugin())};
  return *all[which];
}

Words words(const Plugin& of, Input& input) {
  Words made;
  const auto& commands = of.commands();
  const std::size_t command = input.below(commands.size() + 1);
  made.push_back(command < commands.size() ? commands[command].name : input.text());
  for (std::size_t left = input.below(5); left > 0; --left) {
    static const char* const known[] = {"a", "b", "0", "-9223372036854775808", "9223372036854775807", ""};
    const std::size_t which = input.below(std::size(known) + 2);
    made.push_back(which < std::size(known) ? known[which] : input.text());
  }
  return made;
}

// Operations as clients send them: made by the text form and perhaps changed, or any bytes.
std::optional<Bytes> operation(const Plugin& of, Input& input, bool& typed) {
  typed = false;
  if (input.below(3) == 0) return input.bytes();
  const auto parsed = of.parse(words(of, input));
  if (!parsed) {
    holds(!parsed.error().empty(), "what is not understood is said");
    return std::nullopt;
  }
  typed = true;
  Bytes bytes = parsed->operation;
  holds(bytes.size() <= Limits::max_operation_bytes, "operations keep to their limit");
  if (input.below(4) == 0 && !bytes.empty()) {
    bytes[input.below(bytes.size())] = input.byte();
    typed = false;
  }
  return bytes;
}

execution::Outcome must(const storage::Result<execution::Outcome>& result) {
  if (!result) violated("an operation ends as a result: " + result.error().message);
  holds(result->result.size() <= Limits::max_result_bytes, "results keep to their limit");
  return *result;
}

void operate(Plugin& of, MapState& state, MapState& twin, std::uint64_t n, Input& input) {
  bool typed = false;
  const auto bytes = operation(of, input, typed);
  if (!bytes) return;
  const execution::Context context{SequenceNumber{n}, Timestamp{n}, {}};
  const MapState before = state;
  const execution::Outcome query = must(of.query(context, state, *bytes));
  holds(state.map == before.map, "a query changes nothing");
  const execution::Outcome outcome = must(of.execute(context, state, *bytes));
  const execution::Outcome again = must(of.execute(context, twin, *bytes));
  holds(outcome.ok == again.ok && outcome.result == again.result && state.map == twin.map,
        "two replicas come to the same");
  holds(outcome.ok || state.map == before.map, "an operation that failed changes nothing");
  if (query.ok) holds(outcome.ok && outcome.result == query.result, "a query can be ordered as well");
  const std::string message{as_text(outcome.result)};
  if (!outcome.ok) {
    holds(!message.empty(), "a failure says why");
    holds(!typed || message.find("malformed") == std::string::npos, "a plugin knows what its text form makes");
  }
  static_cast<void>(of.format(*bytes, outcome.result));
  static_cast<void>(of.format(*bytes, input.bytes()));
}

// The grammar of kv's results.
void check_scan(BytesView bytes) {
  const auto scan = kv::read_scan(as_text(bytes));
  if (!scan) return;
  std::string again(1, scan->more ? '1' : '0');
  for (const auto& [key, value] : scan->pairs) {
    kv::append_field(again, key);
    kv::append_field(again, value);
  }
  holds(again == as_text(bytes), "a result of a scan has one encoding");
}

}  // namespace

void run(BytesView bytes) {
  Input input{bytes};
  Plugin& of = plugin(input.below(3));
  MapState state;
  MapState twin;
  for (std::uint64_t n = 1; n <= most_operations && !input.empty(); ++n) operate(of, state, twin, n, input);
  check_scan(input.rest());
}

Seeds seeds() {
  return {{0, 1, 0, 2, 0, 1, 3, 0, 1, 1, 1, 0, 3, 0, 1, 5, 0, 3, 0, 0, 0},  // kv: put, get, scan
          {0, 1, 6, 1, 0, 3, 0, 1, 6, 2, 0, 4, 3, 0, 1, 3, 3, 0, 4, 1, 3, 0},
          {1, 1, 0, 0, 3, 0, 1, 0, 1, 4, 3, 0, 0, 5, 'a', 'd', 'd', ' ', '1', 0},
          {2, 1, 0, 1, 2, 3, 0, 1, 1, 0, 3, 0}};
}

}  // namespace pbft::fuzz
