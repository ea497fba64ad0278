// What the driver does in one turn and leaves to the next, and how it cuts what is sent into frames.
#include <catch2/catch.hpp>
#include <functional>
#include <map>
#include <set>

#include "node/pbft/reads.h"
#include "node/runtime/driver.h"
#include "plugins/kv/kv.h"
#include "plugins/sdk/pbft/plugin.hpp"
#include "storage/digest_tree.h"
#include "tests/crypto/cluster.h"
#include "tests/execution/store_fixture.h"

namespace pbft::runtime {
namespace {

using testing::identity_of;
using testing::shared;
using testing::TestCluster;

struct SentFrames final : Transport {
  void broadcast(Bytes frame) override { broadcasts.push_back(std::move(frame)); }
  void send(ReplicaId to, Bytes frame) override { sent[to] += frame.size(); }
  void reply(const ClientId&, SessionId, RequestNumber, Bytes) override {}
  bool answer(const ClientId&, Origin, Bytes) override {
    ++answers;
    return somebody_is_there;
  }

  std::vector<Bytes> broadcasts;
  bool somebody_is_there = true;
  std::map<ReplicaId, std::size_t> sent;  // bytes
  std::size_t answers = 0;
};

// A query's result has as many bytes as the operation says.
struct Sized : plugin::StateMachine {
  static constexpr const char* name = "sized";
  static constexpr const char* version = "1";
  static inline std::size_t queries = 0;
  std::string execute(const Context&, State&, std::string_view) override { return {}; }
  std::string query(const Context&, const ReadState&, std::string_view operation) override {
    ++queries;
    return std::string(std::stoul(std::string(operation)), 'x');
  }
};

// Replica 1 of four, with real parts but for its network.
struct DrivenReplica {
  explicit DrivenReplica(const std::function<void(execution::StoreFixture&)>& prepare = {},
                         const pbft_plugin_v1* table = pbft_kv_plugin())
      : disk(prepared(prepare)),
        plugin(*execution::Plugin::from_table(table, "")),
        authenticator(cluster.replica(1)),
        core(open_to_all(), LocalParameters{ReplicaId{1}}, recovered()) {
    auto opened = execution::Executor::open(*disk.store, *plugin);
    REQUIRE(opened);
    executor = *std::move(opened);
    driver.emplace(DriverParts{
        core, authenticator, *disk.store, *executor, transport, observer, Epoch{1}, {}, {}, {}, ReplicaId{1}, 4});
    driver->tick(Timestamp{1});
  }
  static execution::StoreFixture prepared(const std::function<void(execution::StoreFixture&)>& prepare) {
    execution::StoreFixture made;
    if (prepare) prepare(made);
    return made;
  }
  static ClusterParameters open_to_all() {
    ClusterParameters parameters;
    parameters.open_clients = true;
    return parameters;
  }
  Recovered recovered() const {
    auto found = disk.store->recover();
    REQUIRE(found);
    return *std::move(found);
  }
  void from_client(std::uint32_t number, const std::vector<ClientMessage>& messages) {
    const Bytes frame = cluster.client(number).seal_to(ReplicaId{1}, messages);
    driver->client_frame(shared(frame), identity_of(number).curve().public_key, Origin{number});
  }
  void reads_from_client(std::uint32_t number, std::size_t count, const std::string& operation) {
    std::vector<ClientMessage> reads;
    for (std::size_t i = 0; i < count; ++i) {
      reads.emplace_back(ReadRequest{RequestNumber{i + 1}, SharedBytes::own(to_bytes(operation))});
    }
    from_client(number, reads);
  }
  std::size_t answers_of_turn() {
    const std::size_t before = transport.answers;
    REQUIRE(driver->end_turn());
    return transport.answers - before;
  }

  TestCluster cluster;
  execution::StoreFixture disk;
  std::unique_ptr<execution::Plugin> plugin;
  std::unique_ptr<execution::Executor> executor;
  crypto::Authenticator authenticator;
  Replica core;
  SentFrames transport;
  Observer observer;
  std::optional<Driver> driver;
};

TEST_CASE("reads that a turn has no room for keep the driver busy, and are answered in the turns that follow") {
  DrivenReplica replica;
  CHECK(replica.answers_of_turn() == 0);
  CHECK_FALSE(replica.driver->busy());
  for (int frame = 0; frame < 2; ++frame) {
    replica.from_client(100, std::vector<ClientMessage>(crypto::max_client_requests_per_packet, ReadRequest{}));
  }
  std::size_t left = 2 * crypto::max_client_requests_per_packet;
  while (left > 0) {
    CHECK(replica.answers_of_turn() == Reads::per_turn);
    left -= Reads::per_turn;
    CHECK(replica.driver->busy() == (left > 0));
  }
  CHECK(replica.answers_of_turn() == 0);
}

TEST_CASE("of reads with large results a turn answers a few bytes, and the others wait for the next") {
  DrivenReplica replica({}, plugin::table<Sized>());
  constexpr std::size_t count = 2 * Reads::per_turn;
  replica.reads_from_client(100, count, "1000000");
  for (std::size_t i = 0; i < count; i += 2) {  // the second answer goes beyond the budget of its turn
    CHECK(replica.answers_of_turn() == 2);
    CHECK(replica.driver->busy() == (i + 2 < count));
  }
  replica.reads_from_client(100, 3, "600000");
  replica.reads_from_client(101, 3, "1");
  CHECK(replica.answers_of_turn() == 2);
  CHECK(replica.answers_of_turn() == 4);
  CHECK_FALSE(replica.driver->busy());
}

TEST_CASE("reads of who is gone are not run any more") {
  DrivenReplica replica({}, plugin::table<Sized>());
  replica.reads_from_client(100, 10, "10");
  replica.transport.somebody_is_there = false;
  Sized::queries = 0;
  CHECK(replica.answers_of_turn() == 1);
  CHECK(Sized::queries == 1);
  CHECK_FALSE(replica.driver->busy());
}

// A batch of clients whose MACs hold nowhere makes a backup report them, a few for each copy and so many in a second.
TEST_CASE("no frame holds more signed messages than its receivers take") {
  constexpr std::size_t clients = 2 * crypto::max_signed_messages_per_packet + 1;
  DrivenReplica replica;
  std::vector<BundlePtr> bundles;
  for (std::uint32_t i = 0; i < clients; ++i) {
    const BundlePtr made = replica.cluster.client(1000 + i).seal_bundle(
        SessionId{1}, RequestNumber{0}, testing::one_request(), crypto::ClientAuthenticator::Proof::macs);
    bundles.push_back(testing::with_proof(*made, Bytes(testing::proof_of(*made).size())));
  }
  const Bytes frame = replica.cluster.replica(0).seal_broadcast({testing::pre_prepare(bundles)});
  for (int second = 0; second < 3; ++second) {
    for (int copy = 0; copy < 10; ++copy) replica.driver->peer_frame(shared(frame), ReplicaId{0});
    for (std::uint64_t tick = 0; tick < 101; ++tick) replica.driver->tick(Timestamp{1});
  }
  REQUIRE(replica.driver->end_turn());

  crypto::Authenticator receiver = replica.cluster.replica(2);
  std::size_t reports = 0;
  for (const Bytes& sent : replica.transport.broadcasts) {
    const auto opened = receiver.open_peer(shared(sent), ReplicaId{1});
    REQUIRE(opened);
    for (const AuthenticatedPeerMessage& message : *opened) {
      reports += std::holds_alternative<ClientReport>(message.message()) ? 1 : 0;
    }
  }
  CHECK(reports == 3 * crypto::max_signed_messages_per_packet);
}

constexpr std::size_t largest_value = Limits::max_value_bytes;

// A stable checkpoint with values of the largest size, each in a bucket of its own.
void take_large_checkpoint(execution::StoreFixture& disk) {
  constexpr std::uint64_t interval = 128;
  for (std::uint64_t n = 1; n <= interval; ++n) {
    std::vector<storage::StateChange> changes;
    if (n <= 4) changes.push_back({to_bytes(std::to_string(n)), Bytes(largest_value)});
    disk.apply(n, std::move(changes));
  }
  const auto summary = disk.store->take_checkpoint(SequenceNumber{interval}, Epoch{1}, Digest{});
  REQUIRE(summary);
  REQUIRE(disk.store->persist({PersistStable{{summary->n, checkpoint_root(*summary), {}}, *summary}}));
}

std::uint32_t bucket_of_value(int i) {
  return storage::DigestTree::bucket_of(Namespace::state, as_bytes(std::to_string(i)));
}

TEST_CASE(
    "what is read for the state that a peer fetches is bounded in a turn, and nothing is left without an answer") {
  DrivenReplica replica{take_large_checkpoint};
  const ReplicaId first{0};
  const ReplicaId second{2};
  for (const ReplicaId peer : {first, second}) {
    std::vector<PeerMessage> questions;
    for (int i = 1; i <= (peer == first ? 2 : 1); ++i) {
      questions.push_back(FetchBucket{SequenceNumber{128}, bucket_of_value(i), 0, {}});
    }
    replica.driver->peer_frame(shared(replica.cluster.replica(peer.value).seal_to(ReplicaId{1}, questions)), peer);
  }
  auto& sent = replica.transport.sent;
  REQUIRE(replica.driver->end_turn());
  CHECK(sent[first] / largest_value == 1);
  CHECK(sent[second] / largest_value == 1);
  CHECK(replica.driver->busy());
  REQUIRE(replica.driver->end_turn());
  CHECK(sent[first] / largest_value == 2);
  CHECK(sent[second] / largest_value == 1);
  CHECK_FALSE(replica.driver->busy());
}

TEST_CASE("a peer that asks for more of the state than a turn has room for is given no more than that later") {
  DrivenReplica replica{take_large_checkpoint};
  const ReplicaId greedy{0};
  std::vector<PeerMessage> questions;
  for (int i = 0; i < 60; ++i) {
    questions.push_back(FetchBucket{SequenceNumber{128}, bucket_of_value(1 + i % 4), 0, {}});
  }
  replica.driver->peer_frame(shared(replica.cluster.replica(0).seal_to(ReplicaId{1}, questions)), greedy);
  std::size_t turns = 0;
  do {
    REQUIRE(replica.driver->end_turn());
    ++turns;
  } while (replica.driver->busy());
  CHECK(turns == 3);
  CHECK(replica.transport.sent[greedy] / largest_value == 3);
}

TEST_CASE("large results are sent by another replica in the next session, and for the next number") {
  const auto sender = [](SessionId::rep session, RequestNumber::rep number) {
    return Driver::full_replier({ClientId{}, View{}, SessionId{session}, RequestNumber{number}, ReplyStatus::ok, {}},
                                4);
  };
  std::set<ReplicaId> by_session;
  std::set<ReplicaId> by_number;
  for (std::uint64_t i = 1; i <= 4; ++i) {
    by_session.insert(sender(70 + i, 1));
    by_number.insert(sender(71, i));
  }
  CHECK(by_session.size() == 4);
  CHECK(by_number.size() == 4);
}

}  // namespace
}  // namespace pbft::runtime
