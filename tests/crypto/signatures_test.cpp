#include <sodium.h>

#include <catch2/catch.hpp>

#include "node/crypto/authenticator.h"
#include "tests/crypto/cluster.h"

namespace pbft::crypto {
namespace {

using testing::identity_of;

template <class Fixed>
Fixed hex(std::string_view text) {
  return from_hex<Fixed>(text).value();
}

TEST_CASE("Ed25519 signs as RFC 8032 says") {
  const Identity signer =
      Identity::from_seed(hex<PublicKey>("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb").bytes);
  const Bytes message{0x72};
  const Signature signature = ed25519()->sign(signer, message);
  CHECK(to_hex(signature) ==
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
  CHECK(ed25519()->verify(signer.public_key(), message, signature));
  CHECK_FALSE(ed25519()->verify(signer.public_key(), Bytes{0x73}, signature));
  CHECK_FALSE(ed25519()->verify(identity_of(1).public_key(), message, signature));
}

TEST_CASE("a signature with the group order added to S is refused") {
  const Identity signer = identity_of(1);
  const Bytes message = to_bytes("message");
  Signature signature = ed25519()->sign(signer, message);
  const auto order = hex<Digest>("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
  unsigned carry = 0;
  for (std::size_t i = 0; i < 32; ++i) {
    carry += unsigned{signature.bytes[32 + i]} + order.bytes[i];
    signature.bytes[32 + i] = static_cast<std::uint8_t>(carry);
    carry >>= 8;
  }
  REQUIRE(carry == 0);
  CHECK_FALSE(ed25519()->verify(signer.public_key(), message, signature));
}

// With a public key of small order, (R, S) with R = S * B satisfies the equation for every message, or for every
// second, fourth or eighth one.
TEST_CASE("public keys of small order are refused") {
  Signature forged;
  forged.bytes[32] = 5;
  REQUIRE(crypto_scalarmult_ed25519_base_noclamp(forged.bytes.data(), forged.bytes.data() + 32) == 0);
  for (const char* key : {"0100000000000000000000000000000000000000000000000000000000000000",
                          "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                          "0000000000000000000000000000000000000000000000000000000000000000",
                          "0000000000000000000000000000000000000000000000000000000000000080",
                          "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
                          "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
                          // The same points, not in their canonical form.
                          "0100000000000000000000000000000000000000000000000000000000000080",
                          "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                          "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"}) {
    for (std::uint8_t message = 0; message < 32; ++message) {
      CHECK_FALSE(ed25519()->verify(hex<PublicKey>(key), Bytes{message}, forged));
    }
  }
}

TEST_CASE("the stand-in of the simulation tells signers and messages apart") {
  const auto scheme = insecure_signatures_for_simulation();
  const Bytes message = to_bytes("message");
  const Signature signature = scheme->sign(identity_of(1), message);
  CHECK(scheme->sign(identity_of(1), message) == signature);
  CHECK(scheme->verify(identity_of(1).public_key(), message, signature));
  CHECK_FALSE(scheme->verify(identity_of(2).public_key(), message, signature));
  CHECK_FALSE(scheme->verify(identity_of(1).public_key(), to_bytes("other"), signature));
  CHECK_FALSE(ed25519()->verify(identity_of(1).public_key(), message, signature));
}

}  // namespace
}  // namespace pbft::crypto
