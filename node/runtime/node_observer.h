// Counts what happens by name, and logs what an operator cares about. One thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "node/runtime/driver.h"

namespace pbft::runtime {

// A key as people can read it, or in hex.
[[nodiscard]] std::string key_text(const Bytes& key);

class NodeObserver final : public Observer {
 public:
  // `names` of the replicas, by id.
  explicit NodeObserver(std::vector<std::string> names) : names_(std::move(names)) {}

  void on_event(const Event& event) override;
  void on_refused_frame(const crypto::Refused& refused, bool from_client) override;
  void on_left_out(const execution::OutgoingReply&) override { ++counters_["replies_left_out"]; }
  void on_executed(const Execute& effect, const std::vector<execution::OutgoingReply>& replies) override;
  void on_checkpoint(const CheckpointSummary& summary) override;
  void on_damage(const storage::StorageError& error) override;

  // Logs how many frames were refused since the last time, if any, but at most every ten seconds: an attacker must
  // not be able to fill the log.
  void summarize_refusals(std::chrono::steady_clock::time_point now);

  [[nodiscard]] const std::map<std::string, std::uint64_t>& counters() const { return counters_; }
  // Where the state differed from the certified one, as a transfer found it since the last call; for people, empty:
  // nowhere.
  [[nodiscard]] std::string take_located() { return std::exchange(located_, {}); }

 private:
  void count(const std::string& name) { ++counters_[name]; }
  void log(const Event& event);
  [[nodiscard]] const std::string& name(ReplicaId id) const { return names_.at(id.value); }
  [[nodiscard]] const std::string& primary(View view) const { return names_[view.value % names_.size()]; }

  std::vector<std::string> names_;
  std::string located_;

  std::map<std::string, std::uint64_t> counters_;
  std::map<std::string, std::uint64_t> refused_;  // since the last summary
  std::chrono::steady_clock::time_point last_summary_{};
};

}  // namespace pbft::runtime
