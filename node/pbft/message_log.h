// What is known about each sequence number between the low and the high water mark.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "node/pbft/messages.h"
#include "node/pbft/quorum.h"

namespace pbft {

using Ticks = std::uint64_t;

struct Vote {
  View view;
  Digest digest;
  friend bool operator==(const Vote&, const Vote&) = default;
};

// What the batch takes, with the proofs of its bundles.
[[nodiscard]] std::size_t bytes_of(const Batch& batch);

struct Slot {
  struct KnownBatch {
    KnownBatch() = default;
    KnownBatch(BatchPtr known, bool in_journal)
        : batch(std::move(known)), durable(in_journal), bytes(bytes_of(*batch)) {}

    BatchPtr batch;
    bool durable = false;  // in the journal
    std::size_t bytes = 0;
  };

  explicit Slot(std::uint32_t replicas, Ticks seen)
      : prepares(replicas), commits(replicas), told(replicas), first_seen(seen) {}

  std::map<Digest, KnownBatch> batches;
  // What this replica voted for in the present view, as primary by PRE-PREPARE or NEW-VIEW, or as backup by PREPARE.
  // Invariant: durable, with its batch, no later than the end of the step that set it.
  std::optional<Vote> accepted;
  // Every digest that this replica ever voted for here, with the highest view of each: its entries of the Q set.
  std::map<Digest, View> voted;
  // A pre-prepare whose bundles are not all authentic here; accepted once f+1 replicas vouch for it.
  std::optional<PrePrepare> held;
  std::size_t held_bytes = 0;
  // Indexed by replica: the vote of each in the highest view that it voted in here, in `prepares` not below the present
  // one; backups of the vote's view only in `prepares`.
  std::vector<std::optional<Vote>> prepares;
  std::vector<std::optional<Vote>> commits;
  // In the highest view in which the slot prepared here: the entry of the P set.
  // Invariant: durable before this replica's COMMIT of that view is in `commits`.
  std::optional<Vote> prepared;
  // Indexed by replica: what each says is committed here.
  std::vector<std::optional<Digest>> told;
  // Proven by a quorum of COMMITs, or told by a weak quorum; the batch may still be missing.
  std::optional<Digest> committed;
  Ticks first_seen;
  Ticks last_fetch = 0;
  std::uint32_t fetches = 0;

  [[nodiscard]] BatchPtr batch(const Digest& digest) const {
    const auto found = batches.find(digest);
    return found == batches.end() ? nullptr : found->second.batch;
  }
};

// The votes in `votes` that are exactly `vote`.
[[nodiscard]] std::uint32_t count_matching(const std::vector<std::optional<Vote>>& votes, const Vote& vote);
// The vote that at least `threshold` replicas cast, if there is one.
[[nodiscard]] std::optional<Vote> vote_of(const std::vector<std::optional<Vote>>& votes, std::uint32_t threshold);

class MessageLog {
 public:
  MessageLog(std::uint32_t replicas, std::uint64_t window, SequenceNumber low)
      : replicas_(replicas), window_(window), low_(low) {}

  [[nodiscard]] SequenceNumber low() const { return low_; }  // last stable checkpoint, h
  [[nodiscard]] SequenceNumber high() const { return SequenceNumber{low_.value + window_}; }
  [[nodiscard]] bool in_window(SequenceNumber n) const { return n > low_ && n <= high(); }

  // Creates the slot. Precondition: in_window(n).
  [[nodiscard]] Slot& slot(SequenceNumber n, Ticks now);
  [[nodiscard]] Slot* find(SequenceNumber n);
  [[nodiscard]] const Slot* find(SequenceNumber n) const;
  [[nodiscard]] const std::map<SequenceNumber, Slot>& slots() const { return slots_; }
  [[nodiscard]] std::map<SequenceNumber, Slot>& slots() { return slots_; }

  // Raises the low water mark to the stable checkpoint n and forgets everything at or below it.
  void truncate(SequenceNumber n);

 private:
  std::uint32_t replicas_;
  std::uint64_t window_;
  SequenceNumber low_;
  // Invariant: every key is in the window.
  std::map<SequenceNumber, Slot> slots_;
};

}  // namespace pbft
