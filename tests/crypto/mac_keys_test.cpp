#include "node/crypto/mac_keys.h"

#include <catch2/catch.hpp>
#include <set>

#include "tests/crypto/cluster.h"

namespace pbft::crypto {
namespace {

using testing::identity_of;
using testing::TestCluster;

const Bytes data = to_bytes("covered");

PairKeys keys_of(const TestCluster& cluster, std::uint32_t self, std::uint32_t peer) {
  return PairKeyMaker{cluster.roster, identity_of(self)}.make(identity_of(peer).public_key()).value();
}

TEST_CASE("both ends of a pair derive the same two keys") {
  const TestCluster cluster;
  const PairKeys at_0 = keys_of(cluster, 0, 1);
  const PairKeys at_1 = keys_of(cluster, 1, 0);
  CHECK(at_0.to.mac(data) == at_1.from.mac(data));
  CHECK(at_1.to.mac(data) == at_0.from.mac(data));
}

TEST_CASE("keys differ per direction, pair, cluster and epoch") {
  std::set<Mac> macs;
  std::size_t keys = 0;
  for (const auto& cluster : {TestCluster{4, 7, Epoch{1}}, TestCluster{4, 8, Epoch{1}}, TestCluster{4, 7, Epoch{2}}}) {
    for (const auto& [a, b] : {std::pair{0U, 1U}, {0U, 2U}, {1U, 2U}}) {
      const PairKeys pair = keys_of(cluster, a, b);
      macs.insert(pair.to.mac(data));
      macs.insert(pair.from.mac(data));
      keys += 2;
    }
  }
  CHECK(macs.size() == keys);
}

TEST_CASE("a MAC holds for its data and its size only") {
  const TestCluster cluster;
  const MacKey key = keys_of(cluster, 0, 1).to;
  const Mac mac = key.mac(data);
  CHECK(key.holds(data, mac.view()));
  CHECK_FALSE(key.holds(to_bytes("uncovered"), mac.view()));
  CHECK_FALSE(key.holds(data, mac.view().first(15)));
  CHECK_FALSE(key.holds(data, {}));
  for (std::size_t bit = 0; bit < Mac::size * 8; ++bit) {
    Mac flipped = mac;
    flipped.bytes[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
    CHECK_FALSE(key.holds(data, flipped.view()));
  }
}

TEST_CASE("there are no keys with an invalid public key") {
  const TestCluster cluster;
  const PairKeyMaker maker{cluster.roster, identity_of(0)};
  CHECK_FALSE(maker.make(PublicKey{}).has_value());
  CHECK_FALSE(maker.make(identity_of(1).public_key(), CurveKey{}).has_value());
  ClientKeys clients{maker};
  CHECK(clients.find(ClientId{}) == nullptr);
  CHECK(clients.size() == 0);
}

TEST_CASE("keys with clients are bounded and made again when needed") {
  const TestCluster cluster;
  ClientKeys clients{PairKeyMaker{cluster.roster, identity_of(0)}};
  const auto id = [](std::uint32_t number) { return identity_of(1000 + number).client_id(); };
  const Mac first = clients.find(id(0))->from.mac(data);
  for (std::uint32_t i = 1; i < ClientKeys::capacity + 10; ++i) REQUIRE(clients.find(id(i)) != nullptr);
  CHECK(clients.size() == ClientKeys::capacity);
  CHECK(clients.find(id(0))->from.mac(data) == first);
  CHECK(clients.size() == ClientKeys::capacity);
}

TEST_CASE("a name that is not the channel's stores nothing") {
  const TestCluster cluster;
  ClientKeys clients{PairKeyMaker{cluster.roster, identity_of(0)}};
  CHECK(clients.find_on_channel(identity_of(100).client_id(), identity_of(101).curve().public_key) == nullptr);
  CHECK(clients.size() == 0);
  CHECK(clients.find_on_channel(identity_of(100).client_id(), identity_of(100).curve().public_key) != nullptr);
  CHECK(clients.find_on_channel(identity_of(100).client_id(), identity_of(101).curve().public_key) == nullptr);
}

}  // namespace
}  // namespace pbft::crypto
