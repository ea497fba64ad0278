// What the core is told at its start and never changes while it runs.
#pragma once

#include <cstdint>
#include <set>

#include "node/pbft/types.h"

namespace pbft {

// Agreed on by all replicas: part of the genesis, and so of the cluster id.
struct ClusterParameters {
  std::uint32_t replicas = 4;                   // n; f is derived
  std::uint64_t checkpoint_interval = 128;      // K, in sequence numbers
  std::uint64_t window = 512;                   // L, a multiple of K, at least 2K
  std::uint64_t session_window = 1024;          // request numbers a session may have outstanding
  std::uint64_t max_sessions = 10'000;          // over all clients; the least recently used one is evicted
  std::uint64_t max_clock_skew_us = 5'000'000;  // a batch's time may be ahead of a backup's clock by this
  Epoch epoch{1};
  // With more votes in a VIEW-CHANGE than this a new view is filled up to a checkpoint (new_view_rules.h, clause 6). 0:
  // as many as leave room in a message; a simulation takes fewer, to see it done. No part of the genesis: 0 there.
  std::uint64_t crowded_above = 0;
  // Where clients are open: clients without a session that are remembered, so that what opened their last one cannot be
  // played again. Beyond it those go whose last session is the oldest.
  std::uint64_t max_idle_clients = 100'000;
  // Bundles count only with their client's signature. MACs cost less, but may hold for some replicas and not for
  // others: a client that is found out has to sign from then on.
  bool signed_requests = false;
  bool open_clients = false;  // true: any key may be a client, and `clients` is empty
  std::set<ClientId> clients;
};

// One replica's own choices. One tick is what the driver calls a tick (10 ms unless configured).
struct LocalParameters {
  ReplicaId self;
  std::uint32_t pipeline = 8;               // batches that the primary has in flight at most
  std::uint32_t max_batch_requests = 1000;  // at most Limits::max_batch_bundles * max_bundle_requests
  std::size_t max_batch_bytes = 1U << 20;   // of the bundles' bodies; at most Limits::max_batch_bytes
  // What waits at the primary to be ordered: over all clients, and of each.
  std::size_t max_queued_requests = 100'000;
  std::size_t max_queued_requests_per_client = 10'000;
  std::size_t max_queued_bytes = 256U << 20;
  std::size_t max_queued_bytes_per_client = 16U << 20;
  std::uint32_t status_interval_ticks = 5;  // while something is lacking
  std::uint32_t idle_status_interval_ticks = 100;
  std::uint32_t fetch_timeout_ticks = 20;  // then the next peer is asked
  // A request that is known here waits this long for its execution before the primary is suspected; doubled by each
  // view that brings no progress, up to the maximum.
  std::uint32_t view_timeout_ticks = 100;
  std::uint32_t view_timeout_max_ticks = 3'000;
  // A replica that is this many batches behind a stable checkpoint fetches its state, and not the batches in between.
  std::uint64_t transfer_above = 512;
  // Of a state, a replica fetches so much in a tick at first while the others are at work; 0: as much as they give.
  std::uint64_t transfer_bytes_per_tick = 32U << 10;
  // A state that differs from the certified one is repaired without being told to.
  bool repair = true;
};

}  // namespace pbft
