#include "tools/sim/checkers/exactly_once.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

namespace pbft::sim {
namespace {

using KvKind = KvOperation::Kind;

struct KeyUse {
  std::vector<const ClientOperation*> writes;
  std::vector<const ClientOperation*> reads;

  [[nodiscard]] std::uint64_t last_return() const {
    std::uint64_t last = 0;
    for (const ClientOperation* one : writes) last = std::max(last, one->returned.value_or(0));
    return last;
  }
  // Reads that see all that was acknowledged.
  [[nodiscard]] std::vector<const ClientOperation*> final_reads() const {
    std::vector<const ClientOperation*> found;
    const std::uint64_t last = last_return();
    std::copy_if(reads.begin(), reads.end(), std::back_inserter(found),
                 [last](const ClientOperation* read) { return read->returned && read->called > last; });
    return found;
  }
};

void report(Findings& findings, const std::string& what) {
  findings.report({"exactly-once", 0, {}, what});
}

void check_counter(const std::string& key, const KeyUse& use, Findings& findings) {
  std::set<std::string> sums;
  std::size_t acknowledged = 0;
  for (const ClientOperation* one : use.writes) {
    if (!one->returned || one->answer.status != ReplyStatus::ok) continue;
    ++acknowledged;
    if (!sums.emplace(as_text(one->answer.result)).second) {
      report(findings, fmt::format("two increments had one sum: {}", to_string(*one)));
    }
  }
  const std::size_t most = use.writes.size();
  for (const ClientOperation* read : use.final_reads()) {
    const bool there = read->answer.status == ReplyStatus::ok;
    const std::string text{there ? as_text(read->answer.result) : "0"};
    const std::uint64_t total = std::strtoull(text.c_str(), nullptr, 10);
    if (total >= acknowledged && total <= most) continue;
    report(findings, fmt::format("{} increments of {} were acknowledged and {} more may have happened, but it is {}",
                                 acknowledged, key, most - acknowledged, text));
  }
}

void check_created(const ClientOperation& create, const KeyUse& use, Findings& findings) {
  if (!create.returned) return;
  if (create.answer.status != ReplyStatus::ok) {
    return report(findings, fmt::format("its own effect was there before: {}", to_string(create)));
  }
  for (const ClientOperation* read : use.final_reads()) {
    if (read->answer.status == ReplyStatus::ok && as_text(read->answer.result) == create.operation.value) continue;
    report(findings, fmt::format("acknowledged, but not there: {}; {}", to_string(create), to_string(*read)));
  }
}

}  // namespace

void check_exactly_once(const std::vector<ClientOperation>& history, Findings& findings) {
  std::map<std::string, KeyUse> keys;
  for (const ClientOperation& one : history) {
    KeyUse& use = keys[one.operation.key];
    (one.operation.read_only() ? use.reads : use.writes).push_back(&one);
  }
  for (const auto& [key, use] : keys) {
    const bool counter = std::all_of(use.writes.begin(), use.writes.end(), [](const ClientOperation* one) {
      return one->operation.kind == KvKind::incr && one->operation.amount == 1;
    });
    const bool created = use.writes.size() == 1 && use.writes.front()->operation.kind == KvKind::cas &&
                         !use.writes.front()->operation.expected;
    if (created) {
      check_created(*use.writes.front(), use, findings);
    } else if (counter && !use.writes.empty()) {
      check_counter(key, use, findings);
    }
  }
}

}  // namespace pbft::sim
