#include "node/pbft/digests.h"

#include <sodium.h>

#include <algorithm>
#include <array>
#include <cstdlib>

namespace pbft {
namespace {

// Every hash of the protocol goes through here: the tag's length and bytes first, so that no data of one kind
// can look like data of another.
class Hasher {
 public:
  explicit Hasher(std::string_view tag) {
    if (tag.size() > 255) std::abort();
    crypto_generichash_init(&state_, nullptr, 0, Digest::size);
    const auto length = static_cast<std::uint8_t>(tag.size());
    crypto_generichash_update(&state_, &length, 1);
    add(as_bytes(tag));
  }

  Hasher& add(BytesView bytes) {
    crypto_generichash_update(&state_, bytes.data(), bytes.size());
    return *this;
  }

  Hasher& add(std::uint64_t value) {
    std::array<std::uint8_t, 8> bytes{};
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(value >> (8 * i));
    return add(BytesView{bytes});
  }

  template <class Tag>
  Hasher& add(const Number<Tag, std::uint64_t>& number) {
    return add(number.value);
  }

  Hasher& add(const Digest& digest) { return add(digest.view()); }

  [[nodiscard]] Digest finish() {
    Digest digest;
    crypto_generichash_final(&state_, digest.bytes.data(), digest.bytes.size());
    return digest;
  }

 private:
  crypto_generichash_state state_{};
};

}  // namespace

Digest tagged_digest(std::string_view tag, BytesView data) {
  return Hasher{tag}.add(data).finish();
}

Digest bundle_digest(BytesView body) {
  return tagged_digest("pbft/bundle/1", body);
}

Digest batch_digest(Timestamp time, const std::vector<BundlePtr>& bundles) {
  Hasher hasher{"pbft/batch/1"};
  hasher.add(time).add(std::uint64_t{bundles.size()});
  for (const BundlePtr& bundle : bundles) hasher.add(bundle->digest);
  return hasher.finish();
}

const Digest& null_batch_digest() {
  static const Digest digest = Hasher{"pbft/null/1"}.finish();
  return digest;
}

BatchPtr null_batch() {
  static const BatchPtr batch = std::make_shared<const Batch>(Batch{Timestamp{0}, {}, null_batch_digest()});
  return batch;
}

Digest genesis_ledger_head() {
  return Hasher{"pbft/ledger-genesis/1"}.finish();
}

Digest ledger_head(const Digest& previous, SequenceNumber n, const Digest& batch) {
  return Hasher{"pbft/ledger/1"}.add(previous).add(n).add(batch).finish();
}

Digest tree_node(std::span<const Digest> children) {
  Hasher hasher{"pbft/tree/1"};
  for (const Digest& child : children) hasher.add(child);
  return hasher.finish();
}

Digest tree_root(const std::vector<Digest>& leaves) {
  std::vector<Digest> level = leaves;
  while (level.size() > 1) {
    std::vector<Digest> above;
    for (std::size_t i = 0; i < level.size(); i += tree_fan_out) {
      above.push_back(tree_node(std::span{level}.subspan(i, tree_fan_out)));
    }
    level = std::move(above);
  }
  return level.front();
}

const Digest& empty_bucket_digest() {
  constexpr std::size_t value_bytes = 2048;  // the sum of no elements
  static const Digest digest = tagged_digest("pbft/bucket/1", Bytes(value_bytes));
  return digest;
}

// Lengths first, so that no two pairs have the same bytes. Hashed piece by piece: values may be large.
Digest pair_digest(Namespace name_space, BytesView key, BytesView value) {
  const auto space = static_cast<std::uint8_t>(name_space);
  return Hasher{"pbft/element/1"}
      .add(BytesView{&space, 1})
      .add(std::uint64_t{key.size()})
      .add(key)
      .add(std::uint64_t{value.size()})
      .add(value)
      .finish();
}

PairHash pair_hash(const Digest& pair) {
  PairHash hash;
  std::copy_n(pair.bytes.begin(), PairHash::size, hash.bytes.begin());
  return hash;
}

Digest checkpoint_root(const CheckpointSummary& summary) {
  return Hasher{"pbft/checkpoint/1"}
      .add(summary.n)
      .add(summary.state)
      .add(summary.ledger_head)
      .add(summary.time)
      .add(summary.epoch)
      .add(summary.plugin)
      .finish();
}

Digest reply_digest(ReplyStatus status, BytesView result) {
  return Hasher{"pbft/reply/1"}.add(static_cast<std::uint64_t>(status)).add(result).finish();
}

}  // namespace pbft
