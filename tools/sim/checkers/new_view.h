// What a new view holds, worked out a second time: from the paper's conditions, in the plainest way, without any code
// of the replica's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "node/pbft/messages.h"

namespace pbft::sim {

struct OpenedView {
  std::uint64_t start = 0;
  std::map<std::uint64_t, Digest> slots;  // of start + 1 .. the last one that is bound, or filled where it is crowded
  bool crowded = false;                   // with votes, and so null batches have been put above that one
};

struct OpeningRules {
  std::uint32_t replicas = 4;
  std::uint64_t window = 8;
  std::uint64_t interval = 4;       // between checkpoints
  std::uint64_t crowded_above = 0;  // votes in a view-change; 0: never
};

// The smallest number of replicas of which any two sets share a correct one.
[[nodiscard]] std::size_t quorum_of(std::uint32_t replicas);

// Nothing: the view-changes do not allow a decision.
[[nodiscard]] std::optional<OpenedView> open_view(const std::vector<NewView::Signed>& view_changes,
                                                  const OpeningRules& rules);

}  // namespace pbft::sim
