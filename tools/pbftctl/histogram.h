// Latencies by their frequency, in buckets that are at most 1/64 of their value wide: percentiles of millions of
// samples in a few kilobytes. Not thread-safe; histograms of several threads are merged.
#pragma once

#include <array>
#include <cstdint>

namespace pbft::ctl {

class Histogram {
 public:
  void add(std::uint64_t microseconds);
  void merge(const Histogram& other);

  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] std::uint64_t largest() const { return largest_; }  // exact
  [[nodiscard]] double mean() const {
    return count_ == 0 ? 0 : static_cast<double>(sum_) / static_cast<double>(count_);
  }
  // The smallest value that this share of the samples, in (0, 1], does not exceed (nearest rank; the upper end of its
  // bucket, at most the largest). 0 where there are none.
  [[nodiscard]] std::uint64_t percentile(double share) const;

 private:
  static constexpr unsigned sub_bits = 6;  // 64 buckets for each power of two
  static constexpr std::size_t buckets = (64 - sub_bits + 1) << sub_bits;

  [[nodiscard]] static std::size_t bucket_of(std::uint64_t value);
  [[nodiscard]] static std::uint64_t upper_end(std::size_t bucket);

  std::array<std::uint64_t, buckets> counts_{};
  std::uint64_t count_ = 0;
  std::uint64_t sum_ = 0;
  std::uint64_t largest_ = 0;
};

}  // namespace pbft::ctl
