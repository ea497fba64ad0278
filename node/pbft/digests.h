// The digests that the protocol names things by: pure functions, BLAKE2b-256 with a domain tag each, so that
// a digest of one kind is never one of another. Byte layouts are given in node/wire/README.md.
#pragma once

#include <span>

#include "node/pbft/messages.h"
#include "node/pbft/types.h"

namespace pbft {

// BLAKE2b-256 over the tag's length and bytes and then the data. Tags are at most 255 bytes.
[[nodiscard]] Digest tagged_digest(std::string_view tag, BytesView data);

[[nodiscard]] Digest bundle_digest(BytesView body);
[[nodiscard]] Digest batch_digest(Timestamp time, const std::vector<BundlePtr>& bundles);
[[nodiscard]] const Digest& null_batch_digest();
[[nodiscard]] BatchPtr null_batch();

// The ledger's hash chain: head(n) = H(head(n - 1), n, batch digest); head(0) = genesis_ledger_head().
[[nodiscard]] Digest genesis_ledger_head();
[[nodiscard]] Digest ledger_head(const Digest& previous, SequenceNumber n, const Digest& batch);

// The state's digest tree (storage/README.md): an inner node of its children, and the root over all leaves.
inline constexpr std::uint32_t tree_fan_out = 16;
[[nodiscard]] Digest tree_node(std::span<const Digest> children);
[[nodiscard]] Digest tree_root(const std::vector<Digest>& leaves);  // Limits::tree_buckets of them
[[nodiscard]] const Digest& empty_bucket_digest();                  // the leaf of a bucket that holds nothing
// Names a pair of the state with its value: what it adds to its bucket follows from this, and its first bytes name it
// to others.
[[nodiscard]] Digest pair_digest(Namespace name_space, BytesView key, BytesView value);
[[nodiscard]] PairHash pair_hash(const Digest& pair);
[[nodiscard]] inline PairHash pair_hash(Namespace name_space, BytesView key, BytesView value) {
  return pair_hash(pair_digest(name_space, key, value));
}

[[nodiscard]] Digest checkpoint_root(const CheckpointSummary& summary);
[[nodiscard]] Digest reply_digest(ReplyStatus status, BytesView result);

}  // namespace pbft
