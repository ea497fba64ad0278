// The large results that all sessions keep together: bounded, and those of who keeps the most go first; the same for
// every replica whatever way its state has come to it.
#include <array>
#include <catch2/catch.hpp>
#include <random>
#include <tuple>

#include "node/execution/reply_cache.h"
#include "node/pbft/client_table.h"
#include "tests/execution/probe_plugin.h"
#include "tests/execution/replica.h"

using namespace pbft;
using namespace pbft::execution;

namespace {

const ClientId carol = client_id(3);

// What one request of the session answers, where those below `low` are confirmed.
OutgoingReply ask(Replica& replica, const ClientId& client, SessionId session, RequestNumber::rep number,
                  std::size_t size, RequestNumber::rep low = 1) {
  Execute what = replica.effect({bundle(client, session.value, {{number, ask_result(size)}})});
  what.sessions.push_back({client, session, RequestNumber{1}, RequestNumber{low}, what.n});
  OutgoingReply reply = replica.run(what).at(0);
  CHECK(reply.status == ReplyStatus::ok);  // nothing is refused, whatever others keep
  CHECK(reply.result.size() == size);
  return reply;
}

// How many bytes of the result are kept; 0: it was forgotten.
std::size_t kept(const Replica& replica, const ClientId& client, SessionId session, RequestNumber::rep number) {
  const auto reply = replica.executor->cached(client, session, RequestNumber{number});
  REQUIRE(reply);
  CHECK(reply->status == (reply->result.empty() ? ReplyStatus::unknown_session : ReplyStatus::ok));
  return reply->result.size();
}

std::size_t kept_large(const storage::ClientRecords& records) {
  std::size_t sum = 0;
  for (const storage::SessionRecord& record : records.sessions) {
    for (const storage::CachedReply& reply : record.replies) {
      if (ResultBudget::is_large(reply.result.size())) sum += reply.result.size();
    }
  }
  return sum;
}

}  // namespace

TEST_CASE("cache: what all sessions keep is counted, whatever changes it", "[budget]") {
  const auto reply = [](RequestNumber::rep number, std::size_t size) {
    return storage::CachedReply{RequestNumber{number}, ReplyStatus::ok, Bytes(size)};
  };
  const SessionId a{1};
  const SessionId b{2};
  ReplyCache cache;
  cache.update(SessionUpdate{alice, a, RequestNumber{1}, RequestNumber{3}, SequenceNumber{1}});
  cache.update(SessionUpdate{bob, b, RequestNumber{1}, RequestNumber{1}, SequenceNumber{1}});
  REQUIRE(cache.add(alice, a, reply(4, 1'000)));
  REQUIRE(cache.add(alice, a, reply(3, 300)));
  REQUIRE(cache.add(alice, a, reply(5, 256)));
  REQUIRE(cache.add(bob, b, reply(1, 5'000)));
  REQUIRE(cache.add(alice, a, reply(2, 7'000)));  // below the low mark, so not kept
  CHECK(cache.large_bytes() == 6'300);
  REQUIRE(cache.add(alice, a, reply(4, 400)));
  CHECK(cache.large_bytes() == 5'700);
  CHECK(cache.large_bytes(alice, a, RequestNumber{4}) == 300);
  cache.update(SessionUpdate{alice, a, RequestNumber{1}, RequestNumber{4}, SequenceNumber{2}});
  CHECK(cache.large_bytes() == 5'400);
  cache.evict({bob, b});
  cache.evict({bob, b});
  CHECK(cache.large_bytes() == 400);
  cache = ReplyCache(storage::ClientRecords{{}, {{{alice, a, {}, {}, {}}, {reply(1, 600), reply(2, 200)}}}});
  CHECK(cache.large_bytes() == 600);
}

TEST_CASE("executor: of who keeps the most, the session that was used least recently is forgotten first",
          "[executor][budget]") {
  Replica replica(pbft::plugin::table<Probe>(), 10'000);
  const SessionId a1 = replica.open_session(alice, 1);
  const SessionId a2 = replica.open_session(alice, 2);
  const SessionId b = replica.open_session(bob, 1);
  const SessionId c = replica.open_session(carol, 1);
  ask(replica, alice, a1, 1, 2'000);
  ask(replica, alice, a2, 1, 1'700);
  ask(replica, alice, a2, 2, 300);
  ask(replica, alice, a2, 3, 200);
  ask(replica, alice, a1, 2, 500);
  ask(replica, bob, b, 1, 4'000);
  if (GENERATE(false, true)) replica.restart();
  CHECK(kept_large(replica.client_records()) == 8'500);

  // Bob keeps the most, with what is new, which is spared.
  ask(replica, bob, b, 2, 2'000);
  CHECK(kept(replica, bob, b, 1) == 0);
  CHECK(kept(replica, bob, b, 2) == 2'000);
  CHECK(kept_large(replica.client_records()) == 6'500);
  ask(replica, bob, b, 3, 2'000);

  // Now Alice does, and her second session was not used for longer. Small results are not forgotten.
  ask(replica, carol, c, 1, 2'000);
  CHECK(kept(replica, alice, a2, 1) == 0);
  CHECK(kept(replica, alice, a2, 2) == 0);
  CHECK(kept(replica, alice, a2, 3) == 200);
  CHECK(kept(replica, alice, a1, 1) == 2'000);
  CHECK(kept(replica, alice, a1, 2) == 500);
  CHECK(kept(replica, bob, b, 2) == 2'000);
  CHECK(kept_large(replica.client_records()) == 8'500);
}

TEST_CASE("executor: what a batch has made is spared until the next, as long as others are left",
          "[executor][budget]") {
  Replica replica(pbft::plugin::table<Probe>(), 8'000);
  const SessionId a = replica.open_session(alice, 1);
  const SessionId b = replica.open_session(bob, 1);
  ask(replica, alice, a, 1, 3'000);
  ask(replica, bob, b, 1, 6'000);
  CHECK(kept(replica, alice, a, 1) == 0);
  CHECK(kept(replica, bob, b, 1) == 6'000);
  if (GENERATE(false, true)) replica.restart();
  ask(replica, alice, a, 2, 2'500);
  CHECK(kept(replica, bob, b, 1) == 0);
  CHECK(kept(replica, alice, a, 2) == 2'500);

  // The bound holds even where one batch makes more: its replies are sent, and forgotten.
  const auto replies = replica.run({bundle(bob, b.value, {{2, ask_result(5'000)}, {3, ask_result(4'000)}})});
  for (const OutgoingReply& reply : replies) CHECK(reply.result.size() >= 4'000);
  CHECK(kept(replica, alice, a, 2) == 0);
  CHECK(kept(replica, bob, b, 2) == 0);
  CHECK(kept(replica, bob, b, 3) == 0);
  CHECK(kept_large(replica.client_records()) == 0);
}

TEST_CASE("executor: confirmations and evictions make room in their own batch", "[executor][budget]") {
  Replica replica(pbft::plugin::table<Probe>(), 10'000);
  const SessionId a = replica.open_session(alice, 1);
  const SessionId b = replica.open_session(bob, 1);
  ask(replica, alice, a, 1, 6'000);
  ask(replica, bob, b, 1, 3'000);
  if (GENERATE(false, true)) replica.restart();
  SECTION("a confirmation") {
    ask(replica, alice, a, 2, 7'000, 2);
    CHECK(kept(replica, alice, a, 2) == 7'000);
    CHECK(kept(replica, bob, b, 1) == 3'000);
  }
  SECTION("an eviction") {
    Execute last = replica.effect({bundle(bob, b.value, {{2, ask_result(7'000)}})});
    last.evicted.push_back({alice, a});
    replica.run(last);
    CHECK(kept(replica, bob, b, 1) == 3'000);
    CHECK(kept(replica, bob, b, 2) == 7'000);
  }
  SECTION("what a session leaves behind that goes in the batch that uses it does not count") {
    Execute last = replica.effect({bundle(alice, a.value, {{2, ask_result(3'000)}})});
    last.sessions.push_back({alice, a, RequestNumber{1}, RequestNumber{1}, last.n});
    last.evicted.push_back({alice, a});
    CHECK(replica.run(last).at(0).status == ReplyStatus::ok);
    CHECK(kept_large(replica.client_records()) == 3'000);
    CHECK(kept(replica, bob, b, 1) == 3'000);
  }
}

TEST_CASE("executor: clients that confirm nothing lose their own results, and nobody is refused",
          "[executor][budget]") {
  constexpr std::size_t table_bytes = 20'000;
  Replica replica(pbft::plugin::table<Probe>(), table_bytes);
  const SessionId careful = replica.open_session(bob, 1);
  const SessionId slow = replica.open_session(carol, 1);
  for (RequestNumber::rep number = 1; number <= 10; ++number) ask(replica, carol, slow, number, 300);

  // One session for one operation, as every run of `pbftctl exec` has it; of three clients.
  std::vector<std::pair<ClientId, SessionId>> ended;
  for (std::uint8_t i = 0; i < 36; ++i) {
    const ClientId client = client_id(static_cast<std::uint8_t>(10 + i % 3));
    ended.emplace_back(client, replica.open_session(client, 1 + i));
    ask(replica, client, ended.back().second, 1, 2'500);
    CHECK(kept(replica, client, ended.back().second, 1) == 2'500);
    ask(replica, bob, careful, 1 + i, 2'000, 1 + i);
    CHECK(kept(replica, bob, careful, 1 + i) == 2'000);
    REQUIRE(kept_large(replica.client_records()) <= table_bytes);
    if (i % 16 == 0) replica.restart();
  }
  for (RequestNumber::rep number = 1; number <= 10; ++number) CHECK(kept(replica, carol, slow, number) == 300);
  for (std::size_t i = 0; i < 36; ++i) {
    CAPTURE(i);
    CHECK(kept(replica, ended[i].first, ended[i].second, 1) == (i < 30 ? 0 : 2'500));
  }
}

namespace {

using Bundles = std::vector<BundlePtr>;
using Replies = std::vector<std::pair<ReplyStatus, SharedBytes>>;

// A replica whose client table is the core's. What came after its last checkpoint is lost with the power.
struct Member {
  static constexpr std::size_t table_bytes = 32'000;
  ClusterParameters parameters;
  Replica replica{pbft::plugin::table<Probe>(), table_bytes};
  std::optional<ClientTable> table;

  Member() {
    parameters.open_clients = true;
    parameters.max_sessions = 32;  // two for each client
    parameters.max_idle_clients = 4;
    parameters.session_window = 8;
    recover();
  }
  void recover() {
    const auto recovered = replica.disk.store->recover();
    REQUIRE(recovered);
    table.emplace(parameters, recovered->executed, recovered->clients, recovered->sessions);
    replica.n = recovered->executed.value;
    replica.head = recovered->ledger_head;
  }
  void lose_power() {
    replica.executor.reset();
    replica.disk.store.reset();
    replica.disk.engine->lose_power(0);
    replica.restart();
    recover();
  }
  Replies run(const Bundles& bundles) {
    Execute what = replica.effect(bundles);
    what.run.clear();
    table->apply(what.n, *what.batch, what);
    Replies replies;
    for (const OutgoingReply& reply : replica.run(what)) replies.emplace_back(reply.status, reply.result);
    if (what.n.value % 16 == 0) REQUIRE(replica.disk.store->take_checkpoint(what.n, Epoch{1}, Digest{}));
    return replies;
  }
  Digest digest() const { return *replica.disk.store->recompute_state_digest(); }
};

// Batches of 24 clients: they open sessions, ask for results of many sizes, confirm some, and use what is evicted.
class Traffic {
 public:
  Bundles batch() {
    Bundles bundles;
    ++n_;
    for (std::size_t i = below(7); i > 0; --i) bundles.push_back(below(4) == 0 ? opening() : requests());
    return bundles;
  }

 private:
  struct Session {
    ClientId client;
    std::uint64_t id;
    RequestNumber::rep low = 1;
  };

  std::size_t below(std::size_t end) { return static_cast<std::size_t>(random_() % end); }

  BundlePtr opening() {
    const ClientId client = client_id(static_cast<std::uint8_t>(1 + below(24)));
    sessions_.push_back({client, n_});
    return bundle(client, 0, {{++opened_, "", RequestKind::open_session}});
  }
  BundlePtr requests() {
    if (sessions_.empty()) return opening();
    const std::size_t newest = std::min<std::size_t>(sessions_.size(), 40);
    Session& session = sessions_[sessions_.size() - 1 - below(newest)];
    session.low += below(3);
    std::vector<Made> made;
    for (std::size_t i = below(4); i > 0; --i) {
      constexpr std::array<std::size_t, 6> sizes{100, 257, 500, 999, 1'500, 6'000};
      made.push_back({session.low + below(9), ask_result(sizes.at(below(sizes.size())))});
    }
    auto bundle = std::make_shared<Bundle>(*execution::bundle(session.client, session.id, made));
    bundle->low = RequestNumber{session.low};
    return bundle;
  }

  std::mt19937 random_{35};
  std::uint64_t n_ = 0;
  RequestNumber::rep opened_ = 0;
  std::vector<Session> sessions_;
};

}  // namespace

TEST_CASE("executor: what is forgotten never runs again, and says that its session is unknown", "[executor][budget]") {
  Member member;
  Replica& replica = member.replica;
  member.run({bundle(alice, 0, {{1, "", RequestKind::open_session}})});
  member.run({bundle(bob, 0, {{1, "", RequestKind::open_session}})});
  const SessionId a{1};
  const SessionId b{2};
  const BundlePtr once = bundle(alice, a.value, {{1, "put_then_result 20000"}});
  REQUIRE(member.run({once}).size() == 1);
  member.run({bundle(bob, b.value, {{1, "put_then_result 15000"}})});
  REQUIRE(replica.state("b") == "15000");
  for (int round = 0; round < 2; ++round) {
    CHECK(replica.cached(alice, a, 1) == "lost:");
    CHECK(member.table->state_of(*once, once->requests[0]) == RequestState::executed);
    CHECK(member.run({once}).empty());
    CHECK(replica.state("b") == "15000");
    replica.restart();
    member.recover();
  }
  // The session itself is still there.
  CHECK(member.run({bundle(alice, a.value, {{2, ask_result(10)}})}).at(0).first == ReplyStatus::ok);
}

namespace {

// The rule of ReplyCache, by looking at everything.
struct Model {
  struct Kept {
    std::size_t size;  // 0: forgotten
    bool made = true;  // by the batch that is running
  };
  struct Session {
    SessionUpdate update;
    std::map<RequestNumber, Kept> replies;
  };
  static constexpr std::size_t table_bytes = 8'000;
  std::map<std::pair<ClientId, SessionId>, Session> sessions;
  std::size_t forgotten = 0;

  void end_batch() {
    for (const bool spare : {true, false}) {
      while (forget(spare)) {
      }
    }
    for (auto& [key, session] : sessions) {
      for (auto& [number, reply] : session.replies) reply.made = false;
    }
  }
  bool forget(bool spare) {
    std::size_t all = 0;
    std::map<ClientId, std::size_t> sums;
    for (const auto& [key, session] : sessions) {
      for (const auto& [number, reply] : session.replies) {
        all += reply.size;
        sums[key.first] += reply.size;
      }
    }
    if (all <= table_bytes) return false;
    // The most bytes, the lowest client, the oldest use, the lowest session.
    using Rank = std::tuple<std::size_t, ClientId, SequenceNumber, SessionId>;
    std::optional<Rank> first;
    for (const auto& [key, session] : sessions) {
      for (const auto& [number, reply] : session.replies) {
        if (reply.size == 0 || (spare && reply.made)) continue;
        const Rank rank{~sums[key.first], key.first, session.update.last_used, key.second};
        if (!first || rank < *first) first = rank;
      }
    }
    if (!first) return false;
    for (auto& [number, reply] : sessions.at({std::get<1>(*first), std::get<3>(*first)}).replies) {
      if (reply.size == 0 || (spare && reply.made)) continue;
      reply.size = 0;
      ++forgotten;
    }
    return true;
  }
  [[nodiscard]] storage::ClientRecords records() const {
    storage::ClientRecords records;
    for (const auto& [key, session] : sessions) {
      storage::SessionRecord record{session.update, {}};
      for (const auto& [number, reply] : session.replies) {
        const ReplyStatus status = reply.size == 0 ? ReplyStatus::unknown_session : ReplyStatus::ok;
        record.replies.push_back({number, status, Bytes(reply.size)});
      }
      records.sessions.push_back(std::move(record));
    }
    return records;
  }
};

}  // namespace

TEST_CASE("cache: what is forgotten is what the rule says", "[budget]") {
  std::mt19937 random{10};
  const auto below = [&](std::size_t end) { return static_cast<std::size_t>(random() % end); };
  Model model;
  ReplyCache cache({}, Model::table_bytes);
  std::map<Bytes, Bytes> store;
  RequestNumber::rep next = 1;
  for (SequenceNumber n{1}; n < SequenceNumber{2'000}; n = n.next()) {
    std::vector<std::pair<ClientId, SessionId>> used;
    for (std::size_t i = below(4); i > 0; --i) {
      const std::pair key{client_id(static_cast<std::uint8_t>(1 + below(4))), SessionId{1 + below(3)}};
      Model::Session& session = model.sessions[key];
      const RequestNumber low =
          below(6) == 0 ? RequestNumber{next - std::min<std::size_t>(next - 1, below(9))} : session.update.low;
      session.update = {key.first, key.second, RequestNumber{1}, std::max(low, session.update.low), n};
      std::erase_if(session.replies, [&](const auto& one) { return one.first < session.update.low; });
      cache.update(session.update);
      used.push_back(key);
    }
    for (const auto& key : used) {
      for (std::size_t i = below(3); i > 0; --i) {
        constexpr std::array<std::size_t, 5> sizes{257, 500, 500, 1'000, 5'000};
        const std::size_t size = sizes.at(below(sizes.size()));
        REQUIRE(cache.add(key.first, key.second, {RequestNumber{next}, ReplyStatus::ok, Bytes(size)}));
        model.sessions[key].replies.emplace(RequestNumber{next++}, Model::Kept{size});
      }
    }
    if (!used.empty() && below(10) == 0) {
      cache.evict({used[0].first, used[0].second});
      model.sessions.erase(used[0]);
    }
    model.end_batch();
    for (const storage::StateChange& change : cache.take_changes()) {
      change.value ? void(store[change.key] = *change.value) : void(store.erase(change.key));
    }
    CAPTURE(n.value);
    REQUIRE(store == as_stored(model.records()));
    REQUIRE(cache.large_bytes() == kept_large(model.records()));
    REQUIRE(cache.large_bytes() <= Model::table_bytes);
    if (below(8) == 0) cache = ReplyCache(model.records(), Model::table_bytes);
  }
  CHECK(model.forgotten > 500);
}

TEST_CASE("executor: the same results are forgotten after a restart, a replay and a transfer", "[executor][budget]") {
  Traffic traffic;
  std::vector<Bundles> batches;
  std::vector<Replies> replies;
  Member steady;
  Member restarting;
  Member late;
  std::set<std::tuple<ClientId, SessionId, RequestNumber>> forgotten;
  for (std::size_t i = 0; i < 300; ++i) {
    CAPTURE(i);
    batches.push_back(traffic.batch());
    replies.push_back(steady.run(batches[i]));
    const storage::ClientRecords records = steady.replica.client_records();
    REQUIRE(kept_large(records) <= Member::table_bytes);
    for (const storage::SessionRecord& record : records.sessions) {
      for (const storage::CachedReply& reply : record.replies) {
        if (reply.status == ReplyStatus::unknown_session) {
          forgotten.emplace(record.session.client, record.session.session, reply.number);
        }
      }
    }

    if (i % 7 == 0) restarting.lose_power();
    for (std::size_t again = restarting.replica.n; again <= i; ++again) {
      REQUIRE(restarting.run(batches[again]) == replies[again]);
    }
    REQUIRE(restarting.digest() == steady.digest());

    if (i > 100) REQUIRE(late.run(batches[i]) == replies[i]);
    if (i == 100 || i == 200) {
      transfer(steady.replica, late.replica);
      late.recover();
    }
  }
  CHECK(late.digest() == steady.digest());
  CHECK(forgotten.size() > 100);
  CHECK(kept_large(steady.replica.client_records()) > Member::table_bytes / 2);
}
