#include "node/pbft/message_log.h"

#include <cassert>

namespace pbft {

std::size_t bytes_of(const Batch& batch) {
  std::size_t bytes = 0;
  for (const BundlePtr& bundle : batch.bundles) bytes += bundle->body.size() + bundle->proof.size();
  return bytes;
}

std::uint32_t count_matching(const std::vector<std::optional<Vote>>& votes, const Vote& vote) {
  std::uint32_t count = 0;
  for (const auto& candidate : votes) count += candidate == vote ? 1U : 0U;
  return count;
}

std::optional<Vote> vote_of(const std::vector<std::optional<Vote>>& votes, std::uint32_t threshold) {
  for (const auto& candidate : votes) {
    if (candidate && count_matching(votes, *candidate) >= threshold) return candidate;
  }
  return std::nullopt;
}

Slot& MessageLog::slot(SequenceNumber n, Ticks now) {
  assert(in_window(n));
  return slots_.try_emplace(n, replicas_, now).first->second;
}

Slot* MessageLog::find(SequenceNumber n) {
  const auto found = slots_.find(n);
  return found == slots_.end() ? nullptr : &found->second;
}

const Slot* MessageLog::find(SequenceNumber n) const {
  const auto found = slots_.find(n);
  return found == slots_.end() ? nullptr : &found->second;
}

void MessageLog::truncate(SequenceNumber n) {
  assert(n >= low_);
  low_ = n;
  slots_.erase(slots_.begin(), slots_.upper_bound(n));
}

}  // namespace pbft
