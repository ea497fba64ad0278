// Pieces of encodings, written out, and what is wrong with one.
#pragma once

#include <initializer_list>
#include <optional>

#include "node/pbft/types.h"
#include "node/wire/codec.h"

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

// Why these bytes are no message of a peer; nothing where they are one.
inline std::optional<wire::WireError> problem(const Bytes& message) {
  const auto decoded = wire::decode_peer_message(SharedBytes::copy_of(message));
  return decoded ? std::nullopt : std::optional{decoded.error()};
}
inline std::optional<wire::WireError> problem(const PeerMessage& message) {
  return problem(wire::encode(message));
}

}  // namespace pbft::testing
