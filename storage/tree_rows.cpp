#include "storage/tree_rows.h"

#include <algorithm>

#include "storage/digest_tree.h"
#include "storage/fields.h"

namespace pbft::storage {

TreeRows::TreeRows(SequenceNumber n) : of_(DigestTree::bucket_count, n.value) {}

std::uint64_t TreeRows::lowest() const {
  return *std::ranges::min_element(of_);
}

std::size_t TreeRows::older_than(SequenceNumber n) const {
  return static_cast<std::size_t>(std::ranges::count_if(of_, [&](std::uint64_t of) { return of < n.value; }));
}

std::uint32_t TreeRows::take_turn(SequenceNumber n) {
  const std::uint32_t bucket = next_;
  of_[bucket] = n.value;
  next_ = (bucket + 1) % DigestTree::bucket_count;
  return bucket;
}

// Neighbours are mostly of the same checkpoint: one entry for each run of them.
Bytes TreeRows::encode() const {
  FieldWriter writer;
  writer.u32(next_);
  for (std::size_t i = 0; i < of_.size(); ++i) {
    const bool ends = i + 1 == of_.size() || of_[i + 1] != of_[i];
    if (ends) writer.u32(static_cast<std::uint32_t>(i + 1)).u64(of_[i]);
  }
  return writer.take();
}

std::optional<TreeRows> TreeRows::decode(BytesView bytes) {
  FieldReader reader{bytes};
  TreeRows rows;
  rows.next_ = reader.u32();
  std::uint32_t begin = 0;
  while (begin < rows.of_.size()) {
    const std::uint32_t end = reader.u32();
    const std::uint64_t n = reader.u64();
    if (!reader.ok() || end <= begin || end > rows.of_.size()) return std::nullopt;
    std::fill(rows.of_.begin() + begin, rows.of_.begin() + end, n);
    begin = end;
  }
  if (!reader.complete() || rows.next_ >= DigestTree::bucket_count) return std::nullopt;
  return rows;
}

}  // namespace pbft::storage
