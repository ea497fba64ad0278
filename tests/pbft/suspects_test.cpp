// Rule 6: a client whose MACs hold at some replicas only costs the cluster one delay, and signs from then on.
#include "node/pbft/suspects.h"

#include <catch2/catch.hpp>

#include "tests/pbft/views.h"

using namespace pbft;
using namespace pbft::testing;

namespace {

ClientId numbered(std::uint32_t number) {
  ClientId id;
  id.bytes[0] = static_cast<std::uint8_t>(number);
  id.bytes[1] = static_cast<std::uint8_t>(number >> 8);
  id.bytes[2] = 7;
  return id;
}

std::size_t told_to_sign(const std::vector<Send>& sends) {
  return static_cast<std::size_t>(std::count_if(sends.begin(), sends.end(), [](const Send& send) {
    const auto* reply = std::get_if<SendReply>(&send);
    return reply != nullptr && reply->reply.status == ReplyStatus::sign;
  }));
}

std::vector<Send> ask(CoreCluster& cluster, std::uint32_t at, const BundlePtr& bundle) {
  return cluster.node(at).step(ClientInput{Forge::client(bundle->client, ClientRequest{bundle}), Origin{1}});
}

}  // namespace

TEST_CASE("MACs that hold at the primary and too few backups cost one view change, and signatures after it",
          "[suspects]") {
  CoreCluster cluster{4, 4, 8, false};
  const SessionId session = cluster.open(alice);
  const BundlePtr half = make_bundle(alice, session, 1, {1});
  // The proof holds at the replicas 0 and 1.
  const auto judged = [&](const CoreCluster::InFlight& m) {
    if (is<PrePrepare>(m)) {
      auto& proposal = const_cast<PrePrepare&>(std::get<PrePrepare>(m.message));
      proposal.authentic.clear();
      for (const BundlePtr& bundle : proposal.batch->bundles) {
        proposal.authentic.push_back(bundle->is_signed() || bundle->client != alice || m.to.value < 2);
      }
    }
    return false;
  };
  cluster.request(0, half);
  cluster.settle(100, judged);
  for (std::uint32_t i = 0; i < 4; ++i) {
    CHECK(cluster.node(i).status().view == View{1});
    CHECK(cluster.node(i).core().must_sign(alice));
    CHECK_FALSE(cluster.node(i).core().must_sign(bob));
    CHECK(events_of<ClientSuspected>(cluster.node(i)).size() == 1);
  }
  // The wedge is gone: the new view goes on, for others with MACs and for this client with a signature.
  CHECK(told_to_sign(ask(cluster, 1, half)) == 1);
  CHECK(cluster.node(1).count(Reject::signature_required) >= 1);
  cluster.request(1, signed_copy(half));
  cluster.request(1, make_open(bob, 1));
  cluster.settle(10, judged);
  for (std::uint32_t i = 0; i < 4; ++i) {
    CHECK(runs_of(cluster.node(i), session, 1) == 1);
    CHECK(runs_of(cluster.node(i), SessionId{}, 1) == 2);
    CHECK(cluster.node(i).status().view == View{1});
  }
}

namespace {

// Alice's request i holds at replica i only; requests that are signed, and those of others, hold everywhere.
bool holds_at(ReplicaId replica, const Bundle& bundle) {
  return bundle.is_signed() || bundle.client != alice || bundle.session == SessionId{} ||
         bundle.requests[0].number.value == replica.value;
}

CoreCluster::Filter judge_each_at_its_replica(CoreCluster& cluster) {
  return [&cluster](const CoreCluster::InFlight& m) {
    if (is<PrePrepare>(m)) {
      auto& proposal = const_cast<PrePrepare&>(std::get<PrePrepare>(m.message));
      proposal.authentic.clear();
      for (const BundlePtr& bundle : proposal.batch->bundles) proposal.authentic.push_back(holds_at(m.to, *bundle));
    }
    const auto* forward = std::get_if<Forward>(&m.message);
    if (forward == nullptr || holds_at(m.to, *forward->bundle)) return false;
    cluster.send(m.from.value, m.to.value, Forward{forward->bundle, false});
    return true;
  };
}

}  // namespace

TEST_CASE("rule 38: MACs that hold at one backup each cost one view change, and signatures after it", "[suspects]") {
  for (const bool others_ask : {false, true}) {
    CoreCluster cluster{4, 4, 8, false};
    const SessionId session = cluster.open(alice);
    const SessionId other = cluster.open(bob);
    const auto judged = judge_each_at_its_replica(cluster);
    for (std::uint32_t i = 1; i < 4; ++i) cluster.request(i, make_bundle(alice, session, 1, {i}));
    for (std::uint64_t i = 1; i <= 150; ++i) {
      if (others_ask) cluster.request(static_cast<std::uint32_t>(i % 4), make_bundle(bob, other, i, {i}));
      cluster.settle(4, judged);
    }
    CAPTURE(others_ask);
    for (std::uint32_t i = 0; i < 4; ++i) {
      const ReplicaStatus status = cluster.node(i).status();
      CHECK(status.view == View{1});
      CHECK(status.waiting_clients == 0);
      CHECK(status.queued_requests == 0);
      CHECK(cluster.node(i).core().must_sign(alice));
      CHECK_FALSE(cluster.node(i).core().must_sign(bob));
      CHECK(runs_of(cluster.node(i), other, 150) == (others_ask ? 1 : 0));
    }
    CHECK(told_to_sign(ask(cluster, 2, make_bundle(alice, session, 1, {2}))) == 1);
    cluster.request(2, signed_copy(make_bundle(alice, session, 1, {2})));
    cluster.settle(10, judged);
    for (std::uint32_t i = 0; i < 4; ++i) CHECK(runs_of(cluster.node(i), session, 2) == 1);
  }
}

namespace {

// Clients whose next request holds at one backup only, nine for each; it is theirs for as long as it is not executed.
// When a view begins they make good what is left of the last one, so that nothing tells the backups of it, and ask
// again.
class OneBackupEach {
 public:
  explicit OneBackupEach(CoreCluster& cluster) : cluster_(cluster) {
    for (std::uint8_t backup = 0; backup < 4; ++backup) {
      for (std::uint8_t k = 1; k <= 9; ++k)
        clients_.push_back({client_id(static_cast<std::uint8_t>(10 * backup + k)), {}, 0, backup});
    }
    for (Client& one : clients_) one.session = cluster.open(one.id);
  }
  [[nodiscard]] bool holds_at(ReplicaId replica, const Bundle& bundle) const {
    const auto held = only_at_.find(bundle.digest);
    return held == only_at_.end() || held->second == replica;
  }
  void make_good() {
    only_at_.clear();
    for (const BundlePtr& bundle : open_) {
      for (std::uint32_t i = 0; i < 4; ++i) cluster_.request(i, bundle);
    }
    open_.clear();
  }
  // Two backups get them: where they leave, all do.
  void ask(std::uint32_t primary) {
    for (Client& one : clients_) {
      if (one.backup == primary || one.backup == (primary + 1) % 4 ||
          cluster_.node(one.backup).core().must_sign(one.id))
        continue;
      ++one.asked;
      open_.push_back(make_bundle(one.id, one.session, one.asked, {one.asked}));
      only_at_[open_.back()->digest] = ReplicaId{one.backup};
      cluster_.request(one.backup, open_.back());
    }
  }

 private:
  struct Client {
    ClientId id;
    SessionId session;
    std::uint64_t asked = 0;
    std::uint32_t backup = 0;
  };
  CoreCluster& cluster_;
  std::vector<Client> clients_;
  std::vector<BundlePtr> open_;
  std::map<Digest, ReplicaId> only_at_;
};

}  // namespace

TEST_CASE("rule 38: clients whose MACs hold at one backup each cost no view twice, however many they are",
          "[suspects]") {
  CoreCluster cluster{many_clients(4, false)};
  OneBackupEach liars{cluster};
  const SessionId session = cluster.open(client_id(50));
  const auto judged = [&](const CoreCluster::InFlight& m) {
    if (is<PrePrepare>(m)) {
      auto& proposal = const_cast<PrePrepare&>(std::get<PrePrepare>(m.message));
      proposal.authentic.clear();
      for (const BundlePtr& bundle : proposal.batch->bundles)
        proposal.authentic.push_back(liars.holds_at(m.to, *bundle));
    }
    const auto* forward = std::get_if<Forward>(&m.message);
    if (forward == nullptr || liars.holds_at(m.to, *forward->bundle)) return false;
    cluster.send(m.from.value, m.to.value, Forward{forward->bundle, false});
    return true;
  };
  View entered{99};
  int since = 0;
  std::uint64_t asked = 0;
  View after_a_while;
  for (int tick = 0; tick < 3000; ++tick, ++since) {
    const ReplicaStatus status = cluster.node(0).status();
    const auto primary = static_cast<std::uint32_t>(status.view.value % 4);
    if (status.active && status.view != entered) {
      entered = status.view;
      since = 0;
      liars.make_good();
    }
    if (since == 8) liars.ask(primary);
    if (tick % 4 == 0) {
      ++asked;
      cluster.request(primary, make_bundle(client_id(50), session, asked > 500 ? asked - 500 : 1, {asked}));
    }
    if (tick == 2000) after_a_while = status.view;
    cluster.settle(1, judged);
  }
  CHECK(after_a_while <= View{12});
  for (std::uint32_t i = 0; i < 4; ++i) {
    CHECK(cluster.node(i).status().view == after_a_while);
    CHECK(runs_of(cluster.node(i), session, asked - 1) == 1);
  }
}

TEST_CASE("what waits without a signature goes when its client has to sign, and the client is told", "[suspects]") {
  CoreCluster cluster{4, 4, 8, false};
  const SessionId session = cluster.open(alice);
  cluster.request(1, make_bundle(alice, session, 1, {1}));
  cluster.request(1, signed_copy(make_bundle(alice, session, 1, {2})));
  cluster.request(1, make_open(bob, 1));
  REQUIRE(cluster.node(1).status().waiting_clients == 2);
  const auto report = PeerInput{Forge::peer(ReplicaId{3}, ClientReport{alice, signature(3)})};
  CHECK(told_to_sign(cluster.node(1).step(report)) == 1);
  CHECK(told_to_sign(cluster.node(1).step(report)) == 0);
  CHECK(cluster.node(1).status().waiting_clients == 2);  // the signed one waits on, and so does the other client
  CHECK(cluster.node(1).status().queued_requests == 2);
  cluster.run();
  CHECK(cluster.node(1).status().waiting_clients == 0);
}

TEST_CASE("a client whose primary is gone does not have to sign for that", "[suspects]") {
  CoreCluster cluster{4, 4, 8, false};
  const SessionId session = cluster.open(alice);
  cluster.settle(30);
  cluster.crash(0);
  for (std::uint32_t i = 1; i < 4; ++i) cluster.request(i, make_bundle(alice, session, 1, {1}));
  cluster.settle(100);
  for (std::uint32_t i = 1; i < 4; ++i) {
    CHECK(cluster.node(i).status().view == View{1});
    CHECK(runs_of(cluster.node(i), session, 1) == 1);
    CHECK_FALSE(cluster.node(i).core().must_sign(alice));
  }
}

TEST_CASE("one replica's word counts for a few clients only; that of f+1 for any number", "[suspects]") {
  CoreCluster cluster{4, 4, 8, false};
  const auto suspected = [&] {
    std::uint32_t count = 0;
    for (std::uint32_t i = 0; i < 100; ++i) count += cluster.node(0).core().must_sign(numbered(i)) ? 1U : 0U;
    return count;
  };
  for (std::uint32_t i = 0; i < 100; ++i) cluster.send(3, 0, ClientReport{numbered(i), signature(3)});
  CHECK(suspected() == 8);
  for (std::uint32_t i = 0; i < 100; ++i) cluster.send(3, 0, ClientReport{numbered(i), signature(3)});  // once more
  CHECK(suspected() == 8);
  for (std::uint32_t i = 0; i < 100; ++i) cluster.send(2, 0, ClientReport{numbered(i), signature(2)});
  CHECK(suspected() == 100);
}

TEST_CASE("f+1 replicas have to hand on what does not hold before their word counts", "[suspects]") {
  CoreCluster cluster{4, 4, 8, false};
  const BundlePtr bundle = make_bundle(alice, SessionId{1}, 1, {1});
  for (int i = 0; i < 10; ++i) cluster.send(3, 0, Forward{bundle, false});
  CHECK_FALSE(cluster.node(0).core().must_sign(alice));
  cluster.send(2, 0, Forward{bundle, false});
  CHECK(cluster.node(0).core().must_sign(alice));
  CHECK(under_way<ClientReport>(cluster, 0).size() == 1);
  cluster.send(1, 0, Forward{bundle, false});
  CHECK(under_way<ClientReport>(cluster, 0).size() == 1);  // not said again at once
}

TEST_CASE("rule 38: a liar who names a client to the primary alone makes no backup wait for it", "[suspects]") {
  CoreCluster cluster{4, 4, 8, false};
  const SessionId session = cluster.open(alice);
  cluster.send(3, 0, ClientReport{alice, {}});
  REQUIRE(cluster.node(0).core().must_sign(alice));
  REQUIRE_FALSE(cluster.node(1).core().must_sign(alice));
  // The client, which is in league with it, goes on with MACs and asks backups only.
  const BundlePtr bundle = make_bundle(alice, session, 1, {1});
  cluster.request(1, bundle);
  cluster.request(2, bundle);
  cluster.run();
  for (std::uint32_t i = 0; i < 3; ++i) CHECK(cluster.node(i).core().must_sign(alice));
  CHECK(told_to_sign(ask(cluster, 1, make_bundle(alice, session, 2, {2}))) == 1);
}

TEST_CASE("a signature that does not hold makes nobody a suspect, nor does a report where all sign", "[suspects]") {
  CoreCluster cluster{4, 4, 8, false};
  const BatchPtr batch = make_batch(cluster.clock_us, {signed_copy(make_open(alice, 1))});
  cluster.send(0, 3, PrePrepare{View{}, SequenceNumber{1}, batch, {false}});
  CHECK(under_way<ClientReport>(cluster, 3).empty());
  CHECK_FALSE(cluster.node(3).core().must_sign(alice));
  CoreCluster all_sign{4};
  all_sign.send(2, 3, ClientReport{alice, signature(2)});
  CHECK(all_sign.node(3).count(Reject::not_asked_for) == 1);
  CHECK(events_of<ClientSuspected>(all_sign.node(3)).empty());
}

TEST_CASE("suspicion is forgotten after a long while", "[suspects]") {
  ClusterParameters cluster;
  cluster.signed_requests = false;
  Suspects suspects{cluster};
  Outbox out;
  suspects.on_report(ReplicaId{2}, ClientReport{alice, {}}, 10, out);
  CHECK(suspects.must_sign(alice, 360'010));
  CHECK_FALSE(suspects.must_sign(alice, 360'011));
  // Its place among the few that one word is enough for is free again.
  for (std::uint32_t i = 0; i < 8; ++i) suspects.on_report(ReplicaId{2}, ClientReport{numbered(i), {}}, 400'000, out);
  for (std::uint32_t i = 0; i < 8; ++i) CHECK(suspects.must_sign(numbered(i), 400'001));
}

TEST_CASE("rule 38: a proposal full of garbage names a few clients, and is no reason to name others later",
          "[suspects]") {
  ClusterParameters open;
  open.signed_requests = false;
  Suspects suspects{open};
  Outbox out;
  PrePrepare message;
  std::vector<BundlePtr> bundles;
  for (std::uint32_t i = 0; i < 4096; ++i) bundles.push_back(make_open(numbered(i), 1));
  message.batch = make_batch(1, bundles);
  message.authentic.assign(4096, false);
  const auto reports = [&] {
    suspects.found_in_batch(message, 10, out);
    return out.take().send.size();
  };
  CHECK(reports() == 8);
  for (int i = 1; i < 8; ++i) CHECK(reports() == 8);  // the others are found again
  CHECK(reports() == 0);                              // but not all at once
  // However many have been named, f+1 replicas' word of one more counts.
  for (const std::uint32_t from : {2U, 3U}) {
    for (std::uint32_t i = 0; i < 5000; ++i)
      suspects.on_report(ReplicaId{from}, ClientReport{numbered(i), {}}, 20, out);
  }
  suspects.invariants();
  suspects.on_report(ReplicaId{2}, ClientReport{alice, {}}, 30, out);
  CHECK_FALSE(suspects.must_sign(alice, 30));
  suspects.on_report(ReplicaId{3}, ClientReport{alice, {}}, 30, out);
  CHECK(suspects.must_sign(alice, 30));
}

TEST_CASE("rule 35: reports, forwards and votes of one liar take a bounded place", "[suspects]") {
  CoreCluster cluster{4, 4, 8, false};
  for (std::uint32_t i = 0; i < 6000; ++i) {
    cluster.send(3, 0, ClientReport{numbered(i), signature(3)});
    cluster.send(3, 0, Forward{make_bundle(alice, SessionId{1}, 1, {i + 1}), false});
  }
  // One VIEW-CHANGE of each sender is held, the one for the highest view; one PREPARE in each slot.
  for (std::uint64_t view = 1; view <= 1000; ++view) {
    cluster.send(3, 0, view_change(view, 3));
    const Digest digest = tagged_digest("flood", as_bytes(std::to_string(view)));
    cluster.send(3, 0, Prepare{View{4 * view + 1}, SequenceNumber{view % 8 + 1}, digest});
  }
  cluster.send(3, 0, view_change(7, 3));
  CHECK(cluster.node(0).count(Reject::wrong_view) == 1);
  cluster.node(0).core().invariants();  // asserts the bounds of the reports
  const SessionId session = cluster.open(alice);
  fill(cluster, alice, session, 1, 5);
  for (std::uint32_t i = 0; i < 4; ++i) CHECK(runs_of(cluster.node(i), session, 5) == 1);
}
