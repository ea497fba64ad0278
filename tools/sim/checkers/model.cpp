#include "tools/sim/checkers/model.h"

#include <fmt/format.h>

namespace pbft::sim {

void Model::ordered(const RanBatch& batch) {
  std::uint64_t index = 0;
  for (const RanRequest& request : batch.run) {
    const Position at{batch.n.value, ++index};
    last_ = at;
    if (request.decided) continue;
    ++operations_;
    const std::optional<KvOperation> operation = KvOperation::from(request.operation);
    if (!operation) {
      findings_.report({"validity", batch.n.value, {}, to_string(request.name) + ": no operation of any client"});
      continue;
    }
    const KvApplied applied = kv_apply(*operation, value(operation->key));
    if (applied.writes) set(operation->key, applied.value, at);
    const KvAnswer answer{request.status, request.result};
    if (kv_same(applied.answer, answer)) continue;
    findings_.report({"model",
                      batch.n.value,
                      {},
                      fmt::format("{}: {} gave {}, the model says {}", to_string(request.name), to_string(*operation),
                                  to_string(answer), to_string(applied.answer))});
  }
  if (batch.run.empty()) last_ = {batch.n.value, 0};
}

void Model::set(const std::string& key, std::optional<std::string> value, Position at) {
  keys_[key].push_back({at, std::move(value)});
}

std::optional<std::string> Model::value(const std::string& key) const {
  const auto found = keys_.find(key);
  return found == keys_.end() ? std::nullopt : found->second.back().value;
}

std::vector<std::string> Model::keys() const {
  std::vector<std::string> names;
  for (const auto& [key, versions] : keys_) names.push_back(key);
  return names;
}

std::optional<Position> Model::read_point(const KvOperation& read, const KvAnswer& answer, Position from) const {
  const auto holds = [&](const std::optional<std::string>& value) {
    return kv_same(kv_apply(read, value).answer, answer);
  };
  const auto found = keys_.find(read.key);
  const Version* before = nullptr;
  if (found != keys_.end()) {
    for (const Version& version : found->second) {
      if (version.since > from) break;
      before = &version;
    }
  }
  if (holds(before == nullptr ? std::nullopt : before->value)) return from;
  if (found == keys_.end()) return std::nullopt;
  for (const Version& version : found->second) {
    if (version.since > from && holds(version.value)) return version.since;
  }
  return std::nullopt;
}

}  // namespace pbft::sim
