// The machine fails at every write of a transfer, and again while it starts: what is found is the state before or the
// state after, and going on from there ends where a transfer without a crash ends.
#include "tests/storage/crashing_disk.h"
#include "tests/storage/transfer_support.h"

using namespace pbft;
using namespace pbft::storage;
using namespace pbft::storage::testing;

namespace {

constexpr Script small_script{.keys = 12, .most = 4};
constexpr std::uint64_t target_number = 16;

// What the others have; made once.
struct Source {
  Machine<MemoryDisk> machine;
  Model at_target;
  CheckpointSummary target;
  CheckpointSummary later;

  Source() {
    machine.script = small_script;
    machine.run_to(target_number);
    at_target = machine.model;
    target = machine.summaries.at(target_number);
    machine.run_to(target_number + 4);
    later = machine.summaries.at(target_number + 4);
  }
};

// A replica that lags, went astray, or found its state damaged.
enum class Trouble { lags, astray, damaged };

template <class Disk>
struct Patient {
  Machine<CrashingDisk<Disk>> machine;
  Trouble trouble;
  Content state;
  Content clients;
  std::uint64_t executed;

  // The process alone dies where the disk is a real one: that needs no syncs.
  explicit Patient(Trouble of)
      : machine(std::is_same_v<Disk, MemoryDisk> ? Sync::durable : Sync::no),
        trouble(of),
        executed(of == Trouble::lags ? 6 : 18) {
    machine.script = small_script;
    machine.run_to(executed, [&](std::uint64_t n, std::vector<StateChange>& changes) {
      if (trouble == Trouble::astray && n > 10) changes.insert(changes.begin(), put("aa", std::to_string(n)));
    });
    state = machine.model.state;
    clients = machine.model.clients;
    WriteBatch batch;
    if (trouble == Trouble::damaged) {
      batch.put(Family::state, to_bytes("last"), to_bytes("not 18"));
      batch.put(Family::state, to_bytes("x"), to_bytes("this came from nowhere"));
      state[to_bytes("last")] = to_bytes("not 18");
      state[to_bytes("x")] = to_bytes("this came from nowhere");
    }
    must(machine.engine().write(batch, Sync::durable));
  }
  Store& store() { return *machine.store; }
  CrashingEngine& engine() { return machine.disk.crashing(); }

  // The whole of a transfer, from wherever it stands. False where the machine failed on the way.
  bool run(Source& source, std::optional<std::size_t> crash_after) {
    engine().crash_after(crash_after);
    try {
      if (trouble == Trouble::damaged) must(store().mark_damaged());
      transfer(*source.machine.store, store(), source.target);
    } catch (const Crash&) {
      return false;
    }
    engine().crash_after({});
    return true;
  }
  // The process is gone; power too, where `kept` says how much of what was not synced is left.
  void die(std::optional<std::size_t> kept) {
    machine.store.reset();
    if constexpr (std::is_same_v<Disk, MemoryDisk>) {
      if (kept) machine.disk.disk().memory().lose_power(*kept);
    }
    machine.disk.restart();
  }
  // False where the machine fails on the way.
  bool start(std::optional<std::size_t> crash_after) {
    engine().crash_after(crash_after);
    try {
      machine.store = must(Store::open(machine.disk.engine(), identity(), machine.options));
    } catch (const Crash&) {
      return false;
    }
    engine().crash_after({});
    return true;
  }
  // Gives whether the state was installed.
  bool check_found(const Source& source) {
    const Recovered recovered = must(store().recover());
    const Content found = content_of(store().state_scan({}, {}));
    if (recovered.executed == source.target.n) {
      check_installed(store(), machine.engine(), source.target, source.at_target.state, source.at_target.clients);
      return true;
    }
    REQUIRE(recovered.executed == SequenceNumber{executed});
    if (!recovered.damaged) {
      REQUIRE(found == state);
      REQUIRE(content_of(store().clients_scan()) == clients);
    } else {
      REQUIRE(trouble == Trouble::damaged);
    }
    REQUIRE(recovered.ledger_head == machine.model.head);
    REQUIRE_FALSE(recovered.stable);
    return false;
  }
  void check_goes_on(const Source& source) {
    machine.model = source.at_target;
    machine.run_to(target_number + 4);
    REQUIRE(machine.summaries.at(target_number + 4) == source.later);
  }
};

struct Tally {
  std::size_t crashes = 0;
  std::size_t before = 0;
  std::size_t after = 0;
};

// One run: a crash after `first` writes, another after `second` writes of the start that follows.
template <class Disk>
bool run_once(Source& source, Trouble trouble, std::size_t first, std::optional<std::size_t> second,
              std::optional<std::size_t> kept, std::size_t& unsynced, Tally& tally) {
  Patient<Disk> patient{trouble};
  if (patient.run(source, first)) return false;
  ++tally.crashes;
  if constexpr (std::is_same_v<Disk, MemoryDisk>) {
    unsynced = patient.machine.disk.disk().memory().unsynced_writes();
  }
  patient.die(kept);
  if (!patient.start(second)) {
    patient.die(kept);
    REQUIRE(patient.start({}));
  }
  const bool installed = patient.check_found(source);
  ++(installed ? tally.after : tally.before);
  if (!installed) REQUIRE(patient.run(source, {}));
  REQUIRE(patient.check_found(source));
  patient.check_goes_on(source);
  return true;
}

}  // namespace

TEST_CASE("power is lost at every write of a transfer, with every tail of the log", "[transfer][crash]") {
  Source source;
  const Trouble trouble = GENERATE(Trouble::lags, Trouble::astray, Trouble::damaged);
  Tally tally;
  bool crashed = true;
  for (std::size_t first = 0; crashed; ++first) {
    std::size_t unsynced = 0;
    for (std::size_t kept = 0; kept <= unsynced && crashed; ++kept) {
      crashed = run_once<MemoryDisk>(source, trouble, first, {}, kept, unsynced, tally);
      // While starting: the beginning, the middle and the end of the redo.
      for (const std::size_t second : {0, 1, 5, 12}) {
        if (crashed && kept == unsynced) run_once<MemoryDisk>(source, trouble, first, second, kept, unsynced, tally);
      }
    }
  }
  INFO(tally.crashes << " crashes, " << tally.before << " before and " << tally.after << " after the installation");
  CHECK(tally.before > 20);
  CHECK(tally.after > 20);
}

TEST_CASE("the process dies at every third write of a transfer", "[transfer][crash]") {
  Source source;
  const Trouble trouble = GENERATE(Trouble::lags, Trouble::damaged);
  Tally tally;
  std::size_t unsynced = 0;
  for (std::size_t first = 0; run_once<RocksDisk>(source, trouble, first, first % 4, {}, unsynced, tally); first += 3) {
  }
  CHECK(tally.before > 3);
  CHECK(tally.after > 3);
}
