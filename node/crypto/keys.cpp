#include "node/crypto/keys.h"

#include <sodium.h>

#include <algorithm>
#include <cstdlib>

namespace pbft::crypto {

void initialize() {
  if (sodium_init() < 0) std::abort();
}

Identity Identity::generate() {
  initialize();
  std::array<std::uint8_t, 32> seed{};
  randombytes_buf(seed.data(), seed.size());
  Identity identity = from_seed(seed);
  sodium_memzero(seed.data(), seed.size());
  return identity;
}

Identity Identity::from_seed(const std::array<std::uint8_t, 32>& seed) {
  static_assert(crypto_sign_SEEDBYTES == 32 && crypto_sign_PUBLICKEYBYTES == PublicKey::size &&
                crypto_sign_SECRETKEYBYTES == 64 && crypto_sign_BYTES == Signature::size);
  initialize();
  Identity identity;
  crypto_sign_seed_keypair(identity.public_key_.bytes.data(), identity.secret_key_.data(), seed.data());
  return identity;
}

Identity::~Identity() {
  sodium_memzero(secret_key_.data(), secret_key_.size());
}

ClientId Identity::client_id() const {
  return ClientId{public_key_.bytes};
}

CurveKeyPair Identity::curve() const {
  CurveKeyPair pair;
  // Cannot fail for a public key that was made from a seed.
  if (crypto_sign_ed25519_pk_to_curve25519(pair.public_key.data(), public_key_.bytes.data()) != 0) std::abort();
  crypto_sign_ed25519_sk_to_curve25519(pair.secret_key.data(), secret_key_.data());
  return pair;
}

tl::expected<std::array<std::uint8_t, 32>, std::string> curve_public_key(const PublicKey& key) {
  std::array<std::uint8_t, 32> curve{};
  if (crypto_sign_ed25519_pk_to_curve25519(curve.data(), key.bytes.data()) != 0) {
    return tl::unexpected("public key " + to_hex(key) + " is no valid Ed25519 key");
  }
  return curve;
}

std::string to_hex(BytesView bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  text.reserve(2 * bytes.size());
  for (const std::uint8_t byte : bytes) {
    text += digits[byte >> 4];
    text += digits[byte & 0x0f];
  }
  return text;
}

template <class Fixed>
requires IsFixedBytes<Fixed> std::string to_hex(const Fixed& value) {
  return to_hex(value.view());
}

namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

template <class Fixed>
requires IsFixedBytes<Fixed> tl::expected<Fixed, std::string> from_hex(std::string_view text) {
  if (text.size() != 2 * Fixed::size) {
    return tl::unexpected("expected " + std::to_string(2 * Fixed::size) + " hex digits, found " +
                          std::to_string(text.size()) + " characters");
  }
  const auto wrong = std::find_if(text.begin(), text.end(), [](char c) { return hex_digit(c) < 0; });
  if (wrong != text.end()) {
    return tl::unexpected("character " + std::to_string(wrong - text.begin() + 1) + " is not a hex digit");
  }
  Fixed value;
  for (std::size_t i = 0; i < Fixed::size; ++i) {
    value.bytes[i] = static_cast<std::uint8_t>(hex_digit(text[2 * i]) << 4 | hex_digit(text[2 * i + 1]));
  }
  return value;
}

template std::string to_hex<Digest>(const Digest&);
template std::string to_hex<ClientId>(const ClientId&);
template std::string to_hex<PublicKey>(const PublicKey&);
template std::string to_hex<Signature>(const Signature&);
template std::string to_hex<Mac>(const Mac&);
template std::string to_hex<ClusterId>(const ClusterId&);

template tl::expected<Digest, std::string> from_hex<Digest>(std::string_view);
template tl::expected<ClientId, std::string> from_hex<ClientId>(std::string_view);
template tl::expected<PublicKey, std::string> from_hex<PublicKey>(std::string_view);
template tl::expected<Signature, std::string> from_hex<Signature>(std::string_view);
template tl::expected<Mac, std::string> from_hex<Mac>(std::string_view);
template tl::expected<ClusterId, std::string> from_hex<ClusterId>(std::string_view);

}  // namespace pbft::crypto
