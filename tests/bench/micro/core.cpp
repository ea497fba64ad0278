// A batch through a primary and a backup: every step that the two take from the client's bundle to the executed batch,
// with checkpoints. No bytes, no keys, no disk. The other two replicas of n = 4 say what the backup says.
#include <benchmark/benchmark.h>

#include <deque>

#include "node/pbft/replica.h"
#include "tests/pbft/harness.h"

namespace pbft::micro {
namespace {

using testing::Forge;

class Pair {
 public:
  Pair() {
    cluster_.signed_requests = false;
    cluster_.clients = {client};
    for (std::uint32_t id = 0; id < 2; ++id) {
      LocalParameters local;
      local.self = ReplicaId{id};
      Recovered fresh;
      fresh.ledger_head = genesis_ledger_head();
      replicas_.emplace_back(cluster_, local, fresh);
      give(id, Tick{Timestamp{1'000'000}});
    }
    order({testing::make_open(client, 1)});
  }

  // One batch of these; returns when both have executed it.
  void order(const std::vector<BundlePtr>& bundles) {
    for (const BundlePtr& bundle : bundles) {
      give(0, ClientInput{Forge::client(bundle->client, ClientRequest{bundle}), Origin{1}});
    }
    give(0, TurnEnd{});
    while (!inputs_.empty()) {
      const auto [to, input] = std::move(inputs_.front());
      inputs_.pop_front();
      perform(to, replicas_[to].step(input));
      if (inputs_.empty() && proposed_ > 0) {  // what has gathered meanwhile, and nothing has
        proposed_ = 0;
        give(1, TurnEnd{});
      }
    }
  }
  [[nodiscard]] SequenceNumber executed(std::uint32_t id) const { return replicas_[id].status().executed; }

  const ClientId client = testing::client_id(1);

 private:
  void give(std::uint32_t to, Input input) { inputs_.emplace_back(to, std::move(input)); }

  void perform(std::uint32_t from, Effects effects) {
    for (Send& send : effects.send) {
      if (auto* broadcast = std::get_if<Broadcast>(&send)) deliver(from, std::move(broadcast->message));
    }
    for (const ExecuteEffect& effect : effects.execute) {
      if (const auto* run = std::get_if<Execute>(&effect)) {
        last_[from] = {run->n, {}, run->ledger_head, run->time, cluster_.epoch, {}};
        give(from, Executed{run->n});
      } else if (std::holds_alternative<TakeCheckpoint>(effect)) {
        give(from, CheckpointTaken{last_[from]});
      }
    }
  }

  void deliver(std::uint32_t from, PeerMessage message) {
    if (auto* proposal = std::get_if<PrePrepare>(&message)) {
      proposal->authentic.assign(proposal->batch->bundles.size(), true);
      ++proposed_;
    }
    if (auto* checkpoint = std::get_if<Checkpoint>(&message)) {
      checkpoint->signed_bytes = SharedBytes::own(to_bytes("signed"));
      say(from, from, message);
    }
    say(from, 1 - from, message);
    if (from == 1 && !std::holds_alternative<Status>(message)) {
      for (const std::uint32_t other : {2U, 3U}) {
        for (const std::uint32_t to : {0U, 1U}) say(other, to, message);
      }
    }
  }
  void say(std::uint32_t from, std::uint32_t to, const PeerMessage& message) {
    give(to, PeerInput{Forge::peer(ReplicaId{from}, message)});
  }

  ClusterParameters cluster_;
  std::vector<Replica> replicas_;
  CheckpointSummary last_[2];
  std::deque<std::pair<std::uint32_t, Input>> inputs_;
  std::size_t proposed_ = 0;
};

void core_batch(benchmark::State& state) {
  Pair pair;
  const auto requests = static_cast<std::uint64_t>(state.range(0));
  std::uint64_t next = 1;
  for (auto _ : state) {
    state.PauseTiming();
    std::vector<BundlePtr> bundles;
    for (std::uint64_t made = 0; made < requests; made += 16) {
      std::vector<std::uint64_t> numbers;
      for (std::uint64_t i = 0; i < std::min<std::uint64_t>(16, requests - made); ++i) numbers.push_back(next + i);
      bundles.push_back(testing::make_bundle(pair.client, SessionId{1}, next, numbers));
      next += numbers.size();
    }
    const SequenceNumber before = pair.executed(0);
    state.ResumeTiming();
    pair.order(bundles);
    if (pair.executed(0) != before.next() || pair.executed(1) != before.next()) {
      state.SkipWithError("the batch was not executed by both");
      break;
    }
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(core_batch)->Arg(1)->Arg(16)->Arg(400);

}  // namespace
}  // namespace pbft::micro
