// A store in which records were changed behind its back. Nothing crashes; what cannot be read is refused by name; and
// damage to what the others can give back is found, does not keep the store from opening, and is gone after a transfer.
// Input: a script of changes.
#include "tests/fuzz/msgpack_tree.h"
#include "tests/storage/transfer_support.h"
#include "tests/wire/samples.h"

namespace pbft::fuzz {
namespace {

using namespace storage;
using namespace storage::testing;

constexpr ReplicaId asker{1};
constexpr std::uint64_t checkpoint = 12;
constexpr std::uint64_t last = 13;
constexpr Script script{.keys = 24, .most = 6};
constexpr std::size_t family_count = static_cast<std::size_t>(Family::count_);
constexpr std::size_t most_changes = 4;
constexpr StoreOptions options{.durability = Sync::no, .checkpoint_interval = transfer_interval};

using Tables = std::array<Content, family_count>;

// A store with promises in every family that a running replica has, and what a replica that helps it holds.
struct World {
  Machine<MemoryDisk> source;
  Content state;
  Content clients;
  CheckpointSummary target;
  Tables tables;

  World() {
    source.script = script;
    source.run_to(checkpoint);
    state = source.model.state;
    clients = source.model.clients;
    target = source.summaries.at(checkpoint);
    Machine<MemoryDisk> machine;
    machine.script = script;
    machine.run_to(8);
    machine.make_stable(4);
    machine.make_stable(8);
    machine.run_to(last);
    pbft::testing::Samples samples{5};
    ViewChange view_change = samples.view_change();
    view_change.view = View{1};
    view_change.signed_bytes = signed_by_nobody(wire::encode_view_change_body(samples.signer(), view_change));
    NewView new_view{View{1}, ReplicaId{1}, {{ReplicaId{1}, view_change}}, {}};
    new_view.signed_bytes = signed_by_nobody(wire::encode_new_view_body(Epoch{1}, new_view));
    const BatchPtr batch = committed_batch(last + 1);
    must(machine.store->persist({PersistBatch{SequenceNumber{last + 1}, batch},
                                 PersistAccepted{View{1}, SequenceNumber{last + 1}, batch->digest},
                                 PersistPrepared{View{1}, SequenceNumber{last + 1}, batch->digest},
                                 PersistViewChange{view_change}, PersistNewView{new_view}}));
    stage_a_bucket(*machine.store);
    for (std::size_t family = 0; family < family_count; ++family) {
      tables[family] = content_of(machine.engine().scan(static_cast<Family>(family), {}, {}));
    }
  }
  static SharedBytes signed_by_nobody(const Bytes& body) {
    return SharedBytes::own(wire::encode_signed(body, Signature{}));
  }
  void stage_a_bucket(Store& to) {
    const auto buckets = plan(*source.store, to, target);
    REQUIRE(!buckets.empty());
    static_cast<void>(fetch(*source.store, to, SequenceNumber{checkpoint}, buckets.front()));
  }
};

World& world() {
  static World made;
  return made;
}

// True where it is a change of what the others can give back.
bool change(Tables& tables, Input& input) {
  const auto family = static_cast<Family>(input.below(family_count));
  Content& table = tables[static_cast<std::size_t>(family)];
  if (table.empty() || input.below(8) == 0) {
    table[input.bytes()] = input.bytes();
    return is_repairable(family);
  }
  const auto entry = std::next(table.begin(), static_cast<std::ptrdiff_t>(input.below(table.size())));
  switch (input.below(4)) {
    case 0:
      table.erase(entry);
      break;
    case 1: {  // under another key
      const Bytes value = entry->second;
      Bytes key = changed(entry->first, input);
      table.erase(entry);
      table[std::move(key)] = value;
      break;
    }
    default:
      entry->second = changed(entry->second, input);
  }
  return is_repairable(family);
}

std::shared_ptr<MemoryEngine> engine_of(const Tables& tables) {
  auto engine = std::make_shared<MemoryEngine>();
  WriteBatch batch;
  for (std::size_t family = 0; family < family_count; ++family) {
    for (const auto& [key, value] : tables[family]) {
      if (!key.empty()) batch.put(static_cast<Family>(family), key, value);
    }
  }
  must(engine->write(batch, Sync::durable));
  return engine;
}

template <class T>
void check_refusal(const Result<T>& result) {
  if (!result) holds(result.error().message.starts_with("store"), "an error names the store");
}

// What is read of a store while it runs, at one of its checkpoints.
void read_all(Store& store, Input& input) {
  const SequenceNumber n{4 + 4 * input.below(3)};
  check_refusal(store.recover());
  check_refusal(store.state_at(n));
  check_refusal(store.clients_at(n));
  check_refusal(store.tree_at(n, asker));
  check_refusal(store.ledger_range(SequenceNumber{1}, n, asker));
  check_refusal(store.bucket_part({n, static_cast<std::uint32_t>(input.below(Limits::tree_buckets)), 0, {}}, asker));
  check_refusal(store.recompute_state_digest());
}

// A pass over all of it. True where it, or what was read before, found damage.
bool found_damaged(Store& store) {
  while (!must(store.recover()).damaged) {
    const ScrubReport report = must(store.scrub(1'000));
    if (!report.damage.empty()) return true;
    if (report.passes > 0) return false;
  }
  return true;
}

// Makes the state that of the checkpoint, from the source, whatever it is now.
void repair(Store& store, const Engine& engine) {
  World& all = world();
  must(store.mark_damaged());
  for (std::vector<std::uint32_t> left = plan(*all.source.store, store, all.target); !left.empty();
       left = plan(*all.source.store, store, all.target)) {
    fetch_all(*all.source.store, store, SequenceNumber{checkpoint}, left);
  }
  static_cast<void>(must(store.install_state(stable_at(all.target).proof, all.target)));
  check_installed(store, engine, all.target, all.state, all.clients);
}

}  // namespace

void run(BytesView bytes) {
  Input input{bytes};
  Tables tables = world().tables;
  bool repairable = true;
  for (std::size_t left = 1 + input.below(most_changes); left > 0; --left) {
    repairable = change(tables, input) && repairable;
  }
  const auto engine = engine_of(tables);
  auto store = Store::open(engine, identity(), options);
  check_refusal(store);
  holds(store.has_value() || !repairable, "what the others can give back does not keep a store from opening");
  if (!store) return;
  read_all(**store, input);
  if (!repairable) return;
  if (!found_damaged(**store)) {
    holds(must((*store)->state_at(SequenceNumber{checkpoint})) == world().state, "a changed state is found");
    holds(must((*store)->clients_at(SequenceNumber{checkpoint})) == world().clients, "changed clients are found");
  }
  repair(**store, *engine);
}

Seeds seeds() {
  Seeds made;
  for (std::uint8_t family = 0; family < family_count; ++family) {
    made.push_back({0, family, 1, family, 2, 3, 0, 0, 1});
    made.push_back({1, family, 1, family, 0, family, 1, 1, 1, 2, 1, 3, 1, 2});
    made.push_back({0, family, 1, static_cast<std::uint8_t>(2 * family), 3, 0, 0, 2, 2});
  }
  return made;
}

}  // namespace pbft::fuzz
