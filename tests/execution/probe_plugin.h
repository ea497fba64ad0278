// A state machine that does what a test tells it to, for the edges that good plugins never touch. Operations are
// words: what to do, then numbers.
#pragma once

#include <new>
#include <sstream>

#include "plugins/sdk/pbft/plugin.hpp"

namespace pbft::execution {

struct Probe : pbft::plugin::StateMachine {
  static constexpr const char* name = "probe";
  static constexpr const char* version = "1.0.0";
  static constexpr Command commands[] = {{"huge", "huge SIZE", "Makes an operation of that size", 0}};

  static inline bool memory_is_short = false;  // "exhaust" finds none

  std::string execute(const Context& context, State& state, std::string_view operation) override {
    std::istringstream in{std::string(operation)};
    std::string what;
    std::size_t first = 0;
    std::size_t second = 0;
    in >> what >> first >> second;
    if (what == "put") state.put(std::string(first, 'k'), std::string(second, 'v'));
    if (what == "get") (void)state.get(std::string(first, 'k'));
    if (what == "erase") state.erase(std::string(first, 'k'));
    if (what == "put_then_result") state.put("b", std::to_string(first));
    if (what == "exhaust") {
      if (memory_is_short) throw std::bad_alloc();
      return "there was enough";
    }
    if (what == "result" || what == "put_then_result") return std::string(first, 'r');
    if (what == "fail") throw Failure(std::string(first, 'f'));
    if (what == "put_then_fail") {
      state.put("a", "left behind");
      throw Failure("after a change");
    }
    if (what == "swallow") {  // Hides every error of the host and claims success.
      try {
        state.put(std::string(first, 'k'), "v");
        (void)state.get("a");
        state.scan("", "", [](std::string_view, std::string_view) { return true; });
      } catch (...) {
      }
      return "all is well";
    }
    if (what == "time") return std::to_string(context.sequence_number) + " " + std::to_string(context.time_us);
    if (what == "nested") {  // get and scan inside a visitor are allowed
      std::string all;
      state.scan("", "", [&](std::string_view key, std::string_view) {
        all += state.get(key).value_or("?");
        state.scan(key, "", [&](std::string_view inner, std::string_view) {
          all += inner;
          return true;
        });
        return true;
      });
      return all;
    }
    return "ok";
  }

  std::string query(const Context& context, const ReadState& state, std::string_view operation) override {
    // What no honest plugin does: a query with the right to change, by way of the C functions.
    struct Break : ReadState {
      explicit Break(const ReadState& s) : ReadState(s) {}
      void put() const { (void)state_->put(state_->handle, {&byte, 1}, {&byte, 1}); }
      std::uint8_t byte = 'x';
    };
    if (operation == "put") Break(state).put();
    if (operation == "exhaust" && memory_is_short) throw std::bad_alloc();
    if (operation == "get") return state.get("a").value_or("none");
    if (operation == "time") return std::to_string(context.sequence_number) + " " + std::to_string(context.time_us);
    return "ok";
  }

  Operation parse(const Words& words) const override {
    return {std::string(pbft::plugin::to_number<std::size_t>(words.at(1)).value(), 'x'), false};
  }
  std::string format(std::string_view operation, std::string_view result) const override {
    if (operation == "unprintable") throw Failure("cannot be shown");
    return "<" + std::string(result) + ">";
  }
};

}  // namespace pbft::execution
