// Clients whose MACs did not hold somewhere, and who therefore have to sign their requests: each costs the cluster one
// delay and not a series. A report proves nothing against the client, since a faulty primary may have broken the MAC,
// or the reporter may lie: it costs the client signatures and nothing else. In memory: a restart forgets it.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "node/pbft/message_log.h"
#include "node/pbft/outbox.h"
#include "node/pbft/parameters.h"

namespace pbft {

class Suspects {
 public:
  explicit Suspects(const ClusterParameters& cluster)
      : cluster_(cluster), quorum_(cluster.replicas), reporters_(cluster.replicas) {}

  // Whether requests of this client are taken with a signature only.
  [[nodiscard]] bool must_sign(const ClientId& client, Ticks now) const;
  // Whether this replica has named the client itself. It believes itself, however many it has named: what such a client
  // did not sign is ordered where the primary takes it, but is nothing that a backup keeps, or waits for.
  [[nodiscard]] bool named_here(const ClientId& client, Ticks now) const;
  // Bundles with MACs in this proposal did not hold here: reports their clients to all, a few of each proposal.
  void found_in_batch(const PrePrepare& message, Ticks now, Outbox& out);
  // A bundle that a backup handed on did not hold here. One backup may have broken it; f+1 of them did not.
  void found_in_forward(ReplicaId from, const Bundle& bundle, Ticks now, Outbox& out);
  // Requests with MACs were handed on for a client that has to sign: whoever did so does not know of it. A liar who
  // told the primary alone could make backups wait for what the primary does not take.
  void refused_in_forward(const ClientId& client, Ticks now, Outbox& out) {
    static_cast<void>(report(client, now, out));
  }
  // The primary is suspected because it, which is there, does not order requests with MACs of this client. Either is to
  // blame: the primary may not be able to, since they do not hold there.
  void waited_in_vain(const ClientId& client, Ticks now, Outbox& out) { static_cast<void>(report(client, now, out)); }
  // Own reports come here too, once they are signed. True where the client has to sign from now on.
  bool on_report(ReplicaId from, const ClientReport& report, Ticks now, Outbox& out);

  void invariants() const;

 private:
  // A single replica's word counts for so many clients at a time, so that it cannot push everybody to signatures.
  static constexpr std::size_t alone = 8;
  static constexpr std::size_t most_named = 4096;  // by one replica; the oldest goes first
  static constexpr std::size_t most_in_batch = 8;
  static constexpr std::size_t most_reports = 64;  // made in the time of `again`: each costs every replica a signature
  static constexpr std::size_t most_forwards = 1024;
  static constexpr Ticks remembered = 360'000;  // an hour of 10 ms ticks
  static constexpr Ticks again = 100;           // a report may get lost, so it is made again

  // Whom one replica has named, and when last.
  class Named {
   public:
    [[nodiscard]] std::optional<Ticks> at(const ClientId& client) const;
    // Returns who is forgotten for it, if anybody.
    std::optional<ClientId> set(const ClientId& client, Ticks now);
    [[nodiscard]] std::size_t since(Ticks when) const;  // up to most_reports
    void invariants() const;

   private:
    std::map<ClientId, Ticks> clients_;
    std::set<std::pair<Ticks, ClientId>> by_time_;  // Invariant: the same
  };
  struct Reporter {
    Named clients;
    std::set<ClientId> counts_alone;  // Invariant: a subset of these, at most `alone`
  };
  // False where it was made a moment ago, or too many were: if it matters there will be reason for it again.
  bool report(const ClientId& client, Ticks now, Outbox& out);
  [[nodiscard]] static bool remembers(const Named& named, const ClientId& client, Ticks now);

  const ClusterParameters& cluster_;
  const Quorum quorum_;
  std::vector<Reporter> reporters_;  // by replica
  Named said_;                       // own reports
  std::map<Digest, std::set<ReplicaId>> forwards_;
};

}  // namespace pbft
