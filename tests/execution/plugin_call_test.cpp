// What the host does around a plugin's calls: limits, broken storage, rules of queries and scans, the text form.
#include <catch2/catch.hpp>
#include <new>

#include "node/execution/plugin.h"
#include "node/pbft/messages.h"
#include "tests/execution/map_state.h"
#include "tests/execution/probe_plugin.h"

using namespace pbft;
using namespace pbft::execution;
using Catch::Matchers::Contains;

namespace {

struct Fixture {
  std::unique_ptr<Plugin> plugin = *Plugin::from_table(pbft::plugin::table<Probe>(), "");
  MapState state;
  Context context{SequenceNumber{7}, Timestamp{1'000}, {}};

  Outcome run(const std::string& operation) {
    auto outcome = plugin->execute(context, state, as_bytes(operation));
    REQUIRE(outcome);
    return *outcome;
  }
  std::string success(const std::string& operation) {
    const Outcome outcome = run(operation);
    INFO(as_text(outcome.result).substr(0, 200));
    CHECK(outcome.ok);
    return std::string(as_text(outcome.result));
  }
  std::string failure(const std::string& operation) {
    const Outcome outcome = run(operation);
    CHECK_FALSE(outcome.ok);
    return std::string(as_text(outcome.result));
  }
};

}  // namespace

TEST_CASE("host: keys and values up to the limits", "[host]") {
  Fixture f;
  f.success("put 1 0");
  f.success("put 4096 1048576");
  CHECK(f.state.map.size() == 2);
  CHECK(f.failure("put 4097 1") == "a key of 4097 bytes is too long; at most 4096 bytes are allowed");
  CHECK(f.failure("put 1 1048577") == "a value of 1048577 bytes is too large; at most 1048576 bytes are allowed");
  for (const char* call : {"put 0 1", "get 0", "erase 0"}) CHECK(f.failure(call) == "an empty key is not allowed");
  CHECK_THAT(f.failure("get 4097"), Contains("too long"));
  CHECK_THAT(f.failure("erase 4097"), Contains("too long"));
  CHECK(f.state.map.size() == 2);
}

TEST_CASE("host: a refused call fails the operation whatever the plugin says", "[host]") {
  Fixture f;
  CHECK_THAT(f.failure("swallow 5000"), Contains("too long"));
  CHECK(f.success("swallow 1") == "all is well");
}

TEST_CASE("host: results up to the limit", "[host]") {
  Fixture f;
  CHECK(f.success("result 1048576").size() == Limits::max_result_bytes);
  CHECK(f.failure("result 1048577") == "the result is larger than 1048576 bytes");
  CHECK(f.failure("fail 10") == "ffffffffff");
  CHECK(f.failure("fail 1048577") == "the result is larger than 1048576 bytes");
}

TEST_CASE("host: a storage error surfaces whatever the plugin says", "[host]") {
  Fixture f;
  f.state.broken = storage::StorageError{storage::StorageError::Kind::io, "the disk is gone"};
  for (const char* operation : {"get 1", "swallow 1", "nested"}) {
    CAPTURE(operation);
    const auto outcome = f.plugin->execute(f.context, f.state, as_bytes(operation));
    REQUIRE_FALSE(outcome);
    CHECK(outcome.error().message == "the disk is gone");
  }
  const auto read = f.plugin->query(f.context, f.state, as_bytes("get"));
  REQUIRE_FALSE(read);
  CHECK(read.error().kind == storage::StorageError::Kind::io);
}

TEST_CASE("host: memory that runs out in the plugin is no result", "[host]") {
  pbft_plugin_v1 table = *pbft::plugin::table<Probe>();
  Fixture f;  // its plugin does not outlive the table
  f.state.put(as_bytes("a"), as_bytes("1"));
  SECTION("in C++") {}
  SECTION("in C, with its status") {
    table.execute = [](void*, const pbft_context*, const pbft_state*, pbft_bytes, pbft_writer) -> int {
      return PBFT_EXHAUSTED;
    };
  }
  SECTION("as an exception that leaves the function") {
    table.execute = [](void*, const pbft_context*, const pbft_state*, pbft_bytes, pbft_writer) -> int {
      throw std::bad_alloc();
    };
  }
  SECTION("as an exception that leaves a visitor, whatever is said later") {
    table.execute = [](void*, const pbft_context*, const pbft_state* state, pbft_bytes, pbft_writer) -> int {
      const auto visit = [](void*, pbft_bytes, pbft_bytes) -> int { throw std::bad_alloc(); };
      CHECK(state->scan(state->handle, {nullptr, 0}, {nullptr, 0}, visit, nullptr) == PBFT_REFUSED);
      CHECK(state->put(state->handle, {nullptr, 0}, {nullptr, 0}) == PBFT_REFUSED);
      return PBFT_OK;
    };
  }
  f.plugin = *Plugin::from_table(&table, "");
  Probe::memory_is_short = true;
  const auto outcome = f.plugin->execute(f.context, f.state, as_bytes("exhaust"));
  const auto read = f.plugin->query(f.context, f.state, as_bytes("exhaust"));
  Probe::memory_is_short = false;
  REQUIRE_FALSE(outcome);
  CHECK(outcome.error().kind == storage::StorageError::Kind::io);
  CHECK_THAT(outcome.error().message, Contains("out of memory in the plugin probe, in its execute"));
  REQUIRE_FALSE(read);
  CHECK_THAT(read.error().message, Contains("out of memory in the plugin probe, in its query"));
}

TEST_CASE("host: visitors may read", "[host]") {
  Fixture f;
  f.state.put(as_bytes("a"), as_bytes("1"));
  f.state.put(as_bytes("b"), as_bytes("2"));
  CHECK(f.success("nested") == "1ab2b");
}

TEST_CASE("host: queries change nothing", "[host]") {
  Fixture f;
  const auto outcome = f.plugin->query(f.context, f.state, as_bytes("put"));
  REQUIRE(outcome);
  CHECK_FALSE(outcome->ok);
  CHECK(as_text(outcome->result) == "a query must not change the state (put)");
  CHECK(f.state.map.empty());
}

TEST_CASE("host: the text form", "[host]") {
  const Fixture f;
  CHECK(f.plugin->commands().at(0).usage == "huge SIZE");
  CHECK(f.plugin->parse({"huge", "1048576"})->operation.size() == Limits::max_operation_bytes);
  CHECK_THAT(f.plugin->parse({"huge", "1048577"}).error(), Contains("operation is larger than 1048576"));
  CHECK_FALSE(f.plugin->parse({}));
  CHECK(f.plugin->format(as_bytes("x"), as_bytes("shown")) == "<shown>");
  CHECK(f.plugin->format(as_bytes("unprintable"), as_bytes("shown")) == "shown");
}

TEST_CASE("host: the identity covers name and configuration, and not the version", "[host]") {
  const auto identity = [](const pbft_plugin_v1& table, const std::string& config) {
    return (*Plugin::from_table(&table, config))->identity();
  };
  static const auto open = [](pbft_bytes, pbft_writer, void**) -> int { return PBFT_OK; };
  pbft_plugin_v1 table = *pbft::plugin::table<Probe>();
  table.open = open;
  table.close = nullptr;
  const Digest base = identity(table, "ab");
  CHECK(identity(table, "ab") == base);
  CHECK(identity(table, "a") != base);
  table.version = "1.0.1";
  CHECK(identity(table, "ab") == base);
  const std::string longer = std::string{table.name} + "a";
  table.name = longer.c_str();
  CHECK(identity(table, "b") != base);  // The same bytes, divided elsewhere.
  table.name = "probe2";
  CHECK(identity(table, "ab") != base);
}
