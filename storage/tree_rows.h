// Of which checkpoint each row of family tree is. A row is 2 KiB however little of its bucket has changed; so a
// checkpoint writes only some of them, taking turns, in proportion to what has changed. What is missing is in undo: it
// leads from a row to the bucket at any checkpoint that is kept (StateView::visit_steps). One thread.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "node/pbft/types.h"
#include "storage/engine.h"

namespace pbft::storage {

class TreeRows {
 public:
  // All of the same checkpoint.
  explicit TreeRows(SequenceNumber n = {});

  [[nodiscard]] std::uint64_t of(std::uint32_t bucket) const { return of_[bucket]; }
  // Undo is needed from this interval on.
  [[nodiscard]] std::uint64_t lowest() const;
  [[nodiscard]] std::size_t older_than(SequenceNumber n) const;
  // The next bucket, whose row is of checkpoint n from now on.
  std::uint32_t take_turn(SequenceNumber n);

  [[nodiscard]] Bytes encode() const;
  [[nodiscard]] static std::optional<TreeRows> decode(BytesView bytes);

 private:
  std::vector<std::uint64_t> of_;  // by bucket
  std::uint32_t next_ = 0;         // whose turn it is
};

}  // namespace pbft::storage
