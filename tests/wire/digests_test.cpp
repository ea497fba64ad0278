// The digests against values that were computed apart from this code, from the layouts in node/wire/README.md, with
// another implementation of BLAKE2b (Python's hashlib).
#include "node/pbft/digests.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "node/crypto/keys.h"

namespace pbft {
namespace {

Digest filled(std::uint8_t byte) {
  Digest digest;
  digest.bytes.fill(byte);
  return digest;
}

BundlePtr bundle_with(const Digest& digest) {
  auto bundle = std::make_shared<Bundle>();
  bundle->digest = digest;
  return bundle;
}

// The order of a map of digests is part of what replicas agree on.
TEST_CASE("digests are ordered as their bytes are") {
  for (const std::size_t at : {0U, 1U, 7U, 8U, 30U, 31U}) {
    CAPTURE(at);
    for (const std::uint8_t above : {0x42, 0x7f, 0x80, 0xff}) {
      Digest a = filled(0x41);
      Digest b = a;
      CHECK(a == b);
      b.bytes[at] = above;
      if (at < 31) a.bytes[31] = 0xff;  // a later byte does not count
      CHECK(a != b);
      CHECK(a < b);
      CHECK(b > a);
      CHECK((a < b) == std::ranges::lexicographical_compare(a.bytes, b.bytes));
    }
  }
}

TEST_CASE("digests are those of the documented layouts") {
  const auto hex = [](const Digest& digest) { return crypto::to_hex(digest); };
  CHECK(hex(tagged_digest("tag", as_bytes("data"))) ==
        "39887b97ef338b7770974589c46758d2ebb7951510a74e6113915bfc8aa9bdb8");
  CHECK(hex(bundle_digest(as_bytes("body"))) == "6a045c6110a5cae13a16c7035f1b02b0d908d7a35a1ce1624b975b8cf346fa0e");
  CHECK(hex(batch_digest(Timestamp{1000}, {bundle_with(filled(1)), bundle_with(filled(2))})) ==
        "a921a2d81182581295bdaa32627d2e6e804f30bb61d3c3c2777e1584a96cbcde");
  CHECK(hex(null_batch_digest()) == "6afc9722b9eaa935dffa68694b1b788582ccc0f037a6be36b01795d741e0105d");
  CHECK(hex(genesis_ledger_head()) == "dafa19b84bc182d810f61c49d2560802f839b9cf20e800c19ccbfeb440870930");
  CHECK(hex(ledger_head(filled(3), SequenceNumber{7}, filled(4))) ==
        "9b86705e66fa6385aa5d8909a8db10ef909fef457d841ea25177133913e84e0a");
  CHECK(hex(checkpoint_root({SequenceNumber{128}, filled(5), filled(6), Timestamp{9}, Epoch{1}, filled(7)})) ==
        "6fd681efda0befe2e24d64a7dad8d69ece0cc2aae003fed301813bcd93d78474");
  CHECK(hex(reply_digest(ReplyStatus::failed, as_bytes("no such key"))) ==
        "aae676f5d73f960580aba2a64cdeca693e5013cc5ae8cfaac73b4c9f65da960f");
}

TEST_CASE("the digests of the state's tree are those of the documented layouts") {
  std::vector<Digest> children;
  for (std::uint8_t i = 0; i < tree_fan_out; ++i) children.push_back(filled(i));
  CHECK(crypto::to_hex(tree_node(children)) == "e907378e90a87bd2ebdb90a82299df9c13b09fc3cc0717ca000277809dc4e81c");
  CHECK(crypto::to_hex(empty_bucket_digest()) == "41b069c970533af6adf1193acd64832dc422ed197a2bef98218ffa737c66574f");
  CHECK(crypto::to_hex(tree_root(std::vector<Digest>(Limits::tree_buckets, empty_bucket_digest()))) ==
        "c93c08f43f15aea2a7dde32394795074aef2cf5c82851f5c082386b8fdea8199");
  CHECK(crypto::to_hex(pair_hash(Namespace::clients, as_bytes("key"), as_bytes("value")).view()) ==
        "a5c43cceaa236ab5a6d2475c9540c2c5");
}

TEST_CASE("the null batch is empty and named by its own digest") {
  CHECK(null_batch()->bundles.empty());
  CHECK(null_batch()->digest == null_batch_digest());
  CHECK(null_batch_digest() != batch_digest(Timestamp{0}, {}));
}

TEST_CASE("a batch's digest depends on its time and on the order of its bundles") {
  const BundlePtr a = bundle_with(filled(1));
  const BundlePtr b = bundle_with(filled(2));
  CHECK(batch_digest(Timestamp{1}, {a, b}) != batch_digest(Timestamp{2}, {a, b}));
  CHECK(batch_digest(Timestamp{1}, {a, b}) != batch_digest(Timestamp{1}, {b, a}));
}

}  // namespace
}  // namespace pbft
