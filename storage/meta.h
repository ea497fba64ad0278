// The records of the `meta` family: whose store this is, and how far it is. Encodings in README.md of this folder.
#pragma once

#include "storage/store.h"

namespace pbft::storage {

// Whose store it is. Checked before anything else is read.
inline const Bytes identity_key = to_bytes("identity");
[[nodiscard]] Bytes encode_identity(const StoreIdentity& identity, std::uint32_t version = format_version);
// `where` names the store in the error: corrupt, newer_format, or mismatch (other cluster, other replica).
[[nodiscard]] Result<void> check_identity(BytesView record, const StoreIdentity& expected, const std::string& where);

// The batch that was executed last.
inline const Bytes executed_key = to_bytes("executed");
struct ExecutedRecord {
  SequenceNumber n;
  Timestamp time;
  Digest ledger_head;
};
[[nodiscard]] Bytes encode_executed(const ExecutedRecord& record);
[[nodiscard]] std::optional<ExecutedRecord> decode_executed(BytesView bytes);

// The checkpoint that was taken last: the start of the interval that undo is written to.
inline const Bytes interval_key = to_bytes("interval");

// Of which checkpoint each row of family tree is (tree_rows.h).
inline const Bytes tree_rows_key = to_bytes("tree");

// Present while the pairs of a checkpoint are written: an opening takes them back, by undo, and the list of each.
inline const Bytes writing_key = to_bytes("writing");

// Present while the state is damaged: set by mark_damaged, gone with the state that replaces it.
inline const Bytes damaged_key = to_bytes("damaged");

// What truncation has left.
inline const Bytes kept_key = to_bytes("kept");
struct KeptRecord {
  SequenceNumber stable;           // the newest checkpoint that was truncated to
  SequenceNumber previous;         // the one before it; the oldest whose state is kept
  std::uint64_t first_undo = 0;    // Invariant: undo of all intervals from this one on is there
  std::uint64_t first_ledger = 1;  // Invariant: ledger entries from this one on are there
  std::uint64_t pruned = 0;        // slots up to this one hold no batch but the committed one

  friend bool operator==(const KeptRecord&, const KeptRecord&) = default;
};
[[nodiscard]] Bytes encode_kept(const KeptRecord& record);
[[nodiscard]] std::optional<KeptRecord> decode_kept(BytesView bytes);

// ledger: n -> batch digest, head after it, agreed time.
struct LedgerRecord {
  Digest batch;
  Digest head;
  Timestamp time;
};
[[nodiscard]] Bytes encode_ledger(const LedgerRecord& record);
[[nodiscard]] std::optional<LedgerRecord> decode_ledger(BytesView bytes);

}  // namespace pbft::storage
