#include "tools/pbftctl/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace pbft::ctl {

// Values below 64 have a bucket each. Above, the bucket is given by the highest bit and the six bits that follow it.
std::size_t Histogram::bucket_of(std::uint64_t value) {
  if (value < (1U << sub_bits)) return value;
  const auto shift = static_cast<unsigned>(std::bit_width(value)) - sub_bits - 1;
  return (std::size_t{shift} << sub_bits) + static_cast<std::size_t>(value >> shift);
}

std::uint64_t Histogram::upper_end(std::size_t bucket) {
  if (bucket < (2U << sub_bits)) return bucket;
  const std::size_t shift = (bucket >> sub_bits) - 1;
  const std::uint64_t lowest = static_cast<std::uint64_t>(bucket - (shift << sub_bits)) << shift;
  return lowest + ((std::uint64_t{1} << shift) - 1);
}

void Histogram::add(std::uint64_t microseconds) {
  ++counts_[bucket_of(microseconds)];
  ++count_;
  sum_ += microseconds;
  largest_ = std::max(largest_, microseconds);
}

void Histogram::merge(const Histogram& other) {
  for (std::size_t i = 0; i < buckets; ++i) counts_[i] += other.counts_[i];
  count_ += other.count_;
  sum_ += other.sum_;
  largest_ = std::max(largest_, other.largest_);
}

std::uint64_t Histogram::percentile(double share) const {
  if (count_ == 0) return 0;
  const auto wanted = static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(count_)));
  const std::uint64_t rank = std::clamp<std::uint64_t>(wanted, 1, count_);
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < buckets; ++i) {
    seen += counts_[i];
    if (seen >= rank) return std::min(upper_end(i), largest_);
  }
  return largest_;
}

}  // namespace pbft::ctl
