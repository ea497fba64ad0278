// A replica that has lost its memory. It may have voted on anything up to some slot and some view, and has forgotten
// what; until both are passed it votes on nothing, changes no views and answers no reads. What it could have done is
// bounded by where the others are:
//   - Every checkpoint h that it had stable was executed by a quorum, so by Q - f correct replicas of the others, and
//     it voted up to h + L only.
//   - Before it left a view for v', a quorum had left for v' - 1, or f+1 had left for v'; so some correct one of the
//     others is at v' - 1 or above. Votes in views above that of all correct others are new.
// Of |H| others that say where they are, at least |H| + Q - f - (n - 1) are among these. With that at least f, the f-th
// highest of what they say is no lower than the truth, and f - 1 liars (this replica is a faulty one, too) cannot make
// it arbitrarily high.
#pragma once

#include <optional>
#include <vector>

#include "node/pbft/message_log.h"
#include "node/pbft/outbox.h"
#include "node/pbft/parameters.h"
#include "node/pbft/recovered.h"
#include "node/pbft/view_state.h"

namespace pbft {

class Rejoining {
 public:
  Rejoining(const ClusterParameters& cluster, const LocalParameters& local, ViewState& view, const MessageLog& log,
            const Recovered& recovered);

  void on_status(ReplicaId sender, const Status& status, Outbox& out);
  // Ends the abstention where it is safe. True where it ended with this call.
  bool try_to_end(Outbox& out);
  // For the own status: the view that has to be passed, where everything else is done; else 0.
  [[nodiscard]] View asks_for_view() const;
  // Another replica asks for the view above the present one, so that it can take part again. Each is granted that now
  // and then, so that a liar cannot drive the views round; the view is left once f+1 replicas have granted it.
  [[nodiscard]] bool grants(ReplicaId sender, const Status& status, Ticks now);

  [[nodiscard]] std::string waiting_for() const;

 private:
  struct Claim {
    View view;
    SequenceNumber executed;
  };
  const ClusterParameters& cluster_;
  const LocalParameters& local_;
  ViewState& view_;
  const MessageLog& log_;
  std::optional<PersistRejoin> record_;  // Invariant: set exactly while view_.abstains
  std::vector<std::optional<Claim>> claims_;
  std::vector<std::optional<Ticks>> granted_;
};

}  // namespace pbft
