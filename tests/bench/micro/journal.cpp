// What a replica promises of a batch: the batch with its mark, then that it prepared. The argument: requests in it.
#include <benchmark/benchmark.h>

#include "tests/bench/micro/samples.h"
#include "tests/bench/micro/stores.h"

namespace pbft::micro {
namespace {

void journal_persist(benchmark::State& state, storage::Sync durability) {
  TemporaryStore store{durability};
  const BatchPtr batch = batch_of(1, static_cast<std::size_t>(state.range(0)) / 16, 16);
  SequenceNumber n;
  for (auto _ : state) {
    n = n.next();
    must(store->persist({PersistBatch{n, batch}, PersistAccepted{View{}, n, batch->digest}}));
    must(store->persist({PersistPrepared{View{}, n, batch->digest}}));
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK_CAPTURE(journal_persist, os, storage::Sync::no)->Arg(16)->Arg(400)->UseRealTime();
BENCHMARK_CAPTURE(journal_persist, fsync, storage::Sync::durable)->Arg(16)->Arg(400)->UseRealTime();

}  // namespace
}  // namespace pbft::micro
