// Many random schedules: replicas that execute one agreed order, f of them lying, over a network that loses, repeats
// and reorders. Every operation ends with the right result, and runs at most once.
#include <random>

#include "tests/client/scripted_cluster.h"

namespace pbft::client::testing {
namespace {

// What correct replicas have in common: the order of requests and what they answered.
class AgreedOrder {
 public:
  explicit AgreedOrder(const crypto::Roster& roster, std::uint64_t window) : roster_(roster), window_(window) {}

  // Replies to every request of the bundle that has one.
  std::vector<Reply> run(const Bundle& bundle) {
    std::vector<Reply> replies;
    for (const Request& request : bundle.requests) {
      if (auto reply = run(bundle, request)) {
        replies.push_back(std::move(*reply));
      }
    }
    return replies;
  }
  void evict() { open_ = SessionId{0}; }

  std::map<std::string, int> executions;

 private:
  std::optional<Reply> run(const Bundle& bundle, const Request& request) {
    if (request.kind == RequestKind::open_session) {
      return open(request.number);
    }
    if (bundle.session != open_) {
      return make_reply(bundle.session, request.number, ReplyStatus::unknown_session, {}, false);
    }
    REQUIRE(request.number.value < bundle.low.value + window_);
    low_ = std::max(low_, bundle.low);
    if (request.number < low_) {
      return std::nullopt;
    }
    const auto [entry, fresh] = results_.try_emplace(request.number);
    if (fresh) {
      const std::string operation{as_text(request.operation.view())};
      ++executions[operation];
      entry->second = "result of " + operation;
    }
    return make_reply(open_, request.number, ReplyStatus::ok, to_bytes(entry->second));
  }

  Reply open(RequestNumber number) {
    if (number < last_open_ || (number == last_open_ && open_ == SessionId{0})) {
      return make_reply(SessionId{0}, number, ReplyStatus::stale_open, number_bytes(last_open_.value));
    }
    if (number > last_open_) {
      last_open_ = number;
      open_ = next_session_;
      next_session_ = SessionId{next_session_.value + 3};
      results_.clear();
      low_ = RequestNumber{0};
    }
    return make_reply(SessionId{0}, number, ReplyStatus::ok, number_bytes(open_.value));
  }

  crypto::Roster roster_;
  std::uint64_t window_;
  RequestNumber last_open_{5000};  // another process of this client was here before: the first try is stale
  SessionId open_{0};
  SessionId next_session_{11};
  RequestNumber low_{0};
  std::map<RequestNumber, std::string> results_;
};

struct Run {
  std::uint32_t n;
  std::uint64_t seed;
  bool evict;
};

void run(const Run& parameters) {
  CAPTURE(parameters.n, parameters.seed, parameters.evict);
  std::mt19937_64 random{parameters.seed};
  const auto below = [&](std::uint64_t bound) { return random() % bound; };
  CoreOptions options = ScriptedCluster::default_options();
  options.session_window = 16;
  options.max_bundle_requests = 5;
  ScriptedCluster cluster{parameters.n, options};
  AgreedOrder order{cluster.roster, options.session_window};
  const std::uint32_t f = (parameters.n - 1) / 3;
  std::multimap<std::uint64_t, std::pair<std::uint32_t, Reply>> network;
  std::map<Ticket, std::string> submitted;
  std::size_t evictions = 0;

  // The liars are the first f replicas, so the first primary is one: it hands on nothing at all.
  const auto deliver = [&](const Received& received) {
    const auto* request = std::get_if<ClientRequest>(&received.message);
    if (request == nullptr || below(100) < 30) {
      return;
    }
    if (received.at.value < f) {
      for (const Request& one : request->bundle->requests) {
        const ReplyStatus status = below(2) == 0 ? ReplyStatus::ok : ReplyStatus::unknown_session;
        network.emplace(cluster.now + below(50'000),
                        std::pair{static_cast<std::uint32_t>(received.at.value),
                                  make_reply(request->bundle->session, one.number, status, number_bytes(below(3)), true,
                                             View{below(1000)})});
      }
      return;
    }
    for (const Reply& reply : order.run(*request->bundle)) {
      const bool repeated = below(10) == 0;
      for (std::uint32_t replica = f; replica < parameters.n; ++replica) {
        for (int copy = 0; copy < (repeated ? 2 : 1); ++copy) {
          if (below(100) < 70) {
            Reply own = reply;
            if (below(2) == 0 && own.status == ReplyStatus::ok && own.session != SessionId{0}) {
              own.result.reset();
            }
            network.emplace(cluster.now + below(400'000), std::pair{replica, std::move(own)});
          }
        }
      }
    }
  };

  const std::uint64_t end = cluster.now + 200'000'000;
  while (cluster.now < end && (submitted.size() < 60 || cluster.core.outstanding() != 0)) {
    if (submitted.size() < 60 && below(3) == 0) {
      const std::string operation = "operation " + std::to_string(submitted.size());
      submitted.emplace(cluster.core.submit(to_bytes(operation), 0), operation);
    }
    if (parameters.evict && submitted.size() == 30 && evictions == 0) {
      ++evictions;
      order.evict();
    }
    while (!network.empty() && network.begin()->first <= cluster.now) {
      const auto [replica, reply] = network.begin()->second;
      network.erase(network.begin());
      cluster.say(replica, reply);
    }
    for (const Received& received : cluster.advance()) {
      deliver(received);
    }
    const std::uint64_t next = std::min(cluster.core.next_wakeup_us(), network.empty() ? end : network.begin()->first);
    cluster.now = std::max(cluster.now + 1, submitted.size() < 60 ? std::min(next, cluster.now + 20'000) : next);
  }

  REQUIRE(cluster.outcomes.size() == submitted.size());
  for (const auto& [ticket, operation] : submitted) {
    const Outcome& outcome = cluster.outcomes[ticket];
    if (parameters.evict && outcome.kind == OutcomeKind::unknown) {
      REQUIRE_THAT(outcome.message, Catch::Contains("evicted"));
    } else {
      REQUIRE(outcome.kind == OutcomeKind::ok);
      REQUIRE(as_text(outcome.result) == "result of " + operation);
    }
  }
  for (const auto& [operation, times] : order.executions) {
    REQUIRE(times == 1);
  }
}

TEST_CASE("every operation ends right over a lossy network with f liars") {
  for (const std::uint32_t n : {4U, 7U}) {
    for (std::uint64_t seed = 1; seed <= 15; ++seed) {
      run({n, seed, false});
    }
  }
}

TEST_CASE("an eviction in the middle of it loses nothing without a word") {
  for (std::uint64_t seed = 1; seed <= 15; ++seed) {
    run({4, seed, true});
  }
}

TEST_CASE("the same inputs give the same frames, byte for byte") {
  std::vector<std::vector<Bytes>> runs;
  for (int i = 0; i < 2; ++i) {
    const crypto::Roster roster = roster_of(4);
    ClientCore core{roster, crypto::ClientAuthenticator{roster, identity_of(200)}, ScriptedCluster::default_options()};
    std::vector<Bytes> frames;
    for (std::uint64_t step = 0; step < 50; ++step) {
      (void)core.submit(number_bytes(step), step * 30'000);
      (void)core.query(number_bytes(step), 0);
      for (OutgoingFrame& out : core.advance(step * 25'000).frames) {
        frames.push_back(std::move(out.frame));
      }
    }
    runs.push_back(std::move(frames));
  }
  REQUIRE_FALSE(runs[0].empty());
  CHECK(runs[0] == runs[1]);
}

}  // namespace
}  // namespace pbft::client::testing
