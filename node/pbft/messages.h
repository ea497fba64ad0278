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
  SequenceNumber stable;
  SequenceNumber executed;
  std::vector<Lack> lacks;  // ascending, each above stable; at most Limits::max_status_slots
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

// A backup hands on a request that a client sent to it (OSDI 1999, section 4.1).
struct Forward {
  BundlePtr bundle;
  bool authentic = false;  // set by the Authenticator: the bundle's proof holds at this replica
};

using PeerMessage = std::variant<PrePrepare, Prepare, Commit, Checkpoint, StableCheckpoint, Status, FetchBatch,
                                 BatchResponse, FetchLedger, LedgerRange, Forward>;

// ---- Between clients and replicas ------------------------------------------------------------------

// Sent by a client to every replica: teaches it the route to a session, and is answered with Welcome.
struct Hello {
  SessionId session;  // 0 before the session is open; then `number` is that of the open_session request
  RequestNumber number;
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
  unknown_session = 2,  // never opened, or evicted
  outside_window = 3,   // request number at or above low + session window
  not_a_client = 4,     // the replicated set of clients does not hold this key
  stale_open = 5,       // open_session number not above the client's last; the result is that last number
  busy = 6,             // not ordered: the replica's queue for this client is full. A hint, send it again later
};

struct Reply {
  View view;  // a hint where the primary is; no part of the match
  SessionId session;
  RequestNumber number;
  ReplyStatus status = ReplyStatus::ok;
  Digest result_digest;               // reply_digest(status, result)
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
};

}  // namespace pbft
