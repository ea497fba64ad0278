// What becomes of a request that comes in, from its client or handed on by a backup: it is answered from the cache,
// refused with a reason, or waits to be ordered; a backup hands it on to the primary and waits with it, as it would if
// the primary did not answer its client (TOCS 2002, section 4.2).
#pragma once

#include <deque>
#include <optional>
#include <set>

#include "node/pbft/client_table.h"
#include "node/pbft/delivery.h"
#include "node/pbft/normal_operation.h"
#include "node/pbft/outbox.h"
#include "node/pbft/primary_watch.h"
#include "node/pbft/request_queue.h"
#include "node/pbft/suspects.h"
#include "node/pbft/view_state.h"

namespace pbft {

class RequestIntake {
 public:
  RequestIntake(const ViewState& view, const ClientTable& clients, const Delivery& delivery,
                const NormalOperation& normal, RequestQueue& queue, Suspects& suspects, PrimaryWatch& watch)
      : view_(view),
        clients_(clients),
        delivery_(delivery),
        normal_(normal),
        queue_(queue),
        suspects_(suspects),
        watch_(watch) {}

  void on_request(const BundlePtr& bundle, Ticks now, Outbox& out);
  void on_forward(ReplicaId sender, const Forward& message, Ticks now, Outbox& out);
  // What waited under the last primary is told to this one: its clients may not know yet where it is.
  void entered_view(Ticks now, Outbox& out);
  // The client has to sign from now on: what it did not sign waits no longer, neither to be ordered nor for the
  // primary.
  void forget_unsigned(const ClientId& client, Outbox& out);
  // What the watch has found out in this tick: tells the primary once more of what waits, or of what waits for long.
  void on_tick(Ticks now, Outbox& out);
  // What waits is looked at anew.
  void state_replaced(Ticks now, Outbox& out);

 private:
  struct Budget;
  void take(const BundlePtr& bundle, std::optional<ReplicaId> handed_on_by, Ticks now, Outbox& out);
  // Tells the primary what waits here, of each client one bundle before the second of any. The clients take turns.
  void forward_waiting(Outbox& out);
  // Whether it is one of the first bundles of its client that wait here, or is in flight. Only with these this replica
  // waits, and tells the primary of them: what stands behind them has no claim to be executed yet.
  [[nodiscard]] bool is_first(const Bundle& bundle) const;
  // A backup waits only with what it has told the primary of, and tells it of so much in a tick: clients stand in line.
  void line_up(const ClientId& client);
  void line_up_all();
  void serve_line(Ticks now, Outbox& out);
  // Tells the primary of those that have become the first of this client, and waits with them. False where there was
  // no room for all of them.
  [[nodiscard]] bool watch_first(const ClientId& client, Budget& budget, Ticks now, Outbox& out);
  // Drops what waits and needs no order any more.
  void tidy();
  // Answers what is known already: from the cache what was executed, with a refusal what can never be. True where
  // anything in the bundle has still to be ordered.
  [[nodiscard]] bool needs_order(const Bundle& bundle, Outbox& out);
  void enqueue(const BundlePtr& bundle, std::optional<ReplicaId> handed_on_by, Ticks now, Outbox& out);
  // Whether a backup takes the bundle, and waits with its client for its turn.
  [[nodiscard]] bool waits_for(const Bundle& bundle, Ticks now) const {
    return bundle.is_signed() || !suspects_.named_here(bundle.client, now);
  }
  [[nodiscard]] RequestQueue::Added add_to_queue(const BundlePtr& bundle, std::optional<ReplicaId> handed_on_by,
                                                 Ticks now);
  void refuse(const Bundle& bundle, const Request& request, ReplyStatus status, Outbox& out,
              const Bytes& result = {}) const;
  void refuse_all(const Bundle& bundle, ReplyStatus status, Outbox& out) const;

  const ViewState& view_;
  const ClientTable& clients_;
  const Delivery& delivery_;
  const NormalOperation& normal_;
  RequestQueue& queue_;
  Suspects& suspects_;
  PrimaryWatch& watch_;
  Ticks tidied_ = 0;  // when a full queue was last looked through
  // Clients whose first bundles are to be looked at. Invariant: the same in both.
  std::deque<ClientId> line_;
  std::set<ClientId> in_line_;
};

}  // namespace pbft
