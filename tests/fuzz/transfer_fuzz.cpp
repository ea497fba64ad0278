// The state of a checkpoint from sources of which some lie: a tree, requests and parts that are true, changed. Whatever
// was said before, what is taken for whole is true, the honest answers are taken after it, and in the end the state is
// the certified one, key by key.
// Input: a script of lies.
#include "storage/transfer.h"
#include "tests/fuzz/msgpack_tree.h"
#include "tests/storage/transfer_support.h"

namespace pbft::fuzz {
namespace {

using namespace storage;
using namespace storage::testing;
using Outcome = BucketStaged::Outcome;

constexpr ReplicaId asker{1};
constexpr std::uint64_t checkpoint = 8;
constexpr Script script{.keys = 12, .most = 6};

// Who has the state. Serving changes nothing of it.
struct Source {
  Machine<MemoryDisk> machine;
  Content state;
  Content clients;
  CheckpointSummary target;

  Source() {
    machine.script = script;
    machine.run_to(checkpoint);
    state = machine.model.state;
    clients = machine.model.clients;
    target = machine.summaries.at(checkpoint);
  }
};

Source& source() {
  static Source made;
  return made;
}

// The message as a liar sends it, if it can be decoded at all.
template <class Message>
std::optional<Message> lie(const Message& truth, Input& input) {
  const Bytes bytes = changed(wire::encode(PeerMessage{truth}), input);
  auto decoded = wire::decode_peer_message(SharedBytes::copy_of(bytes));
  auto* message = decoded ? std::get_if<Message>(&*decoded) : nullptr;
  if (message == nullptr) return std::nullopt;
  return std::move(*message);
}

void lie_about_the_tree(Store& to, Input& input) {
  const auto truth = must(source().machine.store->tree_at(SequenceNumber{checkpoint}, asker)).value();
  const auto told = lie(truth, input);
  if (!told) return;
  const bool proven = told->summary.state == tree_root(told->leaves);
  holds(to.plan_transfer(told->summary, told->leaves).has_value() == proven,
        "leaves that give another root are refused");
}

// An honest source is asked what makes no sense.
void ask_for_nonsense(const FetchBucket& request, Input& input) {
  const auto asked = lie(request, input);
  if (!asked) return;
  const auto part = must(source().machine.store->bucket_part(*asked, asker));
  if (!part) return;
  holds(part->n == asked->n && part->bucket == asked->bucket && part->skip == asked->skip,
        "an answer is to its question");
  holds(part->skip + part->pairs.size() <= part->total, "a part is no more than the whole");
  const auto decoded = wire::decode_peer_message(SharedBytes::own(wire::encode(PeerMessage{*part})));
  holds(decoded.has_value(), "what is served can be decoded");
}

// True where the bucket is whole in spite of it all.
bool lie_about_a_bucket(Store& to, std::uint32_t bucket, Input& input) {
  for (std::size_t left = input.below(4); left > 0; --left) {
    const auto skip = static_cast<std::uint32_t>(input.below(3));
    const FetchBucket request{SequenceNumber{checkpoint}, bucket, skip, must(to.bucket_hashes(bucket, skip))};
    if (input.below(4) == 0) ask_for_nonsense(request, input);
    const auto part = must(source().machine.store->bucket_part(request, asker));
    if (!part) continue;
    const auto told = input.below(4) == 0 ? part : lie(*part, input);
    if (!told) continue;
    const BucketStaged report = must(to.stage_bucket(*told));
    holds(report.bucket == told->bucket && report.pairs == told->pairs.size(), "a report is of its part");
    if (report.outcome == Outcome::whole && report.bucket == bucket) return true;
  }
  return false;
}

}  // namespace

void run(BytesView bytes) {
  Input input{bytes};
  Source& from = source();
  Machine<MemoryDisk> to;
  to.script = script;
  // Behind, at a checkpoint or between two, and with some of it other than it should be.
  const bool twisted = input.flag();
  to.run_to(input.below(6), [&](std::uint64_t n, std::vector<StateChange>& changes) {
    if (twisted && n == 2) changes = {put("key1", "other"), put("of no use", "x")};
  });
  if (input.flag()) lie_about_the_tree(*to.store, input);
  std::vector<std::uint32_t> left = plan(*from.machine.store, *to.store, from.target);
  while (!left.empty()) {
    for (const std::uint32_t bucket : left) {
      if (lie_about_a_bucket(*to.store, bucket, input)) continue;
      holds(fetch(*from.machine.store, *to.store, SequenceNumber{checkpoint}, bucket).outcome == Outcome::whole,
            "the truth is taken after any lie");
    }
    // What was staged stays of use where the process ends in between.
    if (input.flag()) to.restart();
    left = plan(*from.machine.store, *to.store, from.target);
  }
  const StateInstalled installed = must(to.store->install_state(stable_at(from.target).proof, from.target));
  holds(installed.summary == from.target, "what was installed is the target");
  check_installed(*to.store, to.engine(), from.target, from.state, from.clients);
}

Seeds seeds() {
  Seeds made;
  for (std::uint8_t at = 0; at < 6; ++at) {
    Bytes seed{1, at, 0};
    for (std::uint8_t i = 0; i < 24; ++i) seed.insert(seed.end(), {2, 0, 1, 1, 1, i, 1, at, 0});
    made.push_back(std::move(seed));
  }
  return made;
}

}  // namespace pbft::fuzz
