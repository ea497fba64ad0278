#include "storage/fields.h"

namespace pbft::storage {
namespace {

template <std::size_t size>
std::array<std::uint8_t, size> big_endian(std::uint64_t value) {
  std::array<std::uint8_t, size> bytes{};
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(value >> (8 * (size - 1 - i)));
  return bytes;
}

}  // namespace

FieldWriter& FieldWriter::u8(std::uint8_t value) {
  bytes_.push_back(value);
  return *this;
}

FieldWriter& FieldWriter::u16(std::uint16_t value) {
  return raw(big_endian<2>(value));
}

FieldWriter& FieldWriter::u32(std::uint32_t value) {
  return raw(big_endian<4>(value));
}

FieldWriter& FieldWriter::u64(std::uint64_t value) {
  return raw(big_endian<8>(value));
}

FieldWriter& FieldWriter::raw(BytesView bytes) {
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  return *this;
}

std::uint8_t FieldReader::u8() {
  return static_cast<std::uint8_t>(integer(1));
}
std::uint16_t FieldReader::u16() {
  return static_cast<std::uint16_t>(integer(2));
}
std::uint32_t FieldReader::u32() {
  return static_cast<std::uint32_t>(integer(4));
}
std::uint64_t FieldReader::u64() {
  return integer(8);
}

BytesView FieldReader::raw(std::size_t length) {
  if (!ok_ || rest_.size() < length) {
    ok_ = false;
    return {};
  }
  const BytesView bytes = rest_.first(length);
  rest_ = rest_.subspan(length);
  return bytes;
}

std::uint64_t FieldReader::integer(std::size_t size) {
  std::uint64_t value = 0;
  for (const std::uint8_t byte : raw(size)) value = value << 8 | byte;
  return value;
}

Bytes number_key(std::uint64_t n) {
  return FieldWriter{}.u64(n).take();
}

Bytes batch_key(SequenceNumber n, const Digest& digest) {
  return FieldWriter{}.u64(n.value).raw(digest.view()).take();
}

Bytes journal_key(JournalKind kind, SequenceNumber n) {
  return FieldWriter{}.u8(static_cast<std::uint8_t>(kind)).u64(n.value).take();
}

Bytes mark_key(JournalKind kind, SequenceNumber n, View view) {
  return FieldWriter{}.u8(static_cast<std::uint8_t>(kind)).u64(n.value).u64(view.value).take();
}

Bytes held_key(SequenceNumber n, const Digest& digest) {
  return FieldWriter{}.u8(static_cast<std::uint8_t>(JournalKind::batch)).u64(n.value).raw(digest.view()).take();
}

Bytes view_key(ViewKind kind) {
  return FieldWriter{}.u8(static_cast<std::uint8_t>(kind)).take();
}

Bytes rejoin_key() {
  return FieldWriter{}.u8('r').take();
}

std::array<std::uint8_t, 8> undo_prefix(std::uint64_t interval) {
  return big_endian<8>(interval);
}

std::array<std::uint8_t, 2> index_prefix(std::uint32_t bucket) {
  return big_endian<2>(bucket);
}

Bytes undo_key(std::uint64_t interval, BytesView name) {
  return FieldWriter{}.raw(undo_prefix(interval)).raw(name).take();
}

Bytes index_key(std::uint32_t bucket, BytesView name) {
  return FieldWriter{}.raw(index_prefix(bucket)).raw(name).take();
}

Bytes own_summary_key(std::uint64_t n) {
  return FieldWriter{}.u8('o').u64(n).take();
}

Bytes stable_key() {
  return FieldWriter{}.u8('s').take();
}

Bytes bucket_key(std::uint32_t bucket) {
  return FieldWriter{}.u32(bucket).take();
}

std::string to_hex(BytesView bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t byte : bytes) {
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

}  // namespace pbft::storage
