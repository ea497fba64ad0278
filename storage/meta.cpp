#include "storage/meta.h"

#include "node/pbft/digests.h"
#include "storage/fields.h"
#include "storage/leave_down.h"

namespace pbft::storage {
namespace {

constexpr std::string_view magic = "pbft-store";

StorageError error(StorageError::Kind kind, const std::string& where, const std::string& what) {
  return {kind, where + ": " + what};
}

}  // namespace

// The magic, the version and the checksum at the end keep their places in every format to come: only so can an
// older program tell a newer store from a damaged one.
Bytes encode_identity(const StoreIdentity& identity, std::uint32_t version) {
  FieldWriter writer;
  writer.raw(as_bytes(magic)).u32(version).raw(identity.cluster.view()).u32(identity.replica.value);
  Bytes record = writer.take();
  const Digest checksum = tagged_digest("pbft/store-identity/1", record);
  record.insert(record.end(), checksum.bytes.begin(), checksum.bytes.end());
  return record;
}

Result<void> check_identity(BytesView record, const StoreIdentity& expected, const std::string& where) {
  const auto corrupt = [&](const std::string& what) {
    return tl::unexpected(
        error(StorageError::Kind::corrupt, where, "the identity record in family meta " + what + "; " + leave_down));
  };
  if (record.size() < magic.size() + 4 + Digest::size) return corrupt("is too short");
  const BytesView body = record.first(record.size() - Digest::size);
  const BytesView checksum = record.last(Digest::size);
  const Digest computed = tagged_digest("pbft/store-identity/1", body);
  if (!std::equal(checksum.begin(), checksum.end(), computed.bytes.begin())) return corrupt("fails its checksum");

  FieldReader reader{body};
  if (as_text(reader.raw(magic.size())) != magic) return corrupt("is not that of a store of pbft-node");
  const std::uint32_t version = reader.u32();
  if (version > format_version) {
    return tl::unexpected(error(StorageError::Kind::newer_format, where,
                                "has format version " + std::to_string(version) + ", this program reads up to " +
                                    std::to_string(format_version) + "; run the newer program that wrote it"));
  }
  if (version != 0 && version < format_version) {
    return tl::unexpected(error(StorageError::Kind::older_format, where,
                                "has format version " + std::to_string(version) + ": " + older_store));
  }
  if (version != format_version) return corrupt("has the unknown format version " + std::to_string(version));
  const auto cluster = reader.fixed<ClusterId>();
  const ReplicaId replica{reader.u32()};
  if (!reader.complete()) return corrupt("has the wrong length");
  if (cluster != expected.cluster) {
    return tl::unexpected(error(StorageError::Kind::mismatch, where,
                                "belongs to another cluster: " + to_hex(cluster.view()) + ", but the genesis is of " +
                                    to_hex(expected.cluster.view()) + "; check `data` in node.toml, and genesis"));
  }
  if (replica != expected.replica) {
    return tl::unexpected(error(StorageError::Kind::mismatch, where,
                                "belongs to another replica: " + std::to_string(replica.value) + ", but this is " +
                                    std::to_string(expected.replica.value) + "; check `data` in node.toml"));
  }
  return {};
}

Bytes encode_executed(const ExecutedRecord& record) {
  return FieldWriter{}.u64(record.n.value).u64(record.time.value).raw(record.ledger_head.view()).take();
}

std::optional<ExecutedRecord> decode_executed(BytesView bytes) {
  FieldReader reader{bytes};
  ExecutedRecord record;
  record.n = SequenceNumber{reader.u64()};
  record.time = Timestamp{reader.u64()};
  record.ledger_head = reader.fixed<Digest>();
  if (!reader.complete()) return std::nullopt;
  return record;
}

Bytes encode_kept(const KeptRecord& record) {
  FieldWriter writer;
  writer.u64(record.stable.value).u64(record.previous.value);
  return writer.u64(record.first_undo).u64(record.first_ledger).u64(record.pruned).take();
}

std::optional<KeptRecord> decode_kept(BytesView bytes) {
  FieldReader reader{bytes};
  KeptRecord record;
  record.stable = SequenceNumber{reader.u64()};
  record.previous = SequenceNumber{reader.u64()};
  record.first_undo = reader.u64();
  record.first_ledger = reader.u64();
  record.pruned = reader.u64();
  if (!reader.complete()) return std::nullopt;
  return record;
}

Bytes encode_ledger(const LedgerRecord& record) {
  return FieldWriter{}.raw(record.batch.view()).raw(record.head.view()).u64(record.time.value).take();
}

std::optional<LedgerRecord> decode_ledger(BytesView bytes) {
  FieldReader reader{bytes};
  LedgerRecord record;
  record.batch = reader.fixed<Digest>();
  record.head = reader.fixed<Digest>();
  record.time = Timestamp{reader.u64()};
  if (!reader.complete()) return std::nullopt;
  return record;
}

}  // namespace pbft::storage
