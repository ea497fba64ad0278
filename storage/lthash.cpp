#include "storage/lthash.h"

#include <sodium.h>

#include <bit>

namespace pbft::storage {

// The lanes are written and hashed as they lie in memory.
static_assert(std::endian::native == std::endian::little, "LtHash needs a little-endian machine");

LtHash LtHash::of(const Digest& element) {
  static_assert(Digest::size == crypto_stream_chacha20_KEYBYTES);
  // Every element has a key of its own, so that the nonce may be constant.
  static constexpr std::array<std::uint8_t, crypto_stream_chacha20_NONCEBYTES> nonce{};
  LtHash hash;
  crypto_stream_chacha20(reinterpret_cast<unsigned char*>(hash.lanes_.data()), byte_size, nonce.data(),
                         element.bytes.data());
  return hash;
}

LtHash LtHash::from_bytes(BytesView bytes) {
  LtHash hash;
  std::memcpy(hash.lanes_.data(), bytes.data(), byte_size);
  return hash;
}

BytesView LtHash::bytes() const {
  return {reinterpret_cast<const std::uint8_t*>(lanes_.data()), byte_size};
}

// The two never overlap, which lets the compiler use vector instructions.
void LtHash::add(const LtHash& other) {
  std::uint16_t* __restrict to = lanes_.data();
  const std::uint16_t* __restrict from = other.lanes_.data();
  for (std::size_t i = 0; i < lane_count; ++i) to[i] = static_cast<std::uint16_t>(to[i] + from[i]);
}

void LtHash::remove(const LtHash& other) {
  std::uint16_t* __restrict to = lanes_.data();
  const std::uint16_t* __restrict from = other.lanes_.data();
  for (std::size_t i = 0; i < lane_count; ++i) to[i] = static_cast<std::uint16_t>(to[i] - from[i]);
}

}  // namespace pbft::storage
