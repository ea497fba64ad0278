#include "tools/sim/checkers/outcomes.h"

#include <fmt/format.h>

#include <algorithm>

namespace pbft::sim {

void OutcomeChecker::submitted(OperationId id, const KvOperation& operation) {
  submitted_[id] = {operation, known_, {}};
  unnamed_[{id.process, operation.bytes()}].push_back(id);
}

void OutcomeChecker::sent(std::uint32_t process, const RequestName& name, BytesView operation) {
  if (named_.contains(name)) return;
  const std::pair key{process, Bytes{operation.begin(), operation.end()}};
  std::deque<OperationId>& waiting = unnamed_[key];
  OperationId id;
  if (!waiting.empty()) {
    id = waiting.front();
    waiting.pop_front();
  } else if (const auto last = last_named_.find(key); last != last_named_.end()) {
    id = last->second;  // the same operation again under a new name
  } else {
    return findings_.report({"client-honest", 0, {}, to_string(name) + ": sent without having been submitted"});
  }
  last_named_[key] = id;
  named_[name] = id;
  submitted_[id].names.push_back(name);
}

void OutcomeChecker::ordered(const RanBatch& batch) {
  std::uint64_t index = 0;
  for (const RanRequest& request : batch.run) {
    const Position at{batch.n.value, ++index};
    if (request.decided) continue;
    effects_[request.name] = {at, {request.status, request.result}};
    const auto named = named_.find(request.name);
    if (named == named_.end()) continue;
    const Submitted& submitted = submitted_[named->second];
    if (submitted.operation.read_only()) continue;
    const auto took_effect = [&](const RequestName& name) { return effects_.contains(name); };
    if (std::count_if(submitted.names.begin(), submitted.names.end(), took_effect) < 2) continue;
    findings_.report({"exactly-once",
                      batch.n.value,
                      {},
                      to_string(request.name) + ": its operation took effect before, under another name"});
  }
}

const OutcomeChecker::Effect* OutcomeChecker::effect_of(const Submitted& submitted) const {
  for (const RequestName& name : submitted.names) {
    if (const auto found = effects_.find(name); found != effects_.end()) return &found->second;
  }
  return nullptr;
}

void OutcomeChecker::answered(OperationId id, const KvAnswer& answer) {
  const auto found = submitted_.find(id);
  if (found == submitted_.end()) {
    return findings_.report({"client-honest", 0, {}, "an answer to an operation that was not submitted"});
  }
  found->second.operation.read_only() ? read(found->second, answer) : write(found->second, answer);
}

void OutcomeChecker::given_up(OperationId id) {
  const auto found = submitted_.find(id);
  if (found == submitted_.end()) return;
  std::erase(unnamed_[{id.process, found->second.operation.bytes()}], id);
}

void OutcomeChecker::write(const Submitted& submitted, const KvAnswer& answer) {
  ++checked_writes_;
  const Effect* effect = effect_of(submitted);
  const std::string name = submitted.names.empty() ? std::string{"never sent"} : to_string(submitted.names.back());
  if (effect == nullptr) {
    return findings_.report({"durability",
                             0,
                             {},
                             fmt::format("{}: {} was answered with {} and is in no batch", name,
                                         to_string(submitted.operation), to_string(answer))});
  }
  if (!kv_same(effect->answer, answer)) {
    return findings_.report({"believed-result",
                             effect->at.n,
                             {},
                             fmt::format("{}: {} gave {}, the client was told {}", name, to_string(submitted.operation),
                                         to_string(effect->answer), to_string(answer))});
  }
  if (effect->at <= submitted.floor) {
    return findings_.report(
        {"linearizability",
         effect->at.n,
         {},
         fmt::format("{}: {} stands at {}, but was submitted when {} was known", name, to_string(submitted.operation),
                     to_string(effect->at), to_string(submitted.floor))});
  }
  known_ = std::max(known_, effect->at);
}

void OutcomeChecker::read(const Submitted& submitted, const KvAnswer& answer) {
  ++checked_reads_;
  const std::optional<Position> point = model_.read_point(submitted.operation, answer, submitted.floor);
  if (!point) {
    return findings_.report(
        {"linearizability",
         submitted.floor.n,
         {},
         fmt::format("{} was answered with {}, which nothing held from {} to {}", to_string(submitted.operation),
                     to_string(answer), to_string(submitted.floor), to_string(model_.last()))});
  }
  known_ = std::max(known_, *point);
}

}  // namespace pbft::sim
