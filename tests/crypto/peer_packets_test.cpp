// Packets between replicas: who may say what to whom.
#include <catch2/catch.hpp>
#include <set>

#include "node/pbft/digests.h"
#include "tests/crypto/cluster.h"

namespace pbft::testing {
namespace {

using crypto::Authenticator;
using crypto::Refusal;
using Proof = crypto::ClientAuthenticator::Proof;

PeerMessage opened_one(Authenticator& receiver, const Bytes& frame, std::uint32_t channel) {
  const auto opened = receiver.open_peer(shared(frame), ReplicaId{channel});
  REQUIRE(opened.has_value());
  REQUIRE(opened->size() == 1);
  CHECK(opened->front().sender() == ReplicaId{channel});
  return opened->front().message();
}

TEST_CASE("a broadcast opens at every other replica") {
  for (const std::uint32_t n : {2U, 4U, 7U, 64U}) {
    const TestCluster cluster{n};
    const Bytes frame = cluster.replica(0).seal_broadcast({prepare(5), Commit{View{1}, SequenceNumber{6}, {}}});
    for (const std::uint32_t id : {1U, n - 1}) {
      Authenticator receiver = cluster.replica(id);
      const auto opened = receiver.open_peer(shared(frame), ReplicaId{0});
      REQUIRE(opened.has_value());
      REQUIRE(opened->size() == 2);
      CHECK((*opened)[0].sender() == ReplicaId{0});
      CHECK(std::get<Prepare>((*opened)[0].message()).n == SequenceNumber{5});
      CHECK(std::get<Commit>((*opened)[1].message()).n == SequenceNumber{6});
    }
    Authenticator sender = cluster.replica(0);
    CHECK(refusal_of_peer(sender, frame, 0) == Refusal::not_for_this_party);
  }
}

TEST_CASE("what is sealed to one replica opens there only") {
  const TestCluster cluster;
  const Bytes frame = cluster.replica(0).seal_to(ReplicaId{2}, {prepare()});
  Authenticator two = cluster.replica(2);
  Authenticator three = cluster.replica(3);
  CHECK(std::get<Prepare>(opened_one(two, frame, 0)).digest == digest_of(3));
  CHECK(refusal_of_peer(three, frame, 0) == Refusal::wrong_mac);
  CHECK(refusal_of_peer(two, cluster.replica(0).seal_to(ReplicaId{9}, {prepare()}), 0) == Refusal::wrong_mac);
}

TEST_CASE("the sender is the channel's, and claiming another does not help") {
  const TestCluster cluster;
  Authenticator receiver = cluster.replica(2);
  Bytes frame = cluster.replica(0).seal_broadcast({prepare()});
  CHECK(refusal_of_peer(receiver, frame, 1) == Refusal::sender_not_channel);
  const std::size_t sender_at = 21;  // array, version, cluster with its head, epoch
  REQUIRE(frame[sender_at] == 0);
  frame[sender_at] = 1;
  CHECK(refusal_of_peer(receiver, frame, 1) == Refusal::wrong_mac);
  frame[sender_at] = 4;
  CHECK(refusal_of_peer(receiver, frame, 4) == Refusal::unknown_sender);
}

TEST_CASE("a packet of another cluster or epoch is refused, also with the number rewritten") {
  const TestCluster cluster;
  Bytes of_other_cluster = TestCluster{4, 8}.replica(0).seal_broadcast({prepare()});
  Bytes of_other_epoch = TestCluster{4, 7, Epoch{2}}.replica(0).seal_broadcast({prepare()});
  Authenticator receiver = cluster.replica(1);
  CHECK(refusal_of_peer(receiver, of_other_cluster, 0) == Refusal::wrong_cluster);
  CHECK(refusal_of_peer(receiver, of_other_epoch, 0) == Refusal::wrong_epoch);
  std::fill_n(of_other_cluster.begin() + 4, ClusterId::size, std::uint8_t{7});
  of_other_epoch[20] = 1;
  CHECK(refusal_of_peer(receiver, of_other_cluster, 0) == Refusal::wrong_mac);
  CHECK(refusal_of_peer(receiver, of_other_epoch, 0) == Refusal::wrong_mac);
}

TEST_CASE("a wrong entry concerns its own replica only") {
  const TestCluster cluster;
  const Bytes frame = cluster.replica(0).seal_broadcast({prepare()});
  for (std::uint32_t broken = 1; broken < 4; ++broken) {
    Bytes changed = frame;
    changed[changed.size() - (4 - broken) * Mac::size] ^= 1;
    for (std::uint32_t id = 1; id < 4; ++id) {
      Authenticator receiver = cluster.replica(id);
      CHECK(refusal_of_peer(receiver, changed, 0) == (id == broken ? std::optional{Refusal::wrong_mac} : std::nullopt));
    }
  }
  Bytes swapped = frame;
  std::swap_ranges(swapped.end() - 2 * Mac::size, swapped.end() - Mac::size, swapped.end() - Mac::size);
  Authenticator two = cluster.replica(2);
  CHECK(refusal_of_peer(two, swapped, 0) == Refusal::wrong_mac);
}

TEST_CASE("an authenticator of another length has no entry for anybody") {
  const TestCluster cluster;
  Authenticator receiver = cluster.replica(1);
  for (const std::size_t size : {0U, 1U, 15U, 17U, 32U, 48U, 63U, 65U, 80U}) {
    Bytes packet = wire::encode_packet(cluster.roster.cluster, cluster.roster.epoch, ReplicaId{0},
                                       {wire::encode(PeerMessage{prepare()})});
    wire::append_authenticator(packet, Bytes(size));
    CHECK(refusal_of_peer(receiver, packet, 0) == Refusal::not_for_this_party);
  }
}

TEST_CASE("no flipped bit of what a MAC covers goes through") {
  const TestCluster cluster;
  const Bytes frame = cluster.replica(0).seal_to(ReplicaId{1}, {prepare()});
  Authenticator receiver = cluster.replica(1);
  REQUIRE_FALSE(refusal_of_peer(receiver, frame, 0).has_value());
  for (std::size_t bit = 0; bit < frame.size() * 8; ++bit) {
    Bytes flipped = frame;
    flipped[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
    if (!refusal_of_peer(receiver, flipped, 0)) FAIL("bit " << bit);
  }
}

TEST_CASE("one malformed message spoils the packet") {
  const TestCluster cluster;
  Status unordered;
  unordered.lacks = {{SequenceNumber{2}, true, true, true}, {SequenceNumber{1}, true, true, true}};
  const Bytes frame = cluster.replica(0).seal_broadcast({prepare(), unordered});
  Authenticator receiver = cluster.replica(1);
  const auto opened = receiver.open_peer(shared(frame), ReplicaId{0});
  REQUIRE_FALSE(opened.has_value());
  CHECK(opened.error().refusal == Refusal::malformed);
  CHECK(opened.error().wire == wire::WireError::not_canonical);
}

TEST_CASE("frames for clients, and of clients, are none of a peer's") {
  const TestCluster cluster;
  Authenticator receiver = cluster.replica(1);
  auto client = cluster.client();
  CHECK(refusal_of_peer(receiver, client.seal_to(ReplicaId{1}, {Hello{}}), 0) == Refusal::unknown_sender);
  CHECK(refusal_of_peer(receiver, cluster.replica(0).seal_to_client(client.id(), {Welcome{}}), 0) ==
        Refusal::wrong_mac);
  // Even where a replica's key is a client's as well, the messages of one road are unknown on the other.
  const Bytes reply = cluster.replica(0).seal_to_client(identity_of(1).client_id(), {Welcome{}});
  CHECK(refusal_of_peer(receiver, reply, 0) == Refusal::malformed);
}

// ---- Checkpoints -----------------------------------------------------------------------------------------

Checkpoint checkpoint(std::uint64_t n = 128, std::uint8_t root = 9) {
  return {SequenceNumber{n}, digest_of(root), {}};
}

Checkpoint signed_by(const TestCluster& cluster, std::uint32_t id, const Checkpoint& one = checkpoint()) {
  return std::get<Checkpoint>(cluster.replica(id).sign(one).message());
}

TEST_CASE("a checkpoint is signed on the way, the same each time") {
  const TestCluster cluster;
  const Checkpoint own = signed_by(cluster, 0);
  CHECK(own.n == SequenceNumber{128});
  CHECK(own.root == digest_of(9));
  CHECK(cluster.replica(0).sign(checkpoint()).sender() == ReplicaId{0});

  const Bytes frame = cluster.replica(0).seal_broadcast({checkpoint()});
  CHECK(frame == cluster.replica(0).seal_broadcast({own}));
  Authenticator receiver = cluster.replica(1);
  const auto received = std::get<Checkpoint>(opened_one(receiver, frame, 0));
  CHECK(received.n == own.n);
  CHECK(received.root == own.root);
  CHECK(received.signed_bytes == own.signed_bytes);
}

TEST_CASE("a replica sends no checkpoint but its own") {
  const TestCluster cluster;
  Authenticator receiver = cluster.replica(1);
  const auto relayed = [&](const Checkpoint& other) {
    return refusal_of_peer(receiver, cluster.replica(0).seal_broadcast({other}), 0);
  };
  CHECK(relayed(signed_by(cluster, 0)) == std::nullopt);
  CHECK(relayed(signed_by(cluster, 2)) == Refusal::wrong_signature);
  CHECK(relayed(signed_by(TestCluster{4, 8}, 0)) == Refusal::wrong_signature);
  CHECK(relayed(signed_by(TestCluster{4, 7, Epoch{2}}, 0)) == Refusal::wrong_epoch);

  Checkpoint tampered = signed_by(cluster, 0);
  Bytes bytes{tampered.signed_bytes.view().begin(), tampered.signed_bytes.view().end()};
  bytes.back() ^= 1;
  tampered.signed_bytes = SharedBytes::own(bytes);
  CHECK(relayed(tampered) == Refusal::wrong_signature);
}

TEST_CASE("a stable checkpoint is as good as each of its votes") {
  const TestCluster cluster;
  Authenticator receiver = cluster.replica(1);
  const auto vote = [&](std::uint32_t id) {
    return StableCheckpoint::Vote{ReplicaId{id}, signed_by(cluster, id).signed_bytes};
  };
  const auto sent = [&](std::vector<StableCheckpoint::Vote> votes) {
    const StableCheckpoint proof{SequenceNumber{128}, digest_of(9), std::move(votes)};
    return refusal_of_peer(receiver, cluster.replica(0).seal_to(ReplicaId{1}, {proof}), 0);
  };
  CHECK(sent({vote(1), vote(2), vote(3)}) == std::nullopt);
  CHECK(sent({vote(0), vote(1), {ReplicaId{3}, vote(2).signed_bytes}}) == Refusal::wrong_signature);
  const auto of = [&](const TestCluster& other, const Checkpoint& one) {
    return sent({vote(0), vote(1), {ReplicaId{2}, signed_by(other, 2, one).signed_bytes}});
  };
  CHECK(of(cluster, checkpoint()) == std::nullopt);
  CHECK(of(cluster, checkpoint(128, 8)) == Refusal::wrong_signature);
  CHECK(of(cluster, checkpoint(256)) == Refusal::wrong_signature);
  CHECK(of(TestCluster{4, 8}, checkpoint()) == Refusal::wrong_signature);
  CHECK(of(TestCluster{4, 7, Epoch{2}}, checkpoint()) == Refusal::wrong_epoch);
  CHECK(sent({vote(0), vote(2), {ReplicaId{3}, SharedBytes::own({1, 2, 3})}}) == Refusal::malformed);
  CHECK(sent({vote(0), vote(2), {ReplicaId{4}, signed_by(TestCluster{5}, 4).signed_bytes}}) == Refusal::unknown_sender);
  CHECK(sent({vote(1), vote(2)}) == Refusal::malformed);  // fewer than a quorum
}

// ---- Bundles inside of packets ---------------------------------------------------------------------------

TEST_CASE("a pre-prepare tells for each bundle whether its proof holds here") {
  const TestCluster cluster;
  auto client = cluster.client();
  const BundlePtr good = client.seal_bundle(SessionId{1}, RequestNumber{0}, one_request(), Proof::macs);
  const BundlePtr with_signature = client.seal_bundle(SessionId{1}, RequestNumber{0}, one_request(), Proof::signature);
  Bytes proof = proof_of(*good);
  proof[1 + 2 * Mac::size] ^= 1;
  const BundlePtr broken_at_2 = with_proof(*good, proof);
  proof = proof_of(*with_signature);
  proof.back() ^= 1;
  const BundlePtr broken_signature = with_proof(*with_signature, proof);

  const Bytes frame = cluster.replica(0).seal_broadcast(
      {pre_prepare({good, broken_at_2, with_signature, broken_signature, with_proof(*good, {})})});
  Authenticator one = cluster.replica(1);
  Authenticator two = cluster.replica(2);
  CHECK(std::get<PrePrepare>(opened_one(one, frame, 0)).authentic == std::vector{true, true, true, false, false});
  CHECK(std::get<PrePrepare>(opened_one(two, frame, 0)).authentic == std::vector{true, false, true, false, false});
}

TEST_CASE("a forward tells whether its bundle's proof holds here") {
  const TestCluster cluster;
  auto client = cluster.client();
  const BundlePtr good = client.seal_bundle(SessionId{1}, RequestNumber{0}, one_request(), Proof::macs);
  Authenticator receiver = cluster.replica(1);
  const auto forwarded = [&](const BundlePtr& bundle) {
    const Bytes frame = cluster.replica(0).seal_to(ReplicaId{1}, {Forward{bundle, false}});
    return std::get<Forward>(opened_one(receiver, frame, 0)).authentic;
  };
  CHECK(forwarded(good));
  CHECK_FALSE(forwarded(with_proof(*good, Bytes(65))));
}

TEST_CASE("a peer whose key in the roster is invalid is refused and harms nobody") {
  TestCluster cluster;
  cluster.roster.replicas[3] = PublicKey{};
  Authenticator receiver = cluster.replica(1);
  CHECK(refusal_of_peer(receiver, cluster.replica(0).seal_broadcast({prepare()}), 0) == std::nullopt);
  CHECK(refusal_of_peer(receiver, TestCluster{}.replica(3).seal_broadcast({prepare()}), 3) == Refusal::wrong_mac);
}

TEST_CASE("every refusal has a name of its own") {
  std::set<std::string> names;
  for (std::uint8_t i = 0; i < static_cast<std::uint8_t>(Refusal::count_); ++i) {
    names.insert(to_string(static_cast<Refusal>(i)));
  }
  CHECK(names.size() == static_cast<std::size_t>(Refusal::count_));
}

}  // namespace
}  // namespace pbft::testing
