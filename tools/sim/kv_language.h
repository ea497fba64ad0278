// The operations of the kv plugin as the simulator's clients use them, and what each of them means: the bytes as
// documented in plugins/kv/README.md and a model of their effect that shares no code with the plugin.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "node/pbft/messages.h"
#include "node/pbft/types.h"

namespace pbft::sim {

struct KvOperation {
  enum class Kind : std::uint8_t { get, put, remove, cas, incr };
  Kind kind = Kind::get;
  std::string key;
  std::string value;                    // put, cas: what to write
  std::optional<std::string> expected;  // cas; absent: the key must not exist
  std::int64_t amount = 0;              // incr

  [[nodiscard]] Bytes bytes() const;
  [[nodiscard]] static std::optional<KvOperation> from(BytesView bytes);
  [[nodiscard]] bool read_only() const { return kind == Kind::get; }
  friend bool operator==(const KvOperation&, const KvOperation&) = default;
};
[[nodiscard]] std::string to_string(const KvOperation& operation);

struct KvAnswer {
  ReplyStatus status = ReplyStatus::ok;
  Bytes result;
};
[[nodiscard]] std::string to_string(const KvAnswer& answer);

struct KvApplied {
  KvAnswer answer;
  bool writes = false;
  std::optional<std::string> value;  // what the key holds afterwards, where it writes
};
[[nodiscard]] KvApplied kv_apply(const KvOperation& operation, const std::optional<std::string>& current);
// Whether two answers are the same. The message of a failure is for people and is not compared.
[[nodiscard]] bool kv_same(const KvAnswer& expected, const KvAnswer& seen);

}  // namespace pbft::sim
