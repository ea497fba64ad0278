// The C++ face of the plugin interface and the harness that comes with it.
#include <catch2/catch.hpp>
#include <new>

#include "pbft/plugin.hpp"
#include "pbft/testing.hpp"

using Catch::Matchers::Contains;
using pbft::plugin::Harness;
using pbft::plugin::StateMachine;
using pbft::plugin::table;

namespace {

struct Small : StateMachine {
  static constexpr const char* name = "small";
  static constexpr const char* version = "1";

  std::string execute(const Context& context, State& state, std::string_view operation) override {
    if (operation == "runtime_error") throw std::runtime_error("a runtime error");
    if (operation == "bad_alloc") throw std::bad_alloc();
    if (operation == "int") throw 5;
    if (operation == "context") {
      return std::to_string(context.sequence_number) + " " + std::to_string(context.time_us) + " " +
             std::to_string(context.client.size());
    }
    state.put("a", "changed");
    if (operation == "late") throw Failure("too late");
    if (operation == "visitor") {
      state.scan("", "", [](std::string_view, std::string_view) -> bool { throw Failure("from the visitor"); });
    }
    if (operation == "put in scan") {
      state.scan("", "", [&](std::string_view, std::string_view) {
        state.put("b", "");
        return true;
      });
    }
    return "ok";
  }
};

// Reads a value of 1 MiB as often as it is told to.
struct Busy : StateMachine {
  static constexpr const char* name = "busy";
  static constexpr const char* version = "1";
  std::string execute(const Context&, State& state, std::string_view operation) override {
    state.put("a", std::string(PBFT_MAX_VALUE_BYTES, 'v'));
    for (std::size_t i = 0; i < operation.size(); ++i) (void)state.get("a");
    return "ok";
  }
};

struct Configured : StateMachine {
  static constexpr const char* name = "configured";
  static constexpr const char* version = "1";
  std::string greeting;

  explicit Configured(std::string_view config) : greeting(config) {
    if (config.empty()) throw Failure("greeting is missing");
  }
  std::string execute(const Context&, State&, std::string_view) override { return greeting; }
};

// Keeps a count outside of the state: not even wrong in one process, but different after a restart.
struct Forgetful : StateMachine {
  static constexpr const char* name = "forgetful";
  static constexpr const char* version = "1";
  static inline int count = 0;
  std::string execute(const Context&, State&, std::string_view) override { return std::to_string(++count); }
};

}  // namespace

TEST_CASE("sdk: what is thrown becomes a failed result and takes the changes back", "[sdk]") {
  Harness h(table<Small>());
  CHECK(h.execute("").ok);
  CHECK(h.state() == std::map<std::string, std::string>{{"a", "changed"}});

  Harness fresh(table<Small>());
  CHECK(fresh.execute("runtime_error").bytes == "a runtime error");
  CHECK_THAT(fresh.execute("int").bytes, Contains("no std::exception"));
  CHECK(fresh.execute("late").bytes == "too late");
  CHECK(fresh.execute("visitor").bytes == "from the visitor");
  CHECK_THAT(fresh.execute("put in scan").bytes, Contains("must not change the state"));
  CHECK_FALSE(fresh.query("").ok);
  CHECK(fresh.state().empty());
}

TEST_CASE("sdk: an operation that reads too much fails, as it would in a replica", "[sdk]") {
  Harness h(table<Busy>());
  CHECK(h.execute(std::string(46, 'x')).ok);
  CHECK_THAT(h.execute(std::string(47, 'x')).bytes, Contains("too much"));
  CHECK(h.execute("x").ok);
}

TEST_CASE("sdk: memory that runs out is no result", "[sdk]") {
  const pbft_plugin_v1& small = *table<Small>();
  const std::string operation = "bad_alloc";
  const pbft_bytes bytes{reinterpret_cast<const std::uint8_t*>(operation.data()), operation.size()};
  const pbft_context context{sizeof(pbft_context), 1, 1, {}};
  const pbft_state state{sizeof(pbft_state), nullptr, nullptr, nullptr, nullptr, nullptr};  // not reached
  const pbft_writer ignore{nullptr, [](void*, const void*, size_t) {}};
  void* instance = nullptr;
  REQUIRE(small.open({nullptr, 0}, ignore, &instance) == PBFT_OK);
  CHECK(small.execute(instance, &context, &state, bytes, ignore) == PBFT_EXHAUSTED);
  small.close(instance);

  Harness h(table<Small>());
  CHECK_THROWS_WITH(h.execute("bad_alloc"), Contains("ran out of memory"));
  CHECK(h.execute("").ok);
}

TEST_CASE("sdk: the context", "[sdk]") {
  Harness h(table<Small>());
  h.set_time(99);
  CHECK(h.execute("context").bytes == "1 99 32");
  CHECK(h.execute("context").bytes == "2 99 32");
}

TEST_CASE("sdk: the configuration", "[sdk]") {
  CHECK(Harness(table<Configured>(), "good day").execute("").bytes == "good day");
  CHECK_THROWS_WITH(Harness(table<Configured>()), Contains("greeting is missing"));
  CHECK_THROWS_WITH(Harness(table<Small>(), "x"), Contains("it takes no configuration"));
}

TEST_CASE("sdk: without commands there is no text form", "[sdk]") {
  CHECK(table<Small>()->commands == nullptr);
  CHECK(table<Small>()->parse == nullptr);
  CHECK_THROWS_AS(Harness(table<Small>()).run("x"), std::logic_error);
}

TEST_CASE("sdk: the harness finds a plugin that is not deterministic", "[sdk]") {
  Harness h(table<Forgetful>());
  CHECK_THROWS_WITH(h.execute(""), Contains("not deterministic"));
}

TEST_CASE("sdk: numbers and printable text", "[sdk]") {
  using pbft::plugin::printable;
  using pbft::plugin::to_number;
  CHECK(to_number<int>("-7") == -7);
  for (const char* text : {"", "7x", " 7", "+7", "99999999999"}) CHECK_FALSE(to_number<int>(text));
  CHECK(printable(std::string("a\0\\\xc3\xa9", 5)) == "a\\x00\\\\\xc3\xa9");
}
