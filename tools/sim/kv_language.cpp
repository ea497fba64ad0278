#include "tools/sim/kv_language.h"

#include <fmt/format.h>

#include <charconv>

#include "plugins/kv/operations.h"
#include "tools/sim/checkers/history.h"

namespace pbft::sim {
namespace {

std::optional<std::int64_t> number(const std::string& text) {
  std::int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value);
  if (parsed.ec != std::errc{} || parsed.ptr != end) return std::nullopt;
  return value;
}

KvApplied failed() {
  return {{ReplyStatus::failed, {}}, false, std::nullopt};
}
KvApplied changed(const std::string& result, std::optional<std::string> value) {
  return {{ReplyStatus::ok, to_bytes(result)}, true, std::move(value)};
}

}  // namespace

Bytes KvOperation::bytes() const {
  switch (kind) {
    case Kind::get:
      return to_bytes(kv::get(key));
    case Kind::put:
      return to_bytes(kv::put(key, value));
    case Kind::remove:
      return to_bytes(kv::erase(key));
    case Kind::cas:
      return to_bytes(expected ? kv::swap(key, *expected, value) : kv::create(key, value));
    case Kind::incr:
      return to_bytes(kv::increment(key, amount));
  }
  return {};
}

std::optional<KvOperation> KvOperation::from(BytesView bytes) {
  if (bytes.empty()) return std::nullopt;
  std::string_view rest = as_text(bytes).substr(1);
  const auto field = [&rest] {
    const auto taken = kv::take_field(rest);
    return taken ? std::optional<std::string>{*taken} : std::nullopt;
  };
  const std::optional<std::string> key = field();
  if (!key) return std::nullopt;
  KvOperation operation;
  operation.key = *key;
  switch (static_cast<kv::Code>(bytes[0])) {
    case kv::Code::get:
      operation.kind = Kind::get;
      break;
    case kv::Code::put:
      operation.kind = Kind::put;
      break;
    case kv::Code::erase:
      operation.kind = Kind::remove;
      break;
    case kv::Code::create:
      operation.kind = Kind::cas;
      break;
    case kv::Code::swap:
      operation.kind = Kind::cas;
      operation.expected = field();
      break;
    case kv::Code::increment: {
      operation.kind = Kind::incr;
      const std::optional<std::int64_t> amount = number(field().value_or(""));
      if (!amount) return std::nullopt;
      operation.amount = *amount;
      break;
    }
    case kv::Code::scan:
      return std::nullopt;
  }
  if (operation.kind == Kind::put || operation.kind == Kind::cas) {
    const std::optional<std::string> value = field();
    if (!value) return std::nullopt;
    operation.value = *value;
  }
  if (!rest.empty()) return std::nullopt;
  return operation;
}

std::string to_string(const KvOperation& operation) {
  using Kind = KvOperation::Kind;
  const auto brief = [](const std::string& value) { return value.substr(0, 16); };
  switch (operation.kind) {
    case Kind::get:
      return "get " + operation.key;
    case Kind::put:
      return "put " + operation.key + " " + brief(operation.value);
    case Kind::remove:
      return "delete " + operation.key;
    case Kind::cas:
      return operation.expected
                 ? "cas " + operation.key + " " + brief(*operation.expected) + " " + brief(operation.value)
                 : "create " + operation.key + " " + brief(operation.value);
    case Kind::incr:
      return fmt::format("incr {} {}", operation.key, operation.amount);
  }
  return "?";
}

std::string to_string(const KvAnswer& answer) {
  return fmt::format("{} \"{}\"", answer.status == ReplyStatus::ok ? "ok" : "failed",
                     as_text(answer.result).substr(0, 32));
}

KvApplied kv_apply(const KvOperation& operation, const std::optional<std::string>& current) {
  using Kind = KvOperation::Kind;
  switch (operation.kind) {
    case Kind::get:
      if (!current) return failed();
      return {{ReplyStatus::ok, to_bytes(*current)}, false, std::nullopt};
    case Kind::put:
      return changed("", operation.value);
    case Kind::remove:
      return changed(current ? "1" : "0", std::nullopt);
    case Kind::cas:
      if (current != operation.expected) return failed();
      return changed("", operation.value);
    case Kind::incr: {
      const std::optional<std::int64_t> old = number(current.value_or("0"));
      std::int64_t sum = 0;
      if (!old || __builtin_add_overflow(*old, operation.amount, &sum)) return failed();
      return changed(std::to_string(sum), std::to_string(sum));
    }
  }
  return failed();
}

bool kv_same(const KvAnswer& expected, const KvAnswer& seen) {
  if (expected.status != seen.status) return false;
  return expected.status != ReplyStatus::ok || expected.result == seen.result;
}

}  // namespace pbft::sim
