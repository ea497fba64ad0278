// Loss of power at every point of a run: what is found again is a prefix, and going on from it ends where a run
// without a crash ends.
#include "tests/storage/support.h"

using namespace pbft;
using namespace pbft::storage;
using namespace pbft::storage::testing;

namespace {

// The run, batch by batch. models[n] is the content after n batches, roots[n] the digest of a checkpoint at n.
struct KnownRun {
  static constexpr std::uint64_t interval = 4;
  static constexpr std::uint64_t last_batch = 16;
  static constexpr StoreOptions options{
      .checkpoint_interval = interval, .ledger_keep = 6, .least_tree_rows = 1, .pairs_per_tree_row = 1};

  std::vector<Applied> batches;
  std::vector<Model> models;
  std::map<std::uint64_t, CheckpointSummary> checkpoints;

  KnownRun() {
    std::mt19937_64 random{11};
    Model model;
    models.push_back(model);
    for (std::uint64_t n = 1; n <= last_batch; ++n) {
      auto changes = random_changes(random, 6, 12);
      changes.push_back({to_bytes("last"), number(n)});
      batches.push_back(model.next(std::move(changes), random_changes(random, 2, 4)));
      models.push_back(model);
    }
  }
  static Bytes number(std::uint64_t n) { return to_bytes(std::to_string(n)); }
};

// Goes on until `stop`, as a driver does: an interval's batches are journaled in one write and then applied, a
// checkpoint is taken at each boundary and, an interval later, stable.
void run(Store& store, KnownRun& script, std::uint64_t executed, std::uint64_t stop, bool checkpoint_at_stop) {
  const auto boundary = [&](std::uint64_t n) {
    if (n == 0 || n % KnownRun::interval != 0) return;
    const CheckpointSummary summary = take(store, n);
    const auto [known, fresh] = script.checkpoints.emplace(n, summary);
    REQUIRE(known->second == summary);
    if (n > KnownRun::interval) {
      must(store.persist({stable_at(script.checkpoints.at(n - KnownRun::interval))}));
      must(store.truncate(SequenceNumber{n - KnownRun::interval}));
    }
  };
  boundary(executed);  // as the core asks for it when it starts again
  for (std::uint64_t n = executed + 1; n <= stop; ++n) {
    if (n == executed + 1 || n % KnownRun::interval == 1) {
      std::vector<JournalRecord> records;
      for (std::uint64_t slot = n; slot <= KnownRun::last_batch && slot < n + KnownRun::interval; ++slot) {
        records.emplace_back(PersistBatch{SequenceNumber{slot}, committed_batch(slot)});
        records.emplace_back(PersistAccepted{View{0}, SequenceNumber{slot}, committed_batch(slot)->digest});
      }
      must(store.persist(records));
    }
    must(store.apply(script.batches[n - 1]));
    if (n < stop || checkpoint_at_stop) boundary(n);
  }
}

void check_at(Store& store, const KnownRun& script, std::uint64_t n, std::uint64_t last_checkpoint) {
  const Model& model = script.models[n];
  CHECK(content_of(store.state_scan({}, {})) == model.state);
  CHECK(content_of(store.clients_scan()) == model.clients);
  // Two checkpoints that were truncated to, and those after them.
  for (std::uint64_t back = 0; back < 3; ++back) {
    if (last_checkpoint < back * KnownRun::interval) break;
    const std::uint64_t at = last_checkpoint - back * KnownRun::interval;
    CHECK(must(store.state_at(SequenceNumber{at})) == script.models[at].state);
    CHECK(must(store.clients_at(SequenceNumber{at})) == script.models[at].clients);
  }
}

// Executed, read without recover(): the client records of these tests are random bytes.
std::uint64_t executed(Store& store) {
  const auto last = must(store.state_get(as_bytes("last")));
  return last ? std::stoull(std::string{as_text(*last)}) : 0;
}

}  // namespace

TEST_CASE("power is lost at every point, with every tail of the log", "[crash]") {
  KnownRun script;
  {
    MemoryDisk disk;
    must(Store::create(*disk.engine(), identity()));
    const auto store = must(Store::open(disk.engine(), identity(), KnownRun::options));
    run(*store, script, 0, KnownRun::last_batch, true);
    CHECK(must(store->recompute_state_digest()) == script.checkpoints.at(KnownRun::last_batch).state);
  }
  std::size_t losses = 0;
  std::size_t lost_batches = 0;
  for (std::uint64_t stop = 1; stop <= KnownRun::last_batch; ++stop) {
    for (const bool checkpoint_at_stop : {false, true}) {
      std::size_t unsynced = 0;
      for (std::size_t kept = 0; kept <= unsynced; ++kept) {
        MemoryDisk disk;
        must(Store::create(*disk.engine(), identity()));
        {
          const auto store = must(Store::open(disk.engine(), identity(), KnownRun::options));
          run(*store, script, 0, stop, checkpoint_at_stop);
        }
        unsynced = disk.memory().unsynced_writes();
        disk.memory().lose_power(kept);
        ++losses;

        auto store = must(Store::open(disk.engine(), identity(), KnownRun::options));
        const std::uint64_t found = executed(*store);
        REQUIRE(found <= stop);
        lost_batches += stop - found;
        if (kept == unsynced) REQUIRE(found == stop);
        // Each write that was lost held one batch, or a truncation.
        REQUIRE(stop - found <= unsynced - kept);
        const bool taken = found % KnownRun::interval == 0 && (found < stop || checkpoint_at_stop);
        const std::uint64_t last_checkpoint =
            taken || found % KnownRun::interval != 0 ? found - found % KnownRun::interval : found - KnownRun::interval;
        check_at(*store, script, found, last_checkpoint);

        run(*store, script, found, KnownRun::last_batch, true);
        check_at(*store, script, KnownRun::last_batch, KnownRun::last_batch);
        REQUIRE(must(store->recompute_state_digest()) == script.checkpoints.at(KnownRun::last_batch).state);
      }
    }
  }
  CHECK(losses > 60);
  CHECK(lost_batches > 30);
}

TEST_CASE("what is recovered after a loss of power is what was promised", "[crash]") {
  MemoryDisk disk;
  must(Store::create(*disk.engine(), identity()));
  Model model;
  {
    const auto store = must(Store::open(disk.engine(), identity(), KnownRun::options));
    std::vector<JournalRecord> records;
    for (std::uint64_t n = 1; n <= 3; ++n) {
      records.emplace_back(PersistBatch{SequenceNumber{n}, committed_batch(n)});
      records.emplace_back(PersistAccepted{View{0}, SequenceNumber{n}, committed_batch(n)->digest});
      records.emplace_back(PersistPrepared{View{0}, SequenceNumber{n}, committed_batch(n)->digest});
    }
    must(store->persist(records));
    for (int i = 0; i < 3; ++i) must(store->apply(model.next({put("a", std::to_string(i))})));
  }
  disk.memory().lose_power(2);
  const auto store = must(Store::open(disk.engine(), identity(), KnownRun::options));
  const Recovered recovered = must(store->recover());
  CHECK(recovered.executed == SequenceNumber{2});
  CHECK(recovered.time == Timestamp{1002});
  CHECK(recovered.slots.size() == 3);
  for (const auto& [n, slot] : recovered.slots) {
    CHECK(slot.accepted.size() == 1);
    CHECK(slot.prepared);
    CHECK(slot.batches.contains(committed_batch(n.value)->digest));
    CHECK(slot.executed == (n.value <= 2 ? std::optional{committed_batch(n.value)->digest} : std::nullopt));
  }
  CHECK(must(store->state_get(as_bytes("a"))) == to_bytes("1"));
}
