// The door out: everything that the core ever asks for.
//
// THE ORDERING CONTRACT. The effects of one step are performed in the order of the fields of Effects:
// first all of `persist`, in one atomic batch that is on stable storage (where durability is "fsync") before
// anything else of the step happens; then `send`; then `execute`, in order; then `truncate`. Effects of a
// later step never overtake those of an earlier one within the same field. A driver may gather several steps:
// it persists what all of them persist in one synced write, then sends what all of them send, and so on; it may
// never send or execute what a step emitted before that step's records are durable. So: durable before audible.
// A driver that cannot persist stops; it does not go on without.
#pragma once

#include <optional>
#include <variant>
#include <vector>

#include "node/pbft/input.h"
#include "node/pbft/messages.h"
#include "node/pbft/types.h"

namespace pbft {

// ---- persist: what this replica promised (storage: families `batches`, `journal`, `checkpoints`) -----

// The batch itself, once, by (n, digest), with the bundles' proofs.
struct PersistBatch {
  SequenceNumber n;
  BatchPtr batch;
};
// This replica voted for (view, n, digest): as primary by PRE-PREPARE, as backup by PREPARE.
// Its batch is persisted no later than the mark.
struct PersistAccepted {
  View view;
  SequenceNumber n;
  Digest digest;
};
// (view, n, digest) prepared here. Precedes this replica's COMMIT.
struct PersistPrepared {
  View view;
  SequenceNumber n;
  Digest digest;
};
// The low water mark and its proof. Precedes the truncation of everything at or below n.
struct PersistStable {
  StableCheckpoint proof;
  CheckpointSummary summary;
};
// This replica is in view `message.view`, without a NEW-VIEW of it. Signed by the driver before it is persisted.
struct PersistViewChange {
  ViewChange message;
};
// This replica is in view `message.view`, and that is active here. One for each view, ever.
struct PersistNewView {
  NewView message;
};
// This replica has lost its memory. It votes on nothing and answers no reads until its stable checkpoint is at or above
// `above`, and a view above `view` is active. A later record replaces it; `done` ends it.
struct PersistRejoin {
  View view;
  SequenceNumber above;
  bool known = false;  // false: view and above are still to be learnt from the others
  bool done = false;
};
using JournalRecord = std::variant<PersistBatch, PersistAccepted, PersistPrepared, PersistStable, PersistViewChange,
                                   PersistNewView, PersistRejoin>;

// ---- send -------------------------------------------------------------------------------------------

struct Broadcast {
  PeerMessage message;  // to all other replicas, over PUB/SUB
};
struct SendTo {
  ReplicaId to;
  PeerMessage message;  // point to point, over ROUTER/DEALER
};
// Answers from storage what is no longer in the core's memory. A peer that asks for what is not there gets
// no answer.
struct ServeBatch {
  ReplicaId to;
  SequenceNumber n;
  Digest digest;
};
struct ServeLedger {
  ReplicaId to;
  SequenceNumber first;
  SequenceNumber last;
};
// The digests of the buckets at the checkpoint n, where its state is still there.
struct ServeTree {
  ReplicaId to;
  SequenceNumber n;
};
struct ServeBucket {
  ReplicaId to;
  FetchBucket request;
};
// Sends FETCH-BUCKET with the hashes of what storage holds of the bucket: its own pairs, and what is staged.
struct RequestBucket {
  ReplicaId to;
  SequenceNumber n;
  std::uint32_t bucket = 0;
  std::uint32_t skip = 0;
};
// Sends the cached reply of an executed request again, in full.
struct ResendReply {
  ClientId client;
  View view;
  SessionId session;
  RequestNumber number;
};
// A reply that no execution stands behind (unknown session, busy ...).
struct SendReply {
  ClientId client;
  Reply reply;
};
using Send = std::variant<Broadcast, SendTo, ServeBatch, ServeLedger, ServeTree, ServeBucket, RequestBucket,
                          ResendReply, SendReply>;

// ---- execute ----------------------------------------------------------------------------------------

// One request of the batch that is to take effect. What is not listed is a duplicate and does nothing.
struct RunRequest {
  std::uint32_t bundle = 0;   // index into batch->bundles
  std::uint32_t request = 0;  // index into its requests
  // Set where the core itself decides the outcome (open_session, refusals): the plugin is not asked.
  std::optional<std::pair<ReplyStatus, Bytes>> decided;
  bool cached = true;  // false: no session keeps this reply (refusals); the reply is sent and forgotten
};

// The client table's changes by this batch are in `clients`, `sessions`, `evicted` and `forgotten`, apart from the
// results, with which they become durable. Applied before the replies of the batch are added, except `evicted`, which
// is applied last.
struct EvictedSession {
  ClientId client;
  SessionId session;
};

// Run the batch and write its ledger entry, which needs no sync of its own; then send the replies; then report
// Executed{n}. Batches come in order, no gaps. State, results and client table of whole batches, all of them up to some
// number, are stored together and no later than the next checkpoint: a restart runs again what is above that number.
struct Execute {
  SequenceNumber n;
  View view;  // for the replies
  BatchPtr batch;
  Timestamp time;      // agreed time: max(previous, batch->time)
  Digest ledger_head;  // after this batch
  std::vector<RunRequest> run;
  std::vector<ClientUpdate> clients;
  std::vector<SessionUpdate> sessions;
  std::vector<EvictedSession> evicted;
  // Clients without sessions whose own record goes, applied last (only where any key may be a client).
  std::vector<ClientId> forgotten;
};
// Make the state at n (just executed) servable and durable; report CheckpointTaken, perhaps after later batches.
struct TakeCheckpoint {
  SequenceNumber n;
};
// Run the plugin's query on the state as executed now, or later, and send the ReadReply to the origin.
struct AnswerRead {
  Origin origin;
  ClientId client;
  RequestNumber number;
  SharedBytes operation;
};
// State transfer. Finds out which buckets of the state at this checkpoint are not here yet, neither in the own state
// nor staged by an earlier plan; report TransferPlanned. `leaves` are proven by summary.state.
struct PlanTransfer {
  CheckpointSummary summary;
  std::vector<Digest> leaves;
};
// Stages the pairs of a part with those that came before, unsynced: InstallState begins with a synced write. The last
// part makes the bucket whole if the digest is then the planned one; if not, it alone is not staged, and what came
// before stays. Report BucketStaged either way, for each part.
struct StageBucket {
  ReplicaId source;
  BucketPart part;
};
// All buckets are here. The state becomes that of the checkpoint in one atomic, synced step: application state, client
// table, digests, ledger head, executed number, own summary, stable proof; report StateInstalled.
struct InstallState {
  StableCheckpoint proof;
  CheckpointSummary summary;
};
using ExecuteEffect = std::variant<Execute, TakeCheckpoint, AnswerRead, PlanTransfer, StageBucket, InstallState>;

// ---- truncate ---------------------------------------------------------------------------------------

// Journal entries at or below n are no longer needed; batches and ledger go as configured.
struct Truncate {
  SequenceNumber n;
};

// ---- events: for logs and metrics only; nothing depends on them ---------------------------------------

// Why an input changed nothing. One list for the whole core, so that each reason is counted under one name.
enum class Reject : std::uint8_t {
  not_a_replica,
  not_from_primary,
  wrong_view,
  outside_window,
  second_preprepare,
  time_not_later,
  time_ahead,
  time_behind,
  empty_batch,
  batch_too_large,
  not_a_client,
  bundle_not_authentic,  // held until f+1 replicas vouch for it
  vote_from_primary,
  second_vote,
  already_known,
  checkpoint_not_boundary,
  proof_too_small,
  not_asked_for,
  wrong_digest,
  bad_ledger_range,
  rate_limited,
  unknown_session,
  request_outside_window,
  request_too_old,
  queue_full,
  client_queue_full,
  not_primary,
  bad_view_change,     // an entry out of its window or view, or no proof of h
  bad_new_view,        // not what its view-changes lead to
  not_active,          // the view has been left
  rejoining,           // this replica has lost its memory and does not vote yet
  bad_tree,            // digests of buckets that do not hash to the proven state
  no_room,             // for a proposal whose turn is far away: it is asked for again
  signature_required,  // a client under suspicion did not sign
  stray_completion,
  count_  // number of reasons
};
[[nodiscard]] const char* to_string(Reject reason);

struct Rejected {
  Reject reason;
  std::optional<ReplicaId> peer;
};
struct BecameStable {
  SequenceNumber n;
};
// This replica's state differs from what a quorum certified. It stops executing and answering.
struct Diverged {
  SequenceNumber n;
  Digest own;
  Digest certified;
};
// This replica wants the view to be left, mostly since it does not trust the primary: it is once f+1 replicas say so.
struct PrimarySuspected {
  View view;
  const char* reason;  // a static text: "a client's request waits for too long" ...
};
struct ViewLeft {
  View from;
  View to;
  const char* reason;  // a static text
};
struct ViewEntered {
  View view;
};
struct TransferStarted {
  SequenceNumber to;
  std::uint32_t buckets = 0;  // that have to be fetched
};
struct TransferFinished {
  SequenceNumber at;
  std::uint64_t pairs = 0;  // received
  std::uint64_t bytes = 0;  // of them
};
// What a peer sent for the transfer does not have the proven digest, or it did not answer.
struct BadSource {
  ReplicaId source;
  const char* what;  // "wrong tree", "wrong bucket", "no answer"
};
// Where the own state differs from the certified one.
struct DivergenceLocated {
  SequenceNumber n;
  Namespace name_space = Namespace::state;
  Bytes first;  // lowest differing key
  Bytes last;   // highest differing key
  std::uint64_t keys = 0;
};
struct ClientSuspected {
  ClientId client;
};
struct Rejoined {
  View view;
  SequenceNumber stable;
};
struct CatchUpStarted {
  SequenceNumber from;
  SequenceNumber to;
};
struct CatchUpFinished {
  SequenceNumber at;
};
using Event = std::variant<Rejected, BecameStable, Diverged, CatchUpStarted, CatchUpFinished, PrimarySuspected,
                           ViewLeft, ViewEntered, TransferStarted, TransferFinished, BadSource, DivergenceLocated,
                           ClientSuspected, Rejoined>;

struct Effects {
  std::vector<JournalRecord> persist;
  std::vector<Send> send;
  std::vector<ExecuteEffect> execute;
  std::optional<Truncate> truncate;
  std::vector<Event> events;
};

}  // namespace pbft
