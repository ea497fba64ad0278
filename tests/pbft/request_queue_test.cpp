#include "node/pbft/request_queue.h"

#include <catch2/catch.hpp>

#include "node/pbft/delivery.h"
#include "tests/pbft/forge.h"
#include "tests/pbft/views.h"

using namespace pbft;
using namespace pbft::testing;
using Added = RequestQueue::Added;

TEST_CASE("a client's bundles leave in the order of their arrival, within the limits of a batch") {
  LocalParameters local;
  local.max_batch_requests = 3;
  RequestQueue queue{local};
  for (std::uint64_t i = 1; i <= 5; ++i) {
    CHECK(queue.add(make_bundle(client_id(1), SessionId{1}, 1, {i})) == Added::yes);
  }
  const auto first = queue.take_batch(SequenceNumber{1});
  REQUIRE(first.size() == 3);
  CHECK(first[0]->requests[0].number == RequestNumber{1});
  CHECK(queue.take_batch(SequenceNumber{1}).size() == 2);
  CHECK(queue.empty());
  queue.invariants();
}

TEST_CASE("a batch is full by its requests or by its bytes") {
  LocalParameters two_requests;
  two_requests.max_batch_requests = 2;
  LocalParameters two_bodies;
  two_bodies.max_batch_bytes = 2 * make_bundle(client_id(1), SessionId{1}, 1, {1})->body.size();
  RequestQueue by_requests{two_requests};
  RequestQueue by_bytes{two_bodies};
  for (RequestQueue* queue : {&by_requests, &by_bytes}) {
    CHECK(queue->add(make_bundle(client_id(1), SessionId{1}, 1, {1})) == Added::yes);
    CHECK_FALSE(queue->fills_batch());
    CHECK(queue->add(make_bundle(client_id(1), SessionId{1}, 1, {2})) == Added::yes);
    CHECK(queue->fills_batch());
  }
}

TEST_CASE("a bundle that is larger than a batch should be goes alone") {
  LocalParameters local;
  local.max_batch_requests = 2;
  RequestQueue queue{local};
  CHECK(queue.add(make_bundle(client_id(1), SessionId{1}, 1, {1, 2, 3})) == Added::yes);
  CHECK(queue.add(make_bundle(client_id(1), SessionId{1}, 1, {4})) == Added::yes);
  CHECK(queue.take_batch(SequenceNumber{1}).size() == 1);
  CHECK(queue.take_batch(SequenceNumber{1}).size() == 1);
}

TEST_CASE("a bundle is known while it waits and while it is in flight, and no longer once it was executed") {
  const LocalParameters local;
  RequestQueue queue{local};
  const auto bundle = make_bundle(client_id(1), SessionId{1}, 1, {1});
  CHECK(queue.add(bundle) == Added::yes);
  CHECK(queue.add(bundle) == Added::known);
  CHECK(queue.take_batch(SequenceNumber{1}).size() == 1);
  CHECK(queue.add(bundle) == Added::known);
  queue.executed(*bundle);
  CHECK(queue.add(bundle) == Added::yes);
  queue.mark_in_flight(*bundle, SequenceNumber{1});
  CHECK(queue.empty());
  CHECK(queue.add(bundle) == Added::known);
  queue.invariants();
}

TEST_CASE("one client cannot fill the queue of the others") {
  LocalParameters local;
  local.max_queued_requests = 10;
  local.max_queued_requests_per_client = 4;
  RequestQueue queue{local};
  for (std::uint64_t i = 1; i <= 4; ++i) {
    CHECK(queue.add(make_bundle(client_id(1), SessionId{1}, 1, {i})) == Added::yes);
  }
  CHECK(queue.add(make_bundle(client_id(1), SessionId{1}, 1, {5})) == Added::client_full);
  CHECK(queue.add(make_bundle(client_id(2), SessionId{2}, 1, {1, 2, 3, 4})) == Added::yes);
  CHECK(queue.add(make_bundle(client_id(3), SessionId{3}, 1, {1, 2, 3})) == Added::full);
  CHECK(queue.requests() == 8);
  queue.invariants();
}

TEST_CASE("where the queue is full, who asks for little pushes out the last of who has most waiting") {
  LocalParameters local;
  local.max_queued_requests = 12;
  local.max_queued_requests_per_client = 8;
  RequestQueue queue{local};
  for (std::uint64_t i = 1; i <= 8; ++i) {
    CHECK(queue.add(make_bundle(client_id(1), SessionId{1}, 1, {i})) == Added::yes);
  }
  CHECK(queue.add(make_bundle(client_id(2), SessionId{2}, 1, {1, 2, 3, 4})) == Added::yes);
  for (std::uint64_t i = 1; i <= 3; ++i) {  // the third has still less than half of what the first one has left
    CHECK(queue.add(make_bundle(client_id(3), SessionId{3}, 1, {i})) == (i < 3 ? Added::yes : Added::full));
    CHECK(queue.requests() == 12);
    queue.invariants();
  }
  const auto taken = queue.take_batch(SequenceNumber{1});
  REQUIRE(taken.size() == 9);
  // One of each in turn. The seventh and the eighth of the first client are gone.
  const std::vector<std::pair<std::uint8_t, std::uint64_t>> order{{1, 1}, {2, 1}, {3, 1}, {1, 2}, {3, 2},
                                                                  {1, 3}, {1, 4}, {1, 5}, {1, 6}};
  for (std::size_t i = 0; i < order.size(); ++i) {
    CHECK(taken[i]->client == client_id(order[i].first));
    CHECK(taken[i]->requests[0].number == RequestNumber{order[i].second});
  }
  CHECK(queue.add(make_bundle(client_id(1), SessionId{1}, 1, {8})) == Added::yes);  // and may come again
}

namespace {

// Alice's number i, which a backup hands on.
Added hand_on(RequestQueue& queue, std::uint32_t backup, std::uint64_t i) {
  return queue.add(make_bundle(alice, SessionId{1}, 1, {i}), RequestQueue::Proof::holds, ReplicaId{backup});
}

std::vector<std::uint64_t> numbers(const std::vector<BundlePtr>& bundles) {
  std::vector<std::uint64_t> result;
  for (const BundlePtr& bundle : bundles) result.push_back(bundle->requests[0].number.value);
  return result;
}

}  // namespace

TEST_CASE("rule 38: however much a client has waiting, each other has its turn before the client's next bundle") {
  LocalParameters local;
  local.max_batch_requests = 4;
  RequestQueue queue{local};
  for (std::uint64_t i = 1; i <= 100; ++i) CHECK(queue.add(make_bundle(alice, SessionId{1}, 1, {i})) == Added::yes);
  for (std::uint64_t i = 1; i <= 3; ++i) CHECK(queue.add(make_bundle(bob, SessionId{2}, 1, {i})) == Added::yes);
  // The batch ends in the middle of a round, and one client comes anew for each.
  std::vector<std::uint64_t> taken;
  for (std::uint8_t k = 3; k <= 8; ++k) {
    CHECK(queue.add(make_bundle(client_id(k), SessionId{3}, 1, {1000U + k})) == Added::yes);
    for (const std::uint64_t number : numbers(queue.take_batch(SequenceNumber{k}))) taken.push_back(number);
    queue.invariants();
  }
  CHECK(taken == std::vector<std::uint64_t>{1, 1,    1003, 2, 2,  3,    1004, 3,  4,  1005, 5,  6,
                                            7, 1006, 8,    9, 10, 1007, 11,   12, 13, 1008, 14, 15});
}

TEST_CASE("who has had a turn comes behind the others") {
  LocalParameters local;
  RequestQueue queue{local};
  for (std::uint64_t i = 1; i <= 2; ++i) CHECK(queue.add(make_bundle(alice, SessionId{1}, 1, {i})) == Added::yes);
  for (std::uint64_t i = 3; i <= 4; ++i) CHECK(queue.add(make_bundle(bob, SessionId{1}, 1, {i})) == Added::yes);
  CHECK(numbers(queue.waiting()) == std::vector<std::uint64_t>{1, 3, 2, 4});
  queue.end_turn(alice);
  queue.end_turn(client_id(3));
  queue.invariants();
  CHECK(numbers(queue.waiting()) == std::vector<std::uint64_t>{3, 1, 4, 2});
}

TEST_CASE("rule 38: what a backup hands on goes ahead of what else its client has waiting, once") {
  LocalParameters local;
  local.max_queued_requests_per_client = 4;
  RequestQueue queue{local};
  for (std::uint64_t i = 1; i <= 4; ++i) CHECK(queue.add(make_bundle(alice, SessionId{1}, 1, {i})) == Added::yes);
  CHECK(queue.add(make_bundle(alice, SessionId{1}, 1, {9})) == Added::client_full);
  CHECK(queue.add(make_bundle(bob, SessionId{1}, 1, {1})) == Added::yes);
  CHECK(hand_on(queue, 1, 5) == Added::yes);  // takes the place of the fourth
  CHECK(hand_on(queue, 2, 3) == Added::known);
  queue.invariants();
  CHECK(numbers(queue.waiting_of(alice, 9)) == std::vector<std::uint64_t>{5, 3, 1, 2});
  for (int i = 0; i < 10; ++i) CHECK(hand_on(queue, 1, 3) == Added::known);
  CHECK(numbers(queue.waiting_of(alice, 9)) == std::vector<std::uint64_t>{5, 3, 1, 2});
  CHECK(queue.requests() == 5);  // nothing of the other client is gone
  CHECK(numbers(queue.take_batch(SequenceNumber{1})) == std::vector<std::uint64_t>{5, 1, 3, 1, 2});
  CHECK(hand_on(queue, 1, 5) == Added::known);  // in flight
  CHECK(queue.empty());
}

TEST_CASE("rule 38: what is handed on is refused where only such bundles are ahead of it, and then takes nothing") {
  LocalParameters local;
  local.max_queued_requests_per_client = 4;
  RequestQueue queue{local};
  for (std::uint64_t i = 1; i <= 4; ++i) CHECK(hand_on(queue, 3, i) == Added::yes);
  CHECK(hand_on(queue, 3, 5) == Added::client_full);
  CHECK(numbers(queue.waiting_of(alice, 9)) == std::vector<std::uint64_t>{1, 2, 3, 4});
  // The backups take turns: what one has handed on leaves the others their share.
  CHECK(hand_on(queue, 1, 6) == Added::yes);
  CHECK(hand_on(queue, 2, 7) == Added::yes);
  CHECK(hand_on(queue, 2, 8) == Added::client_full);
  queue.invariants();
  CHECK(numbers(queue.waiting_of(alice, 9)) == std::vector<std::uint64_t>{1, 6, 7, 2});
  CHECK(hand_on(queue, 1, 2) == Added::known);
  CHECK(queue.take_batch(SequenceNumber{1}).size() == 4);
  CHECK(hand_on(queue, 3, 5) == Added::yes);
}

TEST_CASE("rule 38: a bundle with a signature keeps the place of its copy without one") {
  LocalParameters local;
  RequestQueue queue{local};
  for (std::uint64_t i = 1; i <= 3; ++i) CHECK(queue.add(make_bundle(alice, SessionId{1}, 1, {i})) == Added::yes);
  CHECK(queue.add(signed_copy(make_bundle(alice, SessionId{1}, 1, {1}))) == Added::yes);
  CHECK(hand_on(queue, 1, 3) == Added::known);
  CHECK(queue.add(signed_copy(make_bundle(alice, SessionId{1}, 1, {3}))) == Added::yes);
  queue.invariants();
  CHECK(numbers(queue.waiting()) == std::vector<std::uint64_t>{3, 1, 2});
}

TEST_CASE("where the queue is full for all, a client that hands much on makes room for it itself") {
  LocalParameters local;
  local.max_queued_requests = 4;
  RequestQueue queue{local};
  for (std::uint64_t i = 1; i <= 2; ++i) CHECK(queue.add(make_bundle(alice, SessionId{1}, 1, {i})) == Added::yes);
  for (std::uint64_t i = 1; i <= 2; ++i) CHECK(queue.add(make_bundle(bob, SessionId{1}, 1, {i})) == Added::yes);
  CHECK(hand_on(queue, 1, 3) == Added::yes);
  CHECK(hand_on(queue, 1, 4) == Added::yes);
  CHECK(hand_on(queue, 1, 5) == Added::full);
  queue.invariants();
  CHECK(numbers(queue.waiting()) == std::vector<std::uint64_t>{3, 1, 4, 2});
}

TEST_CASE("what waits is bounded in bytes as well") {
  LocalParameters local;
  const auto bundle = make_bundle(client_id(1), SessionId{1}, 1, {1});
  local.max_queued_bytes_per_client = bundle->body.size();
  local.max_queued_bytes = 2 * bundle->body.size();
  RequestQueue queue{local};
  CHECK(queue.add(bundle) == Added::yes);
  CHECK(queue.add(make_bundle(client_id(1), SessionId{1}, 1, {2})) == Added::client_full);
  CHECK(queue.add(make_bundle(client_id(2), SessionId{1}, 1, {1})) == Added::yes);
  CHECK(queue.add(make_bundle(client_id(3), SessionId{1}, 1, {1})) == Added::full);
  CHECK(queue.take_batch(SequenceNumber{1}).size() == 2);
  CHECK(queue.add(make_bundle(client_id(1), SessionId{1}, 1, {3})) == Added::yes);
  queue.invariants();
}

TEST_CASE("a bundle above the quota is taken where nothing else waits, or it never would be") {
  LocalParameters local;
  local.max_queued_requests_per_client = 1;
  local.max_queued_requests = 2;
  RequestQueue queue{local};
  CHECK(queue.add(make_bundle(client_id(1), SessionId{1}, 1, {1, 2, 3})) == Added::yes);
  CHECK(queue.add(make_bundle(client_id(1), SessionId{1}, 1, {4})) != Added::yes);
  queue.invariants();
  CHECK(queue.take_batch(SequenceNumber{1}).size() == 1);
  CHECK(queue.add(make_bundle(client_id(1), SessionId{1}, 1, {4})) == Added::yes);
}

TEST_CASE("rule 35: what a settled slot did not order is in flight no more", "[flood]") {
  const LocalParameters local;
  RequestQueue queue{local};
  const auto bundle = make_bundle(client_id(1), SessionId{1}, 1, {1});
  const auto twice = make_bundle(client_id(1), SessionId{1}, 1, {2});
  queue.mark_in_flight(*bundle, SequenceNumber{3});
  queue.mark_in_flight(*twice, SequenceNumber{3});
  queue.mark_in_flight(*twice, SequenceNumber{5});
  queue.mark_in_flight(*twice, SequenceNumber{4});
  queue.settled(SequenceNumber{2});
  CHECK(queue.add(bundle) == Added::known);
  queue.settled(SequenceNumber{4});
  queue.invariants();
  CHECK(queue.add(bundle) == Added::yes);
  CHECK(queue.add(twice) == Added::known);  // it is in a later slot, too
  CHECK(queue.in_flight_up_to(SequenceNumber{5}));
  queue.settled(SequenceNumber{5});
  CHECK(queue.add(twice) == Added::yes);
  queue.invariants();
}

TEST_CASE("a state that is installed settles the slots that it jumps over") {
  ClusterParameters cluster;
  const LocalParameters local;
  RequestQueue queue{local};
  ClientTable clients{cluster, {}, {}, {}};
  PrimaryWatch watch{local, clients, queue, Quorum{4}};
  Delivery delivery{cluster, clients, queue, watch, Recovered{}};
  const auto bundle = make_bundle(client_id(1), SessionId{1}, 1, {1});
  queue.mark_in_flight(*bundle, SequenceNumber{3});
  CheckpointSummary summary;
  summary.n = SequenceNumber{4};
  delivery.installed(summary);
  CHECK(queue.add(bundle) == Added::yes);
}

TEST_CASE("a signed copy takes the place of what waits without a signature, and not the other way round") {
  const LocalParameters local;
  RequestQueue queue{local};
  const auto bundle = make_bundle(client_id(1), SessionId{1}, 1, {1});
  CHECK(queue.add(bundle) == Added::yes);
  CHECK(queue.add(signed_copy(bundle)) == Added::yes);
  queue.invariants();
  CHECK(queue.add(signed_copy(bundle)) == Added::known);
  CHECK(queue.add(bundle) == Added::known);
  REQUIRE(queue.waiting().size() == 1);
  CHECK(queue.waiting()[0]->is_signed());
}

TEST_CASE("rule 38: a backup does not wait with a client for which it has no room") {
  ClusterParameters cluster;
  cluster.clients = {client_id(1), client_id(2)};
  LocalParameters local;
  local.self = ReplicaId{1};
  local.max_queued_requests = 2;
  CoreNode node{cluster, local};
  for (const auto& bundle :
       {make_bundle(client_id(1), SessionId{1}, 1, {1, 2}), make_bundle(client_id(2), SessionId{2}, 1, {1, 2})}) {
    static_cast<void>(node.step(ClientInput{Forge::client(bundle->client, ClientRequest{bundle}), Origin{1}}));
  }
  CHECK(node.count(Reject::queue_full) == 1);
  CHECK(node.status().waiting_clients == 1);
}

TEST_CASE("a replica whose queue is full says that it is busy, a backup as well, which then hands nothing on") {
  ClusterParameters cluster;
  cluster.clients = {client_id(1)};
  for (const std::uint32_t self : {0U, 1U}) {
    LocalParameters local;
    local.self = ReplicaId{self};
    local.max_queued_requests_per_client = 2;
    CoreNode node{cluster, local};
    for (std::uint64_t i = 1; i <= 3; ++i) {
      const BundlePtr bundle = make_bundle(client_id(1), SessionId{1}, 1, {i});
      bool busy = false;
      bool handed_on = false;
      for (const Send& send : node.step(ClientInput{Forge::client(client_id(1), ClientRequest{bundle}), Origin{1}})) {
        const auto* reply = std::get_if<SendReply>(&send);
        const auto* peer = std::get_if<SendTo>(&send);
        busy = busy || (reply != nullptr && reply->reply.status == ReplyStatus::busy);
        handed_on = handed_on || (peer != nullptr && std::holds_alternative<Forward>(peer->message));
      }
      CHECK(busy == (i == 3));
      CHECK(handed_on == (self == 1 && i < 3));
    }
    CHECK(node.count(Reject::client_queue_full) == 1);
  }
}
