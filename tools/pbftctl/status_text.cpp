#include "tools/pbftctl/status_text.h"

#include <fmt/format.h>

namespace pbft::ctl {
namespace {

using nlohmann::json;

std::string text(const json& info, const char* key) {
  const auto found = info.find(key);
  return found != info.end() && found->is_string() ? found->get<std::string>() : std::string{};
}

// What is below a key, if it is an object itself.
const json& part(const json& info, const char* key) {
  static const json none = json::object();
  const auto found = info.find(key);
  return found != info.end() && found->is_object() ? *found : none;
}

// Empty while nothing is being transferred. Before the digests of the state are here, nobody knows how much it will be.
std::string transfer_text(const json& info) {
  const json& transfer = part(info, "transfer");
  if (!flag(transfer, "active")) return "";
  const std::uint64_t buckets = number(transfer, "buckets").value_or(0);
  const std::uint64_t left = number(transfer, "left").value_or(0);
  const std::string to = "state transfer to " + number_text(transfer, "to");
  if (buckets == 0 || left > buckets) {
    const std::string waiting = text(info, "waiting_for");
    return waiting.empty() ? to : to + ": " + waiting;
  }
  return fmt::format("{}: {} of {} buckets, {}", to, buckets - left, buckets,
                     bytes_text(number(transfer, "bytes").value_or(0)));
}

// What comes first explains what comes after it.
std::string doing(const json& info) {
  if (const std::string transfer = transfer_text(info); !transfer.empty()) return transfer;
  if (const std::string waiting = text(info, "waiting_for"); !waiting.empty()) return waiting;
  return flag(info, "catching_up") ? "catching up" : "";
}

}  // namespace

std::optional<json> read_info(const std::string& text) {
  constexpr int deepest = 16;
  bool too_deep = false;
  // What the function refuses is left out, with all that is in it.
  const auto keep = [&](int depth, json::parse_event_t, json&) {
    too_deep = too_deep || depth > deepest;
    return !too_deep;
  };
  json value = json::parse(text, keep, false);
  return value.is_object() && !too_deep ? std::optional{std::move(value)} : std::nullopt;
}

std::optional<std::uint64_t> number(const json& info, const char* key) {
  const auto found = info.find(key);
  if (found == info.end() || !found->is_number_integer()) return std::nullopt;
  const bool negative = !found->is_number_unsigned() && found->get<std::int64_t>() < 0;
  return negative ? std::nullopt : std::optional{found->get<std::uint64_t>()};
}

std::string number_text(const json& info, const char* key) {
  const auto value = number(info, key);
  return value ? std::to_string(*value) : "?";
}

bool flag(const json& info, const char* key) {
  const auto found = info.find(key);
  return found != info.end() && found->is_boolean() && found->get<bool>();
}

std::string view_text(const json& info) {
  const auto active = info.find("view_active");
  const bool changing = active != info.end() && active->is_boolean() && !active->get<bool>();
  return number_text(info, "view") + (changing ? " (changing)" : "");
}

std::string state_text(const json& info) {
  const std::string does = doing(info);
  const auto with = [&does](const char* what) { return does.empty() ? std::string{what} : what + (": " + does); };
  if (flag(info, "diverged")) return with("DIVERGED");
  if (flag(info, "rejoining")) return with("rejoining");
  if (flag(info, "catching_up") && does != "catching up") return with("catching up");
  return does.empty() ? "ok" : does;
}

std::string bytes_text(std::uint64_t bytes) {
  const char* const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  std::size_t unit = 0;
  double value = static_cast<double>(bytes);
  for (; value >= 999.5; value /= 1000) ++unit;
  return unit == 0 || value >= 9.95 ? fmt::format("{:.0f} {}", value, units[unit])
                                    : fmt::format("{:.1f} {}", value, units[unit]);
}

}  // namespace pbft::ctl
