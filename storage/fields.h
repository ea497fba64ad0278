// Fixed binary fields, the alphabet of all keys and of the small records: integers are big-endian, so that the byte
// order of keys is the order of their numbers. The grammar is in README.md of this folder.
#pragma once

#include <array>

#include "node/pbft/types.h"

namespace pbft::storage {

class FieldWriter {
 public:
  FieldWriter() { bytes_.reserve(64); }  // most keys and records are shorter
  FieldWriter& u8(std::uint8_t value);
  FieldWriter& u16(std::uint16_t value);
  FieldWriter& u32(std::uint32_t value);
  FieldWriter& u64(std::uint64_t value);
  FieldWriter& raw(BytesView bytes);
  [[nodiscard]] Bytes take() { return std::move(bytes_); }

 private:
  Bytes bytes_;
};

// Reads what FieldWriter wrote. Past the end it gives zeros and complete() is false: callers read all fields of a
// record and ask once.
class FieldReader {
 public:
  explicit FieldReader(BytesView bytes) : rest_(bytes) {}

  [[nodiscard]] std::uint8_t u8();
  [[nodiscard]] std::uint16_t u16();
  [[nodiscard]] std::uint32_t u32();
  [[nodiscard]] std::uint64_t u64();
  [[nodiscard]] BytesView raw(std::size_t length);  // empty where fewer bytes are left
  template <class Fixed>
  [[nodiscard]] Fixed fixed() {
    Fixed value;
    const BytesView bytes = raw(Fixed::size);
    if (bytes.size() == Fixed::size) std::memcpy(value.bytes.data(), bytes.data(), Fixed::size);
    return value;
  }
  [[nodiscard]] BytesView rest() const { return rest_; }
  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool complete() const { return ok_ && rest_.empty(); }  // all there, and nothing left over

 private:
  [[nodiscard]] std::uint64_t integer(std::size_t size);

  BytesView rest_;
  bool ok_ = true;
};

// ---- Keys. What is not here is a raw key of the plugin (family `state`) or a client record's (`clients`). --------

[[nodiscard]] Bytes number_key(std::uint64_t n);                        // ledger, and the start of a range
[[nodiscard]] Bytes batch_key(SequenceNumber n, const Digest& digest);  // batches
enum class JournalKind : std::uint8_t { accepted = 'a', batch = 'b', prepared = 'p' };
[[nodiscard]] Bytes journal_key(JournalKind kind, SequenceNumber n);          // the start of a slot's entries
[[nodiscard]] Bytes mark_key(JournalKind kind, SequenceNumber n, View view);  // accepted, prepared
[[nodiscard]] Bytes held_key(SequenceNumber n, const Digest& digest);         // batch
enum class ViewKind : std::uint8_t { view_change = 'v', new_view = 'w' };
[[nodiscard]] Bytes view_key(ViewKind kind);  // journal
[[nodiscard]] Bytes rejoin_key();             // journal
// A name is a namespace as one byte and a key.
// What undo_key() and index_key() put before it.
[[nodiscard]] std::array<std::uint8_t, 8> undo_prefix(std::uint64_t interval);
[[nodiscard]] std::array<std::uint8_t, 2> index_prefix(std::uint32_t bucket);
[[nodiscard]] Bytes undo_key(std::uint64_t interval, BytesView name);
[[nodiscard]] Bytes index_key(std::uint32_t bucket, BytesView name);  // buckets
[[nodiscard]] Bytes own_summary_key(std::uint64_t n);                 // checkpoints
[[nodiscard]] Bytes stable_key();                                     // checkpoints
[[nodiscard]] Bytes bucket_key(std::uint32_t bucket);                 // tree

[[nodiscard]] std::string to_hex(BytesView bytes);

}  // namespace pbft::storage
