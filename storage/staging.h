// The records of family staging: what a state transfer has brought and the state does not have yet, the marker of an
// installation, and what was salvaged of a damaged state. Grammar in README.md of this folder.
#pragma once

#include <map>

#include "storage/fields.h"
#include "storage/lthash.h"
#include "storage/state_view.h"

namespace pbft::storage {

// A bucket, as its difference to the state that had the digest `base` in it. It is whole where its digest is the wanted
// one.
struct StagedHead {
  Digest base;
  Digest leaf;  // with the difference applied
};
[[nodiscard]] Result<std::map<std::uint32_t, StagedHead>> staged_heads(const StateView& view);
// The LtHash of the staged bucket.
[[nodiscard]] Result<LtHash> staged_hash(const StateView& view, std::uint32_t bucket);

// A pair of the difference: it changes, or goes (no value).
using VisitChange = std::function<Result<void>(BytesView name, std::optional<BytesView> value)>;
[[nodiscard]] Result<void> visit_staged(const StateView& view, std::uint32_t bucket, const VisitChange& each);
// Nothing where the pair is none of the difference.
[[nodiscard]] Result<std::optional<std::optional<Bytes>>> staged_change(const StateView& view, std::uint32_t bucket,
                                                                        BytesView name);

// In the place of what was staged for the pair, or the bucket, before. A bucket without a head has no changes either.
void stage_change(WriteBatch& batch, std::uint32_t bucket, BytesView name, const std::optional<BytesView>& value);
// As if the pair had never been staged.
void unstage_change(WriteBatch& batch, std::uint32_t bucket, BytesView name);
void stage_head(WriteBatch& batch, std::uint32_t bucket, const StagedHead& head, const LtHash& hash);
// What is staged of other buckets goes, also where its head was lost.
void unstage_all_but(WriteBatch& batch, const std::map<std::uint32_t, StagedHead>& kept);
void unstage_all(WriteBatch& batch);

// Present while the staged buckets are being made the state: a checkpoint's record as in family checkpoints.
[[nodiscard]] Bytes installing_key();

// What was salvaged of a family that cannot be read as a whole: these keys, and then the pair's name.
[[nodiscard]] Bytes salvaged_key(BytesView name);
// Present once all is salvaged: the namespaces whose families are to be made anew, a byte each.
[[nodiscard]] Bytes salvage_done_key();

}  // namespace pbft::storage
