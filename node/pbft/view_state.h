// The view that this replica is in. Owned by Replica; only ViewChanger changes it, the others read.
#pragma once

#include <optional>

#include "node/pbft/messages.h"
#include "node/pbft/new_view_rules.h"
#include "node/pbft/quorum.h"

namespace pbft {

struct ViewState {
  explicit ViewState(Quorum of) : quorum(of) {}

  const Quorum quorum;
  View view;
  // False from this replica's VIEW-CHANGE for `view` on until its NEW-VIEW is here: it votes on nothing then.
  // Invariant: `view` never falls, and becomes active at most once; both are durable before anybody hears of them.
  bool active = true;
  // What the NEW-VIEW of `view` put into its slots, while that is active; empty in view 0.
  new_view_rules::Decision opening;
  // This replica has lost its memory: it follows the views, but neither votes nor leaves them.
  bool abstains = false;

  [[nodiscard]] ReplicaId primary() const { return quorum.primary(view); }
  [[nodiscard]] bool votes() const { return active && !abstains; }
  // The digest that the NEW-VIEW put into slot n, if it is one of those that it fills.
  [[nodiscard]] const Digest* opened_with(SequenceNumber n) const { return active ? opening.at(n) : nullptr; }
};

}  // namespace pbft
