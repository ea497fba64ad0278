// Rules 27, 37 and 38: when one replica suspects its primary, and when it does not.
#include "node/pbft/primary_watch.h"

#include <catch2/catch.hpp>
#include <numeric>
#include <set>

#include "tests/pbft/views.h"

using namespace pbft;
using namespace pbft::testing;

namespace {

// A watch alone, of one backup of four.
struct Watch {
  // Ticks until the primary is suspected; `most` if it is not.
  Ticks wait(Ticks most, bool slot_waits = false) {
    for (Ticks i = 1; i <= most; ++i) {
      reason = watch.on_tick({true, slot_waits});
      watch.invariants();
      if (reason) return i;
    }
    return most;
  }
  // A request comes in and waits in the queue.
  void hear(const BundlePtr& bundle) {
    static_cast<void>(queue.add(bundle));
    watch.heard(*bundle);
  }
  void execute(std::uint64_t requests) {
    for (std::uint64_t i = 0; i < requests; ++i)
      watch.executed(*make_batch(1, {make_bundle(bob, SessionId{9}, 1, {1})}), 1);
  }
  // A view in which requests wait all the time and `rate` of them are executed each period; ticks until it is left.
  Ticks view_at(std::uint64_t rate, Ticks most) {
    watch.entered();
    for (Ticks i = 1; i <= most; ++i) {
      if (i % (100 / rate) == 0) execute(1);
      reason = watch.on_tick({true, true});
      if (reason) {
        watch.left();
        return i;
      }
    }
    return most;
  }

  ClusterParameters cluster = [] {
    ClusterParameters parameters;
    for (std::uint8_t i = 1; i <= 20; ++i) parameters.clients.insert(client_id(i));
    return parameters;
  }();
  LocalParameters local = [] {
    LocalParameters parameters;
    parameters.view_timeout_ticks = 20;
    parameters.view_timeout_max_ticks = 70;
    return parameters;
  }();
  ClientTable clients{cluster, {}, {}, {}};
  RequestQueue queue{local};
  PrimaryWatch watch{local, clients, queue, Quorum{4}};
  std::optional<const char*> reason;
};

}  // namespace

TEST_CASE("rule 27: the timeout runs while something waits, and only then", "[watch]") {
  Watch w;
  CHECK(w.wait(1000) == 1000);
  w.hear(make_open(alice, 1));
  CHECK(w.wait(1000) == 21);  // from the first tick on that it waited in
  CHECK(w.watch.waiting() == 1);
}

TEST_CASE("rule 27: it doubles with each view without progress up to its maximum, and only execution resets it",
          "[watch]") {
  Watch w;
  w.hear(make_open(alice, 1));
  for (const Ticks expected : {20U, 40U, 70U, 70U}) {
    CHECK(w.watch.timeout() == expected);
    w.watch.entered();
    CHECK(w.wait(1000) == expected + 1);
    w.watch.left();
    w.hear(make_open(alice, 2));  // hearing of something is no progress
    CHECK(w.wait(0) == 0);
  }
  w.watch.entered();
  CHECK(w.watch.timeout() == 70);  // nor is a view
  w.execute(1);
  CHECK_FALSE(w.watch.on_tick({true, false}));
  CHECK(w.watch.timeout() == 20);
  w.watch.left();  // a view with progress does not double it
  CHECK(w.watch.timeout() == 20);
}

TEST_CASE("a primary that is suspected goes on to be told what waits, and who starves under it is named", "[watch]") {
  Watch w;
  w.hear(make_open(alice, 1));
  REQUIRE(w.wait(1000) == 21);
  REQUIRE(w.watch.unsigned_reasons() == std::vector<ClientId>{alice});
  w.hear(make_open(bob, 1));
  std::size_t half_way = 0, told = 0, named = 0;
  for (int i = 0; i < 1000; ++i) {
    CHECK_FALSE(w.watch.on_tick({true, true, false, 0, true}));
    half_way += w.watch.half_way() ? 1 : 0;
    told += w.watch.half_starved().size();
    const auto& unsigned_ones = w.watch.unsigned_reasons();
    named += std::count(unsigned_ones.begin(), unsigned_ones.end(), bob);
  }
  CHECK(half_way > 40);
  CHECK(told > 2);
  CHECK(named >= 16);  // once in a timeout, since it starves: for 18 timeouts
  CHECK(named <= 20);
}

TEST_CASE("a primary that is suspected, and not left, is measured all the same", "[watch]") {
  Watch w;
  for (int i = 0; i < 2; ++i) w.view_at(2, 5000);  // measures the first ones
  w.watch.entered();
  REQUIRE(w.wait(1000, true) < 1000);
  for (int i = 1; i <= 1000; ++i) {
    if (i % 2 == 0) w.execute(1);
    CHECK_FALSE(w.watch.on_tick({true, true, false, 0, true}));
  }
  w.watch.left();
  CHECK(w.view_at(25, 5000) < 5000);  // half as many as that one
  CHECK(std::string{*w.reason} == "less is executed than earlier views achieved");
}

TEST_CASE("rule 27: no timer of a request runs while no view is active", "[watch]") {
  Watch w;
  w.hear(make_open(alice, 1));
  for (int i = 0; i < 1000; ++i) CHECK_FALSE(w.watch.on_tick({false, true}));
  w.watch.entered();
  CHECK(w.wait(1000) == 21);  // the whole timeout from here on
}

TEST_CASE("rule 37: a starved client's request drives the primary out, whatever progress others make", "[watch]") {
  Watch w;
  w.hear(make_open(alice, 1));
  Ticks left = 0;
  for (Ticks i = 1; left == 0 && i < 1000; ++i) {
    if (i % 3 == 0) w.execute(1);
    w.reason = w.watch.on_tick({true, false});
    if (w.reason) left = i;
  }
  CHECK(std::string{*w.reason} == "a client's request waits for too long");
  CHECK(left >= 80);
  CHECK(left <= 88);
}

TEST_CASE("a client whose request stands in a long queue is not starved before its turn has come", "[watch]") {
  Watch w;
  const auto number = [](std::uint64_t i) { return make_bundle(bob, SessionId{9}, 1, {i}); };
  std::vector<BundlePtr> queue;
  for (std::uint64_t i = 1; i <= 4; ++i) {  // of one client the watch knows four
    std::vector<std::uint64_t> numbers(100);
    std::iota(numbers.begin(), numbers.end(), 100 * i);
    queue.push_back(make_bundle(bob, SessionId{9}, 1, numbers));
    w.hear(queue.back());
  }
  w.hear(make_open(alice, 1));
  // One request in every tick: the four hundred are through after five times the patience for a single one.
  for (Ticks i = 1; i <= 400; ++i) {
    w.watch.executed(*make_batch(i, {i % 100 == 1 ? queue[i / 100] : number(i)}), 1);
    REQUIRE_FALSE(w.watch.on_tick({true, false}));
    w.watch.invariants();
  }
  // Then it is long its turn, and others are still served before it.
  Ticks left = 0;
  for (Ticks i = 1; left == 0 && i < 2000; ++i) {
    w.execute(1);
    if (w.watch.on_tick({true, false})) left = i;
  }
  CHECK(left > 0);
  CHECK(left <= 600);
}

TEST_CASE("whom this replica refuses itself is not starved by the primary while it is served, up to a point",
          "[watch]") {
  const auto left_after = [](bool refused, bool served) {
    Watch w;
    for (int view = 0; view < 2; ++view) w.view_at(50, 2000);
    w.watch.entered();
    w.hear(make_open(alice, 1));
    for (Ticks i = 1; i < 2000; ++i) {
      if (i % 2 == 0) w.execute(1);
      if (served && i % 20 == 0) w.watch.executed(*make_batch(1, {make_open(alice, 1000 + i)}), 1);
      if (refused && i % 40 == 0) w.watch.refused(alice);
      w.watch.refused(bob);
      w.reason = w.watch.on_tick({true, false});
      if (w.reason) {
        CHECK(std::string{*w.reason} == "a client's request waits for too long");
        return i;
      }
    }
    return Ticks{2000};
  };
  constexpr Ticks patience = 4 * 20;
  CHECK(left_after(true, false) <= patience + 8);  // nothing of it is taken: its asking again is no excuse
  CHECK(left_after(false, true) <= patience + 8);
  CHECK(left_after(true, true) >= 32 * 20);
  CHECK(left_after(true, true) <= 32 * 20 + 8);
}

TEST_CASE("what a view has renewed the patience for is judged anew in the next one", "[watch]") {
  Watch w;
  for (int view = 0; view < 2; ++view) w.view_at(50, 2000);
  w.hear(make_open(alice, 1));
  for (Ticks i = 1; i <= 5000; ++i) {
    if (i % 500 == 1) w.watch.entered();
    if (i % 2 == 0) w.execute(1);
    if (i % 20 == 0) w.watch.executed(*make_batch(1, {make_open(alice, 1000 + i)}), 1);
    w.watch.refused(alice);
    REQUIRE_FALSE(w.watch.on_tick({true, false}));
  }
}

TEST_CASE("however long the queue was, no client waits for ever", "[watch]") {
  Watch w;
  for (int view = 0; view < 2; ++view) w.view_at(10, 2000);  // the rate is good enough
  w.watch.entered();
  std::vector<std::uint64_t> numbers(1000);
  std::iota(numbers.begin(), numbers.end(), 1);
  const BundlePtr before = make_bundle(bob, SessionId{9}, 1, numbers);
  w.hear(before);
  w.hear(make_open(alice, 1));
  w.watch.executed(*make_batch(1, {before}), 1);
  Ticks left = 0;
  for (Ticks i = 1; left == 0 && i < 2000; ++i) {
    if (i % 10 == 0) w.execute(1);
    w.reason = w.watch.on_tick({true, false});
    if (w.reason) left = i;
  }
  CHECK(std::string{*w.reason} == "a client's request waits for too long");
  CHECK(left >= 32 * 20);
  CHECK(left <= 32 * 20 + 8);
}

TEST_CASE("what was answered on another path starves nobody", "[watch]") {
  Watch w;
  w.hear(make_open(alice, 1));
  w.clients.load({}, {{alice, RequestNumber{1}, SessionId{4}}}, {});
  CHECK(w.wait(1000) == 1000);
  CHECK(w.watch.waiting() == 0);
}

TEST_CASE("what this replica does not hold any more is nothing to hold against the primary", "[watch]") {
  Watch w;
  w.hear(make_open(alice, 1));
  w.queue.keep_only([](const Bundle&) { return false; });
  CHECK(w.wait(1000) == 1000);
  CHECK(w.watch.waiting() == 0);
}

TEST_CASE("rule 38: clients whose unsigned requests a primary that is there does not order are named", "[watch]") {
  Watch w;
  w.hear(make_open(alice, 1));
  w.hear(signed_copy(make_open(bob, 1)));
  const auto named = [&](Ticks silent, bool slot_waits) {
    w.watch.entered();
    while (!w.watch.on_tick({true, slot_waits, false, silent})) CHECK(w.watch.unsigned_reasons().empty());
    return w.watch.unsigned_reasons();
  };
  CHECK(named(5, false) == std::vector<ClientId>{alice});
  CHECK(named(5, true).empty());       // the slot is the reason
  CHECK(named(1'000, false).empty());  // a primary that is gone orders nothing of anybody
  w.watch.forget_unsigned(alice);
  w.watch.forget_unsigned(bob);
  CHECK(w.watch.waiting() == 1);
  CHECK(named(5, false).empty());
  w.execute(1);
  CHECK(w.watch.waiting() == 1);
  // Starved while others are served.
  w.hear(make_open(alice, 2));
  w.watch.entered();
  do w.execute(1);
  while (!w.watch.on_tick({true, false, false, 1'000}));
  CHECK(w.watch.unsigned_reasons() == std::vector<ClientId>{alice});
}

TEST_CASE("rule 38: where many wait a few of them are named, and others the next time", "[watch]") {
  Watch w;
  std::set<ClientId> named;
  for (std::uint8_t i = 1; i <= 20; ++i) w.hear(make_open(client_id(i), 1));
  for (int view = 1; view <= 3; ++view) {
    w.watch.entered();
    bool half_way = false;
    while (!w.watch.on_tick({true, false, false, 5})) half_way = half_way || w.watch.half_way();
    CHECK(half_way);
    CHECK(w.watch.unsigned_reasons().size() == 8);
    named.insert(w.watch.unsigned_reasons().begin(), w.watch.unsigned_reasons().end());
  }
  CHECK(named.size() == 20);
}

TEST_CASE("what has waited for half of the patience is named until the primary was told of it, once in a view",
          "[watch]") {
  Watch w;
  w.hear(make_open(alice, 1));
  const auto named = [&](Ticks ticks) {
    std::size_t result = 0;
    for (Ticks i = 0; i < ticks; ++i) {
      w.execute(1);
      REQUIRE_FALSE(w.watch.on_tick({true, false}));
      w.watch.invariants();
      result += w.watch.half_starved().size();
    }
    return result;
  };
  CHECK(named(39) == 0);
  CHECK(named(16) == 2);  // it is looked at every eighth tick
  w.watch.told(bob, make_open(alice, 1)->digest);
  CHECK(named(8) == 1);
  w.watch.told(alice, make_open(alice, 1)->digest);
  CHECK(named(10) == 0);
  w.watch.entered();
  CHECK(named(39) == 0);
  CHECK(named(8) == 1);
}

TEST_CASE("clients of which something was executed are named once", "[watch]") {
  Watch w;
  w.hear(make_open(alice, 1));
  w.hear(make_open(bob, 1));
  w.execute(5);
  CHECK(w.watch.take_moved().empty());
  w.watch.executed(*make_batch(1, {make_open(alice, 1)}), 1);
  CHECK(w.watch.take_moved() == std::set<ClientId>{alice});
  CHECK(w.watch.take_moved().empty());
}

TEST_CASE("rule 37: a primary that executes just often enough for the timeout is left by the floor", "[watch]") {
  Watch w;
  // Two primaries are measured at a good rate, which f+1 views have to be.
  for (int view = 0; view < 2; ++view) CHECK(w.view_at(50, 2000) <= 600);
  CHECK(w.view_at(50, 5000) == 5000);  // then the same rate is good enough for as long as one likes
  w.watch.left();
  // One batch in almost every timeout is not.
  CHECK(w.view_at(6, 5000) <= 200);
  CHECK(std::string{*w.reason} == "less is executed than earlier views achieved");
}

TEST_CASE("rule 37: a load that falls drives no view, and one view change is enough where all are slower", "[watch]") {
  Watch w;
  for (int view = 0; view < 2; ++view) w.view_at(50, 2000);
  w.watch.entered();
  for (int i = 0; i < 5000; ++i) {  // a tenth of the load, but nobody waits for long
    if (i % 20 == 0) w.execute(1);
    CHECK_FALSE(w.watch.on_tick({true, i % 20 == 0}));
  }
  w.watch.left();
  // Where everybody has become slower, the floor falls with them.
  Ticks stays = 0;
  int views = 0;
  while (stays < 3000 && views < 6) {
    stays = w.view_at(10, 3000);
    ++views;
  }
  CHECK(stays == 3000);
  CHECK(views <= 5);
}

TEST_CASE("rule 37: batches in which nothing takes effect raise no floor", "[watch]") {
  Watch w;
  const auto junk = make_batch(1, {make_bundle(bob, SessionId{9}, 1, {1, 2, 3, 4, 5, 6, 7, 8})});
  for (int view = 0; view < 2; ++view) {
    w.watch.entered();
    for (Ticks i = 1; !(w.reason = w.watch.on_tick({true, true})); ++i) {
      if (i % 10 == 0) w.execute(1);
      w.watch.executed(*junk, 0);
    }
    w.watch.left();
  }
  CHECK(w.view_at(10, 5000) == 5000);
}

TEST_CASE("rule 37: where f+1 views in a row were left for the floor, it is forgotten for a while", "[watch]") {
  Watch w;
  for (int view = 0; view < 2; ++view) CHECK(w.view_at(50, 2000) <= 600);
  // Ever again somebody makes a burst of what costs nothing in the first period of a view.
  int left = 0;
  Ticks in_view = 0;
  w.watch.entered();
  for (Ticks i = 0; i < 20'000; ++i, ++in_view) {
    if (in_view < 90) w.execute(20);
    if (i % 10 == 0) w.execute(1);
    if (!w.watch.on_tick({true, true})) continue;
    w.watch.left();
    w.watch.entered();
    ++left;
    in_view = 0;
  }
  CHECK(left > 2);
  CHECK(left <= 12);
}

TEST_CASE("rule 35: what waits is bounded, of one client and of all", "[watch]") {
  Watch w;
  for (std::uint64_t i = 1; i <= 100; ++i) w.hear(make_bundle(alice, SessionId{1}, 1, {i}));
  for (std::uint32_t i = 0; i < 20'000; ++i) {
    ClientId id;
    id.bytes[0] = static_cast<std::uint8_t>(i);
    id.bytes[1] = static_cast<std::uint8_t>(i >> 8);
    if (w.watch.has_room_for(id)) w.hear(make_open(id, 1));
  }
  w.watch.invariants();  // asserts the bounds
  CHECK(w.watch.waiting() == 10'000);
  CHECK(w.watch.has_room_for(alice));
}
