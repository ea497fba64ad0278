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
  std::map<std::uint64_t, Digest> slots;  // of start + 1 .. the last one that is bound
};

// The smallest number of replicas of which any two sets share a correct one.
[[nodiscard]] std::size_t quorum_of(std::uint32_t replicas);

// Nothing: the view-changes do not allow a decision.
[[nodiscard]] std::optional<OpenedView> open_view(const std::vector<NewView::Signed>& view_changes,
                                                  std::uint32_t replicas, std::uint64_t window);

}  // namespace pbft::sim
