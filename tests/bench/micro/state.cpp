// What an executed batch changes of the state, and checkpoints. Keys are uniform over 100,000.
#include <benchmark/benchmark.h>

#include <map>

#include "tests/bench/micro/samples.h"
#include "tests/bench/micro/stores.h"

namespace pbft::micro {
namespace {

class Writer {
 public:
  explicit Writer(storage::Sync durability) : store_(durability) {}

  [[nodiscard]] storage::Applied next(std::size_t changes) {
    std::map<std::uint64_t, storage::StateChange> made;  // one change for each key
    while (made.size() < changes) {
      const std::uint64_t number = random_() % 100'000;
      made[number] = {to_bytes("key" + std::to_string(number)), random_bytes(256)};
    }
    n_ = n_.next();
    head_ = ledger_head(head_, n_, Digest{});
    storage::Applied applied{n_, Timestamp{n_.value}, Digest{}, head_, {}, {}};
    for (auto& [number, change] : made) applied.state.push_back(std::move(change));
    return applied;
  }
  void apply(const storage::Applied& applied) { must(store_->apply(applied)); }
  [[nodiscard]] bool checkpoint_is_due() const { return n_.value % TemporaryStore::interval == 0; }
  void checkpoint() {
    must(store_->take_checkpoint(n_, Epoch{1}, Digest{}));
    must(store_->truncate(n_));
  }

 private:
  TemporaryStore store_;
  std::mt19937_64 random_{1};  // NOLINT: the same keys in every run
  SequenceNumber n_;
  Digest head_ = genesis_ledger_head();
};

// The argument: changes in a batch. Checkpoints come between, and are not counted here.
void store_apply(benchmark::State& state) {
  Writer writer{storage::Sync::no};
  for (auto _ : state) {
    state.PauseTiming();
    if (writer.checkpoint_is_due()) writer.checkpoint();
    const storage::Applied applied = writer.next(static_cast<std::size_t>(state.range(0)));
    state.ResumeTiming();
    writer.apply(applied);
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(store_apply)->Arg(16)->Arg(400)->UseRealTime();

// The argument: changes in each of the batches since the checkpoint before.
void store_checkpoint(benchmark::State& state, storage::Sync durability) {
  Writer writer{durability};
  for (auto _ : state) {
    state.PauseTiming();
    do {
      writer.apply(writer.next(static_cast<std::size_t>(state.range(0))));
    } while (!writer.checkpoint_is_due());
    state.ResumeTiming();
    writer.checkpoint();
  }
  state.SetItemsProcessed(state.iterations() * state.range(0) * static_cast<std::int64_t>(TemporaryStore::interval));
}
BENCHMARK_CAPTURE(store_checkpoint, os, storage::Sync::no)->Arg(16)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(store_checkpoint, fsync, storage::Sync::durable)
    ->Arg(16)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace pbft::micro
