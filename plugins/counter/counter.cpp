// One number that goes up. Operations are text: "add N" and "get"; the empty operation adds 1.
#include "pbft/plugin.hpp"

namespace {

using pbft::plugin::to_number;

constexpr std::string_view key = "count";  // the number in decimal

struct Counter : pbft::plugin::StateMachine {
  static constexpr const char* name = "counter";
  static constexpr const char* version = "1.0.0";
  static constexpr Command commands[] = {
      {"add", "add [N]", "Adds N (1 if left out; may be negative) and shows the sum", 0},
      {"get", "get", "Shows the number", 1},
  };

  static std::int64_t count(const ReadState& state) {
    const auto text = state.get(key);
    return text ? to_number<std::int64_t>(*text).value() : 0;
  }
  static std::int64_t amount(std::string_view text) {
    const auto number = to_number<std::int64_t>(text);
    if (!number) throw Failure("add takes one whole number of at most 64 bits: add [N]");
    return *number;
  }

  std::string execute(const Context& context, State& state, std::string_view operation) override {
    constexpr std::string_view add = "add ";
    std::int64_t by = 1;
    if (!operation.empty()) {
      if (operation.substr(0, add.size()) != add) return query(context, state, operation);
      by = amount(operation.substr(add.size()));
    }
    std::int64_t sum = 0;
    if (__builtin_add_overflow(count(state), by, &sum)) throw Failure("the sum does not fit into 64 bits");
    const std::string text = std::to_string(sum);
    state.put(key, text);
    return text;
  }

  std::string query(const Context&, const ReadState& state, std::string_view operation) override {
    if (operation != "get") throw Failure("unknown operation; there are: add [N], get");
    return std::to_string(count(state));
  }

  Operation parse(const Words& words) const override {
    if (words.size() == 1 && words[0] == "get") return {"get", true};
    if (words.size() == 1 && words[0] == "add") return {"", false};
    if (words.size() == 2 && words[0] == "add") return {"add " + std::to_string(amount(words[1])), false};
    throw Failure("commands: add [N], get");
  }
};

}  // namespace

PBFT_PLUGIN(Counter)
