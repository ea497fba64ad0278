// From one view to the next (TOCS 2002, section 4.4): VIEW-CHANGEs, NEW-VIEW, joining, and the timers in between. Which
// batches a new view takes over is decided in new_view_rules; why a primary is not trusted, in primary_watch.
//
// A replica that suspects the primary says so in its STATUS, votes on, and leaves once f others say so too or have left
// (in the paper it leaves at once). The suspicion of f+1 changes the view in either case, and nobody joins fewer; but
// whoever is alone with it keeps its vote. Suspicion lasts as long as the view, and is not remembered.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "node/pbft/checkpointing.h"
#include "node/pbft/message_log.h"
#include "node/pbft/normal_operation.h"
#include "node/pbft/outbox.h"
#include "node/pbft/parameters.h"
#include "node/pbft/primary_watch.h"
#include "node/pbft/recovered.h"
#include "node/pbft/view_state.h"

namespace pbft {

// Reason of a ViewLeft that follows others.
inline constexpr const char* joined_reason = "f+1 replicas are in later views";

class ViewChanger {
 public:
  ViewChanger(const ClusterParameters& cluster, const LocalParameters& local, ViewState& view, MessageLog& log,
              NormalOperation& normal, Checkpointing& checkpointing, PrimaryWatch& watch);

  // What storage remembers: the view, whether it is active, and the messages that say so. Before NormalOperation
  // recovers, which needs to know the view.
  void recover(const Recovered& recovered);

  void on_tick(Ticks now, const PrimaryWatch::Standing& standing, Outbox& out);
  // Own messages come here too, once they are signed.
  void on_view_change(ReplicaId sender, const ViewChange& message, Outbox& out);
  void on_new_view(ReplicaId sender, const NewView& message, Outbox& out);
  void on_status(ReplicaId sender, const Status& message, Outbox& out);
  // The primary of the present view is not trusted any more, or there is another reason for the next one.
  void suspect(const char* reason, Outbox& out);
  [[nodiscard]] bool suspects() const { return suspicion_.has_value(); }
  // Leaves the present view for `to`. Nothing where that is no later one, or this replica does not vote.
  void leave(View to, const char* reason, Outbox& out);
  // The new primary goes on as soon as it holds what its view starts from.
  void try_to_open(Outbox& out);
  // A peer says which view it is in: it is sent what it lacks to come to this one.
  void answer(ReplicaId peer, const Status& status, Outbox& out);

  // For the status: whose VIEW-CHANGE for a view that is not active here yet is held.
  [[nodiscard]] std::uint64_t held() const;
  // Batches that the view to be opened here needs and that are missing; where to ask.
  [[nodiscard]] bool wants(SequenceNumber n, const Digest& digest) const;
  [[nodiscard]] std::vector<std::pair<SequenceNumber, Digest>> missing() const;
  [[nodiscard]] std::vector<ReplicaId> holders(SequenceNumber n, const Digest& digest) const;
  // As last told, this replica does not stay in the present view.
  [[nodiscard]] bool has_given_up(ReplicaId replica) const {
    const Peer& peer = peers_[replica.value];
    return peer.trusts > view_.view || (peer.view_change && peer.view_change->view > view_.view);
  }
  // In words, for people: why no view is active, or is to be left.
  [[nodiscard]] std::string waiting_for(std::vector<ReplicaId>& from) const;

  void invariants() const;

 private:
  // What the new primary has decided on and not sent yet.
  struct Proposal {
    std::vector<NewView::Signed> view_changes;
    new_view_rules::Decision decision;
  };
  // Our own record of one peer.
  struct Peer {
    std::optional<ViewChange> view_change;  // the one for the highest view
    std::optional<Ticks> sent_view;         // when it was last sent a NEW-VIEW or VIEW-CHANGE
    View trusts;                            // as last told, the lowest view that it would stay in
  };

  [[nodiscard]] std::vector<NewView::Signed> view_changes_for(View view) const;
  [[nodiscard]] ViewChange own_view_change(View to) const;
  [[nodiscard]] bool conflicts(View view, const new_view_rules::Decision& decision) const;
  [[nodiscard]] bool committed_before(const Slot& slot, View view) const;
  // Those that have given up the present view, as last told; this replica left out.
  [[nodiscard]] std::uint32_t others_that_gave_up() const;
  void leave_with_others(Outbox& out);
  void join(Outbox& out);
  void decide();
  void enter(const NewView& message, new_view_rules::Decision decision, Outbox& out);

  const ClusterParameters& cluster_;
  const LocalParameters& local_;
  ViewState& view_;
  const Quorum& quorum_;
  MessageLog& log_;
  NormalOperation& normal_;
  Checkpointing& checkpointing_;
  PrimaryWatch& watch_;

  std::vector<Peer> peers_;
  std::optional<NewView> new_view_;       // of the active view, as signed; none in view 0
  std::optional<Proposal> proposal_;      // Invariant: only while not active, at the primary of the view
  std::optional<const char*> suspicion_;  // of the primary. Invariant: only while active
  std::optional<Ticks> waits_since_;      // a quorum has left for the present view, and it is not active
  Ticks now_ = 0;
};

}  // namespace pbft
