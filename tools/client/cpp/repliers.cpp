#include "tools/client/cpp/repliers.h"

#include <algorithm>
#include <utility>

namespace pbft::client {
namespace {

constexpr std::uint64_t enough_answers = 8;       // in a period, to learn something from
constexpr std::uint32_t chosen_periods = 8;       // before all reply again
constexpr std::uint32_t periods_after_reset = 4;  // in which all reply
constexpr std::uint32_t distrusted_periods = 60;
constexpr std::uint64_t tolerance_us = 1'000;  // of a mean that is twice as long

}  // namespace

Repliers::Repliers(Quorum quorum, std::uint64_t spread)
    : quorum_(quorum), spread_(spread), distrusted_(quorum.replicas(), 0), votes_(quorum.replicas(), 0) {}

void Repliers::answered(std::uint64_t sent_us) {
  ++new_answered_;
  sent_sum_us_ += sent_us;
}

void Repliers::end_turn(std::uint64_t now_us) {
  answered_ += new_answered_;
  waited_us_ += std::exchange(new_answered_, 0) * now_us - std::exchange(sent_sum_us_, 0);
}

bool Repliers::reset() {
  periods_left_ = periods_after_reset;
  return !std::exchange(chosen_, {}).empty();
}

bool Repliers::failed() {
  spoilt_ = true;
  if (chosen_.empty()) return false;  // it is nobody's fault that was chosen
  for (std::size_t i = 0; i < chosen_.size(); ++i) {
    if (chosen_[i]) distrusted_[i] = distrusted_periods;
  }
  return reset();
}

void Repliers::begin_period(ReplicaId primary) {
  const bool slow = answered_ > 0 && mean_us() > 2 * mean_of_all_us_ + tolerance_us;
  if (periods_left_ > 0) --periods_left_;
  for (std::uint32_t& left : distrusted_) left -= left > 0 ? 1 : 0;
  if (!chosen_.empty()) {
    if (slow) {
      static_cast<void>(failed());
    } else if (periods_left_ == 0) {
      chosen_.clear();
    }
  } else if (periods_left_ == 0 && answered_ >= enough_answers && !spoilt_) {
    mean_of_all_us_ = mean_us();
    choose(primary);
  }
  std::fill(votes_.begin(), votes_.end(), 0);
  answered_ = 0;
  waited_us_ = 0;
  spoilt_ = false;
}

// Of the backups that were often enough among the first, f, beginning at another one for each client.
void Repliers::choose(ReplicaId primary) {
  const std::uint32_t n = quorum_.replicas();
  std::vector<bool> chosen(n, false);
  std::uint32_t missing = quorum_.faults();
  for (std::uint32_t i = 0; i < n && missing > 0; ++i) {
    const auto replica = static_cast<std::uint32_t>((spread_ + i) % n);
    const bool late = votes_[replica] * n < answered_;
    if (replica == primary.value || late || distrusted_[replica] > 0) continue;
    chosen[replica] = true;
    --missing;
  }
  if (missing > 0) return;  // all of them go on
  chosen[primary.value] = true;
  chosen_ = std::move(chosen);
  periods_left_ = chosen_periods;
}

}  // namespace pbft::client
