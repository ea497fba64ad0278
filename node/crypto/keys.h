// Ed25519 identities of replicas and clients, and their files. The CURVE (X25519) keys that ZeroMQ encrypts with
// are the X25519 form of the same key, so one public key names a party everywhere.
#pragma once

#include <filesystem>
#include <string>
#include <tl/expected.hpp>

#include "node/pbft/types.h"

namespace pbft::crypto {

// Must be called before anything else of libsodium is used; idempotent; any thread. Aborts if it fails.
void initialize();

struct CurveKeyPair {  // raw 32-byte X25519 keys
  std::array<std::uint8_t, 32> public_key{};
  std::array<std::uint8_t, 32> secret_key{};
};

// An Ed25519 key pair. Copyable so that several parts can hold it; wiped on destruction.
class Identity {
 public:
  [[nodiscard]] static Identity generate();                                           // from the system's randomness
  [[nodiscard]] static Identity from_seed(const std::array<std::uint8_t, 32>& seed);  // deterministic
  // Reads a secret key file. Refuses one that others may read (mode beyond 0600) or that is not ours.
  // The error names the file and says what to do.
  [[nodiscard]] static tl::expected<Identity, std::string> load(const std::filesystem::path& file);
  // Writes with mode 0600; refuses to overwrite.
  [[nodiscard]] tl::expected<void, std::string> save(const std::filesystem::path& file) const;

  Identity(const Identity&) = default;
  Identity& operator=(const Identity&) = default;
  ~Identity();

  [[nodiscard]] const PublicKey& public_key() const { return public_key_; }
  [[nodiscard]] ClientId client_id() const;
  [[nodiscard]] CurveKeyPair curve() const;
  [[nodiscard]] const std::array<std::uint8_t, 64>& secret_key() const { return secret_key_; }

 private:
  Identity() = default;
  PublicKey public_key_;
  std::array<std::uint8_t, 64> secret_key_{};
};

// The X25519 form of an Ed25519 public key; fails for a key that is no valid point of the main subgroup.
[[nodiscard]] tl::expected<std::array<std::uint8_t, 32>, std::string> curve_public_key(const PublicKey& key);

template <class T>
concept IsFixedBytes = requires(const T& value) {
  value.bytes;
  T::size;
};

// Public keys and ids as lower-case hex text. Instantiated for every FixedBytes of types.h.
template <class Fixed>
requires IsFixedBytes<Fixed>
[[nodiscard]] std::string to_hex(const Fixed& value);
[[nodiscard]] std::string to_hex(BytesView bytes);
// Exactly 2 * Fixed::size hex digits, of either case.
template <class Fixed>
requires IsFixedBytes<Fixed>
[[nodiscard]] tl::expected<Fixed, std::string> from_hex(std::string_view text);

}  // namespace pbft::crypto
