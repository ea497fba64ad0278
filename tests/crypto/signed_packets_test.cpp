// View-changes, new-views and client reports: who signed what, and who may hand it on.
#include <catch2/catch.hpp>

#include "node/crypto/proofs.h"
#include "tests/crypto/signed_samples.h"

namespace pbft::testing {
namespace {

using crypto::Authenticator;
using crypto::Refusal;

struct Receiver {
  explicit Receiver(const TestCluster& the_cluster, std::uint32_t id = 1)
      : cluster(the_cluster), self(id), authenticator(the_cluster.replica(id)) {}

  auto open(const PeerMessage& message, std::uint32_t sender) {
    const Bytes frame = cluster.replica(sender).seal_to(ReplicaId{self}, {message});
    return authenticator.open_peer(shared(frame), ReplicaId{sender});
  }
  std::optional<Refusal> refusal(const PeerMessage& message, std::uint32_t sender) {
    const auto opened = open(message, sender);
    return opened ? std::nullopt : std::optional{opened.error().refusal};
  }

  const TestCluster& cluster;
  std::uint32_t self;
  Authenticator authenticator;
};

// The message with each byte of its signed_bytes changed in turn: none is taken.
template <class Message>
void check_tampering(const Message& message, std::uint32_t sender) {
  const TestCluster cluster;
  Receiver receiver{cluster};
  REQUIRE(receiver.refusal(message, sender) == std::nullopt);
  const Bytes bytes{message.signed_bytes.view().begin(), message.signed_bytes.view().end()};
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    Bytes tampered = bytes;
    tampered[i] ^= 1;
    Message changed = message;
    changed.signed_bytes = SharedBytes::own(std::move(tampered));
    if (!receiver.refusal(changed, sender)) FAIL("byte " << i << " of " << bytes.size());
  }
}

// ---- View-changes ------------------------------------------------------------------------------------------

TEST_CASE("a view-change is signed, the same each time, and opens as what was signed") {
  const TestCluster cluster;
  const ViewChange message = view_change(proof(cluster, {0, 1, 2}));
  const ViewChange own = cluster.replica(3).sign(message);
  CHECK(own.view == message.view);
  CHECK(own.prepared == message.prepared);
  CHECK_FALSE(own.signed_bytes.empty());
  CHECK(cluster.replica(3).sign(message).signed_bytes == own.signed_bytes);
  CHECK(cluster.replica(2).sign(message).signed_bytes != own.signed_bytes);

  Receiver receiver{cluster};
  const auto opened = receiver.open(own, 3);
  REQUIRE(opened);
  const auto& received = std::get<ViewChange>(opened->front().message());
  CHECK(received.view == message.view);
  CHECK(received.low() == message.low());
  CHECK(received.prepared == message.prepared);
  CHECK(received.voted == message.voted);
  CHECK(received.signed_bytes == own.signed_bytes);
}

TEST_CASE("what this replica signed comes back to it as its own") {
  const TestCluster cluster;
  const Authenticator replica = cluster.replica(3);
  const ViewChange message = cluster.replica(3).sign(view_change(std::nullopt));
  const AuthenticatedPeerMessage own = replica.own(message);
  CHECK(own.sender() == ReplicaId{3});
  CHECK(std::get<ViewChange>(own.message()).signed_bytes == message.signed_bytes);
  const NewView opening = cluster.replica(3).sign(new_view(cluster, {0, 1, 2}));
  CHECK(std::get<NewView>(replica.own(opening).message()).primary == ReplicaId{3});
  CHECK(replica.own(cluster.replica(3).sign(ClientReport{})).sender() == ReplicaId{3});
}

TEST_CASE("a replica sends no view-change but its own, of this cluster and epoch") {
  const TestCluster cluster;
  Receiver receiver{cluster};
  const ViewChange message = view_change(std::nullopt);
  CHECK(receiver.refusal(cluster.replica(3).sign(message), 3) == std::nullopt);
  CHECK(receiver.refusal(cluster.replica(3).sign(message), 2) == Refusal::wrong_signature);
  CHECK(receiver.refusal(TestCluster(4, 8).replica(3).sign(message), 3) == Refusal::wrong_signature);
  CHECK(receiver.refusal(TestCluster(4, 7, Epoch{2}).replica(3).sign(message), 3) == Refusal::wrong_epoch);
}

TEST_CASE("a body that names another replica is not its signer's") {
  const TestCluster cluster;
  Receiver receiver{cluster};
  const auto signed_by_3 = [&](std::uint32_t named) {
    const Bytes body = wire::encode_client_report_body({{Epoch{1}, ReplicaId{named}}, identity_of(100).client_id()});
    const auto covered = crypto::signed_message_bytes(cluster.roster, body);
    const Signature signature = crypto::ed25519()->sign(cluster.identities[3], covered.view());
    return ClientReport{{}, SharedBytes::own(wire::encode_signed(body, signature))};
  };
  CHECK(receiver.refusal(signed_by_3(3), 3) == std::nullopt);
  CHECK(receiver.refusal(signed_by_3(2), 3) == Refusal::wrong_signature);
  CHECK(receiver.refusal(signed_by_3(2), 2) == Refusal::wrong_signature);
}

TEST_CASE("no byte of a signed message can be another one") {
  const TestCluster cluster;
  check_tampering(cluster.replica(3).sign(view_change(proof(cluster, {0, 1, 2}))), 3);
  check_tampering(cluster.replica(2).sign(new_view(cluster, {0, 3})), 2);
  check_tampering(cluster.replica(3).sign(ClientReport{identity_of(100).client_id(), {}}), 3);
}

TEST_CASE("the signature of one message is no good for another") {
  const TestCluster cluster;
  Receiver receiver{cluster};
  const ViewChange in_view_2 = cluster.replica(3).sign(view_change(std::nullopt, 2));
  const ViewChange in_view_4 = cluster.replica(3).sign(view_change(std::nullopt, 4));
  const auto body = wire::decode_signed(in_view_2.signed_bytes).value().body;
  const auto signature = wire::decode_signed(in_view_4.signed_bytes).value().signature;
  ViewChange mixed = in_view_2;
  mixed.signed_bytes = SharedBytes::own(wire::encode_signed(body.view(), signature));
  CHECK(receiver.refusal(in_view_2, 3) == std::nullopt);
  CHECK(receiver.refusal(in_view_4, 3) == std::nullopt);
  CHECK(receiver.refusal(mixed, 3) == Refusal::wrong_signature);
}

TEST_CASE("the proof inside of a view-change is as good as each of its votes") {
  const TestCluster cluster;
  Receiver receiver{cluster};
  const auto with = [&](const StableCheckpoint& stable) {
    return receiver.refusal(cluster.replica(3).sign(view_change(stable)), 3);
  };
  StableCheckpoint stable = proof(cluster, {0, 1, 2});
  CHECK(with(stable) == std::nullopt);
  stable.votes[1].signed_bytes = proof(cluster, {3}).votes[0].signed_bytes;
  CHECK(with(stable) == Refusal::wrong_signature);
  stable.votes[1].signed_bytes = proof(cluster, {1}, 256).votes[0].signed_bytes;
  CHECK(with(stable) == Refusal::wrong_signature);
  stable.votes[1].signed_bytes = proof(cluster, {1}, 128, 8).votes[0].signed_bytes;
  CHECK(with(stable) == Refusal::wrong_signature);
  stable.votes[1].signed_bytes = proof(TestCluster{4, 8}, {1}).votes[0].signed_bytes;
  CHECK(with(stable) == Refusal::wrong_signature);
  stable.votes[1].signed_bytes = proof(TestCluster{4, 7, Epoch{2}}, {1}).votes[0].signed_bytes;
  CHECK(with(stable) == Refusal::wrong_epoch);
  stable.votes[1].signed_bytes = SharedBytes::own({1, 2, 3});
  CHECK(with(stable) == Refusal::malformed);
  stable.votes[1] = proof(cluster, {1}).votes[0];
  stable.votes[2] = {ReplicaId{4}, proof(TestCluster{5}, {4}).votes[0].signed_bytes};
  CHECK(with(stable) == Refusal::unknown_sender);
}

TEST_CASE("a view-change takes at most its part of a new-view") {
  const TestCluster cluster{64};
  Receiver receiver{cluster};
  ViewChange message{View{1}, {}, {}, {}, {}};
  const auto with_marks = [&](std::size_t count) {
    message.voted.clear();
    for (std::size_t n = 0; n < count; ++n) message.voted.push_back({SequenceNumber{n}, digest_of(1), View{0}});
    return cluster.replica(3).sign(message);
  };
  constexpr std::size_t part = Limits::max_new_view_bytes / 64;
  std::size_t count = part / 40;
  while (with_marks(count + 1).signed_bytes.size() <= part) ++count;
  CHECK(receiver.refusal(with_marks(count), 3) == std::nullopt);
  const ViewChange large = with_marks(count + 1);
  const auto opened = receiver.open(large, 3);
  REQUIRE_FALSE(opened);
  CHECK(opened.error().refusal == Refusal::malformed);
  CHECK(opened.error().wire == wire::WireError::too_large);

  NewView opening{View{1}, ReplicaId{2}, {{ReplicaId{3}, large}}, {}};
  CHECK(receiver.refusal(cluster.replica(2).sign(opening), 2) == Refusal::malformed);
}

// ---- New-views ---------------------------------------------------------------------------------------------

TEST_CASE("a new-view names its signer, and anybody may hand it on") {
  const TestCluster cluster;
  const NewView opening = new_view(cluster, {0, 1, 3});
  const NewView own = cluster.replica(2).sign(opening);
  CHECK(own.primary == ReplicaId{2});
  CHECK(cluster.replica(2).sign(opening).signed_bytes == own.signed_bytes);
  for (const std::uint32_t sender : {0U, 2U, 3U}) {
    Receiver receiver{cluster};
    const auto opened = receiver.open(own, sender);
    REQUIRE(opened);
    CHECK(opened->front().sender() == ReplicaId{sender});
    const auto& received = std::get<NewView>(opened->front().message());
    CHECK(received.primary == ReplicaId{2});
    CHECK(received.view == opening.view);
    REQUIRE(received.view_changes.size() == 3);
    CHECK(received.view_changes[2].replica == ReplicaId{3});
    CHECK(received.view_changes[2].message.signed_bytes == opening.view_changes[2].message.signed_bytes);
    CHECK(received.view_changes[2].message.voted == opening.view_changes[2].message.voted);
  }
}

TEST_CASE("a new-view is of this cluster and epoch, and signed by a replica") {
  const TestCluster cluster;
  Receiver receiver{cluster};
  const NewView opening = new_view(cluster, {0, 1, 3});
  CHECK(receiver.refusal(TestCluster(4, 8).replica(2).sign(opening), 2) == Refusal::wrong_signature);
  CHECK(receiver.refusal(TestCluster(4, 7, Epoch{2}).replica(2).sign(opening), 2) == Refusal::wrong_epoch);
  CHECK(receiver.refusal(TestCluster(5).replica(4).sign(opening), 2) == Refusal::unknown_sender);
  TestCluster imposter;
  imposter.identities[2] = identity_of(50);
  imposter.roster.replicas[2] = identity_of(50).public_key();
  CHECK(receiver.refusal(imposter.replica(2).sign(opening), 2) == Refusal::wrong_signature);
}

TEST_CASE("every view-change in a new-view is signed by the replica named, with a proof that holds") {
  const TestCluster cluster;
  Receiver receiver{cluster};
  const auto with = [&](std::uint32_t named, const ViewChange& last) {
    NewView opening = new_view(cluster, {0, 1});
    opening.view_changes.push_back({ReplicaId{named}, last});
    return receiver.refusal(cluster.replica(2).sign(opening), 2);
  };
  const ViewChange message = view_change(proof(cluster, {0, 1, 2}));
  CHECK(with(3, cluster.replica(3).sign(message)) == std::nullopt);
  CHECK(with(3, cluster.replica(2).sign(message)) == Refusal::wrong_signature);
  CHECK(with(3, TestCluster(4, 8).replica(3).sign(message)) == Refusal::wrong_signature);
  CHECK(with(3, TestCluster(4, 7, Epoch{2}).replica(3).sign(message)) == Refusal::wrong_epoch);
  CHECK(with(4, TestCluster(5).replica(4).sign(message)) == Refusal::unknown_sender);
  // One bad vote in its proof.
  StableCheckpoint stable = proof(cluster, {0, 1, 2});
  stable.votes[2].signed_bytes = proof(cluster, {2}, 128, 8).votes[0].signed_bytes;
  CHECK(with(3, cluster.replica(3).sign(view_change(stable))) == Refusal::wrong_signature);
}

// ---- Reports -----------------------------------------------------------------------------------------------

TEST_CASE("a client report is its sender's own") {
  const TestCluster cluster;
  Receiver receiver{cluster};
  const ClientReport report{identity_of(100).client_id(), {}};
  const ClientReport own = cluster.replica(3).sign(report);
  CHECK(cluster.replica(3).sign(report).signed_bytes == own.signed_bytes);
  const auto opened = receiver.open(own, 3);
  REQUIRE(opened);
  CHECK(std::get<ClientReport>(opened->front().message()).client == report.client);
  CHECK(receiver.refusal(own, 2) == Refusal::wrong_signature);
  CHECK(receiver.refusal(TestCluster(4, 8).replica(3).sign(report), 3) == Refusal::wrong_signature);
  CHECK(receiver.refusal(TestCluster(4, 7, Epoch{2}).replica(3).sign(report), 3) == Refusal::wrong_epoch);
}

}  // namespace
}  // namespace pbft::testing
