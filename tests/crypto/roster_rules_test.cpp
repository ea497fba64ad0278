// What a roster asks of clients: signatures, and to be one of those that it admits.
#include <catch2/catch.hpp>

#include "node/crypto/mac_keys.h"
#include "node/pbft/digests.h"
#include "tests/crypto/cluster.h"

namespace pbft::testing {
namespace {

using crypto::Authenticator;
using crypto::Refusal;
using Proof = crypto::ClientAuthenticator::Proof;

TestCluster signing_cluster() {
  TestCluster cluster;
  cluster.roster.signed_requests = true;
  return cluster;
}

BundlePtr bundle_of(const TestCluster& cluster, std::uint32_t client, Proof proof) {
  return cluster.client(client).seal_bundle(SessionId{1}, RequestNumber{0}, one_request(), proof);
}

TEST_CASE("where requests are signed, a client's MACs are refused by name") {
  const TestCluster cluster = signing_cluster();
  Authenticator receiver = cluster.replica(1);
  auto client = cluster.client();
  const auto sent = [&](const BundlePtr& bundle) {
    return refusal_of_client(receiver, client.seal_to(ReplicaId{1}, {ClientRequest{bundle}}), first_client);
  };
  CHECK(sent(bundle_of(cluster, first_client, Proof::macs)) == Refusal::unsigned_request);
  CHECK(sent(bundle_of(cluster, first_client, Proof::signature)) == std::nullopt);
  CHECK(std::string{to_string(Refusal::unsigned_request)} == "unsigned_request");
}

TEST_CASE("where requests are signed, MACs count in no pre-prepare and no forward") {
  const TestCluster cluster = signing_cluster();
  const BundlePtr macs = bundle_of(cluster, first_client, Proof::macs);
  const BundlePtr signature = bundle_of(cluster, first_client, Proof::signature);
  Authenticator receiver = cluster.replica(1);
  CHECK_FALSE(receiver.bundle_authentic(*macs));
  const Bytes frame = cluster.replica(0).seal_broadcast(
      {pre_prepare({macs, signature}), Forward{macs, false}, Forward{signature, false}});
  const auto opened = receiver.open_peer(shared(frame), ReplicaId{0});
  REQUIRE(opened);
  CHECK(std::get<PrePrepare>((*opened)[0].message()).authentic == std::vector{false, true});
  CHECK_FALSE(std::get<Forward>((*opened)[1].message()).authentic);
  CHECK(std::get<Forward>((*opened)[2].message()).authentic);
}

TEST_CASE("a client that the roster does not admit is refused, and its bundles do not count") {
  TestCluster cluster;
  cluster.roster.admits = [](const ClientId& client) { return client == identity_of(100).client_id(); };
  Authenticator receiver = cluster.replica(1);
  for (const Proof proof : {Proof::macs, Proof::signature}) {
    CHECK(receiver.bundle_authentic(*bundle_of(cluster, 100, proof)));
    CHECK_FALSE(receiver.bundle_authentic(*bundle_of(cluster, 101, proof)));
  }
  CHECK(refusal_of_client(receiver, cluster.client(100).seal_to(ReplicaId{1}, {Hello{}}), 100) == std::nullopt);
  CHECK(refusal_of_client(receiver, cluster.client(101).seal_to(ReplicaId{1}, {Hello{}}), 101) ==
        Refusal::unknown_sender);
}

TEST_CASE("no key is made with a client that is not admitted") {
  const TestCluster cluster;
  const ClientId known = identity_of(100).client_id();
  crypto::ClientKeys clients{crypto::PairKeyMaker{cluster.roster, identity_of(0)},
                             [&](const ClientId& client) { return client == known; }};
  for (std::uint32_t stranger = 101; stranger < 110; ++stranger) {
    CHECK(clients.find(identity_of(stranger).client_id()) == nullptr);
    CHECK(clients.find_on_channel(identity_of(stranger).client_id(), identity_of(stranger).curve().public_key) ==
          nullptr);
  }
  CHECK(clients.size() == 0);
  CHECK(clients.find(known) != nullptr);
  CHECK(clients.size() == 1);
}

}  // namespace
}  // namespace pbft::testing
