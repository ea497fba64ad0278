// Pieces of encodings, written out.
#pragma once

#include <initializer_list>

#include "node/pbft/types.h"

namespace pbft::testing {

template <class Fixed>
Fixed filled(std::uint8_t byte) {
  Fixed value;
  value.bytes.fill(byte);
  return value;
}

inline Bytes joined(std::initializer_list<Bytes> parts) {
  Bytes all;
  for (const Bytes& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

// bin8 of `size` bytes of one value.
inline Bytes bin_of(std::uint8_t size, std::uint8_t byte) {
  Bytes bytes{0xc4, size};
  bytes.resize(2U + size, byte);
  return bytes;
}

}  // namespace pbft::testing
