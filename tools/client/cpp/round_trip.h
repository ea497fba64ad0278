// How long to wait for an answer before a request is sent again, from how long answers took: RFC 6298, and Karn's rule
// that what was sent more than once tells nothing. Under load answers take long, and resending what is merely waiting
// would add to the load. Times in microseconds.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

namespace pbft::client {

class RoundTrip {
 public:
  // Never below `least`, nor above `most`: the replicas have to hear of a request that a primary holds back.
  RoundTrip(std::uint64_t least, std::uint64_t most) : least_(least), most_(std::max(least, most)) {}

  // What was waited for so long had to be sent again: until it is known how long answers take now, twice as long is
  // waited for others.
  void waited_in_vain(std::uint64_t us) { backed_off_ = std::max(backed_off_, std::min(2 * us, most_)); }

  // A request that was sent once was answered after so long.
  void took(std::uint64_t us) {
    backed_off_ = 0;
    if (!smoothed_) {
      smoothed_ = us;
      deviation_ = us / 2;
      return;
    }
    const std::uint64_t difference = us > *smoothed_ ? us - *smoothed_ : *smoothed_ - us;
    deviation_ = (3 * deviation_ + difference) / 4;
    smoothed_ = (7 * *smoothed_ + us) / 8;
  }

  [[nodiscard]] std::uint64_t patience() const {
    const std::uint64_t measured = smoothed_ ? *smoothed_ + 4 * deviation_ : 0;
    return std::clamp(std::max(measured, backed_off_), least_, most_);
  }

 private:
  std::uint64_t least_;
  std::uint64_t most_;
  std::optional<std::uint64_t> smoothed_;
  std::uint64_t deviation_ = 0;
  std::uint64_t backed_off_ = 0;
};

}  // namespace pbft::client
