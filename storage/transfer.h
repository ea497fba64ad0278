// What a replica that fetches the state of a checkpoint knows of it: which buckets have to be fetched, and the parts of
// those that are coming in. In memory; what is whole goes to family staging. One thread.
#pragma once

#include <set>

#include "node/pbft/input.h"
#include "storage/staging.h"

namespace pbft::storage {

// The state as it is now, which is ahead of the last checkpoint by the changes of the current interval.
struct Present {
  Changes changes;
  std::map<std::uint32_t, LtHash> touched;  // buckets in which something changed
  std::vector<Digest> leaves;
};

class Transfer {
 public:
  // Parts of one bucket together, keys and values. A bucket that is larger cannot be transferred.
  static constexpr std::size_t max_gathered_bytes = 256U << 20;
  // Buckets of which parts are here; beyond it the one that was asked for first is forgotten.
  static constexpr std::size_t max_gatherings = 64;

  Transfer(const CheckpointSummary& target, std::vector<Digest> leaves, Present present,
           std::map<std::uint32_t, StagedHead> staged);

  // Buckets that have to be fetched, ascending.
  [[nodiscard]] std::vector<std::uint32_t> missing() const;
  [[nodiscard]] const CheckpointSummary& target() const { return target_; }
  [[nodiscard]] const std::vector<Digest>& leaves() const { return leaves_; }

  // What is here of the bucket: the pairs staged, else those of the present state.
  [[nodiscard]] Result<std::vector<PairHash>> hashes(const StateView& view, std::uint32_t bucket);

  struct Outcome {
    BucketStaged::Outcome outcome = BucketStaged::Outcome::wrong;
    WriteBatch whole;  // what stages the bucket, where it is whole
  };
  [[nodiscard]] Result<Outcome> add(const StateView& view, const BucketPart& part);
  // The write of `whole` is done.
  void staged(std::uint32_t bucket) { staged_[bucket] = {present_.leaves[bucket], leaves_[bucket]}; }

 private:
  using Content = std::map<Bytes, Bytes>;
  struct Gathering {
    std::uint64_t order = 0;
    std::vector<std::pair<PairHash, Bytes>> have;  // hash and name, ascending
    std::vector<Bytes> untold;                     // names of what is here and found no room in `have`
    std::set<Bytes> wrong;                         // names among `have`
    std::uint32_t total = 0;
    std::size_t bytes = 0;
    Content received;
    bool begun = false;
  };

  struct Made {
    LtHash hash;
    StagedChanges changes;  // to the present state
  };

  [[nodiscard]] Result<std::vector<ListedPair>> listed(const StateView& view, std::uint32_t bucket) const;
  [[nodiscard]] Result<StagedChanges> staged_changes(const StateView& view, std::uint32_t bucket) const;
  [[nodiscard]] Result<Content> present(const StateView& view, std::uint32_t bucket) const;
  [[nodiscard]] Result<Content> here(const StateView& view, std::uint32_t bucket) const;
  // False where the part is not what can follow. begin: the first part of an answer.
  [[nodiscard]] static bool begin(Gathering& gathering, const BucketPart& part);
  [[nodiscard]] static bool take(Gathering& gathering, const BucketPart& part);
  [[nodiscard]] Result<Outcome> complete(const StateView& view, std::uint32_t bucket, const Gathering& gathering);
  [[nodiscard]] Result<LtHash> present_hash(const StateView& view, std::uint32_t bucket) const;
  // Nothing where a pair was received that is here and right.
  [[nodiscard]] Result<std::optional<Made>> make(const StateView& view, std::uint32_t bucket,
                                                 const Gathering& gathering) const;
  [[nodiscard]] Result<std::optional<Made>> make_of_content(const StateView& view, std::uint32_t bucket,
                                                            const Gathering& gathering) const;

  CheckpointSummary target_;
  std::vector<Digest> leaves_;
  Present present_;
  std::map<std::uint32_t, StagedHead> staged_;  // Invariant: their base is what is present
  std::map<std::uint32_t, Gathering> gatherings_;
  std::set<std::uint32_t> doubted_;  // buckets that came out wrong: what is here of them may not be what its list says
  std::uint64_t asked_ = 0;
};

}  // namespace pbft::storage
