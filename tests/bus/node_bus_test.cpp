#include "node/bus/node_bus.h"

#include <thread>

#include "tests/bus/bus_fixture.h"

namespace pbft::bus::testing {
namespace {

TEST_CASE("a broadcast reaches every peer once, in order, under the sender's name") {
  Cluster cluster(4);
  cluster.await_mesh();
  constexpr std::size_t count = 100;
  for (std::size_t k = 0; k < count; ++k) {
    for (std::uint32_t i = 0; i < 4; ++i) {
      // Sizes below and above what is copied.
      cluster.buses[i]->broadcast(to_bytes(std::to_string(i) + ":" + std::to_string(k) + std::string(k * 40, '.')));
    }
  }
  REQUIRE(cluster.until([&] {
    return std::all_of(cluster.recorders.begin(), cluster.recorders.end(),
                       [](const Recorder& recorder) { return recorder.peer_frames.size() >= 3 * count; });
  }));
  for (std::uint32_t i = 0; i < 4; ++i) {
    std::vector<std::size_t> next(4);
    for (const PeerFrame& frame : cluster.recorders[i].peer_frames) {
      const std::uint32_t from = frame.channel.value;
      const std::size_t k = next[from]++;
      CHECK(frame.text == std::to_string(from) + ":" + std::to_string(k) + std::string(k * 40, '.'));
    }
    for (std::uint32_t j = 0; j < 4; ++j) CHECK(next[j] == (i == j ? 0 : count));
  }
}

TEST_CASE("a frame to one replica reaches that one only") {
  Cluster cluster(4);
  cluster.await_mesh();
  for (std::uint32_t i = 0; i < 4; ++i) {
    for (std::uint32_t j = 0; j < 4; ++j) {
      if (i != j) cluster.buses[i]->send(ReplicaId{j}, to_bytes(std::to_string(i) + "->" + std::to_string(j)));
    }
  }
  REQUIRE(cluster.until([&] {
    return std::all_of(cluster.recorders.begin(), cluster.recorders.end(),
                       [](const Recorder& recorder) { return recorder.peer_frames.size() >= 3; });
  }));
  for (std::uint32_t j = 0; j < 4; ++j) {
    CHECK(cluster.recorders[j].peer_frames.size() == 3);
    for (const PeerFrame& frame : cluster.recorders[j].peer_frames) {
      CHECK(frame.text == std::to_string(frame.channel.value) + "->" + std::to_string(j));
    }
  }
}

TEST_CASE("a replica that is alone, or sends to itself or to nobody, goes on") {
  Cluster cluster(1);
  NodeBus& bus = *cluster.buses[0];
  bus.broadcast(to_bytes("nobody"));
  bus.send(ReplicaId{0}, to_bytes("me"));
  bus.send(ReplicaId{9}, to_bytes("nobody"));
  CHECK(counter(bus, "peer.send_dropped") == 2);
  bus.poll(1ms, 10, cluster.recorders[0]);
}

TEST_CASE("poll hands over no more than it was asked for and takes turns") {
  Cluster cluster(3);
  cluster.await_mesh();
  for (int k = 0; k < 200; ++k) {
    cluster.buses[1]->broadcast(to_bytes("one"));
    cluster.buses[2]->broadcast(to_bytes("two"));
  }
  NodeBus& bus = *cluster.buses[0];
  Recorder& recorder = cluster.recorders[0];
  // Both senders' frames are in the kernel or in libzmq; the first hundred read must not be all of one of them.
  REQUIRE(until([&] { return recorder.peer_frames.size() >= 100; },
                [&] {
                  const std::size_t before = recorder.peer_frames.size();
                  bus.poll(10ms, 7, recorder);
                  CHECK(recorder.peer_frames.size() <= before + 7);
                }));
  REQUIRE(cluster.until([&] { return recorder.peer_frames.size() == 400; }));
}

TEST_CASE("a client's frames that are slow to handle end the poll one by one, and replicas' frames come in between") {
  auto now = Clock::time_point{};
  Cluster cluster(2, [&](NodeBusOptions& options) { options.clock = [&now] { return now; }; });
  cluster.await_mesh();
  NodeBus& bus = *cluster.buses[0];
  Recorder& recorder = cluster.recorders[0];
  constexpr std::size_t count = 40;
  auto client = cluster.client(crypto::Identity::generate());
  for (std::size_t i = 0; i < count; ++i) client->send(ReplicaId{0}, to_bytes("slow"));
  for (std::size_t i = 0; i < count; ++i) cluster.buses[1]->broadcast(to_bytes("peer"));

  recorder.on_client = [&](const ClientFrame&) { now += 60ms; };
  REQUIRE(until([&] { return recorder.client_frames.size() == count && recorder.peer_frames.size() == count; },
                [&] {
                  client->poll(0us, 10, [](const SharedBytes&, ReplicaId, std::size_t) {});
                  const std::size_t before = recorder.client_frames.size();
                  bus.poll(1ms, 256, recorder);
                  CHECK(recorder.client_frames.size() <= before + 1);
                }));
}

TEST_CASE("wake ends a poll from another thread, and is not lost if it comes first") {
  Cluster cluster(1);
  NodeBus& bus = *cluster.buses[0];
  Recorder nothing;
  bus.poll(0us, 10, nothing);

  bus.wake();
  auto start = Clock::now();
  bus.poll(1h, 10, nothing);
  std::thread waker([&] { bus.wake(); });
  bus.poll(1h, 10, nothing);
  waker.join();
  CHECK(Clock::now() - start < 10min);  // that it got here is the point
}

TEST_CASE("a peer that restarts on its ports is connected again by itself") {
  Cluster cluster(3);
  cluster.await_mesh();
  for (int round = 0; round < 2; ++round) {
    cluster.buses[1].reset();
    cluster.open(1);
    cluster.await_mesh();
  }
  CHECK(counter(*cluster.buses[0], "link.down") >= 1);
}

TEST_CASE("a peer whose port answered with something else is connected again once it is there") {
  Cluster cluster(2);
  cluster.await_mesh();
  cluster.buses[1].reset();
  const auto given_up = counter(*cluster.buses[0], "link.renewed");
  {
    // A ROUTER without CURVE in the place of the peer's: libzmq takes that as final and stops reconnecting.
    zmq::context_t context;
    zmq::socket_t impostor(context, zmq::socket_type::router);
    impostor.set(zmq::sockopt::linger, 0);
    REQUIRE(until([&] { return zmq_bind(impostor.handle(), cluster.addresses[1].endpoints.peer.c_str()) == 0; },
                  [&] { cluster.poll(); }));
    REQUIRE(cluster.until([&] { return counter(*cluster.buses[0], "link.handshake_failed") > 0; }));
    REQUIRE(cluster.until([&] { return counter(*cluster.buses[0], "link.renewed") >= given_up + 3; }));
  }
  cluster.open(1);
  cluster.await_mesh();
}

TEST_CASE("what is sent to a peer that is not there is dropped and counted, not kept for it") {
  Cluster cluster(2);
  cluster.await_mesh();
  cluster.buses[1].reset();
  NodeBus& bus = *cluster.buses[0];
  REQUIRE(cluster.until([&] { return !bus.connected(ReplicaId{1}); }));
  const auto before = counter(bus, "peer.send_dropped");
  REQUIRE(until([&] { return counter(bus, "peer.send_dropped") > before; },
                [&] {
                  bus.send(ReplicaId{1}, to_bytes("stale"));
                  cluster.poll();
                }));
  const auto dropped = counter(bus, "peer.send_dropped");
  for (int i = 0; i < 1'000; ++i) bus.send(ReplicaId{1}, to_bytes("stale"));
  CHECK(counter(bus, "peer.send_dropped") == dropped + 1'000);
  for (int i = 0; i < 1'000; ++i) bus.broadcast(to_bytes("stale"));

  cluster.recorders[1] = {};
  cluster.open(1);
  REQUIRE(until(
      [&] {
        return cluster.recorders[1].has_from_peer("fresh", ReplicaId{0}) &&
               cluster.recorders[1].has_from_peer("fresh to all", ReplicaId{0});
      },
      [&] {
        bus.send(ReplicaId{1}, to_bytes("fresh"));
        bus.broadcast(to_bytes("fresh to all"));
        cluster.poll();
      }));
  CHECK_FALSE(cluster.recorders[1].has_from_peer("stale", ReplicaId{0}));
}

TEST_CASE("a frame that the receiver would refuse is not sent") {
  Cluster cluster(2, [](NodeBusOptions& options) { options.max_frame_bytes = 10'000; });
  cluster.await_mesh();
  cluster.buses[0]->broadcast(Bytes(10'001));
  cluster.buses[0]->send(ReplicaId{1}, Bytes(10'001));
  cluster.buses[0]->send(ReplicaId{1}, Bytes(10'000));
  CHECK(counter(*cluster.buses[0], "send.oversized") == 2);
  REQUIRE(cluster.until([&] { return !cluster.recorders[1].peer_frames.empty(); }));
  CHECK(cluster.recorders[1].peer_frames.front().text.size() == 10'000);
}

TEST_CASE("an endpoint that cannot be had is an error that names it") {
  Cluster cluster(2);
  auto options = cluster.options(1);
  const auto again = NodeBus::open(cluster.identities[1], options);
  REQUIRE_FALSE(again);
  CHECK(again.error().find(options.bind.publish) != std::string::npos);

  options.bind = {any_port, any_port, any_port};
  options.replicas[0].endpoints.peer = "nonsense";
  const auto nowhere = NodeBus::open(cluster.identities[1], options);
  REQUIRE_FALSE(nowhere);
  CHECK(nowhere.error().find("nonsense") != std::string::npos);
  CHECK(nowhere.error().find("replica 0") != std::string::npos);

  options.self = ReplicaId{2};
  CHECK_FALSE(NodeBus::open(cluster.identities[1], options));
}

TEST_CASE("a port of * picks a free one and bound() names it") {
  Cluster cluster(1);
  auto options = cluster.options(0);
  options.bind = {any_port, any_port, any_port};
  const auto bus = NodeBus::open(cluster.identities[0], options);
  REQUIRE(bus);
  for (const std::string& endpoint : {(*bus)->bound().publish, (*bus)->bound().peer, (*bus)->bound().client}) {
    CHECK(endpoint.rfind("tcp://127.0.0.1:", 0) == 0);
    CHECK(endpoint.find('*') == std::string::npos);
  }
}

TEST_CASE("a frame stays valid after the bus is gone") {
  Cluster cluster(2);
  cluster.await_mesh();
  struct Keeper final : NodeBusHandler {
    void on_peer_frame(SharedBytes frame, ReplicaId) override { kept.push_back(std::move(frame)); }
    void on_client_frame(SharedBytes, const CurveKey&, Origin) override {}
    std::vector<SharedBytes> kept;
  } keeper;
  cluster.buses[0]->broadcast(to_bytes("short"));
  cluster.buses[0]->broadcast(Bytes(100'000, 7));
  REQUIRE(until([&] { return keeper.kept.size() == 2; }, [&] { cluster.buses[1]->poll(10ms, 10, keeper); }));
  cluster.buses.clear();
  CHECK(as_text(keeper.kept[0].view()) == "short");
  CHECK(keeper.kept[1] == SharedBytes::own(Bytes(100'000, 7)));
}

}  // namespace
}  // namespace pbft::bus::testing
