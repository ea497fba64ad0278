// Rule 35: whatever one replica says, however often, the memory that it takes has a bound.
#include <malloc.h>

#include <catch2/catch.hpp>

#include "tests/pbft/views.h"

using namespace pbft;
using namespace pbft::testing;

namespace {

constexpr std::uint32_t liar = 3;

Digest digest_of(std::uint64_t i) {
  return tagged_digest("flood", as_bytes(std::to_string(i)));
}

ClientId stranger(std::uint64_t i) {
  ClientId id;
  const Digest digest = digest_of(i);
  std::copy(digest.bytes.begin(), digest.bytes.end(), id.bytes.begin());
  return id;
}

// A message of every kind; no two alike, and all of them such as the decoder lets through.
class Flood {
 public:
  explicit Flood(const ClusterParameters& cluster) : cluster_(cluster) {}

  std::vector<PeerMessage> next() {
    const std::uint64_t i = ++count_;
    const View view{i};
    const SequenceNumber inside{1 + i % cluster_.window};
    const SequenceNumber anywhere{i % 3 == 0 ? UINT64_MAX - i : i};
    const BundlePtr bundle = make_bundle(client_id(1), SessionId{i}, 1, {i});
    const BatchPtr batch = make_batch(1'000'000 + i, {bundle});
    Status status;
    status.view = view;
    status.rejoins_in = View{i + 1};
    status.executed = anywhere;
    status.lacks.assign(Limits::max_status_slots, {inside, true, true, true});
    CheckpointSummary summary;
    summary.n = anywhere;
    return {PrePrepare{View{}, inside, batch, {false}},
            PrePrepare{view, inside, batch, {true}},
            Prepare{view, inside, digest_of(i)},
            Prepare{View{4 * i}, anywhere, digest_of(i)},
            Commit{view, inside, digest_of(i)},
            Committed{inside, digest_of(i)},
            Checkpoint{SequenceNumber{4 * i}, digest_of(i), signature(liar)},
            proof_of(4 * i, digest_of(i), {liar}),
            status,
            FetchBatch{anywhere, digest_of(i)},
            BatchResponse{inside, batch},
            FetchLedger{SequenceNumber{1}, anywhere},
            LedgerRange{anywhere, summary, std::vector<Digest>(100, digest_of(i))},
            Forward{bundle, false},
            Forward{bundle, true},
            view_change_with_full_sets(view),
            new_view(i, static_cast<std::uint32_t>(i % 4), {{ReplicaId{liar}, view_change_with_full_sets(view)}}),
            FetchTree{anywhere},
            Tree{summary, std::vector<Digest>(Limits::tree_buckets)},
            FetchBucket{anywhere, 1, 0, std::vector<PairHash>(100)},
            BucketPart{anywhere, 1, 0, 2, {}, {}},
            ClientReport{stranger(i), signature(liar)}};
  }

 private:
  [[nodiscard]] ViewChange view_change_with_full_sets(View view) const {
    ViewChange message = view_change(view.value, liar);
    for (std::uint64_t n = 1; n <= cluster_.window; ++n) {
      message.prepared.push_back({SequenceNumber{n}, digest_of(n), View{view.value - 1}});
      message.voted.push_back({SequenceNumber{n}, digest_of(n), View{view.value - 1}});
    }
    return message;
  }
  const ClusterParameters& cluster_;
  std::uint64_t count_ = 0;
};

std::size_t heap_in_use() {
  return mallinfo2().uordblks + mallinfo2().hblkhd;
}

}  // namespace

TEST_CASE("rule 35: a flood of every kind of message from one replica does not fill the memory", "[flood]") {
  ClusterParameters cluster;
  cluster.checkpoint_interval = 4;
  cluster.window = 8;
  cluster.signed_requests = false;
  cluster.clients.insert(client_id(1));
  Recovered genesis;
  genesis.ledger_head = genesis_ledger_head();
  // As a backup, and as the primary of the view.
  for (const std::uint32_t self : {0U, 1U}) {
    LocalParameters local;
    local.self = ReplicaId{self};
    local.max_queued_requests = 2'000;
    Replica replica{cluster, local, genesis};
    Flood flood{cluster};
    const auto rounds = [&](int count) {
      for (int i = 0; i < count; ++i) {
        if (i % 10 == 0) static_cast<void>(replica.step(Tick{Timestamp{1'000'000}}));
        for (PeerMessage& message : flood.next()) {
          static_cast<void>(replica.step(PeerInput{Forge::peer(ReplicaId{liar}, std::move(message))}));
        }
      }
      replica.invariants();
    };
    rounds(5'000);  // fills what may be filled
    const std::size_t before = heap_in_use();
    rounds(10'000);
    const std::size_t after = heap_in_use();
    CAPTURE(self, before, after);
    CHECK(after < before + (1U << 20));
  }
}
