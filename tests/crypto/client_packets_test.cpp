// Packets between clients and replicas, and the proofs of bundles.
#include <catch2/catch.hpp>

#include "tests/crypto/cluster.h"

namespace pbft::testing {
namespace {

using crypto::Authenticator;
using crypto::ClientAuthenticator;
using crypto::Refusal;
using Proof = ClientAuthenticator::Proof;

std::array<std::uint8_t, 32> channel_of(std::uint32_t client) {
  return identity_of(client).curve().public_key;
}

BundlePtr bundle_of(ClientAuthenticator client, Proof proof, std::string_view operation = "put k v") {
  return client.seal_bundle(SessionId{1}, RequestNumber{0}, one_request(operation), proof);
}

TEST_CASE("a client's frame opens at its replica") {
  const TestCluster cluster;
  auto client = cluster.client();
  const BundlePtr bundle = bundle_of(cluster.client(), Proof::macs);
  const Bytes frame = client.seal_to(ReplicaId{1}, {Hello{SessionId{1}, RequestNumber{2}}, ClientRequest{bundle}});
  Authenticator receiver = cluster.replica(1);
  const auto opened = receiver.open_client(shared(frame), channel_of(first_client));
  REQUIRE(opened.has_value());
  REQUIRE(opened->size() == 2);
  CHECK((*opened)[0].sender() == client.id());
  CHECK(std::get<Hello>((*opened)[0].message()).number == RequestNumber{2});
  const Bundle& received = *std::get<ClientRequest>((*opened)[1].message()).bundle;
  CHECK(received.digest == bundle->digest);
  CHECK(received.requests == bundle->requests);
  CHECK(received.proof == bundle->proof);

  Authenticator other = cluster.replica(2);
  CHECK(refusal_of_client(other, frame) == Refusal::wrong_mac);
}

TEST_CASE("a client's name is the key of its channel") {
  const TestCluster cluster;
  Authenticator receiver = cluster.replica(1);
  const Bytes frame = cluster.client(100).seal_to(ReplicaId{1}, {Hello{}});
  CHECK(refusal_of_client(receiver, frame, 101) == Refusal::sender_not_channel);
  CHECK(refusal_of_client(receiver, frame, 100) == std::nullopt);
  CHECK(refusal_of_client(receiver, frame, 101) == Refusal::sender_not_channel);

  // The name of one client under the key of another.
  Bytes packet = wire::encode_packet(cluster.roster.cluster, cluster.roster.epoch, identity_of(100).client_id(),
                                     {wire::encode(ClientMessage{Hello{}})});
  wire::append_authenticator(packet, Mac{}.view());
  CHECK(refusal_of_client(receiver, packet, 101) == Refusal::sender_not_channel);
  CHECK(refusal_of_client(receiver, packet, 100) == Refusal::wrong_mac);
}

TEST_CASE("frames of other clusters and epochs, of replicas, and with several MACs are refused") {
  const TestCluster cluster;
  Authenticator receiver = cluster.replica(1);
  CHECK(refusal_of_client(receiver, TestCluster{4, 8}.client().seal_to(ReplicaId{1}, {Hello{}})) ==
        Refusal::wrong_cluster);
  CHECK(refusal_of_client(receiver, TestCluster{4, 7, Epoch{2}}.client().seal_to(ReplicaId{1}, {Hello{}})) ==
        Refusal::wrong_epoch);
  CHECK(refusal_of_client(receiver, cluster.replica(0).seal_to(ReplicaId{1}, {prepare()})) == Refusal::unknown_sender);
  Bytes packet = wire::encode_packet(cluster.roster.cluster, cluster.roster.epoch, identity_of(100).client_id(),
                                     {wire::encode(ClientMessage{Hello{}})});
  wire::append_authenticator(packet, Bytes(64));
  CHECK(refusal_of_client(receiver, packet) == Refusal::not_for_this_party);
}

TEST_CASE("no flipped bit of a client's frame goes through") {
  const TestCluster cluster;
  Authenticator receiver = cluster.replica(1);
  const Bytes frame = cluster.client().seal_to(ReplicaId{1}, {ClientRequest{bundle_of(cluster.client(), Proof::macs)}});
  REQUIRE(refusal_of_client(receiver, frame) == std::nullopt);
  for (std::size_t bit = 0; bit < frame.size() * 8; ++bit) {
    Bytes flipped = frame;
    flipped[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
    if (!refusal_of_client(receiver, flipped)) FAIL("bit " << bit);
  }
}

TEST_CASE("a client hands in its own bundles only, with a proof that holds") {
  const TestCluster cluster;
  Authenticator receiver = cluster.replica(1);
  auto client = cluster.client(100);
  const auto sent = [&](const BundlePtr& bundle) {
    return refusal_of_client(receiver, client.seal_to(ReplicaId{1}, {Hello{}, ClientRequest{bundle}}));
  };
  for (const Proof proof : {Proof::macs, Proof::signature}) {
    const Refusal wrong = proof == Proof::macs ? Refusal::wrong_mac : Refusal::wrong_signature;
    const BundlePtr own = bundle_of(cluster.client(100), proof);
    CHECK(sent(own) == std::nullopt);
    CHECK(sent(bundle_of(cluster.client(101), proof)) == wrong);
    CHECK(sent(with_proof(*own, proof_of(*bundle_of(cluster.client(100), proof, "put k w")))) == wrong);
  }
}

TEST_CASE("a client takes what its replicas seal to it") {
  const TestCluster cluster;
  auto client = cluster.client();
  const Reply reply{View{1}, SessionId{2}, RequestNumber{3}, ReplyStatus::ok, digest_of(4), SharedBytes::own({5})};
  const Bytes frame = cluster.replica(2).seal_to_client(client.id(), {Welcome{View{1}, SequenceNumber{9}}, reply});
  const auto opened = client.open(shared(frame), ReplicaId{2});
  REQUIRE(opened.has_value());
  REQUIRE(opened->size() == 2);
  CHECK(std::get<Welcome>((*opened)[0]).executed == SequenceNumber{9});
  CHECK(std::get<Reply>((*opened)[1]).result == reply.result);

  const auto refused_as = [](ClientAuthenticator receiver, const Bytes& bytes, std::uint32_t channel) {
    return receiver.open(shared(bytes), ReplicaId{channel}).error().refusal;
  };
  CHECK(refused_as(cluster.client(), frame, 1) == Refusal::sender_not_channel);
  CHECK(refused_as(cluster.client(101), frame, 2) == Refusal::wrong_mac);
  CHECK(refused_as(TestCluster{4, 8}.client(), frame, 2) == Refusal::wrong_cluster);
  CHECK(refused_as(TestCluster{4, 7, Epoch{2}}.client(), frame, 2) == Refusal::wrong_epoch);
  CHECK(refused_as(cluster.client(), client.seal_to(ReplicaId{2}, {Hello{}}), 2) == Refusal::unknown_sender);
  CHECK(refused_as(cluster.client(), cluster.replica(2).seal_broadcast({prepare()}), 2) == Refusal::not_for_this_party);
  CHECK(refused_as(cluster.client(), TestCluster{5}.replica(4).seal_to_client(client.id(), {Welcome{}}), 4) ==
        Refusal::unknown_sender);
  Bytes flipped = frame;
  flipped.back() ^= 1;
  CHECK(refused_as(cluster.client(), flipped, 2) == Refusal::wrong_mac);
}

// ---- Proofs of bundles -------------------------------------------------------------------------------------

TEST_CASE("a proof holds at every replica, whatever the kind") {
  for (const std::uint32_t n : {1U, 4U, 7U}) {
    const TestCluster cluster{n};
    const BundlePtr macs = bundle_of(cluster.client(), Proof::macs);
    const BundlePtr signature = bundle_of(cluster.client(), Proof::signature);
    CHECK(macs->proof.size() == 1 + n * Mac::size);
    CHECK(signature->proof.size() == 65);
    for (std::uint32_t id = 0; id < n; ++id) {
      CHECK(cluster.replica(id).bundle_authentic(*macs));
      CHECK(cluster.replica(id).bundle_authentic(*signature));
    }
  }
}

TEST_CASE("a proof is of one cluster, epoch, client and bundle") {
  const TestCluster cluster;
  Authenticator receiver = cluster.replica(1);
  for (const Proof proof : {Proof::macs, Proof::signature}) {
    const BundlePtr good = bundle_of(cluster.client(), proof);
    REQUIRE(receiver.bundle_authentic(*good));
    CHECK_FALSE(receiver.bundle_authentic(*bundle_of(TestCluster{4, 8}.client(), proof)));
    CHECK_FALSE(receiver.bundle_authentic(*bundle_of(TestCluster{4, 7, Epoch{2}}.client(), proof)));
    auto of_another = std::make_shared<Bundle>(*good);
    of_another->client = identity_of(101).client_id();
    CHECK_FALSE(receiver.bundle_authentic(*of_another));
    auto other_content = std::make_shared<Bundle>(*good);
    other_content->digest.bytes[0] ^= 1;
    CHECK_FALSE(receiver.bundle_authentic(*other_content));
  }
}

TEST_CASE("a proof of one kind is none of the other, although both are 65 bytes at n = 4") {
  const TestCluster cluster;
  Authenticator receiver = cluster.replica(1);
  for (const Proof kind : {Proof::macs, Proof::signature}) {
    const BundlePtr good = bundle_of(cluster.client(), kind);
    REQUIRE(good->proof.size() == 65);
    Bytes proof = proof_of(*good);
    proof[0] ^= 1;
    CHECK_FALSE(receiver.bundle_authentic(*with_proof(*good, proof)));
    proof[0] = 2;
    CHECK_FALSE(receiver.bundle_authentic(*with_proof(*good, proof)));
  }
}

TEST_CASE("a proof of another length does not hold") {
  const TestCluster cluster;
  Authenticator receiver = cluster.replica(1);
  for (const Proof kind : {Proof::macs, Proof::signature}) {
    const BundlePtr good = bundle_of(cluster.client(), kind);
    Bytes longer = proof_of(*good);
    longer.push_back(0);
    CHECK_FALSE(receiver.bundle_authentic(*with_proof(*good, longer)));
    for (std::size_t size = 0; size < 65; ++size) {
      Bytes shorter = proof_of(*good);
      shorter.resize(size);
      CHECK_FALSE(receiver.bundle_authentic(*with_proof(*good, shorter)));
    }
  }
}

TEST_CASE("the simulation's signatures carry bundles and checkpoints through") {
  const TestCluster cluster;
  const auto scheme = crypto::insecure_signatures_for_simulation();
  ClientAuthenticator client{cluster.roster, identity_of(first_client), scheme};
  Authenticator receiver{cluster.roster, ReplicaId{1}, cluster.identities[1], scheme};
  Authenticator sender{cluster.roster, ReplicaId{0}, cluster.identities[0], scheme};
  CHECK(
      receiver.bundle_authentic(*client.seal_bundle(SessionId{1}, RequestNumber{0}, one_request(), Proof::signature)));
  const Bytes frame = sender.seal_broadcast({Checkpoint{SequenceNumber{128}, digest_of(1), {}}});
  CHECK(receiver.open_peer(shared(frame), ReplicaId{0}).has_value());
  Authenticator real = cluster.replica(1);
  CHECK(real.open_peer(shared(frame), ReplicaId{0}).error().refusal == Refusal::wrong_signature);
}

}  // namespace
}  // namespace pbft::testing
