// What all parts of one run share.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <tuple>
#include <vector>

#include "node/crypto/authenticator.h"
#include "tools/sim/byzantine/conspiracy.h"
#include "tools/sim/byzantine/lies.h"
#include "tools/sim/checkers/agreement.h"
#include "tools/sim/checkers/model.h"
#include "tools/sim/checkers/outcomes.h"
#include "tools/sim/checkers/progress.h"
#include "tools/sim/checkers/promises.h"
#include "tools/sim/checkers/requests.h"
#include "tools/sim/faults.h"
#include "tools/sim/findings.h"
#include "tools/sim/network.h"
#include "tools/sim/plan.h"
#include "tools/sim/random.h"
#include "tools/sim/scheduler.h"
#include "tools/sim/trace.h"

namespace pbft::sim {

// Things that should happen now and then, or the run tested less than it seems.
struct Sometimes {
  std::uint64_t catch_up = 0;           // a replica learnt a range of the ledger
  std::uint64_t stable = 0;             // a checkpoint became stable at a replica
  std::uint64_t window_stall = 0;       // the primary stood at the high water mark
  std::uint64_t restart_prepared = 0;   // a replica came back with a slot prepared and not executed
  std::uint64_t restart_accepted = 0;   // a replica came back with a slot accepted and not prepared
  std::uint64_t executed_again = 0;     // a replica came back with less executed than before
  std::uint64_t duplicate_ordered = 0;  // a batch held a request that had taken effect before
  std::uint64_t session_evicted = 0;
  std::uint64_t result_forgotten = 0;  // a client was told so
  std::uint64_t read_ordered = 0;      // a read fell back to the order
  std::uint64_t refused_frames = 0;
  std::uint64_t client_unknown = 0;  // a client was told that its session, and with it a result, is gone
  std::uint64_t client_timed_out = 0;
  std::uint64_t primary_suspected = 0;
  std::uint64_t view_left = 0;
  std::uint64_t view_joined = 0;  // left because f+1 others had
  std::uint64_t view_entered = 0;
  std::uint64_t carried = 0;               // slots with a batch that an honest primary's new-view took over
  std::uint64_t null_batch = 0;            // executed
  std::uint64_t restart_inactive = 0;      // a replica came back between two views
  std::uint64_t cached_in_later_view = 0;  // a reply was given again in a later view than that of its execution
  std::uint64_t vouched = 0;               // a PREPARE for a batch with a proof that does not hold at its sender
  std::uint64_t client_suspected = 0;
  std::uint64_t transfer_started = 0;
  std::uint64_t transfer_finished = 0;
  std::uint64_t transfer_between_views = 0;  // a transfer ran while its replica had no active view
  std::uint64_t bad_source = 0;
  std::uint64_t rejoined = 0;
  std::uint64_t gap_filled = 0;    // a null batch that an honest primary's new-view put where nothing was bound
  std::uint64_t view_crowded = 0;  // an honest primary's new-view was filled up to a checkpoint because of many votes
  std::uint64_t voted_again = 0;   // a vote, in a later view, on a slot that had been executed here
  std::uint64_t view_skipped = 0;  // a view was left that had not been opened
  std::uint64_t fetched_between_views = 0;  // a batch was asked for by a replica without an active view
  std::uint64_t told_to_sign = 0;           // a client was
  std::uint64_t told_committed = 0;         // what is committed was told to others who could not work it out
  std::uint64_t reply_left_out = 0;         // since the client has enough without it
  std::uint64_t twins_differ = 0;           // two copies of a replica proposed different batches for one slot
};

struct Checkers {
  Checkers(Findings& findings, const Plan& plan);

  Model model;
  OutcomeChecker outcomes;
  RequestChecker requests;
  AgreementChecker agreement;
  PromiseChecker promises;
  ProgressChecker progress;
};

struct World {
  World(const Plan& plan, bool verbose);

  // The wall clock that a perfect clock would show.
  [[nodiscard]] Timestamp wall_clock() const;
  [[nodiscard]] bool is_replica(Endpoint endpoint) const { return endpoint < plan.cluster.replicas + copies.size(); }
  // Whose keys are used there: of a replica itself or of its second copy.
  [[nodiscard]] ReplicaId replica_at(Endpoint endpoint) const {
    const std::uint32_t n = plan.cluster.replicas;
    return endpoint < n ? ReplicaId{endpoint} : copies.at(endpoint - n);
  }
  [[nodiscard]] bool is_copy(Endpoint endpoint) const {
    return is_replica(endpoint) && endpoint >= plan.cluster.replicas;
  }
  // Sends to the replica, and to its second copy where there is one.
  void send(Endpoint from, ReplicaId to, const SharedBytes& frame, TypeMask types);
  void injected(Fault fault) { ++faults[static_cast<std::size_t>(fault)]; }

  const Plan plan;
  const std::vector<ReplicaId> copies;  // second copies of twins, at the endpoints from n on
  Scheduler scheduler;
  Trace trace;
  Findings findings;
  FaultCounts faults{};
  LieCounts lies{};
  Conspiracy conspiracy;
  Sometimes sometimes;
  Checkers checkers;
  Network network;
  std::function<void(Endpoint from, Endpoint to, const SharedBytes& frame)> deliver;

  crypto::Roster roster;
  ClusterParameters cluster;  // with the clients' keys
  std::shared_ptr<const crypto::SignatureScheme> scheme;
  std::vector<crypto::Identity> replica_identities;
  std::vector<crypto::Identity> client_identities;
  std::vector<std::array<std::uint8_t, 32>> client_channels;  // their CURVE keys
  // Client processes, by endpoint: which client each is.
  std::map<Endpoint, std::uint32_t> client_processes;
  Endpoint next_endpoint;
  // What a copy of a twin proposed first.
  std::map<std::tuple<ReplicaId, View, SequenceNumber>, Digest> twin_proposals;
};

}  // namespace pbft::sim
