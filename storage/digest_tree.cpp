#include "storage/digest_tree.h"

#include "node/pbft/digests.h"

namespace pbft::storage {
namespace {

// The digests of an empty tree are the same in every tree, and simulations open very many.
const std::array<Digest, 4>& empty_levels() {
  static const auto levels = [] {
    std::array<Digest, 4> made;
    made[0] = leaf_digest(LtHash{});
    for (std::size_t level = 1; level < made.size(); ++level) {
      const std::vector<Digest> children(DigestTree::fan_out, made[level - 1]);
      made[level] = tree_node(children);
    }
    return made;
  }();
  return levels;
}

}  // namespace

Digest leaf_digest(const LtHash& bucket) {
  return tagged_digest("pbft/bucket/1", bucket.bytes());
}

LtHash pair_element(Namespace name_space, BytesView key, BytesView value) {
  return LtHash::of(pair_digest(name_space, key, value));
}

std::optional<PairHash> replace_pair(LtHash& bucket, BytesView name, const std::optional<BytesView>& before,
                                     const std::optional<BytesView>& now) {
  const auto name_space = static_cast<Namespace>(name[0]);
  if (before) bucket.remove(pair_element(name_space, name.subspan(1), *before));
  if (!now) return std::nullopt;
  const Digest digest = pair_digest(name_space, name.subspan(1), *now);
  bucket.add(LtHash::of(digest));
  return pair_hash(digest);
}

DigestTree::DigestTree() : buckets_(bucket_count) {
  std::size_t size = bucket_count;
  for (std::size_t level = 0; level < levels_.size(); ++level, size /= fan_out) {
    levels_[level].assign(size, empty_levels()[level]);
  }
}

void DigestTree::add(Namespace name_space, BytesView key, BytesView value) {
  at(bucket_of(name_space, key)).add(pair_element(name_space, key, value));
}

void DigestTree::remove(Namespace name_space, BytesView key, BytesView value) {
  at(bucket_of(name_space, key)).remove(pair_element(name_space, key, value));
}

std::optional<PairHash> DigestTree::replace(std::uint32_t bucket, BytesView name,
                                            const std::optional<BytesView>& before,
                                            const std::optional<BytesView>& now) {
  return replace_pair(at(bucket), name, before, now);
}

void DigestTree::load(std::uint32_t bucket, const LtHash& value) {
  at(bucket) = value;
}

std::vector<std::uint32_t> DigestTree::refresh() {
  std::vector<std::uint32_t> buckets;
  for (std::uint32_t index = 0; index < bucket_count; ++index) {
    if (!changed_[index]) continue;
    buckets.push_back(index);
    std::unique_ptr<LtHash>& hash = buckets_[index];
    if (hash->is_zero()) hash.reset();
    levels_[0][index] = hash ? leaf_digest(*hash) : empty_levels()[0];
  }
  std::vector<std::uint32_t> below = buckets;
  for (std::size_t level = 1; level < levels_.size(); ++level) {
    std::vector<std::uint32_t> parents;
    for (const std::uint32_t child : below) {
      const std::uint32_t index = child / fan_out;
      if (!parents.empty() && parents.back() == index) continue;
      levels_[level][index] = tree_node(std::span{levels_[level - 1]}.subspan(std::size_t{index} * fan_out, fan_out));
      parents.push_back(index);
    }
    below = std::move(parents);
  }
  changed_.reset();
  return buckets;
}

const LtHash* DigestTree::bucket(std::uint32_t bucket) const {
  return buckets_[bucket].get();
}

std::uint32_t DigestTree::bucket_of(Namespace name_space, BytesView key) {
  Bytes bytes{static_cast<std::uint8_t>(name_space)};
  bytes.insert(bytes.end(), key.begin(), key.end());
  return bucket_of(bytes);
}

std::uint32_t DigestTree::bucket_of(BytesView name) {
  const Digest digest = tagged_digest("pbft/bucket-of/1", name);
  return (std::uint32_t{digest.bytes[0]} << 8 | digest.bytes[1]) % bucket_count;
}

LtHash& DigestTree::at(std::uint32_t bucket) {
  changed_.set(bucket);
  auto& value = buckets_[bucket];
  if (!value) value = std::make_unique<LtHash>();
  return *value;
}

}  // namespace pbft::storage
