// Goes through the stored state and compares it with its digests, a little at a time. A pass has two halves: each
// bucket's content at the last checkpoint against the bucket's digest (and the bucket's row in family tree against what
// was written), which finds what has changed or is missing; then each pair against the lists of the buckets, which
// finds what should not be there, and undo, which is only read. One thread.
#pragma once

#include <array>

#include "storage/scrub_report.h"
#include "storage/state_view.h"

namespace pbft::storage {

class Scrub {
 public:
  struct Digests {
    SequenceNumber interval;             // the checkpoint that was taken last
    const std::vector<Digest>& buckets;  // at that checkpoint
    const std::vector<Digest>& rows;     // of family tree, as they were written
  };
  // About `pairs` pairs are looked at, though never less than a bucket, and not beyond the end of a pass.
  [[nodiscard]] Result<ScrubReport> step(const StateView& view, const Digests& digests, std::size_t pairs);

 private:
  static constexpr std::size_t most_findings = 64;  // then a call ends

  enum class Walk : std::uint8_t { state, clients, undo };

  // They give the pairs that were looked at.
  [[nodiscard]] Result<std::size_t> check_bucket(const StateView& view, const Digests& digests, ScrubReport& report);
  [[nodiscard]] static Result<void> check_row(const StateView& view, std::uint32_t bucket, const Digest& written,
                                              ScrubReport& report);
  [[nodiscard]] Result<std::size_t> walk(const StateView& view, std::size_t pairs, ScrubReport& report);
  [[nodiscard]] Result<void> check_entry(const StateView& view, const Iterator& entry, ScrubReport& report) const;
  [[nodiscard]] Result<void> check_listed(const StateView& view, BytesView name, ScrubReport& report) const;
  [[nodiscard]] Result<void> go_around(const StateView& view, const StorageError& error, ScrubReport& report);
  void next_walk();
  [[nodiscard]] double share() const;
  [[nodiscard]] Family family() const;

  std::uint64_t interval_ = 0;
  std::uint64_t passes_ = 0;
  std::uint32_t bucket_ = 0;  // the next one; bucket_count: the second half
  Walk walk_ = Walk::state;
  Bytes walked_;                     // the key that the walk has come to
  Bytes from_;                       // and the lowest that can come next
  std::array<Bytes, 2> unreadable_;  // the highest key of each namespace that could not be read
  std::uint64_t listed_ = 0;
  std::uint64_t seen_ = 0;
};

}  // namespace pbft::storage
