// The digest of the replicated state, kept up to date at a cost that depends on what changed: every key belongs to one
// of 4096 buckets, a bucket is the LtHash of its pairs, and a Merkle tree with fan-out 16 stands over the buckets.
// The root depends on the content alone, not on the order or history of the changes. In memory; one thread.
#pragma once

#include <array>
#include <bitset>
#include <memory>
#include <optional>
#include <vector>

#include "node/pbft/digests.h"
#include "storage/lthash.h"

namespace pbft::storage {

// The value of a bucket with this one pair.
[[nodiscard]] LtHash pair_element(Namespace name_space, BytesView key, BytesView value);
// The pair of this name (the namespace as one byte, and the key) had one value and has another: gives the hash of what
// it has now.
std::optional<PairHash> replace_pair(LtHash& bucket, BytesView name, const std::optional<BytesView>& before,
                                     const std::optional<BytesView>& now);
// The digest of a bucket.
[[nodiscard]] Digest leaf_digest(const LtHash& bucket);

class DigestTree {
 public:
  static constexpr std::uint32_t bucket_count = Limits::tree_buckets;
  static constexpr std::uint32_t fan_out = tree_fan_out;

  DigestTree();

  void add(Namespace name_space, BytesView key, BytesView value);
  void remove(Namespace name_space, BytesView key, BytesView value);
  // As replace_pair(); `bucket` is the pair's own.
  std::optional<PairHash> replace(std::uint32_t bucket, BytesView name, const std::optional<BytesView>& before,
                                  const std::optional<BytesView>& now);
  // A bucket as it was stored.
  void load(std::uint32_t bucket, const LtHash& value);

  // Brings the inner digests up to date; gives the buckets that changed since the last call, ascending.
  std::vector<std::uint32_t> refresh();
  // As of the last refresh().
  [[nodiscard]] const Digest& root() const { return levels_.back().front(); }
  // Null where the bucket is empty.
  [[nodiscard]] const LtHash* bucket(std::uint32_t bucket) const;

  // Digests of all buckets.
  [[nodiscard]] const std::vector<Digest>& leaves() const { return levels_.front(); }

  [[nodiscard]] static std::uint32_t bucket_of(Namespace name_space, BytesView key);
  // The same of the namespace as one byte and the key.
  [[nodiscard]] static std::uint32_t bucket_of(BytesView name);

 private:
  [[nodiscard]] LtHash& at(std::uint32_t bucket);

  std::vector<std::unique_ptr<LtHash>> buckets_;  // null: empty, and not changed
  std::bitset<bucket_count> changed_;
  std::array<std::vector<Digest>, 4> levels_;  // 4096 buckets, 256, 16, and the root
};

}  // namespace pbft::storage
