#include "node/bus/client_bus.h"

#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <thread>

#include "node/bus/sockets.h"
#include "tests/bus/bus_fixture.h"

namespace pbft::bus::testing {
namespace {

struct Process {
  Process(const Cluster& cluster, const crypto::Identity& identity) : bus(cluster.client(identity)) {}
  void poll() {
    bus->poll(200us, 100, [this](SharedBytes frame, ReplicaId from, std::size_t) {
      frames.push_back({std::string(as_text(frame.view())), from});
    });
  }
  [[nodiscard]] bool has(std::string_view text) const {
    return std::any_of(frames.begin(), frames.end(), [&](const PeerFrame& frame) { return frame.text == text; });
  }

  std::unique_ptr<ClientBus> bus;
  std::vector<PeerFrame> frames;
};

TEST_CASE("a client's frame arrives with its key, and the answer comes from that replica; the first frame too") {
  Cluster cluster(4);
  const auto identity = crypto::Identity::generate();
  Process client(cluster, identity);
  for (std::uint32_t i = 0; i < 4; ++i) {
    cluster.recorders[i].on_client = [&, i](const ClientFrame& frame) {
      CHECK(frame.channel == identity.curve().public_key);
      CHECK(frame.text == "request");
      cluster.buses[i]->answer({}, frame.origin, to_bytes("answer of " + std::to_string(i)));
    };
    // Sent once, before any connection can stand.
    CHECK(client.bus->send(ReplicaId{i}, to_bytes("request")));
  }
  REQUIRE(until([&] { return client.frames.size() >= 4; },
                [&] {
                  cluster.poll();
                  client.poll();
                }));
  for (const PeerFrame& frame : client.frames) CHECK(frame.text == "answer of " + std::to_string(frame.channel.value));
  for (std::uint32_t i = 0; i < 4; ++i) {
    REQUIRE(until([&] { return client.bus->connected(ReplicaId{i}); }, [&] { client.poll(); }));
  }
}

TEST_CASE("clients that share a bus have keys and connections of their own") {
  Cluster cluster(2);
  constexpr std::size_t count = 200;
  std::vector<crypto::Identity> identities;
  for (std::size_t i = 0; i < count; ++i) identities.push_back(crypto::Identity::generate());
  auto options = cluster.client_options();
  options.renew_after = 1h;
  options.max_wait = 1h;  // however long so many handshakes take
  auto opened = ClientBus::open(identities, options);
  REQUIRE(opened);
  ClientBus& bus = **opened;
  for (std::size_t node = 0; node < 2; ++node) {
    cluster.recorders[node].on_client = [&cluster, &identities, node](const ClientFrame& frame) {
      const std::size_t client = std::stoul(frame.text);
      CHECK(frame.channel == identities[client].curve().public_key);
      cluster.buses[node]->answer({}, frame.origin, to_bytes(std::to_string(node) + " to " + frame.text));
    };
  }
  const auto replicas = {ReplicaId{0}, ReplicaId{1}};
  for (std::size_t client = 0; client < count; ++client) {
    for (const ReplicaId replica : replicas) CHECK(bus.send(replica, to_bytes(std::to_string(client)), client));
  }
  std::size_t answers = 0;
  const auto step = [&] {
    cluster.poll();
    bus.poll(200us, 100, [&](const SharedBytes& frame, ReplicaId from, std::size_t client) {
      CHECK(as_text(frame.view()) == std::to_string(from.value) + " to " + std::to_string(client));
      ++answers;
    });
  };
  REQUIRE(until([&] { return answers == 2 * count; }, step));
  for (std::size_t client = 0; client < count; ++client) {
    for (const ReplicaId replica : replicas) {
      REQUIRE(until([&] { return bus.connected(replica, client); }, step));
    }
  }
  CHECK_FALSE(bus.send(ReplicaId{2}, to_bytes("0"), 0));
  CHECK_FALSE(bus.send(ReplicaId{0}, to_bytes("0"), count));
}

TEST_CASE("two processes of one client get the replies of their own sessions") {
  Cluster cluster(1);
  NodeBus& node = *cluster.buses[0];
  const auto identity = crypto::Identity::generate();
  const ClientId id = identity.client_id();
  Process first(cluster, identity);
  Process second(cluster, identity);
  const auto step = [&] {
    cluster.poll();
    first.poll();
    second.poll();
  };
  cluster.recorders[0].on_client = [&](const ClientFrame& frame) {
    const std::uint64_t session = frame.text == "first" ? 1 : 2;
    node.learn_route(id, SessionId{session}, RequestNumber{1}, frame.origin);
    node.learn_route(id, SessionId{}, RequestNumber{100 + session}, frame.origin);
  };
  first.bus->send(ReplicaId{0}, to_bytes("first"));
  second.bus->send(ReplicaId{0}, to_bytes("second"));
  REQUIRE(until([&] { return cluster.recorders[0].client_frames.size() == 2; }, step));

  for (int i = 0; i < 10; ++i) {
    node.reply(id, SessionId{1}, RequestNumber{1}, to_bytes("1"));
    node.reply(id, SessionId{2}, RequestNumber{2}, to_bytes("2"));
    node.reply(id, SessionId{}, RequestNumber{101}, to_bytes("opened 1"));
    node.reply(id, SessionId{}, RequestNumber{102}, to_bytes("opened 2"));
  }
  REQUIRE(until([&] { return first.frames.size() >= 20 && second.frames.size() >= 20; }, step));
  CHECK(first.has("1"));
  CHECK(first.has("opened 1"));
  CHECK_FALSE(first.has("2"));
  CHECK_FALSE(first.has("opened 2"));
  CHECK(second.has("2"));
  CHECK(second.has("opened 2"));
  CHECK_FALSE(second.has("1"));
  CHECK_FALSE(second.has("opened 1"));

  node.reply(id, SessionId{3}, RequestNumber{1}, to_bytes("nobody's"));
  CHECK(counter(node, "client.no_route") == 1);
}

TEST_CASE("the route of a process that is gone is dropped and counted") {
  Cluster cluster(1);
  NodeBus& node = *cluster.buses[0];
  const auto identity = crypto::Identity::generate();
  {
    Process client(cluster, identity);
    client.bus->send(ReplicaId{0}, to_bytes("hello"));
    REQUIRE(until([&] { return cluster.recorders[0].client_frames.size() == 1; },
                  [&] {
                    cluster.poll();
                    client.poll();
                  }));
  }
  const Origin origin = cluster.recorders[0].client_frames[0].origin;
  node.learn_route(identity.client_id(), SessionId{1}, RequestNumber{1}, origin);
  REQUIRE(until([&] { return counter(node, "client.unroutable") == 1; },
                [&] {
                  cluster.poll();
                  node.reply(identity.client_id(), SessionId{1}, RequestNumber{1}, to_bytes("late"));
                }));
  CHECK(counter(node, "client.no_route") == 0);
  node.reply(identity.client_id(), SessionId{1}, RequestNumber{1}, to_bytes("later"));
  CHECK(counter(node, "client.no_route") == 1);
  node.answer({}, origin, to_bytes("latest"));
  CHECK(counter(node, "client.unroutable") == 2);
  node.answer({}, Origin{}, to_bytes("never was"));
  CHECK(counter(node, "client.unroutable") == 3);
}

TEST_CASE("the routes of a node are bounded and evictions counted") {
  Cluster cluster(1, [](NodeBusOptions& options) { options.max_routes = 2; });
  NodeBus& node = *cluster.buses[0];
  const auto identity = crypto::Identity::generate();
  for (std::uint64_t session = 1; session <= 3; ++session) {
    node.learn_route(identity.client_id(), SessionId{session}, RequestNumber{1}, Origin{session});
  }
  CHECK(counter(node, "client.routes_evicted") == 1);
  node.reply(identity.client_id(), SessionId{1}, RequestNumber{1}, to_bytes("evicted"));
  CHECK(counter(node, "client.no_route") == 1);
}

TEST_CASE("frames to a replica that is down are refused beyond a bound") {
  Cluster cluster(1);
  cluster.buses[0].reset();
  auto options = cluster.client_options();
  options.max_waiting_frames = 10;
  options.max_wait = 1h;
  auto bus = ClientBus::open(crypto::Identity::generate(), options);
  REQUIRE(bus);
  for (int i = 0; i < 10; ++i) CHECK((*bus)->send(ReplicaId{0}, to_bytes("waits")));
  for (int i = 0; i < 1'000; ++i) CHECK_FALSE((*bus)->send(ReplicaId{0}, Bytes(100'000)));
  CHECK(counter(**bus, "peer.send_dropped") == 1'000);
}

TEST_CASE("frames to a replica that is down are not delivered when stale") {
  Cluster cluster(1);
  cluster.buses[0].reset();
  auto options = cluster.client_options();
  options.max_wait = 50ms;
  auto opened = ClientBus::open(crypto::Identity::generate(), options);
  REQUIRE(opened);
  ClientBus& bus = **opened;
  const auto ignore = [](const SharedBytes&, ReplicaId, std::size_t) {};
  for (int i = 0; i < 10; ++i) CHECK(bus.send(ReplicaId{0}, to_bytes("stale")));
  REQUIRE(until([&] { return counter(bus, "peer.send_dropped") == 10; }, [&] { bus.poll(1ms, 10, ignore); }));

  cluster.open(0);
  REQUIRE(until([&] { return cluster.recorders[0].count_from_clients("fresh") > 0; },
                [&] {
                  bus.send(ReplicaId{0}, to_bytes("fresh"));
                  bus.poll(1ms, 10, ignore);
                  cluster.poll();
                }));
  CHECK(cluster.recorders[0].count_from_clients("stale") == 0);
}

TEST_CASE("frames that wait for a connection are bounded in bytes too") {
  Cluster cluster(1);
  cluster.buses[0].reset();
  auto options = cluster.client_options();
  options.max_waiting_bytes = 10'000;
  options.max_wait = 1h;
  auto bus = ClientBus::open(crypto::Identity::generate(), options);
  REQUIRE(bus);
  CHECK((*bus)->send(ReplicaId{0}, Bytes(6'000)));
  CHECK_FALSE((*bus)->send(ReplicaId{0}, Bytes(6'000)));
  CHECK((*bus)->send(ReplicaId{0}, Bytes(4'000)));
}

TEST_CASE("a client finds a replica again that restarts on its port") {
  Cluster cluster(1);
  Process client(cluster, crypto::Identity::generate());
  for (int round = 0; round < 3; ++round) {
    const std::string text = "round " + std::to_string(round);
    REQUIRE(until([&] { return cluster.recorders[0].count_from_clients(text) > 0; },
                  [&] {
                    client.bus->send(ReplicaId{0}, to_bytes(text));
                    client.poll();
                    cluster.poll();
                  }));
    cluster.buses[0].reset();
    cluster.open(0);
  }
}

// Sending all that waits takes longer than the answer to the first; and no signal but that of the answer comes.
void check_answer_while_sending(Cluster& cluster) {
  cluster.buses[0].reset();
  auto options = cluster.client_options();
  constexpr int count = 50'000;
  options.high_water_mark = 0;
  options.max_waiting_frames = count;
  options.max_wait = 1h;
  auto opened = ClientBus::open(crypto::Identity::generate(), options);
  REQUIRE(opened);
  ClientBus& client = **opened;
  bool all_wait = true;
  for (int i = 0; i < count; ++i) all_wait = client.send(ReplicaId{0}, to_bytes("waits")) && all_wait;
  CHECK(all_wait);

  cluster.open(0);
  bool answered = false;
  cluster.recorders[0].on_client = [&](const ClientFrame& frame) {
    if (!std::exchange(answered, true)) cluster.buses[0]->answer({}, frame.origin, to_bytes("answer"));
  };
  std::atomic<bool> stop{false};
  std::thread node([&] {
    while (!stop) cluster.poll();
  });
  bool got = false;
  const bool in_time =
      until([&] { return got; },
            [&] { client.poll(1ms, 10, [&](const SharedBytes&, ReplicaId, std::size_t) { got = true; }); });
  stop = true;
  node.join();
  REQUIRE(in_time);
}

TEST_CASE("an answer that comes in while waiting frames are sent is seen") {
  Cluster cluster(1);
  for (int round = 0; round < 5; ++round) check_answer_while_sending(cluster);
}

TEST_CASE("what waits for a replica that does not read is bounded in bytes, and it is sent more once it reads") {
  constexpr std::size_t frame = 100'000;
  Cluster cluster(1);
  auto options = cluster.client_options();
  options.high_water_mark = 0;  // the mark is not what refuses
  options.max_unsent_bytes = 10 * frame;
  auto opened = ClientBus::open(crypto::Identity::generate(), options);
  REQUIRE(opened);
  ClientBus& client = **opened;
  const auto poll_client = [&] { client.poll(0us, 10, [](const SharedBytes&, ReplicaId, std::size_t) {}); };
  CHECK(client.send(ReplicaId{0}, to_bytes("first")));
  REQUIRE(until([&] { return cluster.recorders[0].client_frames.size() == 1; },
                [&] {
                  cluster.poll();
                  poll_client();
                }));
  // Nobody polls the replica: its queue and the kernel's fill, and then what the client may keep.
  std::size_t sent = 0;
  while (sent < 1'000 && client.send(ReplicaId{0}, Bytes(frame))) ++sent;
  CHECK(sent >= 10);
  REQUIRE(sent < 1'000);
  CHECK(counter(client, "peer.send_dropped") == 1);
  REQUIRE(until([&] { return client.send(ReplicaId{0}, Bytes(frame)); },
                [&] {
                  cluster.poll();
                  poll_client();
                }));
}

// A signal may come while libzmq takes in what its threads have to tell.
TEST_CASE("signals do not keep a socket from saying that there is something to read") {
  struct sigaction ignore {};
  struct sigaction before {};
  ignore.sa_handler = [](int) {};
  REQUIRE(sigaction(SIGUSR1, &ignore, &before) == 0);
  zmq::context_t context;
  zmq::socket_t out(context, zmq::socket_type::pair);
  zmq::socket_t in(context, zmq::socket_type::pair);
  out.bind("inproc://signals");
  in.connect("inproc://signals");
  zmq::message_t message("x", 1);
  REQUIRE(send(out, message) == Sent::ok);
  REQUIRE(until([&] { return readable(in); }, [] {}));
  std::atomic<bool> stop{false};
  std::thread interrupter([&stop, reader = pthread_self()] {
    while (!stop) pthread_kill(reader, SIGUSR1);
  });
  std::size_t unseen = 0;
  for (int i = 0; i < 100'000; ++i) unseen += readable(in) ? 0 : 1;
  stop = true;
  interrupter.join();
  sigaction(SIGUSR1, &before, nullptr);
  CHECK(unseen == 0);
}

TEST_CASE("the longest frame of a client arrives, a longer one is not sent") {
  Cluster cluster(1);
  Process client(cluster, crypto::Identity::generate());
  CHECK_FALSE(client.bus->send(ReplicaId{0}, Bytes(max_client_frame_bytes + 1)));
  CHECK(counter(*client.bus, "send.oversized") == 1);
  auto options = cluster.client_options();
  options.max_waiting_bytes = max_client_frame_bytes;
  auto opened = ClientBus::open(crypto::Identity::generate(), options);
  REQUIRE(opened);
  CHECK((*opened)->send(ReplicaId{0}, Bytes(max_client_frame_bytes)));
  REQUIRE(until([&] { return cluster.recorders[0].client_frames.size() == 1; },
                [&] {
                  cluster.poll();
                  (*opened)->poll(1ms, 10, [](const SharedBytes&, ReplicaId, std::size_t) {});
                }));
  CHECK(cluster.recorders[0].client_frames[0].text.size() == max_client_frame_bytes);
}

TEST_CASE("a client that is admitted only later gets in by itself") {
  std::atomic<bool> admitted{false};
  Cluster cluster(1, [&](NodeBusOptions& options) {
    options.admit_client = [&admitted](const CurveKey&) { return admitted.load(); };
  });
  Process client(cluster, crypto::Identity::generate());
  const auto step = [&] {
    client.bus->send(ReplicaId{0}, to_bytes("let me in"));
    client.poll();
    cluster.poll();
  };
  REQUIRE(until([&] { return counter(*cluster.buses[0], "zap.refused_unknown_key") >= 2; }, step));
  CHECK(cluster.recorders[0].client_frames.empty());
  admitted = true;
  REQUIRE(until([&] { return !cluster.recorders[0].client_frames.empty(); }, step));
}

TEST_CASE("wake ends a client's poll from another thread") {
  Cluster cluster(1);
  Process client(cluster, crypto::Identity::generate());
  const auto ignore = [](const SharedBytes&, ReplicaId, std::size_t) {};
  client.bus->wake();
  client.bus->poll(1h, 10, ignore);
  std::thread waker([&] { client.bus->wake(); });
  client.bus->poll(1h, 10, ignore);
  waker.join();
}

TEST_CASE("more clients than there are sockets are refused, and told how many may be") {
  Cluster cluster(1);
  auto options = cluster.client_options();
  const std::vector<crypto::Identity> identities(30'000, crypto::Identity::generate());
  const auto bus = ClientBus::open(identities, options);
  REQUIRE_FALSE(bus);
  CHECK(bus.error().find("open at most 21845, or spread them") != std::string::npos);
}

TEST_CASE("a client without replicas, or with a key that is none, is told so") {
  CHECK_FALSE(ClientBus::open(crypto::Identity::generate(), {}));
  ClientBusOptions options;
  options.replicas.push_back({PublicKey{}, "tcp://127.0.0.1:1"});
  const auto bus = ClientBus::open(crypto::Identity::generate(), options);
  REQUIRE_FALSE(bus);
  CHECK(bus.error().find("replica 0") != std::string::npos);
}

}  // namespace
}  // namespace pbft::bus::testing
