// Makes the operations of the kv plugin and reads their results (grammar: README.md of this folder). Header only, so
// that clients, tests and benchmarks can use it without the plugin.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pbft::kv {

enum class Code : char {
  put = 'p',
  get = 'g',
  erase = 'd',
  swap = 'c',    // compare and swap
  create = 'n',  // put where there is none
  scan = 's',
  increment = 'i',
};

// field = length as 4 bytes, big-endian; then the bytes.
inline void append_field(std::string& to, std::string_view bytes) {
  const auto size = static_cast<std::uint32_t>(bytes.size());
  for (int shift = 24; shift >= 0; shift -= 8) to += static_cast<char>(size >> shift);
  to += bytes;
}
// Takes a field off the front; nothing, and `from` unchanged, where there is none.
inline std::optional<std::string_view> take_field(std::string_view& from) {
  if (from.size() < 4) return std::nullopt;
  std::uint32_t size = 0;
  for (int i = 0; i < 4; ++i) size = size << 8 | static_cast<unsigned char>(from[static_cast<std::size_t>(i)]);
  if (from.size() - 4 < size) return std::nullopt;
  const std::string_view field = from.substr(4, size);
  from.remove_prefix(4 + size);
  return field;
}

inline std::string operation(Code code, std::initializer_list<std::string_view> fields) {
  std::string bytes(1, static_cast<char>(code));
  for (const std::string_view field : fields) append_field(bytes, field);
  return bytes;
}

inline std::string put(std::string_view key, std::string_view value) {
  return operation(Code::put, {key, value});
}
inline std::string get(std::string_view key) {
  return operation(Code::get, {key});
}
inline std::string erase(std::string_view key) {
  return operation(Code::erase, {key});
}
inline std::string swap(std::string_view key, std::string_view expected, std::string_view value) {
  return operation(Code::swap, {key, expected, value});
}
inline std::string create(std::string_view key, std::string_view value) {
  return operation(Code::create, {key, value});
}
inline std::string increment(std::string_view key, std::int64_t by = 1) {
  return operation(Code::increment, {key, std::to_string(by)});
}
// Keys in [from, to), an empty `to`: to the end; at most `limit` of them, 0: as many as fit into a result.
inline std::string scan(std::string_view from, std::string_view to, std::uint32_t limit) {
  return operation(Code::scan, {from, to, std::to_string(limit)});
}
// The first key after all that start with `prefix`; empty where there is none.
inline std::string after_prefix(std::string prefix) {
  while (!prefix.empty() && static_cast<unsigned char>(prefix.back()) == 0xff) prefix.pop_back();
  if (!prefix.empty()) ++prefix.back();
  return prefix;
}

struct ScanResult {
  std::vector<std::pair<std::string, std::string>> pairs;
  bool more = false;  // there are more keys in the range
};
inline std::optional<ScanResult> read_scan(std::string_view result) {
  if (result.empty() || (result[0] != '0' && result[0] != '1')) return std::nullopt;
  ScanResult scan;
  scan.more = result[0] == '1';
  result.remove_prefix(1);
  while (!result.empty()) {
    const auto key = take_field(result);
    const auto value = key ? take_field(result) : std::nullopt;
    if (!value) return std::nullopt;
    scan.pairs.emplace_back(*key, *value);
  }
  return scan;
}

}  // namespace pbft::kv
