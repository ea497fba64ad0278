#include "tools/sim/checkers/linearizability.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>

namespace pbft::sim {
namespace {

using KvKind = KvOperation::Kind;
using Value = std::optional<std::string>;
using ValueId = std::uint32_t;
using Mask = std::uint64_t;  // one bit for each slot of a pending known operation

constexpr std::size_t slots = 64;

// Unknown operations that took effect, by kind.
using Used = std::map<std::uint32_t, std::uint32_t>;

bool no_more_than(const Used& few, const Used& many) {
  return std::all_of(few.begin(), few.end(), [&many](const auto& entry) {
    const auto found = many.find(entry.first);
    return found != many.end() && entry.second <= found->second;
  });
}

struct Possibility {
  ValueId value = 0;
  Mask done = 0;  // pending known operations that took effect
  Used used;
};

// Invariant: none of them is made superfluous by another one.
class Possibilities {
 public:
  // False: there is one already that is at least as good.
  bool add(const Possibility& one) {
    std::vector<Used>& alike = found_[{one.value, one.done}];
    const auto better = [&](const Used& used) { return no_more_than(used, one.used); };
    if (std::any_of(alike.begin(), alike.end(), better)) return false;
    count_ -= std::erase_if(alike, [&](const Used& used) { return no_more_than(one.used, used); });
    alike.push_back(one.used);
    ++count_;
    return true;
  }
  [[nodiscard]] std::size_t count() const { return count_; }
  template <class Visit>
  void each(Visit visit) const {
    for (const auto& [what, alike] : found_) {
      for (const Used& used : alike) visit(Possibility{what.first, what.second, used});
    }
  }

 private:
  std::map<std::pair<ValueId, Mask>, std::vector<Used>> found_;
  std::size_t count_ = 0;
};

struct CallOrReturn {
  std::uint64_t at = 0;
  bool returns = false;  // calls come first where times are equal: the operations overlap
  std::size_t operation = 0;
  friend auto operator<=>(const CallOrReturn&, const CallOrReturn&) = default;
};

// The history of one key.
class KeyHistory {
 public:
  KeyHistory(std::vector<ClientOperation> operations, const LinearizabilityLimits& limits)
      : operations_(std::move(operations)), limits_(limits) {
    make_unseen_values_alike();
    now_.add({id_of(std::nullopt), 0, {}});
  }

  [[nodiscard]] std::optional<Finding> check();

 private:
  struct Unknown {
    KvOperation operation;
    std::uint32_t called = 0;  // how many of them so far
  };

  void make_unseen_values_alike();
  [[nodiscard]] ValueId id_of(const Value& value);
  // What the key holds after the operation with this answer; nothing: it cannot have had this answer.
  [[nodiscard]] std::optional<ValueId> after(const ClientOperation& one, ValueId value);
  [[nodiscard]] bool call(std::size_t operation);
  [[nodiscard]] std::optional<Finding> finish(std::size_t operation);
  void absorb(Possibility& one);
  [[nodiscard]] std::vector<Possibility> next(const Possibility& one);
  [[nodiscard]] Finding finding(const std::string& invariant, const ClientOperation& one, const std::string& why) const;
  [[nodiscard]] std::string held(const Possibilities& possibilities) const;

  std::vector<ClientOperation> operations_;
  const LinearizabilityLimits& limits_;
  std::vector<Value> values_;
  std::map<Value, ValueId> ids_;
  std::array<std::optional<std::size_t>, slots> pending_;  // indexes of known operations
  std::vector<Unknown> unknown_;
  std::map<Bytes, std::uint32_t> unknown_ids_;
  Possibilities now_;
};

// A value that no answer and no comparison tells from others is as good as any such value.
void KeyHistory::make_unseen_values_alike() {
  const std::string unseen = "(a value that nobody saw)";
  std::set<std::string> seen{unseen};
  for (const ClientOperation& one : operations_) {
    if (one.operation.kind == KvKind::incr) return;  // a sum may come from any number
    if (one.operation.expected) seen.insert(*one.operation.expected);
    if (one.operation.kind == KvKind::get && one.returned) seen.emplace(as_text(one.answer.result));
  }
  for (ClientOperation& one : operations_) {
    const bool writes_value = one.operation.kind == KvKind::put || one.operation.kind == KvKind::cas;
    if (!one.returned && writes_value && !seen.contains(one.operation.value)) one.operation.value = unseen;
  }
}

ValueId KeyHistory::id_of(const Value& value) {
  const auto [entry, is_new] = ids_.emplace(value, static_cast<ValueId>(values_.size()));
  if (is_new) values_.push_back(value);
  return entry->second;
}

std::optional<ValueId> KeyHistory::after(const ClientOperation& one, ValueId value) {
  const KvApplied applied = kv_apply(one.operation, values_[value]);
  if (one.returned && !kv_same(applied.answer, one.answer)) return std::nullopt;
  return applied.writes ? id_of(applied.value) : value;
}

// Lets take effect what is right as things are and changes nothing: that never forecloses anything.
void KeyHistory::absorb(Possibility& one) {
  for (std::size_t slot = 0; slot < slots; ++slot) {
    const Mask bit = Mask{1} << slot;
    if (!pending_[slot] || (one.done & bit) != 0) continue;
    if (after(operations_[*pending_[slot]], one.value) == one.value) one.done |= bit;
  }
}

// False: too many at once.
bool KeyHistory::call(std::size_t operation) {
  const ClientOperation& one = operations_[operation];
  if (!one.returned) {
    if (one.operation.read_only()) return true;
    const auto [entry, is_new] =
        unknown_ids_.emplace(one.operation.bytes(), static_cast<std::uint32_t>(unknown_.size()));
    if (is_new) unknown_.push_back({one.operation, 0});
    ++unknown_[entry->second].called;
    return true;
  }
  const auto free = std::find(pending_.begin(), pending_.end(), std::nullopt);
  if (free == pending_.end()) return false;
  *free = operation;
  Possibilities absorbed;
  now_.each([&](Possibility possibility) {
    absorb(possibility);
    absorbed.add(possibility);
  });
  now_ = std::move(absorbed);
  return true;
}

// All that one further operation may lead to.
std::vector<Possibility> KeyHistory::next(const Possibility& one) {
  std::vector<Possibility> found;
  for (std::size_t slot = 0; slot < slots; ++slot) {
    const Mask bit = Mask{1} << slot;
    if (!pending_[slot] || (one.done & bit) != 0) continue;
    if (const auto value = after(operations_[*pending_[slot]], one.value)) {
      found.push_back({*value, one.done | bit, one.used});
    }
  }
  for (std::uint32_t kind = 0; kind < unknown_.size(); ++kind) {
    const auto used = one.used.find(kind);
    if (used != one.used.end() && used->second == unknown_[kind].called) continue;
    ClientOperation unknown;
    unknown.operation = unknown_[kind].operation;
    const auto value = after(unknown, one.value);
    if (!value || *value == one.value) continue;
    found.push_back({*value, one.done, one.used});
    ++found.back().used[kind];
  }
  for (Possibility& possibility : found) absorb(possibility);
  return found;
}

// Keeps what the answer allows: everything in which the operation has taken effect by now.
std::optional<Finding> KeyHistory::finish(std::size_t operation) {
  const auto slot = std::find(pending_.begin(), pending_.end(), std::optional{operation});
  const Mask bit = Mask{1} << (slot - pending_.begin());
  Possibilities kept;
  Possibilities seen;
  std::vector<Possibility> open;
  const auto sort = [&](Possibility possibility) {
    if ((possibility.done & bit) != 0) {
      possibility.done &= ~bit;
      kept.add(possibility);
    } else if (seen.add(possibility)) {
      open.push_back(std::move(possibility));
    }
  };
  now_.each(sort);
  while (!open.empty()) {
    const Possibility one = std::move(open.back());
    open.pop_back();
    for (Possibility& possibility : next(one)) sort(std::move(possibility));
    if (seen.count() + kept.count() > limits_.possibilities) {
      return finding("undecided", operations_[operation], "there are too many possibilities");
    }
  }
  if (kept.count() == 0) {
    return finding("linearizability", operations_[operation],
                   "no order explains this answer; before it the key may have held " + held(now_));
  }
  slot->reset();
  now_ = std::move(kept);
  return std::nullopt;
}

std::string KeyHistory::held(const Possibilities& possibilities) const {
  constexpr std::size_t most = 5;
  std::set<ValueId> all;
  possibilities.each([&all](const Possibility& one) { all.insert(one.value); });
  std::string text;
  std::size_t told = 0;
  for (const ValueId id : all) {
    if (!text.empty()) text += ", ";
    if (++told > most) return text + "...";
    text += values_[id] ? '"' + values_[id]->substr(0, 40) + '"' : std::string{"nothing"};
  }
  return text;
}

Finding KeyHistory::finding(const std::string& invariant, const ClientOperation& one, const std::string& why) const {
  return {invariant, 0, {}, fmt::format("{}: {}", to_string(one), why)};
}

std::optional<Finding> KeyHistory::check() {
  std::vector<CallOrReturn> events;
  for (std::size_t i = 0; i < operations_.size(); ++i) {
    events.push_back({operations_[i].called, false, i});
    if (operations_[i].returned) events.push_back({*operations_[i].returned, true, i});
  }
  std::sort(events.begin(), events.end());
  for (const CallOrReturn& event : events) {
    if (event.returns) {
      if (auto found = finish(event.operation)) return found;
    } else if (!call(event.operation)) {
      return finding("undecided", operations_[event.operation], "too many operations are pending");
    }
  }
  return std::nullopt;
}

}  // namespace

void check_linearizability(const std::vector<ClientOperation>& history, Findings& findings,
                           const LinearizabilityLimits& limits) {
  std::map<std::string, std::vector<ClientOperation>> keys;
  for (const ClientOperation& one : history) keys[one.operation.key].push_back(one);
  for (auto& [key, operations] : keys) {
    if (auto found = KeyHistory{std::move(operations), limits}.check()) findings.report(std::move(*found));
  }
}

}  // namespace pbft::sim
