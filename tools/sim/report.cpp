#include "tools/sim/report.h"

#include <fmt/format.h>

namespace pbft::sim {
namespace {

// All counters of a result, each with its name: reading, writing, adding and showing go through this one list.
template <class Result, class Visit>
void each_counter(Result& result, const Visit& visit) {
  visit("simulated_us", result.simulated_us);
  visit("events", result.events);
  visit("frames", result.frames);
  visit("bytes", result.bytes);
  visit("batches", result.batches);
  visit("checkpoints", result.checkpoints);
  visit("requests_answered", result.answered);
  visit("requests_of_unknown_outcome", result.abandoned);
  visit("reads_checked", result.checked_reads);
  visit("writes_checked", result.checked_writes);
  visit("promises_audited", result.audited_promises);
  visit("new_views_checked", result.new_views);
  visit("replica_starts", result.starts);
  visit("latency_us", result.latency_us);
}

template <class Some, class Visit>
void each_sometimes(Some& sometimes, const Visit& visit) {
  visit("catch-up", sometimes.catch_up);
  visit("stable checkpoint", sometimes.stable);
  visit("stall at the high water mark", sometimes.window_stall);
  visit("restart while prepared", sometimes.restart_prepared);
  visit("restart while accepted", sometimes.restart_accepted);
  visit("restart with less executed", sometimes.executed_again);
  visit("duplicate ordered", sometimes.duplicate_ordered);
  visit("session evicted", sometimes.session_evicted);
  visit("result forgotten", sometimes.result_forgotten);
  visit("read sent into the order", sometimes.read_ordered);
  visit("frame refused", sometimes.refused_frames);
  visit("client told unknown", sometimes.client_unknown);
  visit("client timed out", sometimes.client_timed_out);
  visit("primary suspected", sometimes.primary_suspected);
  visit("view left", sometimes.view_left);
  visit("joining by f+1", sometimes.view_joined);
  visit("view entered", sometimes.view_entered);
  visit("slot carried into a new view", sometimes.carried);
  visit("null batch", sometimes.null_batch);
  visit("restart between views", sometimes.restart_inactive);
  visit("cached reply in a later view", sometimes.cached_in_later_view);
  visit("vouched batch", sometimes.vouched);
  visit("client suspected", sometimes.client_suspected);
  visit("state transfer started", sometimes.transfer_started);
  visit("state transfer finished", sometimes.transfer_finished);
  visit("state transfer between views", sometimes.transfer_between_views);
  visit("bad source of a transfer", sometimes.bad_source);
  visit("rejoined", sometimes.rejoined);
  visit("gap filled by a new view", sometimes.gap_filled);
  visit("crowded view filled", sometimes.view_crowded);
  visit("vote again on what was run", sometimes.voted_again);
  visit("view left unopened", sometimes.view_skipped);
  visit("batch fetched between views", sometimes.fetched_between_views);
  visit("client told to sign", sometimes.told_to_sign);
  visit("told what is committed", sometimes.told_committed);
  visit("reply left out", sometimes.reply_left_out);
  visit("twins propose two batches", sometimes.twins_differ);
}

std::string key_of(Fault fault) {
  return to_string(fault);
}

nlohmann::json counters_json(const RunResult& result) {
  nlohmann::json json;
  each_counter(result, [&](const char* name, const std::uint64_t& value) { json[name] = value; });
  nlohmann::json& faults = json["faults"];
  for (std::size_t i = 0; i < fault_count; ++i) faults[key_of(static_cast<Fault>(i))] = result.faults[i];
  nlohmann::json& lies = json["lies"];
  for (std::size_t i = 0; i < lie_count; ++i) lies[to_string(static_cast<Lie>(i))] = result.lies[i];
  nlohmann::json& sometimes = json["sometimes"];
  each_sometimes(result.sometimes, [&](const char* name, const std::uint64_t& value) { sometimes[name] = value; });
  return json;
}

nlohmann::json to_json(const Finding& finding) {
  return {
      {"invariant", finding.invariant}, {"slot", finding.slot}, {"replicas", finding.replicas}, {"what", finding.what}};
}

}  // namespace

nlohmann::json to_json(const RunResult& result) {
  nlohmann::json json = counters_json(result);
  json["seed"] = result.seed;
  json["plan"] = result.plan;
  json["trace_hash"] = result.hash;
  json["findings"] = nlohmann::json::array();
  for (const Finding& finding : result.findings) json["findings"].push_back(to_json(finding));
  return json;
}

RunResult from_json(const nlohmann::json& json) {
  RunResult result;
  result.seed = json.at("seed");
  result.plan = json.at("plan");
  result.hash = json.at("trace_hash");
  each_counter(result, [&](const char* name, std::uint64_t& value) { value = json.at(name); });
  for (std::size_t i = 0; i < fault_count; ++i) result.faults[i] = json.at("faults").at(key_of(static_cast<Fault>(i)));
  for (std::size_t i = 0; i < lie_count; ++i) result.lies[i] = json.at("lies").at(to_string(static_cast<Lie>(i)));
  each_sometimes(result.sometimes,
                 [&](const char* name, std::uint64_t& value) { value = json.at("sometimes").at(name); });
  for (const auto& finding : json.at("findings")) {
    result.findings.push_back(
        {finding.at("invariant"), finding.at("slot"), finding.at("replicas"), finding.at("what")});
  }
  return result;
}

std::string describe_failure(const RunResult& result, const std::string& more) {
  std::string text = fmt::format("VIOLATION  pbft-sim --seed {}{} --verbose   (at {:.3f} s)\n", result.seed, more,
                                 static_cast<double>(result.simulated_us) / 1e6);
  for (const Finding& finding : result.findings) {
    std::string replicas;
    for (const std::uint32_t replica : finding.replicas) replicas += fmt::format(" {}", replica);
    text += fmt::format("  {}: slot {}, replicas:{}\n  {}\n", finding.invariant, finding.slot,
                        replicas.empty() ? " -" : replicas, finding.what);
  }
  return text;
}

namespace {

std::string describe_counters(const RunResult& result) {
  std::string text = "faults injected:\n";
  for (std::size_t i = 0; i < fault_count; ++i) {
    if (result.faults[i] > 0) text += fmt::format("  {:<30} {:>12}\n", key_of(static_cast<Fault>(i)), result.faults[i]);
  }
  text += "lies told:\n";
  for (std::size_t i = 0; i < lie_count; ++i) {
    if (result.lies[i] > 0) text += fmt::format("  {:<30} {:>12}\n", to_string(static_cast<Lie>(i)), result.lies[i]);
  }
  text += "sometimes:\n";
  each_sometimes(result.sometimes, [&](const char* name, const std::uint64_t& value) {
    text += fmt::format("  {:<30} {:>12}\n", name, value);
  });
  text += "done:\n";
  each_counter(result, [&](const char* name, const std::uint64_t& value) {
    text += fmt::format("  {:<30} {:>12}\n", name, value);
  });
  return text;
}

}  // namespace

std::string describe(const RunResult& result) {
  std::string text = fmt::format("seed {}: {}", result.seed, result.plan) + describe_counters(result);
  if (result.answered > 0) {
    text += fmt::format("  {:<30} {:>12.3f}\n", "mean latency in ms",
                        static_cast<double>(result.latency_us) / 1e3 / static_cast<double>(result.answered));
  }
  text += fmt::format("trace hash {}\n", result.hash);
  return text + (result.findings.empty() ? "no violation\n" : describe_failure(result));
}

void Summary::add(const RunResult& result) {
  ++runs;
  std::vector<std::uint64_t*> sums;
  const auto collect = [&sums](const char*, std::uint64_t& sum) { sums.push_back(&sum); };
  each_counter(total, collect);
  each_sometimes(total.sometimes, collect);
  std::size_t next = 0;
  const auto add_one = [&](const char*, const std::uint64_t& value) { *sums[next++] += value; };
  each_counter(result, add_one);
  each_sometimes(result.sometimes, add_one);
  for (std::size_t i = 0; i < fault_count; ++i) total.faults[i] += result.faults[i];
  for (std::size_t i = 0; i < lie_count; ++i) total.lies[i] += result.lies[i];
  if (!result.findings.empty()) failed.push_back(result);
}

nlohmann::json to_json(const Summary& summary) {
  nlohmann::json json = counters_json(summary.total);
  json["seeds"] = summary.runs;
  json["wall_seconds"] = summary.wall_seconds;
  json["failed"] = nlohmann::json::array();
  for (const RunResult& result : summary.failed) json["failed"].push_back(to_json(result));
  return json;
}

std::vector<std::string> rarer_than(std::uint64_t least, const Summary& summary) {
  std::vector<std::string> rare;
  const auto look = [&](const char* kind, const std::string& name, std::uint64_t count) {
    if (count < least) rare.push_back(fmt::format("{} {}: {}", kind, name, count));
  };
  const RunResult& total = summary.total;
  for (std::size_t i = 0; i < fault_count; ++i) look("fault", key_of(static_cast<Fault>(i)), total.faults[i]);
  for (std::size_t i = 0; i < lie_count; ++i) look("lie", to_string(static_cast<Lie>(i)), total.lies[i]);
  each_sometimes(total.sometimes,
                 [&](const char* name, const std::uint64_t& count) { look("sometimes", name, count); });
  return rare;
}

std::string describe(const Summary& summary) {
  return describe_counters(summary.total) +
         fmt::format("{} seeds, {:.1f} simulated hours in {:.1f} s: {}\n", summary.runs,
                     static_cast<double>(summary.total.simulated_us) / 3.6e9, summary.wall_seconds,
                     summary.failed.empty() ? "no violation" : fmt::format("{} FAILED", summary.failed.size()));
}

}  // namespace pbft::sim
