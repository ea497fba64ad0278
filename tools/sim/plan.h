// What a seed stands for: the shape of the cluster, the work of its clients and the mix of faults, all drawn before
// the run starts. Each seed turns on a random subset of the faults at random rates, so that rare combinations meet.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "node/pbft/parameters.h"
#include "tools/sim/byzantine/lies.h"
#include "tools/sim/faults.h"
#include "tools/sim/scheduler.h"

namespace pbft::sim {

struct NetworkPlan {
  Microseconds delay_min = 100;
  Microseconds delay_max = 2'000;
  Microseconds slow_max = 500'000;  // a frame that is hit by slow_link takes up to this
  std::uint32_t loss = 0;           // per mille of the frames, as all of these
  std::uint32_t duplicate = 0;
  std::uint32_t slow = 0;
  std::uint32_t corrupt = 0;
  bool reorder = false;  // false: a link delivers in the order of sending
};

// A fault that happens again and again.
struct Cadence {
  Microseconds mean = 0;     // between two of them; 0: never
  Microseconds longest = 0;  // how long one lasts at most
};

struct ClientPlan {
  std::uint32_t clients = 3;
  std::uint32_t outstanding = 4;  // at most this many operations of a client at a time
  std::uint32_t operations = 60;  // of each client
  std::uint32_t keys = 3;
  Microseconds think_max = 200'000;  // between an answer and the next operation
  std::uint32_t rests = 0;           // per mille of the answers with a longer time behind them
  Microseconds rest_max = 0;         // of up to this
  std::uint32_t reads = 300;         // per mille of the operations
  std::uint32_t deadlines = 0;       // per mille of the operations that are given up after some seconds
  std::uint32_t max_value = 32;      // bytes
  bool signatures = false;           // proof of the bundles
  std::uint32_t faulty = 0;          // of the clients, the last ones: they break proofs and numbers
};

struct Plan {
  std::uint64_t seed = 0;
  ClusterParameters cluster;  // without the clients' keys
  LocalParameters local;      // without self
  NetworkPlan network;
  ClientPlan clients;
  std::array<Cadence, fault_count> cadence{};
  Microseconds tick = 10 * millisecond;
  Microseconds turn_max = 300;          // from the arrival of a frame to the turn that takes it
  Microseconds duration = 20 * second;  // of the faults; then everything heals
  Microseconds clock_skew_max = 0;
  std::uint64_t pace = 1;         // how many times rarer than usual the faults are that have no cadence
  Microseconds twins_change = 0;  // about so often others come to hear another copy of a twin; 0: all hear both
  // Replicas that are dead for good, that lie, and that lose their disk: disjoint, together at most f.
  std::set<std::uint32_t> dead;
  Microseconds dead_at = 0;  // from when on
  std::map<std::uint32_t, std::vector<Lie>> liars;
  std::set<std::uint32_t> wiped;
  bool final_blackout = false;  // in the end all lose power once more, and everything has to be there
  bool ed25519 = false;
  bool rocksdb = false;           // the stores are on RocksDB; its threads make a run one that is not repeated exactly
  std::uint64_t ledger_keep = 0;  // batches below the stable checkpoint; 0: all
  std::size_t gather_bytes = 0;   // of changes that wait for a checkpoint; 0: none
  std::size_t checkpoint_pairs = 128;  // that are written in a turn
  std::size_t write_bytes = 1U << 20;  // about as much in one write
  std::size_t tree_rows = 16;          // that have their turn with each checkpoint at least
  std::size_t pairs_per_row = 8;
  std::size_t table_bytes = 1U << 28;  // of large results that all sessions keep

  [[nodiscard]] Cadence& of(Fault fault) { return cadence[static_cast<std::size_t>(fault)]; }
  [[nodiscard]] const Cadence& of(Fault fault) const { return cadence[static_cast<std::size_t>(fault)]; }
  [[nodiscard]] std::uint32_t f() const { return (cluster.replicas - 1) / 3; }
  // Those of whom nothing is promised.
  [[nodiscard]] bool lies(std::uint32_t replica) const { return liars.contains(replica); }
  // Whether there are two of it.
  [[nodiscard]] bool twins(std::uint32_t replica) const {
    const auto found = liars.find(replica);
    return found != liars.end() &&
           std::find(found->second.begin(), found->second.end(), Lie::twins) != found->second.end();
  }
  // Whether a bundle's proof may hold at some replicas and not at others.
  [[nodiscard]] bool proofs_break() const { return !cluster.signed_requests && (clients.faulty > 0 || !liars.empty()); }
  [[nodiscard]] bool faulty_client(std::uint32_t client) const { return client + clients.faulty >= clients.clients; }
};

// What is asked of all seeds; each share is chosen by a stream of its own, so that all other seeds stay as they are.
struct Shares {
  std::vector<std::uint32_t> sizes{};     // n is one of these; empty: as drawn
  std::optional<std::uint32_t> crypto{};  // per cent of the seeds that sign with Ed25519; nothing: as drawn
  std::uint32_t rocksdb = 1;              // per cent of the seeds whose stores are on RocksDB
  std::uint32_t hours = 4;                // per cent of the seeds that run for hours
};
[[nodiscard]] Plan draw_plan(std::uint64_t seed, const Shares& shares = {});
[[nodiscard]] std::string describe(const Plan& plan);  // a few lines for people

}  // namespace pbft::sim
