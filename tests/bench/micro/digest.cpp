// The digest of the state: LtHash and the tree over it. The argument: how many pairs have changed since the last time.
#include <benchmark/benchmark.h>

#include "storage/digest_tree.h"
#include "tests/bench/micro/samples.h"

namespace pbft::micro {
namespace {

using storage::DigestTree;
using storage::LtHash;

void lthash_of(benchmark::State& state) {
  const Digest element = tagged_digest("micro", {});
  for (auto _ : state) benchmark::DoNotOptimize(LtHash::of(element));
}
BENCHMARK(lthash_of);

void lthash_add(benchmark::State& state) {
  LtHash sum;
  const LtHash element = LtHash::of(tagged_digest("micro", {}));
  for (auto _ : state) {
    sum.add(element);
    benchmark::DoNotOptimize(sum);
  }
}
BENCHMARK(lthash_add);

void pair_element(benchmark::State& state) {
  const Bytes key = to_bytes("key00001234");
  const Bytes value = random_bytes(256);
  for (auto _ : state) benchmark::DoNotOptimize(storage::pair_element(Namespace::state, key, value));
}
BENCHMARK(pair_element);

// Overwrites: the old pair goes, the new one comes; then the root.
void digest_tree_update(benchmark::State& state) {
  DigestTree tree;
  std::vector<std::pair<Bytes, Bytes>> pairs;
  for (std::int64_t i = 0; i < 10'000; ++i) {
    pairs.emplace_back(to_bytes("key" + std::to_string(i)), random_bytes(256));
    tree.add(Namespace::state, pairs.back().first, pairs.back().second);
  }
  tree.refresh();
  std::size_t next = 0;
  for (auto _ : state) {
    for (std::int64_t i = 0; i < state.range(0); ++i) {
      auto& [key, value] = pairs[next++ % pairs.size()];
      tree.remove(Namespace::state, key, value);
      ++value[0];
      tree.add(Namespace::state, key, value);
    }
    benchmark::DoNotOptimize(tree.refresh());
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(digest_tree_update)->Arg(1)->Arg(400)->Arg(4'000);

}  // namespace
}  // namespace pbft::micro
