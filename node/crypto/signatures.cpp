#include <sodium.h>

#include "node/crypto/authenticator.h"
#include "node/crypto/tagged_bytes.h"

namespace pbft::crypto {
namespace {

class Ed25519 final : public SignatureScheme {
 public:
  [[nodiscard]] Signature sign(const Identity& signer, BytesView data) const override {
    Signature signature;
    crypto_sign_detached(signature.bytes.data(), nullptr, data.data(), data.size(), signer.secret_key().data());
    return signature;
  }

  // The one rule of validity: what libsodium accepts, which refuses S outside of the group order, and keys and R
  // of small order.
  [[nodiscard]] bool verify(const PublicKey& signer, BytesView data, const Signature& signature) const override {
    return crypto_sign_verify_detached(signature.bytes.data(), data.data(), data.size(), signer.bytes.data()) == 0;
  }
};

class KeyedHash final : public SignatureScheme {
 public:
  [[nodiscard]] Signature sign(const Identity& signer, BytesView data) const override {
    return hash(signer.public_key(), data);
  }

  [[nodiscard]] bool verify(const PublicKey& signer, BytesView data, const Signature& signature) const override {
    return hash(signer, data) == signature;
  }

 private:
  static Signature hash(const PublicKey& signer, BytesView data) {
    const TaggedBytes seed = TaggedBytes{"pbft/insecure-signature/1"}.add(signer.view());
    std::array<std::uint8_t, 32> key{};
    crypto_generichash(key.data(), key.size(), seed.view().data(), seed.view().size(), nullptr, 0);
    Signature signature;
    crypto_generichash(signature.bytes.data(), Signature::size, data.data(), data.size(), key.data(), key.size());
    return signature;
  }
};

}  // namespace

std::shared_ptr<const SignatureScheme> ed25519() {
  static const auto scheme = std::make_shared<const Ed25519>();
  return scheme;
}

std::shared_ptr<const SignatureScheme> insecure_signatures_for_simulation() {
  static const auto scheme = std::make_shared<const KeyedHash>();
  return scheme;
}

}  // namespace pbft::crypto
