#include "tests/load/recorded_mix.h"

#include <fmt/format.h>

#include <deque>
#include <future>
#include <stdexcept>

namespace pbft::load {
namespace {

using Kind = sim::KvOperation::Kind;

std::uint64_t now_ns() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

sim::KvOperation operation(Kind kind, const std::string& key) {
  sim::KvOperation made;
  made.kind = kind;
  made.key = key;
  return made;
}

// A refusal says nothing for sure: where the session was evicted, the operation may have run before.
void note(sim::ClientOperation& one, const client::Outcome& outcome) {
  const bool ok = outcome.kind == client::OutcomeKind::ok;
  if (!ok && outcome.kind != client::OutcomeKind::failed) return;
  one.answer = {ok ? ReplyStatus::ok : ReplyStatus::failed, outcome.result};
  one.returned = now_ns();
}

std::string text(const sim::KvOperation& one) {
  return std::string{as_text(one.bytes())};
}

}  // namespace

RecordedMix::RecordedMix(const Options& options, std::size_t lanes) : options_(options), stream_(options.file) {
  if (!stream_) throw std::runtime_error(options.file.string() + ": cannot be written");
  for (std::size_t i = 0; i < lanes; ++i) {
    lanes_.push_back({sim::Random::stream(options.seed, fmt::format("lane {}", i)), 0, {}, {}});
  }
}

sim::KvOperation RecordedMix::draw_write(std::size_t lane, const std::string& key) {
  Lane& own = lanes_[lane];
  const std::uint64_t kind = own.random.below(100);
  sim::KvOperation made = operation(kind < 55 ? Kind::put : kind < 90 ? Kind::cas : Kind::remove, key);
  if (made.kind != Kind::remove) made.value = fmt::format("{}.{}", lane, own.issued);
  if (made.kind == Kind::cas) made.expected = own.seen[key];
  return made;
}

sim::KvOperation RecordedMix::draw(std::size_t lane) {
  Lane& own = lanes_[lane];
  ++own.issued;
  const std::uint64_t kind = own.random.below(100);
  const std::string key = fmt::format("register{}", own.random.below(options_.registers));
  const std::string counter = fmt::format("counter{}", own.random.below(options_.counters));
  if (kind < 35) return operation(Kind::get, key);
  if (kind < 40) return operation(Kind::get, counter);
  if (kind < 75) return draw_write(lane, key);
  if (kind < 92) {
    sim::KvOperation made = operation(Kind::incr, counter);
    made.amount = 1;
    return made;
  }
  sim::KvOperation made = operation(Kind::cas, fmt::format("mark{}.{}", lane, own.issued));
  made.value = "made once";
  return made;
}

std::optional<Workload::Operation> RecordedMix::next(std::size_t lane) {
  Lane& own = lanes_[lane];
  own.current = {static_cast<std::uint32_t>(lane), draw(lane), now_ns(), std::nullopt, {}};
  // One read in eight is ordered like a write.
  const bool read = own.current.operation.read_only() && own.random.below(8) != 0;
  return Operation{own.issued, text(own.current.operation), read};
}

void RecordedMix::learn(Lane& lane) {
  const sim::ClientOperation& one = lane.current;
  if (!one.returned || !one.operation.key.starts_with("register")) return;
  const bool ok = one.answer.status == ReplyStatus::ok;
  std::optional<std::string>& seen = lane.seen[one.operation.key];
  if (one.operation.kind == Kind::get) {
    seen = ok ? std::optional<std::string>{as_text(one.answer.result)} : std::nullopt;
  } else if (one.operation.kind == Kind::remove) {
    seen.reset();
  } else if (ok) {
    seen = one.operation.value;
  }
}

void RecordedMix::record(const sim::ClientOperation& one) {
  const std::lock_guard lock{mutex_};
  stream_ << to_line(one) << '\n';
  if (!one.operation.read_only()) keys_.insert(one.operation.key);
}

void RecordedMix::done(std::size_t lane, const Operation&, const client::Outcome& outcome) {
  Lane& own = lanes_[lane];
  note(own.current, outcome);
  learn(own);
  record(own.current);
}

std::vector<std::string> RecordedMix::verify(client::Client& client) {
  constexpr std::size_t at_once = 256;
  const std::chrono::minutes patience{2};
  std::vector<std::string> problems;
  struct Asked {
    sim::ClientOperation read;
    std::future<client::Outcome> outcome;
  };
  std::deque<Asked> waiting;
  const auto take = [&] {
    Asked& first = waiting.front();
    note(first.read, first.outcome.get());
    if (!first.read.returned) problems.push_back(first.read.operation.key + " cannot be read");
    record(first.read);
    waiting.pop_front();
  };
  for (const std::string& key : std::set<std::string>{keys_}) {
    if (waiting.size() == at_once) take();
    Asked asked{{static_cast<std::uint32_t>(lanes_.size()), operation(Kind::get, key), now_ns(), std::nullopt, {}}, {}};
    asked.outcome = client.submit(asked.read.operation.bytes(), patience);
    waiting.push_back(std::move(asked));
  }
  while (!waiting.empty()) take();
  stream_.flush();
  if (!stream_) problems.push_back(options_.file.string() + ": the history could not be written");
  return problems;
}

}  // namespace pbft::load
