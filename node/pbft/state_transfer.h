// Catching up to a proven checkpoint by its state (TOCS 2002, section 5.3, with a flat tree of hashed buckets): learns
// the digests of all buckets, fetches those that differ here, from several replicas at once, and replaces the state in
// one step. Nothing is executed meanwhile, and nothing unproven is ever visible. What was fetched survives a crash and
// a change of the target, since buckets are known by their digests.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "node/pbft/checkpointing.h"
#include "node/pbft/delivery.h"
#include "node/pbft/input.h"
#include "node/pbft/message_log.h"
#include "node/pbft/outbox.h"
#include "node/pbft/parameters.h"

namespace pbft {

class StateTransfer {
 public:
  StateTransfer(const ClusterParameters& cluster, const LocalParameters& local, const MessageLog& log,
                Delivery& delivery, const Checkpointing& checkpointing);

  // `ledger_gone`: nobody serves the batches in between any more. `executed`: by f+1 replicas, as far as is known.
  void on_tick(Ticks now, bool ledger_gone, SequenceNumber executed, Outbox& out);
  void on_tree(ReplicaId sender, const Tree& message, Outbox& out);
  void on_bucket_part(ReplicaId sender, const BucketPart& message, Outbox& out);
  void on_planned(const TransferPlanned& done, Outbox& out);
  void on_staged(const BucketStaged& done, Outbox& out);
  // The state that it compares with is not what it seemed. It begins anew with the next tick.
  void abandon() {
    if (active()) stop();
  }
  // The proof of what was installed; nothing where no transfer is under way that ends with this.
  [[nodiscard]] std::optional<StableCheckpoint> on_installed(const StateInstalled& done, Outbox& out);

  // Serving others.
  void on_fetch_tree(ReplicaId sender, const FetchTree& message, Outbox& out);
  void on_fetch_bucket(ReplicaId sender, const FetchBucket& message, Outbox& out);

  [[nodiscard]] bool active() const { return phase_ != Phase::idle; }
  struct Progress {
    SequenceNumber to;
    std::uint32_t buckets = 0;  // that were or are to be fetched
    std::uint32_t left = 0;     // of them
    std::uint64_t bytes = 0;
  };
  [[nodiscard]] Progress progress() const;
  [[nodiscard]] std::string waiting_for(std::vector<ReplicaId>& from) const;
  void invariants() const;

 private:
  enum class Phase : std::uint8_t { idle, tree, planning, fetching, installing };
  struct Fetch {
    ReplicaId source;
    Ticks began = 0;
    std::uint64_t bytes = 0;  // that came since, and what they take where they are staged
    std::uint32_t parts = 0;  // of them
    Ticks sent = 0;           // for the part that is waited for
    std::uint32_t skip = 0;
    bool staging = false;         // a part is here and being looked at
    std::optional<Ticks> paused;  // since this tick the next part waits for its turn
  };
  // What one source has done about a bucket that is not whole.
  struct Share {
    std::uint32_t turns = 0;
    std::uint64_t bytes = 0;     // that it brought, and that they took the place of
    std::uint32_t given_up = 0;  // questions for this target to which an answer may still come
  };
  using Shares = std::vector<Share>;  // of each replica; empty: the bucket is not begun
  struct Source {
    std::uint32_t outstanding = 0;
    std::uint32_t unanswered = 0;  // since it last gave a bucket whole, or the tree
    bool bad = false;              // sent what does not have its digest, or trickles
    Ticks served = 0;              // tick in which it was served last
    std::uint32_t served_in_tick = 0;
    std::optional<Ticks> served_tree;
  };

  [[nodiscard]] bool wanted(bool ledger_gone);
  [[nodiscard]] static bool has_room(const Source& source);
  [[nodiscard]] std::optional<ReplicaId> next_source(const Shares& shares);
  [[nodiscard]] bool has_had_its_share(const Shares& shares, std::uint32_t source) const;
  void start(Outbox& out);
  void stop();
  void ask_for_tree(Outbox& out);
  void ask_for_buckets(Outbox& out);
  void ask_for_part(std::uint32_t bucket, Fetch& fetch, Outbox& out);
  void refill(SequenceNumber executed);
  [[nodiscard]] bool may_fetch() const { return !others_work_ || credit_ > 0; }
  void expire(Outbox& out);
  void expire_one(std::uint32_t bucket, Outbox& out);
  void end_turn(std::uint32_t bucket);
  void give_back(std::uint32_t bucket);
  // False where the source's turn is over.
  [[nodiscard]] bool goes_on(Fetch& fetch, const BucketStaged& done, Outbox& out);
  void accuse(ReplicaId source, const char* what, Outbox& out);

  const ClusterParameters& cluster_;
  const LocalParameters& local_;
  const MessageLog& log_;
  Delivery& delivery_;
  const Checkpointing& checkpointing_;

  Phase phase_ = Phase::idle;
  std::optional<StableCheckpoint> target_;  // Invariant: set in every phase but idle
  CheckpointSummary summary_;               // of the target, from phase planning on
  std::optional<ReplicaId> tree_source_;
  Ticks tree_asked_ = 0;
  std::deque<std::uint32_t> missing_;       // buckets that nobody is being asked for; those that are begun first
  std::map<std::uint32_t, Fetch> fetches_;  // Invariant: disjoint from missing_
  std::map<std::uint32_t, Shares> begun_;   // buckets of which something may be staged, and that are not whole
  std::uint32_t buckets_ = 0;
  std::uint64_t pairs_ = 0;
  std::uint64_t bytes_ = 0;
  std::vector<Source> sources_;
  std::uint32_t turns_ = 0;
  Ticks allowance_ = 0;          // for all parts of one bucket; doubled each time that a source trickles
  std::uint32_t fruitless_ = 0;  // requests that nobody answered since something came in
  // The others are at work where they have executed something lately: this was the last, in that tick.
  SequenceNumber last_executed_;
  std::optional<Ticks> executed_at_;
  bool others_work_ = false;
  Ticks started_ = 0;
  std::int64_t pace_ = 0;    // bytes in a tick, where they are
  std::int64_t credit_ = 0;  // of them, not used yet; below 0 after a large part
  Ticks now_ = 0;
};

}  // namespace pbft
