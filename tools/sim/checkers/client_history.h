// What clients saw of a cluster of the kv plugin: each operation with the time of its call and of its answer. This is
// all that there is to judge real processes by; it says nothing of their order or of their inside.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <tl/expected.hpp>

#include "tools/sim/kv_language.h"

namespace pbft::sim {

struct ClientOperation {
  std::uint32_t lane = 0;  // for people; a lane has one operation outstanding at a time
  KvOperation operation;
  // Nanoseconds of one monotonic clock. The first may be too early and the second too late, but not the other way.
  std::uint64_t called = 0;
  std::optional<std::uint64_t> returned;  // nothing: it may take effect at any time after the call, or never
  KvAnswer answer;                        // where it returned
};
[[nodiscard]] std::string to_string(const ClientOperation& operation);

// One line of a history file: JSON, without the line's end. tests/chaos/README.md has the keys.
[[nodiscard]] std::string to_line(const ClientOperation& operation);
[[nodiscard]] tl::expected<ClientOperation, std::string> from_line(const std::string& line);

}  // namespace pbft::sim
