// Bundles that wait for a place in a batch: at the primary to be proposed, at a backup for the case that it becomes
// the primary. Bounded in requests and in bytes, over all clients and per client, so one client cannot crowd out
// another; and the clients take turns, so that none waits for what another has waiting.
//
// Of one client's bundles, those that backups have handed on go first, since the backups wait for them, and the backups
// take turns as well: whatever the client sends to others, the first bundles of each are among the first here. Where
// the client has no room left, a bundle takes that of those behind it. So whoever fills the queue makes only itself
// wait.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
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
  // waits without a signature makes way for its signed copy, and what waits goes further ahead where it is handed on.
  [[nodiscard]] Added add(const BundlePtr& bundle, Proof proof = Proof::holds,
                          std::optional<ReplicaId> handed_on_by = std::nullopt);
  // Takes bundles for the batch of slot n, one of each client in turn, within the limits of a batch. They stay known as
  // in flight.
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
  // It waits no longer.
  void forget_waiting(const Bundle& bundle);
  // Drops what waits and does not pass.
  void keep_only(const std::function<bool(const Bundle&)>& passes);
  // It waits or is in flight.
  [[nodiscard]] bool knows(const Digest& bundle) const {
    return waiting_.contains(bundle) || in_flight_.contains(bundle);
  }
  // What waits, in the order in which it would be taken.
  [[nodiscard]] std::vector<BundlePtr> waiting() const;
  // Of one client, the first so many.
  [[nodiscard]] std::vector<BundlePtr> waiting_of(const ClientId& client, std::size_t most) const;
  [[nodiscard]] BundlePtr waiting(const Digest& bundle) const;
  // The client has had its turn: the others come before it.
  void end_turn(const ClientId& client);
  // The clients of which something came or went since this was last asked.
  [[nodiscard]] std::set<ClientId> take_moved() { return std::exchange(moved_, {}); }
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

  // Among the bundles of one client: by round and arrival. Of those that one backup has handed on there is at most one
  // in a round; all others come in the last.
  using Place = std::pair<std::uint64_t, std::uint64_t>;
  static constexpr std::uint64_t last_round = UINT64_MAX;
  struct Client {
    std::map<Place, BundlePtr> bundles;            // Invariant: not empty
    std::map<ReplicaId, std::uint64_t> handed_on;  // the last round of each backup
    std::uint64_t round = 0;                       // of the last bundle that was taken of those
    std::uint64_t turn = 0;
    Load load;
  };

  [[nodiscard]] Place place_for(const ClientId& client, std::optional<ReplicaId> handed_on_by) const;
  void put(const BundlePtr& bundle, const Place& place, std::optional<ReplicaId> handed_on_by);
  void move_ahead(const Bundle& bundle, ReplicaId handed_on_by);
  // Make room for the bundle behind this place, where there is none: among those of its own client, and among all.
  // False where that cannot be.
  [[nodiscard]] bool fits_client(const Bundle& bundle, const Place& place);
  [[nodiscard]] bool fits_total(const Bundle& bundle, const Place& place);
  [[nodiscard]] Load load_with(const Bundle& bundle) const;
  void change_load(const ClientId& client, Client& mine, const std::function<void(Load&)>& change);

  const LocalParameters& parameters_;
  std::map<ClientId, Client> clients_;
  std::map<std::uint64_t, ClientId> turns_;  // Invariant: exactly those in clients_; the first is the next
  // Invariant: exactly those in clients_, by how much waits.
  std::set<std::pair<std::size_t, ClientId>> by_requests_;
  std::set<std::pair<std::size_t, ClientId>> by_bytes_;
  // Invariant: exactly the bundles in clients_.
  std::map<Digest, std::pair<ClientId, Place>> waiting_;
  std::uint64_t arrivals_ = 0;
  std::uint64_t last_turn_ = 0;
  std::map<Digest, SequenceNumber> in_flight_;           // in which slot; where it is in several, in the last
  std::set<std::pair<SequenceNumber, Digest>> by_slot_;  // Invariant: the same
  Load total_;                                           // waiting
  std::set<ClientId> moved_;
};

}  // namespace pbft
