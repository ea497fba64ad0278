// What a replica that fetches the state of a checkpoint knows of it: which buckets have to be fetched, and how far
// those are that are coming in. What comes in goes to family staging part by part, so a bucket may be of any size. One
// thread.
#pragma once

#include <functional>
#include <optional>
#include <set>

#include "node/pbft/input.h"
#include "storage/digest_tree.h"
#include "storage/staging.h"

namespace pbft::storage {

// The state as it is now, which is ahead of the last checkpoint by the changes of the current interval.
struct Present {
  Changes changes;
  std::map<std::uint32_t, LtHash> touched;  // buckets in which something changed
  std::vector<Digest> leaves;
  const DigestTree* tree = nullptr;  // at the last checkpoint; outlives this, unchanged

  // Null where the bucket is empty.
  [[nodiscard]] const LtHash* find(std::uint32_t bucket) const;
};

class Transfer {
 public:
  // Buckets of which parts are coming in; beyond it the one that nothing has come of for longest is forgotten. More
  // than are asked for at a time, also where some were given up.
  static constexpr std::size_t max_gatherings = 4 * Limits::max_replicas;

  // `write_bytes`: as in StoreOptions.
  Transfer(const CheckpointSummary& target, std::vector<Digest> leaves, Present present,
           std::map<std::uint32_t, StagedHead> staged, std::size_t write_bytes);

  // Buckets that have to be fetched, ascending.
  [[nodiscard]] std::vector<std::uint32_t> missing() const;
  [[nodiscard]] const CheckpointSummary& target() const { return target_; }
  [[nodiscard]] const std::vector<Digest>& leaves() const { return leaves_; }

  // What is here of the bucket: the pairs staged, else those of the present state. Where skip is 0 an answer is to
  // begin, else it is what that answer began with.
  [[nodiscard]] Result<std::vector<PairHash>> hashes(const StateView& view, std::uint32_t bucket, std::uint32_t skip);

  using Outcome = BucketStaged::Outcome;
  using Write = std::function<Result<void>(const WriteBatch& batch)>;
  struct Added {
    Outcome outcome = Outcome::wrong;
    std::uint64_t replaced = 0;  // as in BucketStaged
  };
  // Stages what the part brings: its pairs at once, each in the place of what is here under its name, so that they are
  // not lost where the answer does not come to an end; what is to go only with an end that has the planned digest.
  [[nodiscard]] Result<Added> add(const StateView& view, const BucketPart& part, const Write& write);

 private:
  // An answer that is coming in.
  struct Gathering {
    std::uint64_t order = 0;             // the last that something came of is the highest
    std::vector<PairHash> have;          // that the source was told of; ascending
    std::vector<Bytes> names;            // of what is here: in the order of `have`, then those that it has no room for
    std::vector<std::uint32_t> by_name;  // indexes into `names`, in their order
    bool begun = false;
    std::vector<bool> leaving;  // of `names`: not in the bucket, or with another value that has not come yet
    std::uint32_t total = 0;
    std::uint32_t received = 0;
    std::uint64_t replaced = 0;  // by the last part
    Bytes last;                  // name that was received last
    LtHash hash;                 // of the bucket with what was received
    LtHash written;              // of it as it is staged

    [[nodiscard]] std::optional<std::uint32_t> find(const Bytes& name) const;
  };
  class Staging;

  [[nodiscard]] Result<std::vector<ListedPair>> listed(const StateView& view, std::uint32_t bucket) const;
  [[nodiscard]] Result<LtHash> noted_hash(const StateView& view, std::uint32_t bucket) const;
  [[nodiscard]] Result<LtHash> counted_hash(const StateView& view, std::uint32_t bucket) const;
  // Takes what is here under this name out of the hash. Its bytes.
  [[nodiscard]] Result<std::uint64_t> remove(LtHash& hash, const StateView& view, std::uint32_t bucket,
                                             const Bytes& name) const;
  // False where the part is not what can follow.
  [[nodiscard]] static bool read_wrong(Gathering& gathering, const BucketPart& part);
  [[nodiscard]] static bool follows(Gathering& gathering, const BucketPart& part);
  [[nodiscard]] Result<Outcome> take(const StateView& view, const BucketPart& part, Gathering& gathering,
                                     const Write& write);
  [[nodiscard]] Result<bool> is_whole(const StateView& view, std::uint32_t bucket, Gathering& gathering) const;

  CheckpointSummary target_;
  std::vector<Digest> leaves_;
  Present present_;
  std::map<std::uint32_t, StagedHead> staged_;  // Invariant: their base is what is present
  std::size_t write_bytes_;
  std::map<std::uint32_t, Gathering> gatherings_;
  std::set<std::uint32_t> doubted_;  // buckets that came out wrong: what is here of them may not be what its list says
  std::uint64_t asked_ = 0;
};

}  // namespace pbft::storage
