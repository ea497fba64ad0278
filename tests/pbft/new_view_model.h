// The rule of new_view_rules.h once more, for comparison: written down from the text of its clauses with sets and
// loops, slow and obvious, and with switches that leave a part of it out, so that a test can show that it would notice.
#pragma once

#include <optional>
#include <vector>

#include "node/pbft/new_view_rules.h"

namespace pbft::testing {

// The view-changes that a new view is made of, with the name that the rule has for them.
using S = std::vector<NewView::Signed>;

struct Model {
  std::uint32_t quorum;
  std::uint32_t weak;
  std::uint64_t window;
  std::uint64_t interval;
  std::uint64_t votes;
  bool a1 = true;
  bool a2 = true;
  bool null_binds = true;  // false: a null batch that clause 2 chose counts as one of clause 3

  Model(const Quorum& counts, const new_view_rules::Room& room)
      : quorum(counts.quorum()), weak(counts.weak()), window(room.window), interval(room.interval), votes(room.votes) {}

  [[nodiscard]] std::optional<new_view_rules::Decision> decide(const S& s) const;
};

// A digest that a person can tell from others: of this letter alone. They are ordered like the letters.
[[nodiscard]] Digest letter(char name);

}  // namespace pbft::testing
