#include "tools/sim/checkers/promises.h"

#include <fmt/format.h>

#include <algorithm>

#include "node/pbft/digests.h"
#include "node/wire/codec.h"
#include "tools/sim/checkers/history.h"

namespace pbft::sim {
namespace {

// The sender's own checkpoint, and not one that it hands on.
bool own(ReplicaId replica, const Checkpoint& checkpoint) {
  if (checkpoint.signed_bytes.empty()) return true;
  const auto opened = wire::decode_signed(checkpoint.signed_bytes);
  if (!opened) return false;
  const auto body = wire::decode_checkpoint_body(opened->body);
  return body && body->replica == replica;
}

}  // namespace

void PromiseChecker::sent(ReplicaId replica, const PeerMessage& message) {
  Said& said = said_[replica.value];
  if (const auto* pre_prepare = std::get_if<PrePrepare>(&message)) {
    promise(replica, said.accepted, "accepted", pre_prepare->view, pre_prepare->n, pre_prepare->batch->digest);
  } else if (const auto* prepare = std::get_if<Prepare>(&message)) {
    promise(replica, said.accepted, "accepted", prepare->view, prepare->n, prepare->digest);
  } else if (const auto* commit = std::get_if<Commit>(&message)) {
    promise(replica, said.prepared, "committed to", commit->view, commit->n, commit->digest);
  } else if (const auto* checkpoint = std::get_if<Checkpoint>(&message)) {
    if (!own(replica, *checkpoint)) return;
    const auto [at, fresh] = said.roots.try_emplace(checkpoint->n.value, checkpoint->root);
    if (fresh || at->second == checkpoint->root) return;
    findings_.report({"non-equivocation", checkpoint->n.value, {replica.value}, "two roots for one checkpoint"});
  }
}

void PromiseChecker::promise(ReplicaId replica, std::map<Slot, Digest>& said, const char* what, View view,
                             SequenceNumber n, const Digest& digest) {
  const auto [at, fresh] = said.try_emplace({n.value, view.value}, digest);
  if (fresh || at->second == digest) return;
  findings_.report({"non-equivocation",
                    n.value,
                    {replica.value},
                    fmt::format("{} {} and {} in view {}", what, short_hex(at->second.view()), short_hex(digest.view()),
                                view.value)});
}

void PromiseChecker::forgotten(ReplicaId replica, std::uint64_t n, std::string what) {
  findings_.report({"durable-before-audible", n, {replica.value}, std::move(what)});
}

void PromiseChecker::audit_slot(ReplicaId replica, const Slot& slot, const Digest& digest, const RecoveredSlot* memory,
                                bool prepared) {
  ++audited_;
  const auto& [n, view] = slot;
  const char* what = prepared ? "COMMIT" : "PRE-PREPARE or PREPARE";
  if (memory == nullptr) {
    return forgotten(replica, n, fmt::format("sent a {} in view {} and came back without the slot", what, view));
  }
  const std::optional<RecoveredMark>& mark = prepared ? memory->prepared : memory->accepted;
  if (!mark || mark->view.value < view || (mark->view.value == view && mark->digest != digest)) {
    return forgotten(replica, n, fmt::format("sent a {} in view {} and came back without its mark", what, view));
  }
  if (!prepared && mark->view.value == view && digest != null_batch_digest() && !memory->batches.contains(digest)) {
    forgotten(replica, n, fmt::format("sent a {} in view {} and came back without the batch", what, view));
  }
}

void PromiseChecker::recovered(ReplicaId replica, const Recovered& memory) {
  Said& said = said_[replica.value];
  const std::uint64_t stable = memory.stable ? memory.stable->proof.n.value : 0;
  const auto slot_of = [&](std::uint64_t n) -> const RecoveredSlot* {
    const auto found = memory.slots.find(SequenceNumber{n});
    return found == memory.slots.end() ? nullptr : &found->second;
  };
  for (auto at = said.accepted.upper_bound({stable, ~0ULL}); at != said.accepted.end(); ++at) {
    audit_slot(replica, at->first, at->second, slot_of(at->first.first), false);
  }
  for (auto at = said.prepared.upper_bound({stable, ~0ULL}); at != said.prepared.end(); ++at) {
    audit_slot(replica, at->first, at->second, slot_of(at->first.first), true);
  }
  for (auto at = said.roots.upper_bound(stable); at != said.roots.end(); ++at) {
    ++audited_;
    const auto holds = [&](const CheckpointSummary& summary) {
      return summary.n.value == at->first && checkpoint_root(summary) == at->second;
    };
    if (std::any_of(memory.checkpoints.begin(), memory.checkpoints.end(), holds)) continue;
    forgotten(replica, at->first, "sent a CHECKPOINT and came back without its state");
  }
}

}  // namespace pbft::sim
