// The records of family staging: what a state transfer has brought and the state does not have yet, the marker of an
// installation, and what was salvaged of a damaged state. Grammar in README.md of this folder.
#pragma once

#include <map>

#include "storage/fields.h"
#include "storage/lthash.h"
#include "storage/state_view.h"

namespace pbft::storage {

// A bucket that is here whole: as its difference to the state that had the digest `base` in this bucket.
struct StagedHead {
  Digest base;
  Digest leaf;  // with the difference applied
};
[[nodiscard]] Result<std::map<std::uint32_t, StagedHead>> staged_heads(const StateView& view);
// The LtHash of the staged bucket.
[[nodiscard]] Result<LtHash> staged_hash(const StateView& view, std::uint32_t bucket);

// A pair that changes, or goes (no value). All of a bucket are a map.
using StagedChanges = std::map<Bytes, std::optional<Bytes>>;
using VisitChange = std::function<Result<void>(BytesView name, std::optional<BytesView> value)>;
[[nodiscard]] Result<void> visit_staged(const StateView& view, std::uint32_t bucket, const VisitChange& each);

// In the place of what was staged for the bucket before.
void stage(WriteBatch& batch, std::uint32_t bucket, const StagedHead& head, const LtHash& hash,
           const StagedChanges& changes);
void unstage(WriteBatch& batch, std::uint32_t bucket);
void unstage_all(WriteBatch& batch);

// Present while the staged buckets are being made the state: a checkpoint's record as in family checkpoints.
[[nodiscard]] Bytes installing_key();

// What was salvaged of a family that cannot be read as a whole: these keys, and then the pair's name.
[[nodiscard]] Bytes salvaged_key(BytesView name);
// Present once all is salvaged: the namespaces whose families are to be made anew, a byte each.
[[nodiscard]] Bytes salvage_done_key();

}  // namespace pbft::storage
