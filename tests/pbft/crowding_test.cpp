// Rule 38: clients that ask for more than can be done at once make themselves wait, and change no view.
#include <catch2/catch.hpp>

#include "tests/pbft/views.h"

using namespace pbft;
using namespace pbft::testing;

namespace {

using Flight = CoreCluster::InFlight;

// A cluster that takes so many ticks for a batch. Its primary is correct.
class SlowCluster {
 public:
  explicit SlowCluster(std::uint64_t pace) : cluster(many_clients(4, true)), pace_(pace) {}

  // Whether another view has begun.
  bool tick() {
    cluster.tick_all();
    const ReplicaStatus status = cluster.node(1).status();
    reached_ = status.executed.value + (++ticks_ % pace_ == 0 ? 1 : 0);
    for (Flight& flight : std::exchange(late_, {})) cluster.network.push_back(std::move(flight));
    const bool entered = status.active && status.view != view_;
    if (entered) view_ = status.view;
    return entered;
  }
  void run() {
    cluster.run([this](const Flight& flight) {
      const auto* proposal = std::get_if<PrePrepare>(&flight.message);
      const bool is_late = proposal != nullptr && proposal->n.value > reached_;
      if (is_late) late_.push_back(flight);
      return is_late;
    });
  }
  [[nodiscard]] std::uint32_t primary() const { return static_cast<std::uint32_t>(view_.value % 4); }
  void ask_backups(const BundlePtr& bundle) {
    for (std::uint32_t i = 0; i < 4; ++i) {
      if (i != primary()) cluster.request(i, bundle);
    }
  }
  // Fills the primary's room for this client: false where it was full.
  bool ask_primary(const BundlePtr& bundle) {
    const std::size_t before = cluster.node(primary()).count(Reject::client_queue_full);
    cluster.request(primary(), bundle);
    return cluster.node(primary()).count(Reject::client_queue_full) == before;
  }
  [[nodiscard]] std::size_t starved() {
    std::size_t result = 0;
    for (std::uint32_t i = 0; i < 4; ++i) {
      for (const PrimarySuspected& suspected : events_of<PrimarySuspected>(cluster.node(i))) {
        result += std::string{suspected.reason} == "a client's request waits for too long" ? 1 : 0;
      }
    }
    return result;
  }

  CoreCluster cluster;

 private:
  std::uint64_t pace_;
  std::deque<Flight> late_;
  std::uint64_t ticks_ = 0;
  std::uint64_t reached_ = 0;  // proposals up to here are delivered
  View view_{99};
};

// One client's requests, each of two megabytes, so that few of them fill its room.
class Asker {
 public:
  Asker(CoreCluster& cluster, ClientId client, std::uint64_t opening = 1)
      : client_(client), session_(cluster.open(client, opening)) {}
  BundlePtr next() {
    ++last_;
    return with_body(make_bundle(client_, session_, last_ > 500 ? last_ - 500 : 1, {last_}), body_);
  }
  [[nodiscard]] std::size_t executed(const CoreNode& node) const {
    return static_cast<std::size_t>(std::count_if(node.replies.begin(), node.replies.end(),
                                                  [&](const auto& reply) { return reply.session == session_; }));
  }
  [[nodiscard]] std::uint64_t asked() const { return last_; }

 private:
  ClientId client_;
  SessionId session_;
  std::uint64_t last_ = 0;
  SharedBytes body_ = SharedBytes::own(Bytes(2U << 20));
};

}  // namespace

TEST_CASE("rule 38: a client that fills its room at the primary and then asks the backups changes no view", "[crowd]") {
  for (const bool once : {true, false}) {
    SlowCluster slow{2};
    Asker filler{slow.cluster, alice};
    Asker other{slow.cluster, alice, 2};
    Asker honest{slow.cluster, bob};
    int since = 0;
    for (int tick = 0; tick < 600; ++tick, ++since) {
      if (slow.tick()) since = 0;
      if (since >= 4 && (!once || since < 14)) {
        for (int i = 0; i < 40 && slow.ask_primary(filler.next()); ++i) continue;
      }
      if (since % 150 == 8) slow.ask_backups(other.next());
      if (tick % 4 == 0) slow.cluster.request(slow.primary(), honest.next());
      slow.run();
    }
    CAPTURE(once);
    CHECK(slow.starved() == 0);
    CHECK(all_in(slow.cluster, {0, 1, 2, 3}, 0));
    CHECK(other.executed(slow.cluster.node(1)) == other.asked());
    CHECK(honest.executed(slow.cluster.node(1)) + 5 >= honest.asked());
  }
}

TEST_CASE("rule 38: clients that have more waiting at the primary than backups know of change no view", "[crowd]") {
  SlowCluster slow{2};
  std::vector<Asker> fillers;
  for (std::uint8_t k = 11; k <= 20; ++k) fillers.emplace_back(slow.cluster, client_id(k));
  Asker other{slow.cluster, client_id(11), 2};
  int since = 0;
  for (int tick = 0; tick < 600; ++tick, ++since) {
    if (slow.tick()) since = 0;
    // The room of all together is for thirteen batches of each.
    for (Asker& filler : fillers) {
      for (int i = 0; since == 4 && i < 7; ++i) slow.cluster.request(slow.primary(), filler.next());
      if (since > 4 && tick % 20 == 0) slow.cluster.request(slow.primary(), filler.next());
    }
    if (since % 150 == 8) slow.ask_backups(other.next());
    slow.run();
  }
  CHECK(slow.starved() == 0);
  CHECK(all_in(slow.cluster, {0, 1, 2, 3}, 0));
  CHECK(other.executed(slow.cluster.node(1)) == other.asked());
}

TEST_CASE("rule 38: a client that fills its room at one backup and then asks the others changes no view", "[crowd]") {
  SlowCluster slow{6};
  Asker filler{slow.cluster, alice};
  Asker other{slow.cluster, alice, 2};
  Asker honest{slow.cluster, bob};
  int since = 0;
  for (int tick = 0; tick < 600; ++tick, ++since) {
    if (slow.tick()) since = 0;
    const std::uint32_t filled = (slow.primary() + 1) % 4;
    for (int i = 0; i < 40 && since >= 4; ++i) {
      const std::size_t before = slow.cluster.node(filled).count(Reject::client_queue_full);
      slow.cluster.request(filled, filler.next());
      if (slow.cluster.node(filled).count(Reject::client_queue_full) > before) break;
    }
    if (since % 150 == 8) {
      const BundlePtr bundle = other.next();
      slow.cluster.request((slow.primary() + 2) % 4, bundle);
      slow.cluster.request((slow.primary() + 3) % 4, bundle);
    }
    if (tick % 4 == 0) slow.cluster.request(slow.primary(), honest.next());
    slow.run();
  }
  CHECK(slow.starved() == 0);
  // The one at which something waits all the time suspects the first primaries, whose measure is not known yet.
  CHECK(all_in(slow.cluster, {0, 1, 2, 3}, 0));
  CHECK(other.executed(slow.cluster.node(1)) == other.asked());
}

TEST_CASE("rule 38: a client that has as much waiting at each of two backups as there is room for changes no view",
          "[crowd]") {
  SlowCluster slow{6};
  std::vector<Asker> askers{{slow.cluster, alice}, {slow.cluster, alice, 2}};
  for (int tick = 0; tick < 450; ++tick) {
    (void)slow.tick();
    for (std::uint32_t i = 0; i < 2; ++i) {
      const std::uint32_t backup = (slow.primary() + 1 + i) % 4;
      // One less, so that none is refused.
      while (slow.cluster.node(backup).status().queued_requests < 7) slow.cluster.request(backup, askers[i].next());
    }
    slow.run();
  }
  CHECK(slow.starved() == 0);
  CHECK(all_in(slow.cluster, {0, 1, 2, 3}, 0));
  for (const Asker& asker : askers) CHECK(asker.executed(slow.cluster.node(3)) > 20);
}
