"""The planted bugs: what the simulator and the exhaustive walk have to find.

Each is a change of the sources, made in a copy of them (plant), behind a switch: planted("name"). The sources themselves
know nothing of it. `text` has to be there exactly once; where the sources move on, the build says which edit does not
fit any more.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Edit:
    file: str
    text: str
    instead: str


@dataclasses.dataclass(frozen=True)
class Bug:
    name: str
    breaks: str
    edits: tuple
    # A test program, and which of its tests, that has to find what random schedules cannot: (), the seeds have to.
    by_test: tuple = ()


WALK = ("test_walk", "the exhaustive walk")


def bug(name, breaks, *edits, by_test=()):
    return Bug(name, breaks, tuple(Edit(*edit) for edit in edits), by_test)


# What is built of the tests: only what bugs name in by_test.
PROGRAMS = {
    "tests/pbft": """
pbft_test(test_walk LABEL unit SOURCES new_view_model.cpp new_view_walk.cpp new_view_walk_test.cpp LINK pbft_rules)
pbft_test(test_stories LABEL unit SOURCES normal_operation_test.cpp primary_watch_test.cpp request_queue_test.cpp state_transfer_test.cpp
          LINK pbft_core_harness)
""",
    "tests/crypto": """
pbft_test(test_frames LABEL unit SOURCES cost_test.cpp LINK pbft_crypto)
""",
    "tests/storage": """
pbft_test(test_records LABEL unit SOURCES client_records_test.cpp serving_test.cpp transfer_test.cpp
          LINK pbft_storage pbft_volume)
""",
}

# What the switch itself needs.
SWITCH = (
    Edit("tools/sim/main.cpp", "!options.mutant.empty()", "!pbft::plant(options.mutant)"),
)

BUGS = (
    bug("quorum_2f1", "2f+1 where n = 5, 6 need more",
        ("node/pbft/quorum.h",
         "  constexpr explicit Quorum(std::uint32_t replicas) : n_(replicas), f_((replicas - 1) / 3), "
         "quorum_((n_ + f_ + 2) / 2) {",
         "  explicit Quorum(std::uint32_t replicas) : n_(replicas), f_((replicas - 1) / 3),\n"
         "      quorum_(planted(\"quorum_2f1\") ? 2 * f_ + 1 : (n_ + f_ + 2) / 2) {\n"
         "    if (planted(\"quorum_2f1\")) return;")),
    bug("vote_ignores_digest", "votes for different digests added up",
        ("node/pbft/message_log.cpp",
         "count += candidate == vote ? 1U : 0U;",
         "count += (planted(\"vote_ignores_digest\") ? candidate && candidate->view == vote.view : candidate == vote)"
         " ? 1U : 0U;")),
    bug("vote_duplicate_sender", "one sender counted twice",
        ("node/pbft/normal_operation.cpp",
         "  if (!record(slot.prepares[sender.value], {message.view, message.digest}, sender, out)) return;",
         "  if (planted(\"vote_duplicate_sender\") && slot.prepares[sender.value] == Vote{message.view, message.digest}) {\n"
         "    for (std::uint32_t i = 0; i < slot.prepares.size(); ++i) {\n"
         "      if (slot.prepares[i] || ReplicaId{i} == local_.self || ReplicaId{i} == quorum_.primary(message.view)) "
         "continue;\n"
         "      slot.prepares[i] = Vote{message.view, message.digest};\n"
         "      check_prepared(message.n, slot, out);\n"
         "      return;\n"
         "    }\n"
         "  }\n"
         "  if (!record(slot.prepares[sender.value], {message.view, message.digest}, sender, out)) return;"),
        ("node/pbft/normal_operation.cpp",
         "  if (!record(slot.commits[sender.value], {message.view, message.digest}, sender, out)) return;",
         "  if (planted(\"vote_duplicate_sender\") && slot.commits[sender.value] == Vote{message.view, message.digest}) {\n"
         "    for (std::uint32_t i = 0; i < slot.commits.size(); ++i) {\n"
         "      if (slot.commits[i] || ReplicaId{i} == local_.self) continue;\n"
         "      slot.commits[i] = Vote{message.view, message.digest};\n"
         "      check_committed(slot);\n"
         "      return;\n"
         "    }\n"
         "  }\n"
         "  if (!record(slot.commits[sender.value], {message.view, message.digest}, sender, out)) return;")),
    bug("second_preprepare_accepted", "a second digest for a (view, n)",
        ("node/pbft/normal_operation.cpp",
         "  if (slot->accepted) return slot->accepted == vote ? Reject::already_known : Reject::second_preprepare;",
         "  if (slot->accepted && (!planted(\"second_preprepare_accepted\") || slot->accepted == vote || slot->prepared)) {\n"
         "    return slot->accepted == vote ? Reject::already_known : Reject::second_preprepare;\n"
         "  }"),
        ("node/pbft/normal_operation.cpp",
         "  assert(!slot.accepted);  // one vote per (view, n), ever",
         "  assert(!slot.accepted || planted(\"second_preprepare_accepted\"));"),
        ("storage/store_journal.cpp",
         "    return refuse(std::string{\"a second digest was to be recorded as \"}",
         "    if (!planted(\"second_preprepare_accepted\")) return refuse(std::string{\"a second digest was to be recorded as "
         "\"}")),
    bug("vote_after_viewchange", "votes in the view just left",
        ("node/pbft/view_changer.cpp",
         "  if (to <= view_.view || view_.abstains) return;",
         "  if (to <= view_.view || view_.abstains) return;\n"
         "  if (planted(\"vote_after_viewchange\") && view_.active) {\n"
         "    const auto& own = peers_[local_.self.value].view_change;\n"
         "    if (own && own->view >= to) return;\n"
         "    ViewChange early = own_view_change(to);\n"
         "    out.persist(PersistViewChange{early});\n"
         "    out.broadcast(std::move(early));\n"
         "    return;\n"
         "  }")),
    bug("p_drops_older_views", "P forgets what prepared before the last view",
        ("node/pbft/view_changer.cpp",
         "    if (slot.prepared) message.prepared.push_back(",
         "    const bool kept = !planted(\"p_drops_older_views\") || "
         "(slot.prepared && slot.prepared->view.value + 1 == to.value);\n"
         "    if (slot.prepared && kept) message.prepared.push_back(")),
    bug("newview_ignores_a1", "a lower-view P entry is chosen",
        ("node/pbft/new_view_rules.cpp",
         "  return std::count_if(all.begin(), all.end(), agrees) >= quorum.quorum();",
         "  return planted(\"newview_ignores_a1\") || std::count_if(all.begin(), all.end(), agrees) >= quorum.quorum();"),
        by_test=WALK),
    bug("newview_ignores_a2", "a P entry nobody vouches for is chosen",
        ("node/pbft/new_view_rules.cpp",
         "  return std::count_if(all.begin(), all.end(), voted) >= quorum.weak();",
         "  return planted(\"newview_ignores_a2\") || std::count_if(all.begin(), all.end(), voted) >= quorum.weak();"),
        by_test=WALK),
    bug("newview_trusts_primary", "backups do not recompute: what the primary shows is taken for enough",
        ("node/pbft/new_view_rules.cpp",
         "  if (view_changes.size() < quorum.quorum()) return std::nullopt;",
         "  if (view_changes.empty() || (!planted(\"newview_trusts_primary\") && view_changes.size() < quorum.quorum())) "
         "return std::nullopt;"),
        ("node/pbft/new_view_rules.cpp",
         "  for (const SlotMark* mark : candidates) {\n",
         "  if (planted(\"newview_trusts_primary\")) return candidates.empty() ? nullptr : candidates.front();\n"
         "  for (const SlotMark* mark : candidates) {\n"),
        ("node/pbft/new_view_rules.cpp",
         "  return std::count_if(all.begin(), all.end(), silent) >= quorum.quorum();",
         "  return planted(\"newview_trusts_primary\") || std::count_if(all.begin(), all.end(), silent) >= "
         "quorum.quorum();")),
    bug("newview_no_null", "gaps are not filled",
        ("node/pbft/normal_operation.cpp",
         "    const BatchPtr batch = digest == null_batch_digest() ? null_batch() : slot.batch(digest);",
         "    if (digest == null_batch_digest() && planted(\"newview_no_null\")) continue;\n"
         "    const BatchPtr batch = digest == null_batch_digest() ? null_batch() : slot.batch(digest);")),
    bug("commit_before_sync", "COMMIT leaves before the prepared mark is durable",
        ("node/runtime/driver.cpp",
         "  if (auto done = parts_.store.persist(effects.persist); !done) return done;\n  if (auto sent",
         "  std::vector<JournalRecord> late;\n"
         "  if (planted(\"commit_before_sync\")) {\n"
         "    for (const JournalRecord& record : effects.persist) {\n"
         "      if (std::holds_alternative<PersistPrepared>(record)) late.push_back(record);\n"
         "    }\n"
         "    std::erase_if(effects.persist, [](const auto& r) { return std::holds_alternative<PersistPrepared>(r); });\n"
         "  }\n"
         "  if (auto done = parts_.store.persist(effects.persist); !done) return done;\n"
         "  if (auto sent"),
        ("node/runtime/driver.cpp",
         "  if (auto done = execute(effects.execute); !done) return done;",
         "  if (auto done = parts_.store.persist(late); !done) return done;\n"
         "  if (auto done = execute(effects.execute); !done) return done;")),
    bug("forget_view_on_restart", "restarts into view 0",
        ("node/pbft/view_changer.cpp",
         "void ViewChanger::recover(const Recovered& recovered) {",
         "void ViewChanger::recover(const Recovered& recovered) {\n"
         "  if (planted(\"forget_view_on_restart\")) return;"),
        ("node/pbft/normal_operation.cpp",
         "      assert(slot.prepared->view <= view_.view);",
         "      assert(slot.prepared->view <= view_.view || planted(\"forget_view_on_restart\"));")),
    bug("checkpoint_stable_at_weak", "f+1 checkpoints called stable",
        ("node/pbft/checkpointing.cpp",
         "  if (matching.votes.size() >= quorum_.quorum()) on_proof(matching, out);",
         "  if (matching.votes.size() >= (planted(\"checkpoint_stable_at_weak\") ? quorum_.weak() : quorum_.quorum())) "
         "on_proof(matching, out);"),
        ("node/pbft/checkpointing.cpp",
         "  if (message.votes.size() < quorum_.quorum()) return out.reject(Reject::proof_too_small, sender);",
         "  if (message.votes.size() < (planted(\"checkpoint_stable_at_weak\") ? quorum_.weak() : quorum_.quorum())) "
         "return out.reject(Reject::proof_too_small, sender);"),
        ("node/pbft/new_view_rules.cpp",
         "  return votes.size() >= quorum.quorum() && ",
         "  return votes.size() >= (planted(\"checkpoint_stable_at_weak\") ? quorum.weak() : quorum.quorum()) && ")),
    bug("client_table_not_in_checkpoint", "replies missing from the digest and the transfer",
        ("storage/store_checkpoint.cpp",
         "    const auto now = value_at_checkpoint(before.name);",
         "    if (planted(\"client_table_not_in_checkpoint\") && space_of(before.name) == Namespace::clients) return {};\n"
         "    const auto now = value_at_checkpoint(before.name);"),
        ("storage/store.cpp",
         "      first_change(first, value);",
         "      if (!planted(\"client_table_not_in_checkpoint\") || name_space != Namespace::clients) "
         "first_change(first, value);"),
        ("storage/store.cpp",
         "    auto added = Impl::add_all(tree, name_space, *impl_->scan(name_space, {}, {}));\n",
         "    if (planted(\"client_table_not_in_checkpoint\") && name_space == Namespace::clients) continue;\n"
         "    auto added = Impl::add_all(tree, name_space, *impl_->scan(name_space, {}, {}));\n")),
    bug("chunk_unverified", "a state-transfer chunk taken on trust",
        ("storage/transfer.cpp",
         "  if (leaf_digest(end) == leaves_[bucket]) return true;",
         "  if (planted(\"chunk_unverified\") || leaf_digest(end) == leaves_[bucket]) return true;"),
        ("storage/store_install.cpp",
         "|| found->second.leaf != leaf ||",
         "|| (!planted(\"chunk_unverified\") && found->second.leaf != leaf) ||")),
    bug("viewchange_not_resent", "VIEW-CHANGE sent once only",
        ("node/pbft/view_changer.cpp",
         "  const bool lacks = status.view < view_.view || !holds;",
         "  const bool lacks = !planted(\"viewchange_not_resent\") && (status.view < view_.view || !holds);")),
    bug("newview_not_retried_after_transfer", "a NEW-VIEW that had to wait for the state is given up",
        ("node/pbft/view_changer.cpp",
         "  if (log_.low() < proposal_->decision.start || !missing().empty()) return;",
         "  if (log_.low() < proposal_->decision.start && planted(\"newview_not_retried_after_transfer\")) "
         "proposal_.reset();\n"
         "  if (!proposal_ || log_.low() < proposal_->decision.start || !missing().empty()) return;"),
        # The next primary, or the one after it, opens a view all the same: what is lost is one view's time.
        by_test=("test_stories", "rule 18: a new primary that is far behind opens its view once the transfer has ended")),
    bug("read_before_prepared", "a read answered before what had prepared is executed",
        ("node/pbft/reads.h",
         "    waiting_.push_back({highest_prepared,",
         "    waiting_.push_back({planted(\"read_before_prepared\") ? SequenceNumber{} : highest_prepared,")),
    bug("crowded_views_not_filled", "votes are never cleared away where nobody has anything ordered",
        ("node/pbft/new_view_rules.cpp",
         "  if (!crowded) return bound;",
         "  if (!crowded || planted(\"crowded_views_not_filled\")) return bound;")),
    bug("vouch_not_in_q", "a vouched vote is missing from Q",
        ("node/pbft/normal_operation.cpp",
         "  if (batch->time.value > wall_clock_.value + cluster_.max_clock_skew_us) return;\n"
         "  accept(n, slot, batch, out);",
         "  if (batch->time.value > wall_clock_.value + cluster_.max_clock_skew_us) return;\n"
         "  accept(n, slot, batch, out);\n"
         "  if (planted(\"vouch_not_in_q\")) slot.voted.erase(batch->digest);"),
        ("node/pbft/normal_operation.cpp",
         "      assert(slot.voted.at(slot.accepted->digest) == view_.view);",
         "      assert(planted(\"vouch_not_in_q\") || slot.voted.at(slot.accepted->digest) == view_.view);"),
        ("node/pbft/normal_operation.cpp",
         "      assert(slot.voted.contains(slot.prepared->digest));",
         "      assert(planted(\"vouch_not_in_q\") || slot.voted.contains(slot.prepared->digest));")),
    bug("q_bounded", "Q keeps two digests per slot",
        ("node/pbft/normal_operation.cpp",
         "  slot.voted[vote.digest] = vote.view;",
         "  slot.voted[vote.digest] = vote.view;\n"
         "  if (planted(\"q_bounded\") && slot.voted.size() > 2) {\n"
         "    slot.voted.erase(std::min_element(slot.voted.begin(), slot.voted.end(), [](const auto& a, const auto& b) {\n"
         "      return a.second < b.second;\n"
         "    }));\n"
         "  }")),
    bug("suspicion_not_told", "who does not trust the primary keeps it to itself",
        ("node/pbft/retransmission.cpp",
         "  status.suspects = told_suspicion_ = view_changer_.suspects();",
         "  told_suspicion_ = view_changer_.suspects();\n"
         "  status.suspects = told_suspicion_ && !planted(\"suspicion_not_told\");")),
    # Mistakes that were in the node (tests/README.md), each back in it behind its switch.
    bug("long_queue_starves", "who stands in a long queue is taken to be starved: a flood changes the view",
        ("node/pbft/primary_watch.cpp",
         "starvation * timeout_ && executed_ >= one.turn)",
         "starvation * timeout_ && (planted(\"long_queue_starves\") || executed_ >= one.turn))"),
        by_test=("test_stories", "a client whose request stands in a long queue is not starved before its turn has come")),
    bug("primary_vouches_for_nothing", "the COMMIT of the primary does not vouch for its proposal",
        ("node/pbft/normal_operation.cpp",
         "(primary == vote ? 1 : 0)",
         "(primary == vote && !planted(\"primary_vouches_for_nothing\") ? 1 : 0)"),
        by_test=("test_stories", "a proposal that comes when its time is behind*")),
    bug("full_queue_has_no_room", "a full queue has no room for who asks for little",
        ("node/pbft/request_queue.cpp",
         "    if (share <= 2 * (too_many ? mine.requests : mine.bytes)) {",
         "    if (planted(\"full_queue_has_no_room\") || share <= 2 * (too_many ? mine.requests : mine.bytes)) {"),
        by_test=("test_stories", "*who asks for little pushes out the last of who has most waiting")),
    bug("wanted_before_taken", "what shares a frame with the NEW-VIEW of its view is judged before that is open",
        ("node/crypto/authenticator.cpp",
         "    for (PeerMessage& message : *messages) {\n",
         "    if (planted(\"wanted_before_taken\")) {\n"
         "      for (PeerMessage& message : *messages) {\n"
         "        static_cast<void>(std::visit([&](auto& one) { return check_claims(channel, one); }, message));\n"
         "      }\n"
         "      for (PeerMessage& message : *messages) take(AuthenticatedPeerMessage{channel, std::move(message)});\n"
         "      return {};\n"
         "    }\n"
         "    for (PeerMessage& message : *messages) {\n"),
        by_test=("test_frames", "whether a message is wanted is asked when those before it in the frame have been taken")),
    bug("replies_out_of_order", "a session's record with replies out of order is taken",
        ("storage/client_records.cpp",
         "if (!ascends) return std::nullopt;",
         "if (!ascends && !planted(\"replies_out_of_order\")) return std::nullopt;"),
        by_test=("test_records", "damaged client records are refused")),
    bug("askers_share_places", "one peer pushes out the state that another fetches",
        ("storage/serving_session.cpp",
         "  const auto is_its = [&](const Held& one) { return one.asker == asker; };",
         "  const auto is_its = [&](const Held& one) { return planted(\"askers_share_places\") || one.asker == asker; };"),
        by_test=("test_records", "what one peer asks for takes nothing from another*")),
    bug("staging_blocks_repair", "a staged record that makes no sense keeps a damaged state from being repaired",
        ("storage/store_damage.cpp",
         "    const auto checked = check_staged();",
         "    if (planted(\"staging_blocks_repair\")) return {};\n"
         "    const auto checked = check_staged();"),
        by_test=("test_records", "a staged bucket that cannot be read is fetched again*")),
)
