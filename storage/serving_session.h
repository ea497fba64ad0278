// The state at one checkpoint as it is given to a replica that fetches it: a snapshot of the engine, and what changed
// since the checkpoint. It goes on being that state whatever is applied, taken and truncated meanwhile. One thread.
#pragma once

#include <memory>
#include <optional>

#include "storage/counting_reader.h"
#include "storage/state_view.h"

namespace pbft::storage {

class ServingSession {
 public:
  // Nothing where the state at n is not kept, or is not to be given (damaged, or being replaced). The work is in
  // proportion to what changed since n, and, where `leaves` (the digests of all buckets at n) is null, since the oldest
  // row of family tree. `where` names the store in errors.
  [[nodiscard]] static Result<std::unique_ptr<ServingSession>> open(std::shared_ptr<const Reader> snapshot,
                                                                    SequenceNumber n, std::string where,
                                                                    const std::vector<Digest>* leaves);

  [[nodiscard]] const Tree& tree() const { return tree_; }
  // As Store::bucket_part. The first call for a bucket reads its list.
  [[nodiscard]] Result<std::optional<BucketPart>> part(const FetchBucket& request, ReplicaId asker);
  // Of the work since the last call, the opening included: bytes that were read, or of lists that were gone through.
  [[nodiscard]] std::uint64_t take_work();

 private:
  struct Listing {
    std::uint32_t bucket = 0;
    std::vector<ListedPair> pairs;  // ascending names
    std::vector<PairHash> hashes;   // the same, ascending
    std::size_t largest = 0;        // value that was met
  };
  // What an asker lacks of a bucket of which it was given a part: the parts of an answer go through the list once.
  struct Walk {
    ReplicaId asker;
    std::uint32_t bucket = 0;
    Digest have;                         // what it was compared with
    std::vector<std::uint32_t> lacking;  // indexes into the pairs of the list; ascending
  };
  static constexpr std::size_t max_listings = 8;
  static constexpr std::size_t max_walks = 2;  // of each asker; an honest one asks for no more at a time

  ServingSession(std::shared_ptr<const Reader> snapshot, std::string where)
      : snapshot_(std::make_shared<CountingReader>(std::move(snapshot))),
        where_(std::move(where)),
        view_(*snapshot_, where_) {}
  [[nodiscard]] Result<std::vector<Digest>> count_leaves(SequenceNumber n) const;
  [[nodiscard]] Result<Listing*> listing(std::uint32_t bucket);
  // The one that was begun, or a new one.
  [[nodiscard]] const Walk& walk(const FetchBucket& request, ReplicaId asker, const Listing& list);
  [[nodiscard]] Result<void> fill(BucketPart& part, Listing& list, const std::vector<std::uint32_t>& lacking) const;

  std::shared_ptr<const CountingReader> snapshot_;
  std::string where_;
  StateView view_;
  Changes changes_;  // since the checkpoint
  Tree tree_;
  std::vector<std::unique_ptr<Listing>> listings_;  // the one that was used last is the last
  std::vector<Walk> walks_;                         // as well. Invariant: at most max_walks of each asker
  std::uint64_t taken_ = 0;                         // of what was read
  std::uint64_t gone_through_ = 0;                  // bytes of lists
};

// What is being given to whom. Each asker has two places of its own, for two checkpoints: whatever one of them asks
// for, it pushes out nothing but its own. Askers of the same checkpoint share a session. A snapshot holds back the
// removal of old data, so that all of this ends: what an asker holds when it is idle, when it has held it for long, and
// when it asks for a third checkpoint; a session with its last holder. One that is older than a life takes no further
// ones, so that they cannot keep it for ever by taking turns. Askers are replicas: so many places are bounded.
class ServingSessions {
 public:
  static constexpr std::size_t most = 2;  // for each asker
  static constexpr std::uint64_t idle_ticks = 1'000;
  static constexpr std::uint64_t life_ticks = 60'000;

  // Null where the state at n is not kept. `leaves` as in ServingSession::open.
  [[nodiscard]] Result<ServingSession*> at(ReplicaId asker, SequenceNumber n, const Engine& engine,
                                           const std::vector<Digest>* leaves);
  void tick(std::uint64_t ticks);
  // Who has fetched a state goes on with the batches behind it. So they stay, too, as long as it holds the state, and
  // asking for them keeps it: otherwise the next state would have to be fetched, and so on, under load without an end.
  void asked_for_batch(ReplicaId asker, SequenceNumber n);
  // The lowest checkpoint that somebody holds.
  [[nodiscard]] std::optional<SequenceNumber> lowest() const;
  void clear() { held_.clear(); }
  // Sessions, each counted once.
  [[nodiscard]] std::size_t size() const;

 private:
  struct Shared {
    std::unique_ptr<ServingSession> session;
    std::uint64_t opened;  // at this tick
  };
  struct Held {
    ReplicaId asker;
    SequenceNumber n;
    std::shared_ptr<Shared> shared;
    std::uint64_t idle = 0;
    std::uint64_t age = 0;
  };

  [[nodiscard]] Result<std::shared_ptr<Shared>> share(SequenceNumber n, const Engine& engine,
                                                      const std::vector<Digest>* leaves) const;
  // Invariant: at most `most` of each asker.
  std::vector<Held> held_;  // what was used last is the last
  std::uint64_t now_ = 0;   // ticks
};

}  // namespace pbft::storage
