#include "node/crypto/keys.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "tests/crypto/cluster.h"
#include "tests/temporary_directory.h"

namespace pbft::crypto {
namespace {

using Catch::Contains;
using pbft::testing::TemporaryDirectory;
using testing::identity_of;

void write_file(const std::filesystem::path& file, std::string_view text, mode_t mode = 0600) {
  std::ofstream{file} << text;
  REQUIRE(::chmod(file.c_str(), mode) == 0);
}

std::string error_of(const std::filesystem::path& file) {
  const auto loaded = Identity::load(file);
  return loaded ? "" : loaded.error();
}

const std::string valid_text = "pbft-ed25519-secret-key-1\n" + std::string(64, 'a') + "\n";

TEST_CASE("a key that was saved is loaded again") {
  const TemporaryDirectory directory;
  const auto file = directory / "key";
  const Identity identity = Identity::generate();
  const mode_t before = ::umask(0);
  const auto saved = identity.save(file);
  ::umask(before);
  REQUIRE(saved.has_value());

  struct stat status {};
  REQUIRE(::stat(file.c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0600);
  const auto loaded = Identity::load(file);
  REQUIRE(loaded.has_value());
  CHECK(loaded->public_key() == identity.public_key());
  CHECK(loaded->secret_key() == identity.secret_key());
}

TEST_CASE("the file is the kind and the seed in hex") {
  const TemporaryDirectory directory;
  write_file(directory / "key", valid_text);
  std::array<std::uint8_t, 32> seed{};
  seed.fill(0xaa);
  const auto loaded = Identity::load(directory / "key");
  REQUIRE(loaded.has_value());
  CHECK(loaded->public_key() == Identity::from_seed(seed).public_key());

  REQUIRE(Identity::from_seed(seed).save(directory / "again").has_value());
  std::ifstream again{directory / "again"};
  CHECK(std::string{std::istreambuf_iterator<char>{again}, {}} == valid_text);
}

TEST_CASE("a key file is never overwritten") {
  const TemporaryDirectory directory;
  const auto file = directory / "key";
  write_file(file, "something else");
  const auto saved = identity_of(1).save(file);
  REQUIRE_FALSE(saved.has_value());
  CHECK_THAT(saved.error(), Contains(file.string()) && Contains("exists already"));
  std::ifstream kept{file};
  CHECK(std::string{std::istreambuf_iterator<char>{kept}, {}} == "something else");
}

TEST_CASE("a key file in a directory that does not exist is an error that names it") {
  const TemporaryDirectory directory;
  const auto file = directory / "none" / "key";
  CHECK_THAT(identity_of(1).save(file).error(), Contains(file.string()) && Contains("No such file"));
}

TEST_CASE("a key file that others may use is refused with what to do") {
  const TemporaryDirectory directory;
  const auto file = directory / "key";
  for (const mode_t mode : {0604, 0620, 0640, 0660, 0644, 0666, 0700, 0610, 0601, 02600, 04600}) {
    write_file(file, valid_text, 0600);
    REQUIRE(::chmod(file.c_str(), mode) == 0);
    INFO("mode " << std::oct << mode);
    CHECK_THAT(error_of(file), Contains("chmod 600 " + file.string()));
  }
  write_file(file, valid_text, 0400);
  CHECK(error_of(file).empty());
}

TEST_CASE("a key file of another user is refused") {
  if (::geteuid() != 0) return;  // only root can make one
  const TemporaryDirectory directory;
  const auto file = directory / "key";
  write_file(file, valid_text);
  REQUIRE(::chown(file.c_str(), 12345, static_cast<gid_t>(-1)) == 0);
  CHECK_THAT(error_of(file), Contains("belongs to user 12345") && Contains("chown"));
}

TEST_CASE("a file that is no key file is refused by file and line") {
  const TemporaryDirectory directory;
  const auto file = directory / "key";
  const auto error_with = [&](const std::string& text) {
    write_file(file, text);
    return error_of(file);
  };
  const std::string kind = "pbft-ed25519-secret-key-1\n";
  CHECK_THAT(error_with(""), Contains(file.string()) && Contains("line 1"));
  CHECK_THAT(error_with("pbft-ed25519-secret-key-2\n" + std::string(64, 'a')), Contains("line 1"));
  CHECK_THAT(error_with(kind), Contains("line 2") && Contains("64 hex digits"));
  CHECK_THAT(error_with(kind + std::string(63, 'a') + "\n"), Contains("line 2") && Contains("64 hex digits"));
  CHECK_THAT(error_with(kind + std::string(63, 'a') + "g\n"), Contains("line 2") && Contains("character 64"));
  CHECK_THAT(error_with(kind + std::string(64, 'a') + "\nmore\n"), Contains("line 3"));
  CHECK_THAT(error_with(kind + std::string(4096, 'a')), Contains("too long"));
  CHECK_THAT(error_of(directory / "absent"), Contains("absent") && Contains("No such file"));
}

TEST_CASE("what is not a regular file is refused, not waited for") {
  const TemporaryDirectory directory;
  REQUIRE(::mkfifo((directory / "fifo").c_str(), 0600) == 0);
  CHECK_THAT(error_of(directory / "fifo"), Contains("not a regular file"));
  std::filesystem::create_directory(directory / "folder");
  CHECK_THAT(error_of(directory / "folder"), Contains("not a regular file"));
}

TEST_CASE("RFC 8032 keys come from their seeds") {
  const auto seed = from_hex<PublicKey>("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
  CHECK(to_hex(Identity::from_seed(seed->bytes).public_key()) ==
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
}

TEST_CASE("the CURVE key of an identity is the X25519 form of its public key") {
  const Identity a = identity_of(1);
  const Identity b = identity_of(2);
  CHECK(curve_public_key(a.public_key()).value() == a.curve().public_key);
  CHECK(a.client_id().bytes == a.public_key().bytes);

  std::array<std::uint8_t, 32> ab{};
  std::array<std::uint8_t, 32> ba{};
  REQUIRE(crypto_scalarmult(ab.data(), a.curve().secret_key.data(), b.curve().public_key.data()) == 0);
  REQUIRE(crypto_scalarmult(ba.data(), b.curve().secret_key.data(), a.curve().public_key.data()) == 0);
  CHECK(ab == ba);
}

TEST_CASE("a public key of small order or off the curve has no X25519 form") {
  for (const char* hex : {"0000000000000000000000000000000000000000000000000000000000000000",
                          "0100000000000000000000000000000000000000000000000000000000000000",
                          "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                          "0200000000000000000000000000000000000000000000000000000000000000"}) {
    const auto curve = curve_public_key(from_hex<PublicKey>(hex).value());
    REQUIRE_FALSE(curve.has_value());
    CHECK_THAT(curve.error(), Contains(hex));
  }
}

TEST_CASE("hex is read and written") {
  const auto cluster = from_hex<ClusterId>("00ff10abCDef00000000000000000009");
  REQUIRE(cluster.has_value());
  CHECK(to_hex(*cluster) == "00ff10abcdef00000000000000000009");
  CHECK(to_hex(Bytes{0x0f, 0xf0}) == "0ff0");
  CHECK_THAT(from_hex<ClusterId>("00").error(), Contains("expected 32 hex digits"));
  CHECK_THAT(from_hex<ClusterId>("00ff10abcdef0000000000000000000 ").error(), Contains("character 32"));
}

}  // namespace
}  // namespace pbft::crypto
