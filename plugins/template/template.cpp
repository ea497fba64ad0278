// A state machine to copy: a guest book. Everybody may sign with a line of text; `read` shows all of it.
#include "pbft/plugin.hpp"

struct GuestBook : pbft::plugin::StateMachine {
  static constexpr const char* name = "template";  // Change it: replicas compare name, version and configuration.
  static constexpr const char* version = "1.0.0";
  static constexpr Command commands[] = {{"sign", "sign TEXT", "Adds a line to the book", 0},
                                         {"read", "read", "Shows the book", 1}};

  // Runs on every replica, in the same order. All state is in `state`; throwing Failure takes back every change.
  std::string execute(const Context& context, State& state, std::string_view operation) override {
    if (operation.empty() || operation.size() > 200) throw Failure("a line has 1 to 200 bytes");
    const std::string count = state.get("count").value_or("1000000");  // Seven digits sort as numbers do.
    if (count == "9999999") throw Failure("the book is full");
    state.put("line/" + count, std::to_string(context.time_us / 1'000'000) + " " + std::string(operation));
    state.put("count", std::to_string(std::stoul(count) + 1));
    return "signed";
  }

  // Answers from the state without changing it.
  std::string query(const Context&, const ReadState& state, std::string_view) override {
    std::string book;
    state.scan("line/", "line0", [&](std::string_view, std::string_view line) {  // '0' is the byte after '/'.
      book.append(line).append("\n");
      return book.size() < 500'000;
    });
    return book;
  }

  // What people type, as an operation; true: it only reads.
  Operation parse(const Words& words) const override {
    if (words.size() == 2 && words[0] == "sign") return {std::string(words[1]), false};
    if (words.size() == 1 && words[0] == "read") return {"read", true};
    throw Failure("commands: sign TEXT, read");
  }
};

PBFT_PLUGIN(GuestBook)
