// An encoding as a tree that can be changed and is well-formed again when it is written: so changes get past the first
// check of a decoder, where changed bytes mostly do not. What is in a bin may be a tree again.
#pragma once

#include <optional>
#include <vector>

#include "tests/fuzz/fuzz.h"

namespace pbft::fuzz {

struct MsgpackTree {
  enum class Kind { uint, bin, array, nil };
  Kind kind = Kind::nil;
  std::uint64_t number = 0;
  Bytes bin;
  std::vector<MsgpackTree> elements;

  // Nothing where the bytes are not one value of the kinds above, or nested too deep.
  [[nodiscard]] static std::optional<MsgpackTree> parse(BytesView bytes);
  [[nodiscard]] Bytes write() const;  // each value in its shortest form
};

// The bytes with one change, as the input says: of a value in its tree (in bins, too), or of the bytes as they are.
[[nodiscard]] Bytes changed(BytesView bytes, Input& input);
// Up to `most` changes, as many as the input says; perhaps none.
[[nodiscard]] Bytes changed_often(Bytes bytes, Input& input, std::size_t most);

}  // namespace pbft::fuzz
