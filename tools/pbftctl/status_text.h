// A replica's account of itself (the JSON of its status) in words. The replica may be faulty, so nothing is taken for
// granted in what it sends: what is missing or of another type is left out.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace pbft::ctl {

// The account as it was sent; none where it is no JSON object, or one that is nested more than 16 deep: whatever walks
// through a JSON value calls itself for every level.
[[nodiscard]] std::optional<nlohmann::json> read_info(const std::string& text);

[[nodiscard]] std::optional<std::uint64_t> number(const nlohmann::json& info, const char* key);
[[nodiscard]] std::string number_text(const nlohmann::json& info, const char* key);  // "?" where there is none
[[nodiscard]] bool flag(const nlohmann::json& info, const char* key);                // false where there is none

// "3", and "4 (changing)" while the replica waits for view 4 to be opened.
[[nodiscard]] std::string view_text(const nlohmann::json& info);
// What it is doing, or why it does not move: "ok", "state transfer to 5120: 1200 of 4096 buckets, 34 MB" ...
[[nodiscard]] std::string state_text(const nlohmann::json& info);

// A number of bytes with at most three digits before the unit: "512 B", "3.4 MB", "34 MB".
[[nodiscard]] std::string bytes_text(std::uint64_t bytes);

}  // namespace pbft::ctl
