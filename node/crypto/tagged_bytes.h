// Builds the bytes that MACs, signatures and key derivations cover: a domain tag with its length, then the fields.
// No two tags give the same first bytes, and none gives those of a packet (0x96), so nothing made for one purpose is
// good for another.
#pragma once

#include <string_view>

#include "node/pbft/types.h"

namespace pbft::crypto {

class TaggedBytes {
 public:
  explicit TaggedBytes(std::string_view tag) {
    bytes_.reserve(192);
    bytes_.push_back(static_cast<std::uint8_t>(tag.size()));
    add(as_bytes(tag));
  }
  TaggedBytes& add(BytesView bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return *this;
  }
  TaggedBytes& add(std::uint8_t value) {
    bytes_.push_back(value);
    return *this;
  }
  TaggedBytes& add(Epoch epoch) {
    for (int shift = 0; shift < 64; shift += 8) bytes_.push_back(static_cast<std::uint8_t>(epoch.value >> shift));
    return *this;
  }
  [[nodiscard]] BytesView view() const { return bytes_; }

 private:
  Bytes bytes_;
};

}  // namespace pbft::crypto
