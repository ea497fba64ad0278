// The generals' question: when to attack. Operations are text: "warTime N" sets the time, "get" asks for it.
#include "pbft/plugin.hpp"

namespace {

constexpr std::string_view key = "warTime";
constexpr std::string_view set = "warTime ";
constexpr std::size_t max_digits = 18;

struct Generals : pbft::plugin::StateMachine {
  static constexpr const char* name = "generals";
  static constexpr const char* version = "1.0.0";
  static constexpr Command commands[] = {
      {"warTime", "warTime [N]", "Sets the war time to the number N, or shows it", 0},
      {"get", "get", "Shows the war time", 1},
  };

  // The time is kept as it was written: 0530 stays 0530.
  static std::string_view number(std::string_view text) {
    if (text.empty() || text.size() > max_digits || text.find_first_not_of("0123456789") != text.npos) {
      throw Failure("warTime takes a number of 1 to 18 digits: warTime 1234");
    }
    return text;
  }

  std::string execute(const Context& context, State& state, std::string_view operation) override {
    if (operation.substr(0, set.size()) != set) return query(context, state, operation);
    state.put(key, number(operation.substr(set.size())));
    return "ok";
  }

  std::string query(const Context&, const ReadState& state, std::string_view operation) override {
    if (operation != "get") throw Failure("unknown operation; there are: warTime N, get");
    const auto time = state.get(key);
    if (!time) throw Failure("no war time has been set yet");
    return *time;
  }

  Operation parse(const Words& words) const override {
    if (words.size() == 1 && (words[0] == "get" || words[0] == "warTime")) return {"get", true};
    if (words.size() == 2 && words[0] == "warTime") return {std::string(set) + std::string(number(words[1])), false};
    throw Failure("commands: warTime N, warTime, get");
  }
};

}  // namespace

PBFT_PLUGIN(Generals)
