// Which batch a new view must propose in each slot (TOCS 2002, section 4.4, "New-View Messages"; the conditions A1 and
// A2 of the paper's figure on selecting requests). Pure functions of the view-changes alone: the new primary decides by
// them, and every backup recomputes what the primary decided. Any thread.
//
// Let S be the view-changes, at least a quorum of them, all valid for one view v'.
//   1. start = the highest h of a view-change in S.
//   2. For each n in (start, start + L]: among all (n, d, v) in the P set of some view-change in S such that
//        A1: a quorum of S has no entry for n in its P set, or one with a view below v, or exactly (n, d, v);
//        A2: a weak quorum of S has (n, d, v'') in its Q set, with v'' >= v;
//      the one with the highest v is chosen, and of these the one with the smallest d.
//   3. Else, if a quorum of S has no entry for n in its P set: the null batch.
//   4. Else S is not enough: more view-changes have to come in.
//   5. Slots above the last one that was chosen by clause 2 are free. (By clause 2, whatever was chosen: a null batch
//      that had prepared binds like any other; the null batches that clause 3 puts behind it do not.)
//   6. Not in the paper: where some Q set in S has more than so many entries, null batches fill the slots up to the
//      first checkpoint at or above all that any Q set in S names: once it is stable, those Q sets are empty. Without
//      it faulty primaries, each of which may have other batches voted for in every slot of the window, make Q larger
//      than a message, where nobody has anything ordered in between.
#pragma once

#include <optional>
#include <vector>

#include "node/pbft/messages.h"
#include "node/pbft/parameters.h"
#include "node/pbft/quorum.h"

namespace pbft::new_view_rules {

// Why a view-change cannot be taken, for people; nothing: it can. (That it is signed, and the votes in its proof, are
// the authenticator's business.) Clauses:
//   a. its view is not 0;
//   b. its stable checkpoint, if any, is above 0, a multiple of the interval, and has votes of a quorum, ascending;
//   c. every entry of P and Q is in (h, h + L] and has a view below that of the view-change;
//   d. P ascends in n, with one entry for each n; Q ascends in (n, digest), with one entry for each.
[[nodiscard]] std::optional<const char*> problem(const ViewChange& message, const Quorum& quorum,
                                                 std::uint64_t interval, std::uint64_t window);

// The slots that there are.
struct Room {
  std::uint64_t window;    // L
  std::uint64_t interval;  // K, between two checkpoints
  std::uint64_t votes;     // entries of a Q set, above which clause 6 holds

  [[nodiscard]] static Room of(const ClusterParameters& cluster) {
    const std::uint64_t votes =
        cluster.crowded_above > 0 ? cluster.crowded_above : Limits::votes_with_room(cluster.replicas, cluster.window);
    return {cluster.window, cluster.checkpoint_interval, votes};
  }
};

struct Decision {
  SequenceNumber start;                   // clause 1
  std::optional<StableCheckpoint> proof;  // of start; nothing: the genesis
  // Digest of the slot start + 1 + i; the last one was chosen by clause 2 or 6. What lies above is free.
  std::vector<Digest> slots;

  [[nodiscard]] SequenceNumber end() const { return SequenceNumber{start.value + slots.size()}; }
  // The digest of slot n; null where n is not among those that are filled.
  [[nodiscard]] const Digest* at(SequenceNumber n) const {
    return n > start && n <= end() ? &slots[n.value - start.value - 1] : nullptr;
  }
};

// The decision that `view_changes` lead to; nothing: they are not enough (clause 4, or fewer than a quorum).
// Precondition: distinct senders, all for one view, problem() finds nothing with any of them.
[[nodiscard]] std::optional<Decision> decide(const std::vector<NewView::Signed>& view_changes, const Quorum& quorum,
                                             const Room& room);

}  // namespace pbft::new_view_rules
