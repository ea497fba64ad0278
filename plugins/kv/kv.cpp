// A key-value store. Operations and results are binary: README.md of this folder has the grammar.
#include "pbft/plugin.hpp"
#include "plugins/kv/operations.h"

namespace {

using pbft::kv::Code;
using pbft::plugin::printable;
using pbft::plugin::to_number;
using Fields = std::vector<std::string_view>;

struct Kv : pbft::plugin::StateMachine {
  static constexpr const char* name = "kv";
  static constexpr const char* version = "1.0.0";
  static constexpr Command commands[] = {
      {"put", "put KEY VALUE", "Sets a key", 0},
      {"get", "get KEY", "Shows a key's value", 1},
      {"delete", "delete KEY", "Removes a key", 0},
      {"cas", "cas KEY EXPECTED NEW", "Sets a key if it has the expected value", 0},
      {"create", "create KEY VALUE", "Sets a key if it is not there", 0},
      {"scan", "scan [PREFIX] | scan FROM TO LIMIT", "Lists keys and values in order", 1},
      {"incr", "incr KEY [BY]", "Adds BY (1 if left out) to a number and shows the sum", 0},
  };

  std::string execute(const Context& context, State& state, std::string_view operation) override {
    switch (code_of(operation)) {
      case Code::put: {
        const Fields f = fields(operation, 2);
        state.put(f[0], f[1]);
        return {};
      }
      case Code::erase: {
        const Fields f = fields(operation, 1);
        const bool there = state.get(f[0]).has_value();
        state.erase(f[0]);
        return there ? "1" : "0";
      }
      case Code::swap: {
        const Fields f = fields(operation, 3);
        if (existing(state, f[0]) != f[1]) throw Failure("the key has another value than the expected one");
        state.put(f[0], f[2]);
        return {};
      }
      case Code::create: {
        const Fields f = fields(operation, 2);
        if (state.get(f[0])) throw Failure("the key exists already");
        state.put(f[0], f[1]);
        return {};
      }
      case Code::increment:
        return increment(state, fields(operation, 2));
      case Code::get:
      case Code::scan:
        return query(context, state, operation);
    }
    throw Failure("unknown operation");
  }

  std::string query(const Context&, const ReadState& state, std::string_view operation) override {
    switch (code_of(operation)) {
      case Code::get:
        return existing(state, fields(operation, 1)[0]);
      case Code::scan:
        return scan(state, fields(operation, 3));
      default:
        throw Failure("unknown query; get and scan are the operations that only read");
    }
  }

  Operation parse(const Words& words) const override {
    const std::string_view command = words.empty() ? std::string_view() : words[0];
    const std::size_t count = words.size() - (words.empty() ? 0 : 1);
    if (command == "put" && count == 2) return {pbft::kv::put(words[1], words[2]), false};
    if (command == "get" && count == 1) return {pbft::kv::get(words[1]), true};
    if (command == "delete" && count == 1) return {pbft::kv::erase(words[1]), false};
    if (command == "cas" && count == 3) return {pbft::kv::swap(words[1], words[2], words[3]), false};
    if (command == "create" && count == 2) return {pbft::kv::create(words[1], words[2]), false};
    if (command == "incr" && (count == 1 || count == 2)) {
      const auto by = count == 1 ? std::optional<std::int64_t>(1) : to_number<std::int64_t>(words[2]);
      if (!by) throw Failure("BY must be a whole number of at most 64 bits: incr KEY [BY]");
      return {pbft::kv::increment(words[1], *by), false};
    }
    if (command == "scan" && count <= 1) {
      const std::string prefix(count == 0 ? std::string_view() : words[1]);
      return {pbft::kv::scan(prefix, pbft::kv::after_prefix(prefix), 0), true};
    }
    if (command == "scan" && count == 3) {
      const auto limit = to_number<std::uint32_t>(words[3]);
      if (!limit) throw Failure("LIMIT must be a number from 0 (as many as fit) to 4294967295: scan FROM TO LIMIT");
      return {pbft::kv::scan(words[1], words[2], *limit), true};
    }
    for (const Command& known : commands) {
      if (command == known.name) throw Failure("usage: " + std::string(known.usage));
    }
    throw Failure("commands: put, get, delete, cas, create, scan, incr");
  }

  std::string format(std::string_view operation, std::string_view result) const override {
    switch (code_of(operation)) {
      case Code::put:
      case Code::swap:
      case Code::create:
        return "ok";
      case Code::erase:
        return result == "1" ? "deleted" : "no such key";
      case Code::scan:
        return format_scan(result);
      default:
        return printable(result);
    }
  }

 private:
  static Code code_of(std::string_view operation) {
    if (operation.empty()) throw Failure("empty operation");
    return static_cast<Code>(operation[0]);
  }

  // The fields after the code; exactly `count`, and nothing behind them.
  static Fields fields(std::string_view operation, std::size_t count) {
    operation.remove_prefix(1);
    Fields list;
    while (list.size() < count) {
      const auto field = pbft::kv::take_field(operation);
      if (!field) throw Failure("malformed operation: too short");
      list.push_back(*field);
    }
    if (!operation.empty()) throw Failure("malformed operation: bytes after its end");
    return list;
  }

  static std::string existing(const ReadState& state, std::string_view key) {
    auto value = state.get(key);
    if (!value) throw Failure("no such key");
    return *std::move(value);
  }

  static std::string increment(State& state, const Fields& f) {
    const auto by = to_number<std::int64_t>(f[1]);
    if (!by) throw Failure("malformed operation: the amount is no number");
    const auto old = to_number<std::int64_t>(state.get(f[0]).value_or("0"));
    if (!old) throw Failure("the key's value is no whole number of at most 64 bits");
    std::int64_t sum = 0;
    if (__builtin_add_overflow(*old, *by, &sum)) throw Failure("the sum does not fit into 64 bits");
    const std::string text = std::to_string(sum);
    state.put(f[0], text);
    return text;
  }

  static std::string scan(const ReadState& state, const Fields& f) {
    const auto limit = to_number<std::uint32_t>(f[2]);
    if (!limit) throw Failure("malformed operation: the limit is no number");
    std::string result = "0";
    std::uint32_t count = 0;
    state.scan(f[0], f[1], [&](std::string_view key, std::string_view value) {
      const bool fits = result.size() + 8 + key.size() + value.size() <= PBFT_MAX_RESULT_BYTES;
      if ((*limit != 0 && count == *limit) || !fits) {
        result[0] = '1';
        return false;
      }
      pbft::kv::append_field(result, key);
      pbft::kv::append_field(result, value);
      ++count;
      return true;
    });
    return result;
  }

  static std::string format_scan(std::string_view result) {
    const auto scan = pbft::kv::read_scan(result);
    if (!scan) throw Failure("not the result of a scan");
    std::string text;
    for (const auto& [key, value] : scan->pairs) {
      if (!text.empty()) text += '\n';
      text += printable(key) + '\t' + printable(value);
    }
    if (scan->more) text += text.empty() ? "(more)" : "\n(more)";
    return text;
  }
};

}  // namespace

PBFT_PLUGIN(Kv)
