#include "tools/sim/checkers/client_history.h"

#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>

namespace pbft::sim {
namespace {

using KvKind = KvOperation::Kind;
using Json = nlohmann::ordered_json;

constexpr std::array<std::pair<KvKind, const char*>, 5> kind_names{{{KvKind::get, "get"},
                                                                    {KvKind::put, "put"},
                                                                    {KvKind::remove, "delete"},
                                                                    {KvKind::cas, "cas"},
                                                                    {KvKind::incr, "incr"}}};

const char* name_of(KvKind kind) {
  for (const auto& [known, name] : kind_names) {
    if (known == kind) return name;
  }
  return "?";
}

std::optional<KvKind> kind_of(const std::string& name) {
  for (const auto& [kind, known] : kind_names) {
    if (known == name) return kind;
  }
  return std::nullopt;
}

KvOperation operation_from(const nlohmann::json& json) {
  const auto kind = kind_of(json.at("do").get<std::string>());
  if (!kind) throw std::invalid_argument("no such operation");
  KvOperation operation;
  operation.kind = *kind;
  operation.key = json.at("key").get<std::string>();
  if (*kind == KvKind::put || *kind == KvKind::cas) operation.value = json.at("value").get<std::string>();
  if (*kind == KvKind::cas && json.contains("expected")) operation.expected = json.at("expected").get<std::string>();
  if (*kind == KvKind::incr) operation.amount = json.at("amount").get<std::int64_t>();
  return operation;
}

}  // namespace

std::string to_string(const ClientOperation& one) {
  const std::string answer = one.returned ? to_string(one.answer) : std::string{"nothing"};
  const std::string until = one.returned ? fmt::format("{:.6f} s", static_cast<double>(*one.returned) / 1e9) : "?";
  return fmt::format("lane {} from {:.6f} s to {}: {} gave {}", one.lane, static_cast<double>(one.called) / 1e9, until,
                     to_string(one.operation), answer);
}

std::string to_line(const ClientOperation& one) {
  const KvOperation& operation = one.operation;
  Json json{{"lane", one.lane}, {"called", one.called}};
  if (one.returned) json["returned"] = *one.returned;
  json["do"] = name_of(operation.kind);
  json["key"] = operation.key;
  if (operation.kind == KvKind::put || operation.kind == KvKind::cas) json["value"] = operation.value;
  if (operation.expected) json["expected"] = *operation.expected;
  if (operation.kind == KvKind::incr) json["amount"] = operation.amount;
  if (one.returned) {
    json["status"] = one.answer.status == ReplyStatus::ok ? "ok" : "failed";
    json["result"] = std::string{as_text(one.answer.result)};
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

tl::expected<ClientOperation, std::string> from_line(const std::string& line) {
  try {
    const nlohmann::json json = nlohmann::json::parse(line);
    ClientOperation one;
    one.lane = json.at("lane").get<std::uint32_t>();
    one.operation = operation_from(json);
    one.called = json.at("called").get<std::uint64_t>();
    if (!json.contains("returned")) return one;
    one.returned = json.at("returned").get<std::uint64_t>();
    if (*one.returned < one.called) return tl::unexpected<std::string>("returned before it was called");
    one.answer.status = json.at("status") == "ok" ? ReplyStatus::ok : ReplyStatus::failed;
    one.answer.result = to_bytes(json.at("result").get<std::string>());
    return one;
  } catch (const std::exception& error) {
    return tl::unexpected<std::string>(error.what());
  }
}

}  // namespace pbft::sim
