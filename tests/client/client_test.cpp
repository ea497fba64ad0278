// The threaded client over real sockets: CURVE, ZAP and all. The replicas behind the sockets run no protocol; they
// answer each operation by itself.
#include "tools/client/cpp/pbft/client.h"

#include <atomic>
#include <thread>

#include "node/bus/node_bus.h"
#include "tests/client/scripted_cluster.h"

namespace pbft::client::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class EchoReplica final : public bus::NodeBusHandler {
 public:
  EchoReplica(const crypto::Roster& roster, ReplicaId self, bool lies)
      : self_(self), lies_(lies), authenticator_(roster, self, identity(self)) {
    bus::NodeBusOptions options;
    options.self = self;
    options.bind = {"tcp://127.0.0.1:*", "tcp://127.0.0.1:*", "tcp://127.0.0.1:*"};
    // The replicas have nothing to say to each other: nobody listens at the discard port.
    const std::string nowhere = "tcp://127.0.0.1:9";
    for (const PublicKey& key : roster.replicas) {
      options.replicas.push_back({key, {nowhere, nowhere, nowhere}});
    }
    options.admit_client = [](const bus::CurveKey&) { return true; };
    auto opened = bus::NodeBus::open(identity(self), std::move(options));
    REQUIRE(opened);
    bus_ = std::move(*opened);
    thread_ = std::thread{[this] {
      while (!stop_) {
        bus_->poll(milliseconds{100}, 100, *this);
      }
    }};
  }
  ~EchoReplica() override {
    stop_ = true;
    bus_->wake();
    thread_.join();
  }

  [[nodiscard]] std::string endpoint() const { return bus_->bound().client; }

  void on_peer_frame(SharedBytes, ReplicaId) override {}
  void on_client_frame(SharedBytes frame, const bus::CurveKey& channel, Origin origin) override {
    const auto opened = authenticator_.open_client(frame, channel);
    if (!opened) {
      return;
    }
    for (const AuthenticatedClientMessage& message : *opened) {
      std::visit([&](const auto& concrete) { handle(message.sender(), concrete, origin); }, message.message());
    }
  }

 private:
  static crypto::Identity identity(ReplicaId id) { return identity_of(static_cast<std::uint8_t>(id.value + 1)); }
  static constexpr SessionId session{42};

  Bytes echo(const SharedBytes& operation) const {
    return to_bytes((lies_ ? "lie about " : "echo ") + std::string{as_text(operation.view())});
  }
  void handle(const ClientId& client, const Hello& hello, Origin origin) {
    bus_->learn_route(client, hello.session, hello.number, origin);
    bus_->answer(client, origin, authenticator_.seal_to_client(client, {Welcome{View{0}, SequenceNumber{1}}}));
  }
  void handle(const ClientId& client, const ClientRequest& request, Origin origin) {
    const Bundle& bundle = *request.bundle;
    if (!authenticator_.bundle_authentic(bundle)) {
      return;
    }
    for (const Request& one : bundle.requests) {
      const bool opening = one.kind == RequestKind::open_session;
      bus_->learn_route(client, bundle.session, opening ? one.number : RequestNumber{0}, origin);
      const Bytes result = opening ? number_bytes(session.value) : echo(one.operation);
      bus_->reply(
          client, bundle.session, one.number,
          authenticator_.seal_to_client(client, {make_reply(bundle.session, one.number, ReplyStatus::ok, result)}));
    }
  }
  void handle(const ClientId& client, const ReadRequest& read, Origin origin) {
    bus_->answer(client, origin,
                 authenticator_.seal_to_client(client, {ReadReply{read.number, ReplyStatus::ok, SequenceNumber{1},
                                                                  SharedBytes::own(echo(read.operation))}}));
  }
  void handle(const ClientId& client, const InfoRequest& info, Origin origin) {
    bus_->answer(client, origin,
                 authenticator_.seal_to_client(
                     client, {InfoReply{info.number, "{\"id\":" + std::to_string(self_.value) + "}"}}));
  }

  ReplicaId self_;
  bool lies_;
  crypto::Authenticator authenticator_;
  std::unique_ptr<bus::NodeBus> bus_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

// Four replicas; the last one may be missing or lie.
struct EchoCluster {
  enum class Last { honest, dead, liar };
  explicit EchoCluster(Last last) : roster(roster_of(4)) {
    for (std::uint32_t i = 0; i < 4; ++i) {
      if (i == 3 && last == Last::dead) {
        endpoints.push_back({"dead", "tcp://127.0.0.1:9"});
        continue;
      }
      replicas.push_back(std::make_unique<EchoReplica>(roster, ReplicaId{i}, i == 3 && last == Last::liar));
      endpoints.push_back({"replica " + std::to_string(i), replicas.back()->endpoint()});
    }
  }
  [[nodiscard]] std::unique_ptr<Client> open() const {
    CoreOptions options;
    auto client = Client::open({roster, identity_of(200), endpoints, options});
    REQUIRE(client);
    return std::move(*client);
  }

  crypto::Roster roster;
  std::vector<std::unique_ptr<EchoReplica>> replicas;
  std::vector<ReplicaEndpoint> endpoints;
};

const seconds patience{30};

TEST_CASE("operations and reads over real sockets, with one replica dead or lying") {
  const EchoCluster::Last last = GENERATE(EchoCluster::Last::honest, EchoCluster::Last::dead, EchoCluster::Last::liar);
  const EchoCluster cluster{last};
  const auto client = cluster.open();
  const Outcome written = client->submit(to_bytes("put"), patience).get();
  REQUIRE(written.kind == OutcomeKind::ok);
  CHECK(as_text(written.result) == "echo put");
  const Outcome read = client->query(to_bytes("get"), patience).get();
  REQUIRE(read.kind == OutcomeKind::ok);
  CHECK(as_text(read.result) == "echo get");

  if (last != EchoCluster::Last::dead) {
    const auto each = client->query_each(to_bytes("get"), patience);
    REQUIRE(each.size() == 4);
    REQUIRE((each[0] && each[3]));
    CHECK(as_text(each[0]->result) == "echo get");
    CHECK(as_text(each[3]->result) == (last == EchoCluster::Last::liar ? "lie about get" : "echo get"));
  }
}

TEST_CASE("info shows who answers") {
  const EchoCluster cluster{EchoCluster::Last::dead};
  const auto client = cluster.open();
  REQUIRE(client->submit(to_bytes("put"), patience).get().kind == OutcomeKind::ok);
  const auto info = client->info(seconds{1});
  REQUIRE(info.size() == 4);
  CHECK(info[0] == "{\"id\":0}");
  CHECK(info[2] == "{\"id\":2}");
  CHECK_FALSE(info[3]);
}

TEST_CASE("many threads share one client, and each gets its own results") {
  const EchoCluster cluster{EchoCluster::Last::honest};
  const auto client = cluster.open();
  std::atomic<int> right = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::vector<std::pair<std::string, std::future<Outcome>>> outcomes;
      for (int i = 0; i < 200; ++i) {
        std::string operation = std::to_string(t) + "/" + std::to_string(i);
        auto outcome = client->submit(to_bytes(operation), patience);
        outcomes.emplace_back(std::move(operation), std::move(outcome));
      }
      for (auto& [operation, outcome] : outcomes) {
        right += as_text(outcome.get().result) == "echo " + operation ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  CHECK(right == 800);
}

TEST_CASE("nobody answers: the deadline ends the operation") {
  const crypto::Roster roster = roster_of(1);
  auto client = Client::open({roster, identity_of(200), {{"nobody", "tcp://127.0.0.1:9"}}, {}});
  REQUIRE(client);
  const Outcome outcome = (*client)->submit(to_bytes("put"), milliseconds{50}).get();
  CHECK(outcome.kind == OutcomeKind::timed_out);
}

TEST_CASE("what is outstanding when the client is closed ends as timed_out") {
  const crypto::Roster roster = roster_of(1);
  auto client = Client::open({roster, identity_of(200), {{"nobody", "tcp://127.0.0.1:9"}}, {}});
  REQUIRE(client);
  auto outcome = (*client)->submit(to_bytes("put"), std::chrono::hours{1});
  std::atomic<int> called = 0;
  (*client)->query(to_bytes("get"), std::chrono::hours{1}, [&](Outcome) { ++called; });
  client->reset();
  CHECK(outcome.get().kind == OutcomeKind::timed_out);
  CHECK(called == 1);
}

TEST_CASE("a roster and addresses that do not fit are refused") {
  const crypto::Roster roster = roster_of(4);
  const auto client = Client::open({roster, identity_of(200), {{"one", "tcp://127.0.0.1:9"}}, {}});
  REQUIRE_FALSE(client);
  CHECK_THAT(client.error(), Catch::Contains("4 replicas"));
  CHECK_FALSE(Client::open({crypto::Roster{}, identity_of(200), {}, {}}));
}

}  // namespace
}  // namespace pbft::client::testing
