// What others can make a replica spend: verifications, keys with clients, and memory held by frames.
#include <catch2/catch.hpp>

#include "node/crypto/verified_claims.h"
#include "node/pbft/digests.h"
#include "tests/crypto/signed_samples.h"

namespace pbft::testing {
namespace {

using crypto::Authenticator;
using crypto::Refusal;
using Proof = crypto::ClientAuthenticator::Proof;

class CountingScheme final : public crypto::SignatureScheme {
 public:
  [[nodiscard]] Signature sign(const crypto::Identity& signer, BytesView data) const override {
    return crypto::ed25519()->sign(signer, data);
  }
  [[nodiscard]] bool verify(const PublicKey& signer, BytesView data, const Signature& signature) const override {
    ++verified;
    return crypto::ed25519()->verify(signer, data, signature);
  }

  mutable std::size_t verified = 0;
};

struct CountedReplica {
  explicit CountedReplica(std::uint32_t id = 1)
      : authenticator(cluster.roster, ReplicaId{id}, cluster.identities[id], scheme) {}

  [[nodiscard]] std::size_t verified() const { return scheme->verified; }
  auto from_client(const std::vector<ClientMessage>& messages) {
    const Bytes frame = cluster.client().seal_to(ReplicaId{1}, messages);
    return authenticator.open_client(shared(frame), identity_of(first_client).curve().public_key);
  }
  auto from_primary(const std::vector<PeerMessage>& messages) {
    return authenticator.open_peer(shared(cluster.replica(0).seal_broadcast(messages)), ReplicaId{0});
  }

  auto take_from_primary(const std::vector<PeerMessage>& messages, const Authenticator::TakePeerMessage& take) {
    return authenticator.open_peer(shared(cluster.replica(0).seal_broadcast(messages)), ReplicaId{0}, take);
  }

  TestCluster cluster;
  std::shared_ptr<CountingScheme> scheme = std::make_shared<CountingScheme>();
  Authenticator authenticator;
};

BundlePtr signed_bundle(std::uint64_t low = 0, std::string_view operation = "put k v") {
  return TestCluster{}.client().seal_bundle(SessionId{1}, RequestNumber{low}, one_request(operation), Proof::signature);
}

BundlePtr spoilt(const Bundle& bundle) {
  Bytes proof = proof_of(bundle);
  proof.back() ^= 1;
  return with_proof(bundle, std::move(proof));
}

std::vector<bool> authentic(const AuthenticatedPeerMessage& message) {
  return std::get<PrePrepare>(message.message()).authentic;
}

// ---- Signatures that were verified already -----------------------------------------------------------------

TEST_CASE("a bundle that comes again costs no second verification") {
  CountedReplica replica;
  const BundlePtr bundle = signed_bundle();
  REQUIRE(replica.from_client({ClientRequest{bundle}}));
  REQUIRE(replica.verified() == 1);

  REQUIRE(replica.from_client({ClientRequest{bundle}}));
  const auto proposed = replica.from_primary({pre_prepare({bundle, bundle}), Forward{bundle, false}});
  REQUIRE(proposed);
  CHECK(authentic((*proposed)[0]) == std::vector{true, true});
  CHECK(std::get<Forward>((*proposed)[1].message()).authentic);
  CHECK(replica.verified() == 1);
}

TEST_CASE("what was verified stands for no other proof, bundle or client, and a wrong one is never remembered") {
  CountedReplica replica;
  const BundlePtr bundle = signed_bundle();
  REQUIRE(replica.authenticator.bundle_authentic(*bundle));
  REQUIRE(replica.verified() == 1);
  for (const std::size_t calls : {2U, 3U}) {
    CHECK_FALSE(replica.authenticator.bundle_authentic(*spoilt(*bundle)));
    CHECK(replica.verified() == calls);
  }
  auto other = std::make_shared<Bundle>(*bundle);
  other->digest.bytes[0] ^= 1;
  CHECK_FALSE(replica.authenticator.bundle_authentic(*other));
  other = std::make_shared<Bundle>(*bundle);
  other->client = identity_of(101).client_id();
  CHECK_FALSE(replica.authenticator.bundle_authentic(*other));
  CHECK(replica.verified() == 5);
}

TEST_CASE("a new-view of view-changes and votes that came before costs one verification, and none again") {
  CountedReplica replica;
  const TestCluster& cluster = replica.cluster;
  const auto send = [&](std::uint32_t sender, const PeerMessage& message) {
    const Bytes frame = cluster.replica(sender).seal_broadcast({message});
    return replica.authenticator.open_peer(shared(frame), ReplicaId{sender}).has_value();
  };
  const StableCheckpoint stable = proof(cluster, {0, 2, 3});
  for (const StableCheckpoint::Vote& vote : stable.votes) {
    REQUIRE(send(vote.replica.value, Checkpoint{stable.n, stable.root, vote.signed_bytes}));
  }
  CHECK(replica.verified() == 3);
  REQUIRE(send(3, stable));
  CHECK(replica.verified() == 3);

  NewView opening{View{2}, {}, {}, {}};
  for (const std::uint32_t sender : {0U, 2U, 3U}) {
    const ViewChange message = cluster.replica(sender).sign(view_change(stable));
    REQUIRE(send(sender, message));
    opening.view_changes.push_back({ReplicaId{sender}, message});
  }
  CHECK(replica.verified() == 6);

  opening = cluster.replica(2).sign(opening);
  REQUIRE(send(2, opening));
  CHECK(replica.verified() == 7);
  REQUIRE(send(3, opening));
  CHECK(replica.verified() == 7);
}

TEST_CASE("what this replica signed itself is not verified when it comes back") {
  CountedReplica replica;
  const Checkpoint vote{SequenceNumber{128}, digest_of(9), {}};
  const auto own_vote = std::get<Checkpoint>(replica.authenticator.sign(vote).message());
  StableCheckpoint stable = proof(replica.cluster, {0, 1, 2});
  stable.votes[1].signed_bytes = own_vote.signed_bytes;
  const ViewChange own = replica.authenticator.sign(view_change(stable));
  const NewView opening = replica.cluster.replica(0).sign(NewView{View{4}, {}, {{ReplicaId{1}, own}}, {}});
  REQUIRE(replica.from_primary({opening}));
  CHECK(replica.verified() == 3);  // the new-view, and the votes of the two others
}

TEST_CASE("a signed message that does not hold ends the verification, and is never remembered") {
  CountedReplica replica;
  const TestCluster& cluster = replica.cluster;
  const auto refusal = [&](const PeerMessage& message) {
    const auto opened = replica.from_primary({message});
    return opened ? std::nullopt : std::optional{opened.error().refusal};
  };
  // Of a new-view that its primary did not sign nothing inside is verified, however often it comes.
  NewView forged = cluster.replica(2).sign(new_view(cluster, {0, 2, 3}));
  Bytes bytes{forged.signed_bytes.view().begin(), forged.signed_bytes.view().end()};
  bytes.back() ^= 1;
  forged.signed_bytes = SharedBytes::own(std::move(bytes));
  for (const std::size_t calls : {1U, 2U}) {
    CHECK(refusal(forged) == Refusal::wrong_signature);
    CHECK(replica.verified() == calls);
  }
  // Its own signature and that of the first view-change; the votes in that one are the wrong ones.
  StableCheckpoint mixed = proof(cluster, {0, 2, 3});
  mixed.root = digest_of(8);
  NewView wrong_votes = new_view(cluster, {2, 3});
  wrong_votes.view_changes.insert(wrong_votes.view_changes.begin(),
                                  {ReplicaId{0}, cluster.replica(0).sign(view_change(mixed))});
  CHECK(refusal(cluster.replica(2).sign(wrong_votes)) == Refusal::wrong_signature);
  CHECK(replica.verified() == 4);
}

TEST_CASE("what was verified of one replica stands for no other") {
  CountedReplica replica;
  const ViewChange message = replica.cluster.replica(3).sign(view_change(std::nullopt));
  const auto sent_by = [&](std::uint32_t sender) {
    const Bytes frame = replica.cluster.replica(sender).seal_broadcast({message});
    return replica.authenticator.open_peer(shared(frame), ReplicaId{sender}).has_value();
  };
  CHECK(sent_by(3));
  CHECK_FALSE(sent_by(0));
  CHECK_FALSE(sent_by(2));
}

TEST_CASE("the memory of verified claims is bounded, and the oldest goes first") {
  crypto::VerifiedClaims verified;
  const auto key = [](std::uint32_t number) {
    Digest digest;
    std::memcpy(digest.bytes.data(), &number, sizeof(number));
    return digest;
  };
  for (std::uint32_t i = 0; i < crypto::VerifiedClaims::capacity; ++i) verified.add(key(i));
  verified.add(key(0));
  CHECK(verified.contains(key(0)));
  verified.add(key(1'000'000));
  CHECK(verified.size() == crypto::VerifiedClaims::capacity);
  CHECK_FALSE(verified.contains(key(0)));
  CHECK(verified.contains(key(1)));
  CHECK(verified.contains(key(1'000'000)));
}

// ---- What is not verified at all ---------------------------------------------------------------------------

TEST_CASE("bundles of a pre-prepare that nobody waits for are not verified") {
  CountedReplica replica;
  std::vector<std::pair<ReplicaId, SequenceNumber>> asked;
  bool answer = false;
  const auto wanted_now = [&](ReplicaId sender, const PrePrepare& message) {
    asked.emplace_back(sender, message.n);
    return answer;
  };
  replica.authenticator.verify_bundles_only_if({wanted_now, {}});
  const std::vector<BundlePtr> bundles{signed_bundle(0), signed_bundle(1)};
  const auto unwanted = replica.from_primary({pre_prepare(bundles)});
  REQUIRE(unwanted);
  REQUIRE(unwanted->size() == 1);
  CHECK(authentic(unwanted->front()) == std::vector{false, false});
  CHECK(replica.verified() == 0);
  CHECK(asked == std::vector{std::pair{ReplicaId{0}, SequenceNumber{1}}});

  answer = true;
  const auto wanted = replica.from_primary({pre_prepare(bundles)});
  REQUIRE(wanted);
  CHECK(authentic(wanted->front()) == std::vector{true, true});
  CHECK(replica.verified() == 2);
}

TEST_CASE("whether a message is wanted is asked when those before it in the frame have been taken") {
  CountedReplica replica;
  bool view_is_open = false;
  replica.authenticator.verify_bundles_only_if({[&](ReplicaId, const PrePrepare&) { return view_is_open; }, {}});
  const std::vector<BundlePtr> bundles{signed_bundle(0)};
  // The first stands for a NEW-VIEW: once it is taken, what follows in the same frame is wanted.
  std::vector<std::vector<bool>> found;
  const auto opened =
      replica.take_from_primary({pre_prepare(bundles), pre_prepare(bundles)}, [&](AuthenticatedPeerMessage&& message) {
        found.push_back(authentic(message));
        view_is_open = true;
      });
  CHECK(opened);
  CHECK(found == std::vector<std::vector<bool>>{{false}, {true}});
}

BundlePtr with_macs() {
  return TestCluster{}.client().seal_bundle(SessionId{1}, RequestNumber{0}, one_request(), Proof::macs);
}

TEST_CASE("what is handed on to a replica that has no use for it is not verified") {
  CountedReplica replica;
  bool primary = false;
  replica.authenticator.verify_bundles_only_if({{}, [&](ReplicaId sender, const Forward&) {
                                                  CHECK(sender == ReplicaId{0});
                                                  return primary;
                                                }});
  const auto handed_on = [&](const BundlePtr& bundle) {
    const auto opened = replica.from_primary({Forward{bundle, false}});
    REQUIRE(opened);
    return std::get<Forward>(opened->front().message()).authentic;
  };
  CHECK_FALSE(handed_on(signed_bundle()));
  CHECK_FALSE(handed_on(with_macs()));
  CHECK(replica.verified() == 0);
  primary = true;
  CHECK(handed_on(signed_bundle()));
  CHECK(handed_on(with_macs()));
  CHECK(replica.verified() == 1);
}

TEST_CASE("after one wrong signature in what is handed on, none in the frame is verified any more") {
  CountedReplica replica;
  std::vector<PeerMessage> messages{Forward{signed_bundle(), false}};
  for (std::uint64_t low = 1; low < 100; ++low) messages.emplace_back(Forward{spoilt(*signed_bundle(low)), false});
  messages.emplace_back(Forward{signed_bundle(100), false});
  messages.emplace_back(Forward{with_macs(), false});
  messages.emplace_back(prepare());
  for (const std::size_t verified : {2U, 3U}) {  // the one that held is remembered
    const auto opened = replica.from_primary(messages);
    REQUIRE(opened);
    REQUIRE(opened->size() == messages.size());
    CHECK(replica.verified() == verified);
    const auto holds = [&](std::size_t i) { return std::get<Forward>((*opened)[i].message()).authentic; };
    CHECK(holds(0));
    CHECK_FALSE(holds(1));
    CHECK_FALSE(holds(100));
    CHECK(holds(101));
  }
  // The next frame is judged for itself.
  REQUIRE(replica.from_primary({messages[100]}));
  CHECK(replica.verified() == 4);
}

TEST_CASE("after one wrong signature in a pre-prepare, none in it is verified any more") {
  CountedReplica replica;
  std::vector<BundlePtr> bundles{signed_bundle(0)};
  for (std::uint64_t low = 1; low < 100; ++low) bundles.push_back(spoilt(*signed_bundle(low)));
  bundles.push_back(with_macs());
  const auto opened = replica.from_primary({pre_prepare(bundles), pre_prepare({signed_bundle(100)})});
  REQUIRE(opened);
  CHECK(replica.verified() == 3);
  std::vector<bool> expected(101, false);
  expected.front() = expected.back() = true;
  CHECK(authentic((*opened)[0]) == expected);
  CHECK(authentic((*opened)[1]) == std::vector{true});
}

TEST_CASE("of a stable checkpoint with fewer votes than a quorum none is verified") {
  CountedReplica replica;
  const StableCheckpoint few = proof(replica.cluster, {0, 2});
  const auto refused = [&](const PeerMessage& message) {
    const auto opened = replica.from_primary({message});
    return !opened && opened.error().refusal == Refusal::malformed &&
           opened.error().wire == wire::WireError::out_of_range;
  };
  CHECK(refused(few));
  CHECK(replica.verified() == 0);
  const ViewChange change = replica.cluster.replica(0).sign(view_change(few));
  CHECK(refused(change));
  CHECK(replica.verified() == 1);  // the view-change itself
  CHECK(replica.from_primary({proof(replica.cluster, {0, 2, 3})}));
}

TEST_CASE("a replica's packet with too many signed messages is refused before any is verified") {
  CountedReplica replica;
  std::vector<PeerMessage> messages(100, prepare());
  for (std::uint64_t n = 1; n <= crypto::max_signed_messages_per_packet - 2; ++n) {
    messages.emplace_back(Checkpoint{SequenceNumber{n}, digest_of(9), {}});
  }
  messages.emplace_back(replica.cluster.replica(0).sign(view_change(std::nullopt)));
  messages.emplace_back(replica.cluster.replica(0).sign(ClientReport{}));
  CHECK(replica.from_primary(messages));
  CHECK(replica.verified() == crypto::max_signed_messages_per_packet);

  const StableCheckpoint stable = proof(replica.cluster, {1, 2, 3}, 1000);
  const NewView opening = replica.cluster.replica(2).sign(new_view(replica.cluster, {0, 1, 3}));
  for (const PeerMessage& one_more : std::vector<PeerMessage>{stable, opening}) {
    std::vector<PeerMessage> more = messages;
    more.push_back(one_more);
    const auto opened = replica.from_primary(more);
    REQUIRE_FALSE(opened);
    CHECK(opened.error().refusal == Refusal::malformed);
    CHECK(opened.error().wire == wire::WireError::out_of_range);
  }
  CHECK(replica.verified() == crypto::max_signed_messages_per_packet);
}

TEST_CASE("the first wrong proof of a client's packet ends its verification") {
  CountedReplica replica;
  std::vector<ClientMessage> messages{ClientRequest{spoilt(*signed_bundle())}};
  for (std::uint64_t low = 1; low < 20; ++low) messages.emplace_back(ClientRequest{signed_bundle(low)});
  const auto opened = replica.from_client(messages);
  REQUIRE_FALSE(opened);
  CHECK(opened.error().refusal == Refusal::wrong_signature);
  CHECK(replica.verified() == 1);
}

TEST_CASE("a client's packet with too many requests is refused before any is verified") {
  CountedReplica replica;
  std::vector<ClientMessage> messages(100, Hello{});
  for (std::uint64_t low = 0; low < crypto::max_client_requests_per_packet; ++low) {
    messages.emplace_back(ClientRequest{signed_bundle(low)});
  }
  CHECK(replica.from_client(messages));
  const std::size_t before = replica.verified();
  CHECK(before == crypto::max_client_requests_per_packet);

  messages.emplace_back(ClientRequest{signed_bundle(1000)});
  std::swap(messages.front(), messages.back());
  const auto opened = replica.from_client(messages);
  REQUIRE_FALSE(opened);
  CHECK(opened.error().refusal == Refusal::malformed);
  CHECK(opened.error().wire == wire::WireError::out_of_range);
  CHECK(replica.verified() == before);
}

TEST_CASE("reads count as requests in a client's packet") {
  CountedReplica replica;
  std::vector<ClientMessage> messages(crypto::max_client_requests_per_packet - 1, ReadRequest{});
  messages.emplace_back(ClientRequest{signed_bundle()});
  CHECK(replica.from_client(messages));
  messages.emplace_back(ReadRequest{});
  const auto opened = replica.from_client(messages);
  REQUIRE_FALSE(opened);
  CHECK(opened.error().wire == wire::WireError::out_of_range);
}

// ---- Memory ------------------------------------------------------------------------------------------------

// A frame whose release can be seen.
struct WatchedFrame {
  explicit WatchedFrame(Bytes frame) : owner(std::make_shared<const Bytes>(std::move(frame))), memory(owner) {}

  // The only share of it, once this is called.
  [[nodiscard]] SharedBytes hand_over() {
    const BytesView view{*owner};
    return SharedBytes::alias(std::exchange(owner, nullptr), view);
  }

  std::shared_ptr<const Bytes> owner;
  std::weak_ptr<const Bytes> memory;
};

TEST_CASE("a small message of a client does not keep its large frame") {
  const TestCluster cluster;
  auto client = cluster.client();
  const ReadRequest read{RequestNumber{1}, SharedBytes::own(Bytes(1000, 7))};
  const ReadRequest large{RequestNumber{2}, SharedBytes::own(Bytes(Limits::max_operation_bytes, 8))};
  WatchedFrame frame{client.seal_to(ReplicaId{1}, {ClientRequest{signed_bundle()}, read, large, large})};
  Authenticator receiver = cluster.replica(1);
  auto opened = receiver.open_client(frame.hand_over(), identity_of(first_client).curve().public_key);
  REQUIRE(opened);
  CHECK(frame.memory.expired());
  CHECK(std::get<ClientRequest>((*opened)[0].message()).bundle->proof == signed_bundle()->proof);
  CHECK(std::get<ReadRequest>((*opened)[1].message()).operation == read.operation);
}

TEST_CASE("a small message of a peer does not keep its large frame") {
  const TestCluster cluster;
  const std::string operation(500'000, 'x');
  const PrePrepare small = pre_prepare({signed_bundle()});
  const PrePrepare large = pre_prepare({signed_bundle(5, operation)});
  const Checkpoint checkpoint{SequenceNumber{128}, digest_of(9), {}};
  const auto vote = [&](std::uint32_t id) {
    return StableCheckpoint::Vote{ReplicaId{id},
                                  std::get<Checkpoint>(cluster.replica(id).sign(checkpoint).message()).signed_bytes};
  };
  const StableCheckpoint stable{SequenceNumber{128}, digest_of(9), {vote(0), vote(1), vote(2)}};
  const BatchResponse response{SequenceNumber{1}, small.batch};
  const std::vector<PeerMessage> messages{small, Forward{signed_bundle(), false}, checkpoint, stable, response};
  Authenticator receiver = cluster.replica(1);
  for (const PeerMessage& message : messages) {
    WatchedFrame frame{cluster.replica(0).seal_broadcast({message, large, large})};
    auto opened = receiver.open_peer(frame.hand_over(), ReplicaId{0});
    REQUIRE(opened);
    REQUIRE(opened->size() == 3);
    CAPTURE(message.index());
    const AuthenticatedPeerMessage kept = std::move(opened->front());
    opened->clear();
    CHECK(frame.memory.expired());
    CHECK(kept.message().index() == message.index());
  }
}

TEST_CASE("a message that is most of its frame is not copied") {
  const TestCluster cluster;
  Authenticator receiver = cluster.replica(1);
  WatchedFrame frame{cluster.replica(0).seal_broadcast({pre_prepare({signed_bundle()})})};
  auto alone = receiver.open_peer(frame.hand_over(), ReplicaId{0});
  REQUIRE(alone);
  CHECK_FALSE(frame.memory.expired());
  alone->clear();
  CHECK(frame.memory.expired());

  const PrePrepare large = pre_prepare({signed_bundle(5, std::string(500'000, 'x'))});
  WatchedFrame mostly{cluster.replica(0).seal_broadcast({prepare(), large})};
  auto opened = receiver.open_peer(mostly.hand_over(), ReplicaId{0});
  REQUIRE(opened);
  CHECK_FALSE(mostly.memory.expired());
}

}  // namespace
}  // namespace pbft::testing
