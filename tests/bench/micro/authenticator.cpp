// Who said it: MACs and signatures over frames and bundles, n = 4.
#include <benchmark/benchmark.h>

#include "tests/bench/micro/samples.h"

namespace pbft::micro {
namespace {

using testing::TestCluster;

void ed25519_sign(benchmark::State& state) {
  const TestCluster cluster;
  const Bytes data = random_bytes(300);
  for (auto _ : state) benchmark::DoNotOptimize(crypto::ed25519()->sign(cluster.identities[0], data));
}
BENCHMARK(ed25519_sign);

void ed25519_verify(benchmark::State& state) {
  const TestCluster cluster;
  const Bytes data = random_bytes(300);
  const Signature signature = crypto::ed25519()->sign(cluster.identities[0], data);
  for (auto _ : state) {
    benchmark::DoNotOptimize(crypto::ed25519()->verify(cluster.roster.replicas[0], data, signature));
  }
}
BENCHMARK(ed25519_verify);

std::vector<PeerMessage> votes(std::int64_t count) {
  std::vector<PeerMessage> made;
  for (std::int64_t i = 0; i < count; ++i) {
    made.emplace_back(testing::prepare(1'000 + static_cast<std::uint64_t>(i)));
  }
  return made;
}

void seal_broadcast(benchmark::State& state) {
  const TestCluster cluster;
  auto sender = cluster.replica(1);
  const auto messages = votes(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(sender.seal_broadcast(messages));
}
BENCHMARK(seal_broadcast)->Arg(1)->Arg(16);

void open_peer(benchmark::State& state) {
  const TestCluster cluster;
  const SharedBytes frame = SharedBytes::own(cluster.replica(1).seal_broadcast(votes(state.range(0))));
  auto receiver = cluster.replica(2);
  for (auto _ : state) benchmark::DoNotOptimize(receiver.open_peer(frame, ReplicaId{1}).value());
}
BENCHMARK(open_peer)->Arg(1)->Arg(16);

// With the MACs of all its bundles.
void open_peer_pre_prepare(benchmark::State& state) {
  const TestCluster cluster;
  const auto requests = static_cast<std::size_t>(state.range(0));
  const PrePrepare message{View{1}, SequenceNumber{5}, batch_of(1, requests / 16, 16), {}};
  const SharedBytes frame = SharedBytes::own(cluster.replica(1).seal_broadcast({message}));
  auto receiver = cluster.replica(2);
  for (auto _ : state) benchmark::DoNotOptimize(receiver.open_peer(frame, ReplicaId{1}).value());
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(open_peer_pre_prepare)->Arg(400);

void seal_bundle(benchmark::State& state, Proof proof) {
  const TestCluster cluster;
  auto client = cluster.client();
  const auto requests = puts(1, static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) {
    benchmark::DoNotOptimize(client.seal_bundle(SessionId{1}, RequestNumber{1}, requests, proof));
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK_CAPTURE(seal_bundle, macs, Proof::macs)->Arg(1)->Arg(16);
BENCHMARK_CAPTURE(seal_bundle, signature, Proof::signature)->Arg(1)->Arg(16);

void check_bundle_macs(benchmark::State& state) {
  const TestCluster cluster;
  auto receiver = cluster.replica(2);
  const BundlePtr bundle = bundle_of(1, static_cast<std::size_t>(state.range(0)), Proof::macs);
  for (auto _ : state) benchmark::DoNotOptimize(receiver.bundle_authentic(*bundle));
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(check_bundle_macs)->Arg(1)->Arg(16);

// Signatures that held are remembered: each is checked once by an authenticator that has not seen it.
void check_bundle_signature(benchmark::State& state) {
  const TestCluster cluster;
  const BundlePtr bundle = bundle_of(1, static_cast<std::size_t>(state.range(0)), Proof::signature);
  for (auto _ : state) {
    state.PauseTiming();
    auto receiver = cluster.replica(2);
    state.ResumeTiming();
    benchmark::DoNotOptimize(receiver.bundle_authentic(*bundle));
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(check_bundle_signature)->Arg(1)->Arg(16);

}  // namespace
}  // namespace pbft::micro
