// One struct per protocol message. These are plain values: how they become bytes is the business of
// node/wire, who sent them and whether that is true is the business of node/crypto, and what they mean
// is decided by the rules in this folder. The sender is never a field: it comes from authentication.
#pragma once

#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "node/pbft/types.h"

namespace pbft {

// ---- What clients ask for -------------------------------------------------------------------------

enum class RequestKind : std::uint8_t {
  execute = 0,       // run by the plugin's execute
  query = 1,         // ordered, but run by the plugin's query: the fall-back of an unordered read
  open_session = 2,  // opens a session; the bundle's session is 0 and the operation empty
};

struct Request {
  RequestNumber number;  // per session; for open_session: per client, and growing
  RequestKind kind = RequestKind::execute;
  SharedBytes operation;  // at most Limits::max_operation_bytes

  friend bool operator==(const Request&, const Request&) = default;
};

// The requests of one client session that share one proof of who sent them. The bundle is the unit of
// authentication: it is ordered whole, and its digest names it.
struct Bundle {
  ClientId client;
  SessionId session;  // 0 exactly in a bundle whose single request is open_session
  // The client has the answers of all its requests below this number: their replies may be forgotten.
  // Requests lie in [low, low + session window).
  RequestNumber low;
  std::vector<Request> requests;  // 1 or more, numbers strictly ascending

  SharedBytes body;   // the encoding that digest and proof cover
  Digest digest;      // bundle_digest(body)
  SharedBytes proof;  // as received: one MAC per replica, or a signature; no part of any digest

  // Whether the proof is of the kind that all replicas judge alike (node/crypto/README.md).
  [[nodiscard]] bool is_signed() const { return !proof.empty() && proof.view()[0] == signature_proof; }
  static constexpr std::uint8_t mac_proof = 0;
  static constexpr std::uint8_t signature_proof = 1;
};
using BundlePtr = std::shared_ptr<const Bundle>;

// What one sequence number orders. Immutable once made; shared, never copied.
struct Batch {
  Timestamp time;                  // the primary's clock
  std::vector<BundlePtr> bundles;  // empty exactly in the null batch
  Digest digest;                   // batch_digest(time, bundle digests), or null_batch_digest()
};
using BatchPtr = std::shared_ptr<const Batch>;

// ---- The normal case (OSDI 1999, section 4.2) ------------------------------------------------------

struct PrePrepare {
  View view;
  SequenceNumber n;
  BatchPtr batch;  // never null
  // Set by the Authenticator, one per bundle: true where the bundle's proof holds at this replica.
  // Empty in messages that the core emits.
  std::vector<bool> authentic;
};

struct Prepare {
  View view;
  SequenceNumber n;
  Digest digest;
};

struct Commit {
  View view;
  SequenceNumber n;
  Digest digest;
};

// ---- Checkpoints (OSDI 1999, section 4.3) ----------------------------------------------------------

// Everything that a checkpoint's root covers. Two correct replicas have equal summaries at equal n.
struct CheckpointSummary {
  SequenceNumber n;
  Digest state;        // digest tree over application state and client table
  Digest ledger_head;  // hash chain over the digests of all batches up to n
  Timestamp time;      // the agreed time after n
  Epoch epoch;
  Digest plugin;  // plugin identity: name, version and configuration

  friend bool operator==(const CheckpointSummary&, const CheckpointSummary&) = default;
};

// Signed, because a quorum of them is shown to third parties.
struct Checkpoint {
  SequenceNumber n;
  Digest root;  // checkpoint_root(summary)
  // The encoding with its signature, as received. Empty in messages that the core emits; the driver
  // signs them and hands the signed message back to the core as one from this replica itself.
  SharedBytes signed_bytes;
};

// A quorum of matching CHECKPOINTs. The Authenticator has verified each vote.
struct StableCheckpoint {
  struct Vote {
    ReplicaId replica;
    SharedBytes signed_bytes;
  };
  SequenceNumber n;
  Digest root;
  std::vector<Vote> votes;  // distinct replicas, ascending
};

// ---- View changes (TOCS 2002, section 4.4 "View Changes" of the algorithm without signed votes) -------

// (n, digest) and the highest view in which it prepared at a replica, or was voted for by it.
struct SlotMark {
  SequenceNumber n;
  Digest digest;
  View view;
  friend bool operator==(const SlotMark&, const SlotMark&) = default;
};

// Its sender has left every view below `view`, for good. Signed.
struct ViewChange {
  View view;                               // the view that it wants to enter; never 0
  std::optional<StableCheckpoint> stable;  // h with its proof; absent: h = 0, the genesis
  std::vector<SlotMark> prepared;          // the P set: ascending in n, one for each n
  std::vector<SlotMark> voted;             // the Q set: ascending in (n, digest), one for each of these
  // The encoding with its signature, as received. Empty in messages that the core emits; the driver signs them before
  // they are persisted, and hands the signed message back to the core as one from this replica itself.
  SharedBytes signed_bytes;

  [[nodiscard]] SequenceNumber low() const { return stable ? stable->n : SequenceNumber{}; }
};

// Opens a view: what its slots hold follows from `view_changes` alone (new_view_rules.h). Signed by the view's primary,
// so that anybody may hand it on.
struct NewView {
  struct Signed {
    ReplicaId replica;  // who signed the view-change; verified
    ViewChange message;
  };
  View view;
  ReplicaId primary;                 // who signed it; verified
  std::vector<Signed> view_changes;  // S: ascending replicas
  SharedBytes signed_bytes;          // as in ViewChange
};

// ---- Repairing what the bus lost -------------------------------------------------------------------

// Where a replica stands. Peers answer by sending again just what is lacking.
struct Status {
  struct Lack {
    SequenceNumber n;
    bool batch = false;     // no batch of this slot in hand
    bool prepares = false;  // not prepared
    bool commits = false;   // not committed
    friend bool operator==(const Lack&, const Lack&) = default;
  };
  View view;
  bool active = true;     // false: it has left the views below `view`, and has no NEW-VIEW of it
  bool suspects = false;  // it does not trust the primary of `view`, and leaves with f others that do not; if active
  // Bit i: it holds a VIEW-CHANGE of replica i for a view that is not active here yet.
  std::uint64_t view_changes = 0;
  // It has lost its memory and takes part again once this view, or a later one, is active; 0: no such matter.
  View rejoins_in;
  SequenceNumber stable;
  SequenceNumber executed;
  std::vector<Lack> lacks;  // ascending, each above stable; at most Limits::max_status_slots
};

// The batch of n is committed at the sender. From f+1 replicas this proves it, in whatever view each of them is: one of
// them is correct.
struct Committed {
  SequenceNumber n;
  Digest digest;
};

// Asks for the batch with this digest that was ordered (or proposed) as n.
struct FetchBatch {
  SequenceNumber n;
  Digest digest;
};
struct BatchResponse {
  SequenceNumber n;
  BatchPtr batch;
};

// Asks for the digests of the batches first..last of the ledger, where last is a checkpoint.
struct FetchLedger {
  SequenceNumber first;
  SequenceNumber last;
};
// digests[i] is the digest of batch first + i; the summary is that of the checkpoint at the last of them,
// so that the root of a stable checkpoint proves the whole range.
struct LedgerRange {
  SequenceNumber first;
  CheckpointSummary summary;
  std::vector<Digest> digests;
};

// ---- State transfer --------------------------------------------------------------------------------

// Which family a pair of the replicated state belongs to.
enum class Namespace : std::uint8_t { state = 0, clients = 1 };
using PairHash = FixedBytes<struct PairHashTag, 16>;  // pair_hash(): names a pair of a bucket to others

struct StatePair {
  Namespace name_space = Namespace::state;
  SharedBytes key;
  SharedBytes value;
  friend bool operator==(const StatePair&, const StatePair&) = default;
};

// Asks for the digests of all buckets of the state at the stable checkpoint n.
struct FetchTree {
  SequenceNumber n;
};
// leaves[i] is the digest of bucket i (storage/README.md): as a whole proven by summary.state, and that by the root of
// the stable checkpoint.
struct Tree {
  CheckpointSummary summary;
  std::vector<Digest> leaves;  // exactly tree_buckets
};
// Asks for what bucket `bucket` of the state at the checkpoint n holds beyond `have`.
struct FetchBucket {
  SequenceNumber n;
  std::uint32_t bucket = 0;
  std::uint32_t skip = 0;      // pairs of the answer that are here already
  std::vector<PairHash> have;  // pairs of the bucket that the asker holds; ascending
};
// One part of the answer. The pairs that are not in `have` are sent in ascending order of (namespace, key), as many as
// fit a part; the last part makes the bucket whole, and its digest then proves all of it.
struct BucketPart {
  SequenceNumber n;
  std::uint32_t bucket = 0;
  std::uint32_t skip = 0;            // pairs before these
  std::uint32_t total = 0;           // pairs in all parts
  std::vector<std::uint32_t> wrong;  // indexes into `have` of what is not in the bucket; ascending; where skip is 0
  std::vector<StatePair> pairs;      // ascending
};

// ---- Clients under suspicion -----------------------------------------------------------------------

// A proof of this client's did not hold at the sender, inside of a batch. It proves nothing against the client, since
// the primary may have broken it: it costs the client signatures and nothing else. Signed.
struct ClientReport {
  ClientId client;
  SharedBytes signed_bytes;  // as in Checkpoint
};

// A backup hands on a request that a client sent to it (OSDI 1999, section 4.1).
struct Forward {
  BundlePtr bundle;
  bool authentic = false;  // set by the Authenticator: the bundle's proof holds at this replica
};

using PeerMessage = std::variant<PrePrepare, Prepare, Commit, Checkpoint, StableCheckpoint, Status, FetchBatch,
                                 BatchResponse, FetchLedger, LedgerRange, Forward, ViewChange, NewView, FetchTree, Tree,
                                 FetchBucket, BucketPart, ClientReport, Committed>;

// ---- Between clients and replicas ------------------------------------------------------------------

// Sent by a client to every replica: teaches it the route to a session, and is answered with Welcome.
struct Hello {
  SessionId session;  // 0 before the session is open; then `number` is that of the open_session request
  RequestNumber number;
  // The client has enough replies without those of this replica, which may leave them out where it has not got the
  // request from the client itself. Until a Hello says otherwise, or a request of the session comes in.
  bool quiet = false;
};
struct Welcome {
  View view;
  SequenceNumber executed;
};

struct ClientRequest {
  BundlePtr bundle;
};

// An unordered read; goes to all replicas (rule of reads: Q matching answers).
struct ReadRequest {
  RequestNumber number;  // chosen by the client to match the answer; means nothing to the replicas
  SharedBytes operation;
};

enum class ReplyStatus : std::uint8_t {
  ok = 0,
  failed = 1,           // the plugin says that the operation failed; the result is its message
  unknown_session = 2,  // never opened, or evicted; or the reply to this number was forgotten for want of room
  outside_window = 3,   // request number at or above low + session window
  not_a_client = 4,     // the replicated set of clients does not hold this key
  stale_open = 5,       // open_session number not above the client's last; the result is that last number
  busy = 6,             // not ordered: the replica's queue for this client is full. A hint, send it again later
  sign = 7,             // not ordered: this client is under suspicion and has to sign its requests. A hint
};

struct Reply {
  View view;  // a hint where the primary is; no part of the match
  SessionId session;
  RequestNumber number;
  ReplyStatus status = ReplyStatus::ok;
  Digest result_digest;               // reply_digest(status, result); unused where the result itself is here
  std::optional<SharedBytes> result;  // absent where another replica sends it in full
};

struct ReadReply {
  RequestNumber number;
  ReplyStatus status = ReplyStatus::ok;
  SequenceNumber executed;  // what was executed when the read ran; no part of the match
  SharedBytes result;
};

// Operator's view of one replica, as JSON text; answered by the node, not by the core.
struct InfoRequest {
  RequestNumber number;
};
struct InfoReply {
  RequestNumber number;
  std::string json;
};

using ClientMessage = std::variant<Hello, ClientRequest, ReadRequest, InfoRequest>;
using ReplicaToClientMessage = std::variant<Welcome, Reply, ReadReply, InfoReply>;

// ---- Hard limits (sizes in bytes); the decoder and the rules both use them --------------------------

struct Limits {
  static constexpr std::size_t max_replicas = 64;
  static constexpr std::size_t max_operation_bytes = 1U << 20;
  static constexpr std::size_t max_result_bytes = 1U << 20;
  static constexpr std::size_t max_bundle_requests = 1024;
  static constexpr std::size_t max_bundle_bytes = 2U << 20;
  static constexpr std::size_t max_batch_bundles = 4096;
  static constexpr std::size_t max_batch_bytes = 8U << 20;
  static constexpr std::size_t max_status_slots = 64;
  static constexpr std::size_t max_ledger_range = 262'144;  // 9 MB of digests in one frame
  static constexpr std::size_t max_packet_messages = 1024;
  static constexpr std::size_t max_packet_bytes = 16U << 20;
  static constexpr std::size_t max_info_bytes = 1U << 20;
  // Of the view-changes of one NEW-VIEW together; each may take its n-th part.
  static constexpr std::size_t max_new_view_bytes = 12U << 20;
  // Entries of P and Q together that a VIEW-CHANGE has room for in its part, below a proof of n votes.
  static constexpr std::uint64_t most_marks(std::uint32_t replicas) {
    constexpr std::uint64_t mark_bytes = 1 + 9 + (2 + Digest::size) + 9;  // with the longest numbers
    constexpr std::uint64_t vote_bytes = 192;
    const std::uint64_t part = max_new_view_bytes / replicas;
    return (part - 1024 - vote_bytes * replicas) / mark_bytes;
  }
  // The largest window of sequence numbers with which every VIEW-CHANGE fits its part: of each slot it names what
  // prepared, and what was voted for, which may be another batch under each of f faulty primaries in a row and the
  // correct one before them, beside one vote from before.
  static constexpr std::uint64_t largest_window(std::uint32_t replicas) {
    return most_marks(replicas) / ((replicas - 1) / 3 + 3);
  }
  // With so many votes in it a VIEW-CHANGE has room for those of f faulty primaries in a row and the correct one before
  // them, and for what prepared.
  static constexpr std::uint64_t votes_with_room(std::uint32_t replicas, std::uint64_t window) {
    const std::uint64_t taken = window * ((replicas - 1) / 3 + 2);
    return most_marks(replicas) > taken ? most_marks(replicas) - taken : 0;
  }
  static constexpr std::uint32_t tree_buckets = 4096;
  static constexpr std::size_t max_bucket_hashes = 500'000;  // 9 MB of them in one frame
  static constexpr std::size_t max_bucket_pairs = 65'536;    // in one part
  static constexpr std::size_t max_key_bytes = 4096;
  static constexpr std::size_t max_value_bytes = 8U << 20;
  // A part is closed when it holds this much; one pair alone may be larger.
  static constexpr std::size_t bucket_part_bytes = 256U << 10;
};

}  // namespace pbft
