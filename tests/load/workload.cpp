#include "tests/load/workload.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <deque>
#include <future>
#include <random>

#include "plugins/kv/operations.h"

namespace pbft::load {
namespace {

constexpr std::size_t most_problems = 20;

Bytes to_bytes(const std::string& text) {
  const BytesView view = as_bytes(text);
  return {view.begin(), view.end()};
}

std::string value_of(std::size_t lane, std::uint64_t number) {
  return fmt::format("value {} of lane {}", number, lane);
}

std::int64_t number_in(const Bytes& text) {
  const std::string_view view = as_text(text);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(view.data(), view.data() + view.size(), value);
  return error == std::errc{} && end == view.data() + view.size() ? value : -1;
}

// Reads keys as the cluster has them, many at a time, and hands each outcome to `judge`.
template <class Judge>
void read_all(client::Client& client, const std::vector<std::string>& keys, Judge judge) {
  constexpr std::size_t at_once = 512;
  const std::chrono::minutes patience{2};
  std::deque<std::future<client::Outcome>> waiting;
  for (std::size_t asked = 0, judged = 0; judged < keys.size(); ++judged) {
    for (; asked < keys.size() && waiting.size() < at_once; ++asked) {
      waiting.push_back(client.submit(to_bytes(kv::get(keys[asked])), patience));
    }
    judge(judged, waiting.front().get());
    waiting.pop_front();
  }
}

}  // namespace

// ---- CheckedWrites ---------------------------------------------------------------------------------

std::string CheckedWrites::key_of(std::size_t lane, std::uint64_t number) const {
  return fmt::format("{}-lane{}-{}", name_, lane, number);
}

std::optional<Workload::Operation> CheckedWrites::next(std::size_t lane) {
  const std::uint64_t id = lanes_[lane].next++;
  if (id % 2 == 1) return Operation{id, kv::increment(counter(), 1)};
  return Operation{id, kv::put(key_of(lane, id), value_of(lane, id))};
}

void CheckedWrites::done(std::size_t lane, const Operation& operation, const client::Outcome& outcome) {
  Lane& own = lanes_[lane];
  const bool ok = outcome.kind == client::OutcomeKind::ok;
  if (operation.id % 2 == 0) {
    if (ok) own.puts.push_back(operation.id);
  } else if (ok) {
    own.sums.push_back(number_in(outcome.result));
  } else {
    ++own.unknown_sums;
  }
}

std::vector<std::pair<std::string, std::string>> CheckedWrites::acknowledged() const {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (std::size_t lane = 0; lane < lanes_.size(); ++lane) {
    for (const std::uint64_t id : lanes_[lane].puts) pairs.emplace_back(key_of(lane, id), value_of(lane, id));
  }
  return pairs;
}

void CheckedWrites::verify_sums(std::int64_t total, std::vector<std::string>& problems) const {
  std::vector<std::int64_t> sums;
  std::uint64_t unknown = 0;
  for (const Lane& lane : lanes_) {
    sums.insert(sums.end(), lane.sums.begin(), lane.sums.end());
    unknown += lane.unknown_sums;
  }
  std::sort(sums.begin(), sums.end());
  for (std::size_t i = 1; i < sums.size(); ++i) {
    if (sums[i] == sums[i - 1]) problems.push_back(fmt::format("two increments gave {}", sums[i]));
  }
  const auto least = static_cast<std::int64_t>(sums.size());
  const std::int64_t most = least + static_cast<std::int64_t>(unknown);
  if (total >= least && total <= most && (sums.empty() || sums.back() <= total)) return;
  problems.push_back(fmt::format("{} increments were acknowledged and {} may have happened, but the sum is {}", least,
                                 unknown, total));
}

std::vector<std::string> CheckedWrites::verify(client::Client& client) {
  std::vector<std::string> problems;
  const auto pairs = acknowledged();
  std::vector<std::string> keys;
  for (const auto& [key, value] : pairs) keys.push_back(key);
  keys.push_back(counter());
  read_all(client, keys, [&](std::size_t i, const client::Outcome& outcome) {
    if (outcome.kind == client::OutcomeKind::timed_out || outcome.kind == client::OutcomeKind::busy ||
        outcome.kind == client::OutcomeKind::unknown) {
      problems.push_back(fmt::format("{} cannot be read: {}", keys[i], outcome.message));
    } else if (i == pairs.size()) {
      const bool ok = outcome.kind == client::OutcomeKind::ok;
      verify_sums(ok ? number_in(outcome.result) : 0, problems);
    } else if (outcome.kind != client::OutcomeKind::ok || as_text(outcome.result) != pairs[i].second) {
      problems.push_back(fmt::format("acknowledged, but not there: {}", keys[i]));
    }
  });
  if (problems.size() > most_problems) {
    problems[most_problems - 1] = fmt::format("and {} more", problems.size() - most_problems + 1);
    problems.resize(most_problems);
  }
  return problems;
}

// ---- Fill ------------------------------------------------------------------------------------------

std::string Fill::key(std::uint64_t number) {
  return fmt::format("key{:08}", number);
}

std::optional<Workload::Operation> Fill::next(std::size_t) {
  const std::uint64_t number = issued_++;
  if (options_.writes != 0 && number >= options_.writes) return std::nullopt;
  std::mt19937_64 random{options_.seed * 1'000'000'007 + number};
  const std::uint64_t drawn = random();
  std::string value(options_.value_bytes, '\0');
  for (char& byte : value) byte = static_cast<char>(random());
  return Operation{number, kv::put(key((options_.random ? drawn : number) % options_.keys), value)};
}

}  // namespace pbft::load
