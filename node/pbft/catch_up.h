// Catching up by the ledger: a replica that is behind a proven checkpoint, whose messages its peers have truncated,
// fetches the digests of the batches in between, checks them against the proven root as a whole, and then the
// batches by digest. Nothing unproven is ever executed.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>

#include "node/pbft/checkpointing.h"
#include "node/pbft/delivery.h"
#include "node/pbft/message_log.h"
#include "node/pbft/outbox.h"

namespace pbft {

class CatchUp {
 public:
  CatchUp(const ClusterParameters& cluster, const LocalParameters& local, const MessageLog& log, Delivery& delivery,
          const Checkpointing& checkpointing);

  void on_tick(Ticks now, View view, Outbox& out);
  void on_ledger_range(ReplicaId sender, const LedgerRange& message, Outbox& out);
  void on_fetch_ledger(ReplicaId sender, const FetchLedger& message, Outbox& out);
  [[nodiscard]] bool wants(SequenceNumber n, const Digest& digest) const;
  // A batch that wants() was true for.
  void on_batch(SequenceNumber n, const BatchPtr& batch);
  // Delivers what is proven, in hand and next.
  void deliver(View view, Outbox& out);

  [[nodiscard]] bool active() const { return range_.has_value(); }
  // True where peers were asked and none can serve the range any more, or its batches: that a liar goes on to prove the
  // one without giving the other does not count.
  [[nodiscard]] bool needs_state_transfer() const { return gave_up_ || unanswered_ > cluster_.replicas; }
  // The state was replaced by a later one.
  void reset();

 private:
  // The digests first.. that the root of `target` proves.
  struct Range {
    SequenceNumber first;
    SequenceNumber last;
    std::vector<Digest> digests;
    std::map<SequenceNumber, BatchPtr> batches;  // came in before their turn; bounded by the fetches under way
    struct Fetch {
      Ticks sent;
      std::uint32_t tries;
    };
    std::map<SequenceNumber, Fetch> fetches;

    [[nodiscard]] const Digest* digest(SequenceNumber n) const {
      return n >= first && n <= last ? &digests[n.value - first.value] : nullptr;
    }
  };
  struct Request {
    SequenceNumber first;
    Digest head_before;  // of the ledger, before `first`
    StableCheckpoint target;
    Ticks sent;
  };

  [[nodiscard]] ReplicaId peer(std::uint32_t turn) const;
  void ask_for_range(Outbox& out);
  void ask_for_batches(Outbox& out);
  void finish_if_done(Outbox& out);

  const ClusterParameters& cluster_;
  const LocalParameters& local_;
  const MessageLog& log_;
  Delivery& delivery_;
  const Checkpointing& checkpointing_;

  std::optional<Request> request_;
  std::optional<Range> range_;
  std::uint32_t turns_ = 0;
  std::uint32_t unanswered_ = 0;
  bool gave_up_ = false;  // nobody gave a batch of a proven range; until the state is replaced, or the way is done
  Ticks now_ = 0;
  SequenceNumber seen_delivered_;
  Ticks progress_ = 0;  // tick of the last delivery
  std::vector<Ticks> served_;
};

}  // namespace pbft
