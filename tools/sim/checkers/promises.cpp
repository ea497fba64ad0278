#include "tools/sim/checkers/promises.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "node/pbft/digests.h"
#include "node/wire/codec.h"
#include "tools/sim/checkers/history.h"

namespace pbft::sim {
namespace {

// Whether the sender signed it, and does not only hand it on. What is not signed yet is its own.
bool own(ReplicaId replica, const SharedBytes& signed_bytes) {
  if (signed_bytes.empty()) return true;
  const auto opened = wire::decode_signed(signed_bytes);
  if (!opened) return false;
  const auto signer = wire::decode_signer(opened->body);
  return signer && signer->replica == replica;
}

}  // namespace

// ---- What is said ------------------------------------------------------------------------------------

void PromiseChecker::sent(ReplicaId replica, const PeerMessage& message) {
  if (const auto* pre_prepare = std::get_if<PrePrepare>(&message)) {
    accepted(replica, pre_prepare->view, pre_prepare->n, pre_prepare->batch->digest);
  } else if (const auto* prepare = std::get_if<Prepare>(&message)) {
    accepted(replica, prepare->view, prepare->n, prepare->digest);
  } else if (const auto* commit = std::get_if<Commit>(&message)) {
    vote(replica, said_[replica.value].prepared, "committed to", commit->view, commit->n, commit->digest);
  } else if (const auto* own_checkpoint = std::get_if<Checkpoint>(&message)) {
    if (own(replica, own_checkpoint->signed_bytes)) checkpoint(replica, *own_checkpoint);
  } else if (const auto* stable = std::get_if<StableCheckpoint>(&message)) {
    certificate(replica, *stable);
  } else if (const auto* change = std::get_if<ViewChange>(&message)) {
    if (own(replica, change->signed_bytes)) view_change(replica, *change);
  } else if (const auto* view = std::get_if<NewView>(&message)) {
    if (view->primary == replica) new_view(replica, *view);
  }
}

void PromiseChecker::accepted(ReplicaId replica, View view, SequenceNumber n, const Digest& digest) {
  vote(replica, said_[replica.value].accepted, "accepted", view, n, digest);
  const auto decided = decided_.find(view.value);
  if (decided == decided_.end()) return;
  const auto slot = decided->second.slots.find(n.value);
  if (slot == decided->second.slots.end() || slot->second == digest) return;
  findings_.report({"new-view",
                    n.value,
                    {decided->second.primary, replica.value},
                    fmt::format("accepted {} in view {}, whose new-view says {}", short_hex(digest.view()), view.value,
                                short_hex(slot->second.view()))});
}

void PromiseChecker::vote(ReplicaId replica, Words<Slot, Digest>& said, const char* what, View view, SequenceNumber n,
                          const Digest& digest) {
  const auto [at, fresh] = said.try_emplace({n.value, view.value}, Word<Digest>{digest});
  at->second.lost = false;
  const std::uint64_t left = said_[replica.value].left;
  if (fresh && view.value < left) {
    findings_.report({"vote-after-view-change",
                      n.value,
                      {replica.value},
                      fmt::format("{} {} in view {} after its VIEW-CHANGE for view {}", what, short_hex(digest.view()),
                                  view.value, left)});
  }
  if (at->second.what == digest) return;
  findings_.report({"non-equivocation",
                    n.value,
                    {replica.value},
                    fmt::format("{} {} and {} in view {}", what, short_hex(at->second.what.view()),
                                short_hex(digest.view()), view.value)});
}

void PromiseChecker::checkpoint(ReplicaId replica, const Checkpoint& checkpoint) {
  const auto at = said_[replica.value].roots.try_emplace(checkpoint.n.value, Word<Digest>{checkpoint.root}).first;
  at->second.lost = false;
  if (at->second.what == checkpoint.root) return;
  findings_.report({"non-equivocation", checkpoint.n.value, {replica.value}, "two roots for one checkpoint"});
}

bool PromiseChecker::once(ReplicaId replica, Words<std::uint64_t, SharedBytes>& said, const char* what, View view,
                          const SharedBytes& bytes) {
  const auto [at, fresh] = said.try_emplace(view.value);
  if (fresh) at->second.what = SharedBytes::copy_of(bytes.view());
  at->second.lost = false;
  if (at->second.what == bytes) return fresh;
  findings_.report({"non-equivocation", 0, {replica.value}, fmt::format("two {} for view {}", what, view.value)});
  return false;
}

// f+1 votes prove a root, but promise only one correct replica that holds the state: stable takes a quorum.
void PromiseChecker::certificate(ReplicaId replica, const StableCheckpoint& stable) {
  std::set<std::uint32_t> voters;
  for (const StableCheckpoint::Vote& vote : stable.votes) voters.insert(vote.replica.value);
  if (voters.size() >= quorum_of(replicas_)) return;
  findings_.report({"certificate",
                    stable.n.value,
                    {replica.value},
                    fmt::format("calls a checkpoint stable with {} votes", voters.size())});
}

void PromiseChecker::view_change(ReplicaId replica, const ViewChange& change) {
  Said& said = said_[replica.value];
  if (change.stable) certificate(replica, *change.stable);
  if (!once(replica, said.view_changes, "VIEW-CHANGEs", change.view, change.signed_bytes)) return;
  if (change.view.value < said.left) {
    findings_.report({"monotonic",
                      0,
                      {replica.value},
                      fmt::format("VIEW-CHANGE for view {} after one for {}", change.view.value, said.left)});
  }
  said.left = std::max(said.left, change.view.value);
  tells_all(replica, change);
}

// The P and Q sets hold every vote that others have heard, unless a stable checkpoint has made it pointless.
void PromiseChecker::tells_all(ReplicaId replica, const ViewChange& change) {
  const Said& said = said_[replica.value];
  const auto report = [&](const char* set, const Slot& slot, const Digest& digest) {
    findings_.report({"view-change",
                      slot.first,
                      {replica.value},
                      fmt::format("its VIEW-CHANGE for view {} has no entry in {} for {} of view {}", change.view.value,
                                  set, short_hex(digest.view()), slot.second)});
  };
  const std::uint64_t low = change.low().value;
  for (auto at = said.accepted.upper_bound({low, ~0ULL}); at != said.accepted.end(); ++at) {
    const auto& [slot, word] = *at;
    if (word.lost || slot.second >= change.view.value) continue;
    const auto tells = [&slot = slot, &word = word](const SlotMark& mark) {
      return mark.n.value == slot.first && mark.digest == word.what && mark.view.value >= slot.second;
    };
    if (std::none_of(change.voted.begin(), change.voted.end(), tells)) report("Q", slot, word.what);
  }
  for (auto at = said.prepared.upper_bound({low, ~0ULL}); at != said.prepared.end(); ++at) {
    const auto& [slot, word] = *at;
    if (word.lost || slot.second >= change.view.value) continue;
    const auto tells = [&slot = slot, &word = word](const SlotMark& mark) {
      if (mark.n.value != slot.first || mark.view.value < slot.second) return false;
      return mark.view.value > slot.second || mark.digest == word.what;
    };
    if (std::none_of(change.prepared.begin(), change.prepared.end(), tells)) report("P", slot, word.what);
  }
}

void PromiseChecker::new_view(ReplicaId replica, const NewView& view) {
  if (!once(replica, said_[replica.value].new_views, "NEW-VIEWs", view.view, view.signed_bytes)) return;
  const auto opened = open_view(view.view_changes, opening_);
  if (!opened || view.view.value % replicas_ != replica.value) {
    return findings_.report({"new-view",
                             0,
                             {replica.value},
                             fmt::format("its NEW-VIEW for view {} follows from nothing", view.view.value)});
  }
  ++new_views_;
  if (opened->crowded) ++crowded_;
  decided_[view.view.value] = {opened->slots, replica.value};
  for (const auto& [n, digest] : opened->slots) {
    ++(digest == null_batch_digest() ? filled_ : carried_);
    accepted(replica, view.view, SequenceNumber{n}, digest);
  }
}

void PromiseChecker::wiped(ReplicaId replica) {
  Said& said = said_[replica.value];
  const auto lose = [](auto& words) {
    for (auto& [key, word] : words) word.lost = true;
  };
  lose(said.accepted);
  lose(said.prepared);
  lose(said.roots);
  lose(said.view_changes);
  lose(said.new_views);
}

// ---- What is remembered ------------------------------------------------------------------------------

void PromiseChecker::forgotten(ReplicaId replica, std::uint64_t n, std::string what) {
  findings_.report({"durable-before-audible", n, {replica.value}, std::move(what)});
}

void PromiseChecker::audit_accepted(ReplicaId replica, const Slot& slot, const Digest& digest,
                                    const RecoveredSlot* memory) {
  ++audited_;
  const auto& [n, view] = slot;
  const auto complain = [&, n = n, view = view](const char* without) {
    forgotten(replica, n,
              fmt::format("voted for {} in view {} and came back without {}", short_hex(digest.view()), view, without));
  };
  if (memory == nullptr) return complain("the slot");
  const auto mark = memory->accepted.find(View{view});
  if (mark == memory->accepted.end() || mark->second != digest) return complain("its mark");
  if (digest != null_batch_digest() && !memory->batches.contains(digest)) complain("the batch");
}

void PromiseChecker::audit_prepared(ReplicaId replica, const Slot& slot, const Digest& digest,
                                    const RecoveredSlot* memory) {
  ++audited_;
  const auto& [n, view] = slot;
  if (memory != nullptr && memory->prepared) {
    const RecoveredMark& mark = *memory->prepared;
    if (mark.view.value > view || (mark.view.value == view && mark.digest == digest)) return;
  }
  forgotten(replica, n, fmt::format("sent a COMMIT in view {} and came back without its mark", view));
}

void PromiseChecker::audit_roots(ReplicaId replica, const Recovered& memory, std::uint64_t stable) {
  const auto& roots = said_[replica.value].roots;
  for (auto at = roots.upper_bound(stable); at != roots.end(); ++at) {
    if (at->second.lost) continue;
    ++audited_;
    const auto holds = [&](const CheckpointSummary& summary) {
      return summary.n.value == at->first && checkpoint_root(summary) == at->second.what;
    };
    if (std::any_of(memory.checkpoints.begin(), memory.checkpoints.end(), holds)) continue;
    forgotten(replica, at->first, "sent a CHECKPOINT and came back without its state");
  }
}

// The last one said is there byte for byte, or one of a later view.
void PromiseChecker::audit_views(ReplicaId replica, const Recovered& memory) {
  const Said& said = said_[replica.value];
  const std::uint64_t entered = memory.new_view ? memory.new_view->view.value : 0;
  const std::uint64_t left = memory.view_change ? memory.view_change->view.value : 0;
  const auto audit = [&](const auto& words, const char* what, std::uint64_t view, const SharedBytes* bytes,
                         std::uint64_t replaced_by) {
    if (words.empty() || words.rbegin()->second.lost) return;
    ++audited_;
    const auto& [last, word] = *words.rbegin();
    if (view > last || replaced_by > last || (view == last && *bytes == word.what)) return;
    forgotten(replica, 0, fmt::format("sent a {} for view {} and came back without it", what, last));
  };
  audit(said.view_changes, "VIEW-CHANGE", left, memory.view_change ? &memory.view_change->signed_bytes : nullptr,
        entered + 1);
  audit(said.new_views, "NEW-VIEW", entered, memory.new_view ? &memory.new_view->signed_bytes : nullptr, left);
}

void PromiseChecker::recovered(ReplicaId replica, const Recovered& memory) {
  const Said& said = said_[replica.value];
  const std::uint64_t stable = memory.stable ? memory.stable->proof.n.value : 0;
  const auto slot_of = [&](std::uint64_t n) -> const RecoveredSlot* {
    const auto found = memory.slots.find(SequenceNumber{n});
    return found == memory.slots.end() ? nullptr : &found->second;
  };
  for (auto at = said.accepted.upper_bound({stable, ~0ULL}); at != said.accepted.end(); ++at) {
    if (!at->second.lost) audit_accepted(replica, at->first, at->second.what, slot_of(at->first.first));
  }
  for (auto at = said.prepared.upper_bound({stable, ~0ULL}); at != said.prepared.end(); ++at) {
    if (!at->second.lost) audit_prepared(replica, at->first, at->second.what, slot_of(at->first.first));
  }
  audit_roots(replica, memory, stable);
  audit_views(replica, memory);
}

}  // namespace pbft::sim
