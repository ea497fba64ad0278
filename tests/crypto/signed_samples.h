// Signed messages of a small cluster's replicas.
#pragma once

#include <optional>
#include <vector>

#include "tests/crypto/cluster.h"

namespace pbft::testing {

inline StableCheckpoint proof(const TestCluster& cluster, const std::vector<std::uint32_t>& voters,
                              std::uint64_t n = 128, std::uint8_t root = 9) {
  StableCheckpoint made{SequenceNumber{n}, digest_of(root), {}};
  for (const std::uint32_t voter : voters) {
    const AuthenticatedPeerMessage vote = cluster.replica(voter).sign(Checkpoint{made.n, made.root, {}});
    made.votes.push_back({ReplicaId{voter}, std::get<Checkpoint>(vote.message()).signed_bytes});
  }
  return made;
}

// Not signed yet.
inline ViewChange view_change(std::optional<StableCheckpoint> stable, std::uint64_t view = 2) {
  const std::uint64_t n = stable ? stable->n.value + 1 : 1;
  const SlotMark mark{SequenceNumber{n}, digest_of(4), View{view - 1}};
  const SlotMark other{SequenceNumber{n}, digest_of(5), View{view - 2}};
  return {View{view}, std::move(stable), {mark}, {mark, other}, {}};
}

// Not signed yet; its view-changes are.
inline NewView new_view(const TestCluster& cluster, const std::vector<std::uint32_t>& senders) {
  NewView made{View{2}, {}, {}, {}};
  for (const std::uint32_t sender : senders) {
    made.view_changes.push_back(
        {ReplicaId{sender}, cluster.replica(sender).sign(view_change(proof(cluster, {0, 1, 2})))});
  }
  return made;
}

}  // namespace pbft::testing
