// Bundles that wait for a place in a batch: at the primary to be proposed, at a backup for the case that it becomes
// the primary. Bounded in requests and in bytes, over all clients and per
// client, so one client cannot crowd out another.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "node/pbft/messages.h"
#include "node/pbft/parameters.h"

namespace pbft {

class RequestQueue {
 public:
  enum class Added : std::uint8_t { yes, known, full, client_full };

  // Whether the bundle's proof holds here. Not known of what came with a batch that others vouched for.
  enum class Proof : std::uint8_t { holds, unknown };

  explicit RequestQueue(const LocalParameters& parameters) : parameters_(parameters) {}

  // A bundle that waits or is in flight already is `known`: it is not ordered twice because it came twice. One that
  // waits without a signature makes way for its signed copy.
  [[nodiscard]] Added add(const BundlePtr& bundle, Proof proof = Proof::holds);
  // Takes bundles for the batch of slot n, oldest first, within the limits of a batch. They stay known as in flight.
  [[nodiscard]] std::vector<BundlePtr> take_batch(SequenceNumber n);
  // The bundle is in a batch that was proposed for slot n: by this replica before its restart, or by another primary.
  void mark_in_flight(const Bundle& bundle, SequenceNumber n);
  // The bundle was executed, wherever it waited.
  void executed(const Bundle& bundle);
  // The slots up to n are settled, with these bundles or without them: nothing is in flight there any more.
  void settled(SequenceNumber n);
  // Another view has begun: what was proposed in the last one is not in flight any more.
  void forget_in_flight() {
    in_flight_.clear();
    by_slot_.clear();
  }
  // Drops what waits and does not pass.
  void keep_only(const std::function<bool(const Bundle&)>& passes);
  // It waits or is in flight.
  [[nodiscard]] bool knows(const Digest& bundle) const {
    return waiting_.contains(bundle) || in_flight_.contains(bundle);
  }
  // What waits, by arrival.
  [[nodiscard]] std::vector<BundlePtr> waiting() const;
  // Whether anything is in flight in a slot up to n.
  [[nodiscard]] bool in_flight_up_to(SequenceNumber n) const {
    return !by_slot_.empty() && by_slot_.begin()->first <= n;
  }

  [[nodiscard]] bool empty() const { return waiting_.empty(); }
  [[nodiscard]] std::size_t requests() const { return total_.requests; }
  // As much waits as goes into one batch.
  [[nodiscard]] bool fills_batch() const {
    return total_.requests >= parameters_.max_batch_requests || total_.bytes >= parameters_.max_batch_bytes;
  }

  void invariants() const;

 private:
  struct Load {
    std::size_t requests = 0;
    std::size_t bytes = 0;
    void add(const Bundle& bundle);
    void remove(const Bundle& bundle);
  };

  void forget_waiting(const Bundle& bundle);

  const LocalParameters& parameters_;
  // By arrival. Invariant: holds exactly the bundles whose digests are in waiting_.
  std::map<std::uint64_t, BundlePtr> order_;
  std::map<Digest, std::uint64_t> waiting_;
  std::uint64_t arrivals_ = 0;
  std::map<Digest, SequenceNumber> in_flight_;           // in which slot; where it is in several, in the last
  std::set<std::pair<SequenceNumber, Digest>> by_slot_;  // Invariant: the same
  std::map<ClientId, Load> per_client_;                  // waiting
  Load total_;                                           // waiting
};

}  // namespace pbft
