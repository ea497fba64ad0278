// What outsiders, admitted clients and faulty replicas may send, and that everybody else is served all the same.
#include <atomic>
#include <optional>
#include <random>
#include <thread>

#include "tests/bus/bus_fixture.h"

namespace pbft::bus::testing {
namespace {

constexpr std::size_t small_frame = 10'000;

void small_frames(NodeBusOptions& options) {
  options.max_frame_bytes = small_frame;
}

// The whole cluster, and an honest client of replica 0, are served.
void check_service(Cluster& cluster) {
  cluster.await_mesh();
  auto client = cluster.client(crypto::Identity::generate());
  const auto before = cluster.recorders[0].count_from_clients("honest");
  bool answered = false;
  cluster.recorders[0].on_client = [&](const ClientFrame& frame) {
    if (frame.text == "honest") cluster.buses[0]->answer({}, frame.origin, to_bytes("served"));
  };
  client->send(ReplicaId{0}, to_bytes("honest"));
  REQUIRE(cluster.until([&] {
    client->poll(100us, 10, [&](const SharedBytes& frame, ReplicaId, std::size_t) {
      answered = as_text(frame.view()) == "served";
    });
    return answered;
  }));
  cluster.recorders[0].on_client = {};
  CHECK(cluster.recorders[0].count_from_clients("honest") == before + 1);
}

TEST_CASE("random bytes on every port: the connections end, nothing arrives, the service goes on") {
  Cluster cluster(2);
  cluster.await_mesh();
  NodeBus& node = *cluster.buses[0];
  std::mt19937 random(20'240'607);  // NOLINT: the same bytes every time
  const std::string zmtp_greeting =
      std::string("\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01", 12) + "CURVE" + std::string(64 - 12 - 5, '\0');
  const auto seen = [&] { return counter(node, "peer.disconnected") + counter(node, "client.disconnected"); };
  const auto frames = [&] {
    return counter(node, "client.frames_received") + counter(node, "zap.accepted") + counter(node, "client.accepted") +
           counter(node, "peer.accepted");
  };
  const auto frames_before = frames();
  std::size_t connections = 0;
  const auto seen_before = seen();
  for (const std::string& endpoint : {node.bound().publish, node.bound().peer, node.bound().client}) {
    for (std::size_t size : {0, 1, 9, 64, 65, 1'000, 100'000}) {
      // Pure noise, and noise after a proper greeting.
      for (const bool greeted : {false, true}) {
        Bytes bytes = greeted ? to_bytes(zmtp_greeting) : Bytes{};
        for (std::size_t i = 0; i < size; ++i) bytes.push_back(static_cast<std::uint8_t>(random()));
        TcpSocket socket;
        socket.connect(endpoint);
        socket.send(bytes);
        ++connections;
        cluster.poll();
      }
    }
  }
  REQUIRE(cluster.until([&] { return seen() >= seen_before + connections; }));
  CHECK(frames() == frames_before);
  CHECK(cluster.recorders[0].client_frames.empty());
  check_service(cluster);
}

TEST_CASE("connections that say nothing hold nobody up") {
  Cluster cluster(2);
  std::vector<TcpSocket> silent(60);
  for (std::size_t i = 0; i < silent.size(); ++i) {
    const Endpoints& bound = cluster.buses[0]->bound();
    silent[i].connect(i % 3 == 0 ? bound.publish : i % 3 == 1 ? bound.peer : bound.client);
  }
  check_service(cluster);
}

TEST_CASE("a client's frames that are too long or in several parts are dropped and counted") {
  Cluster cluster(2, small_frames);
  NodeBus& node = *cluster.buses[0];
  Outsider client(zmq::socket_type::dealer);
  client.with_curve(crypto::Identity::generate(), cluster.curve_key(0)).connect(node.bound().client);

  client.send("part", ZMQ_SNDMORE);
  client.send("another", ZMQ_SNDMORE);
  client.send("last");
  client.send("", ZMQ_SNDMORE);  // what a REQ socket puts in front
  client.send("request");
  REQUIRE(cluster.until([&] { return counter(node, "client.multipart") == 2; }));
  client.send(std::string(small_frame + 1, 'x'));
  REQUIRE(cluster.until([&] { return counter(node, "client.oversized") == 1; }));
  client.send(std::string(small_frame, 'x'));
  REQUIRE(cluster.until([&] { return cluster.recorders[0].client_frames.size() == 1; }));
  CHECK(cluster.recorders[0].client_frames[0].text.size() == small_frame);

  // Far too long: libzmq ends the connection before it takes the bytes in.
  const auto before = counter(node, "client.disconnected");
  client.send(std::string(50 * small_frame, 'x'));
  REQUIRE(cluster.until([&] { return counter(node, "client.disconnected") > before; }));
  CHECK(cluster.recorders[0].client_frames.size() == 1);
  check_service(cluster);
}

TEST_CASE("a client's frames have a limit of their own, below that of replicas") {
  Cluster cluster(2);
  cluster.await_mesh();
  NodeBus& node = *cluster.buses[0];
  Outsider client(zmq::socket_type::dealer);
  client.with_curve(crypto::Identity::generate(), cluster.curve_key(0)).connect(node.bound().client);
  client.send(std::string(max_client_frame_bytes + 1, 'x'));
  REQUIRE(cluster.until([&] { return counter(node, "client.oversized") == 1; }));
  const auto before = counter(node, "client.disconnected");
  client.send(std::string(max_client_frame_bytes + (1U << 20), 'x'));
  REQUIRE(cluster.until([&] { return counter(node, "client.disconnected") > before; }));
  CHECK(cluster.recorders[0].client_frames.empty());
  cluster.buses[1]->send(ReplicaId{0}, Bytes(max_client_frame_bytes + (1U << 20)));
  REQUIRE(cluster.until([&] { return cluster.recorders[0].peer_frames.size() == 1; }));
}

TEST_CASE("a replica's frames that are too long or in several parts are dropped and counted") {
  Cluster cluster(3, small_frames);
  cluster.await_mesh();
  // Replica 2 is taken over by somebody who holds its key.
  cluster.buses[2].reset();
  NodeBus& node = *cluster.buses[0];
  Outsider dealer(zmq::socket_type::dealer);
  dealer.with_curve(cluster.identities[2], cluster.curve_key(0)).connect(node.bound().peer);
  dealer.send("one", ZMQ_SNDMORE);
  dealer.send("two");
  REQUIRE(cluster.until([&] { return counter(node, "peer.multipart") == 1; }));
  dealer.send(std::string(small_frame + 1, 'x'));
  REQUIRE(cluster.until([&] { return counter(node, "peer.oversized") == 1; }));
  dealer.send("fine");
  REQUIRE(cluster.until([&] { return cluster.recorders[0].has_from_peer("fine", ReplicaId{2}); }));
  CHECK(cluster.recorders[0].peer_frames.size() == 1);
  const auto before = counter(node, "peer.disconnected");
  dealer.send(std::string(50 * small_frame, 'x'));
  REQUIRE(cluster.until([&] { return counter(node, "peer.disconnected") > before; }));

  // The same from its PUB, and frames that it sends backwards through its ROUTER.
  zmq::context_t context;
  zmq::socket_t publisher(context, zmq::socket_type::pub);
  zmq::socket_t router(context, zmq::socket_type::router);
  for (zmq::socket_t* socket : {&publisher, &router}) {
    const auto curve = cluster.identities[2].curve();
    socket->set(zmq::sockopt::linger, 0);
    socket->set(zmq::sockopt::curve_server, true);
    REQUIRE(zmq_setsockopt(socket->handle(), ZMQ_CURVE_SECRETKEY, curve.secret_key.data(), 32) == 0);
  }
  REQUIRE(zmq_bind(publisher.handle(), cluster.addresses[2].endpoints.publish.c_str()) == 0);
  router.set(zmq::sockopt::router_mandatory, true);
  REQUIRE(zmq_bind(router.handle(), cluster.addresses[2].endpoints.peer.c_str()) == 0);
  REQUIRE(cluster.until([&] {
    publisher.send(zmq::str_buffer("one"), zmq::send_flags::sndmore);
    publisher.send(zmq::str_buffer("two"), zmq::send_flags::none);
    publisher.send(zmq::message_t(small_frame + 1), zmq::send_flags::none);
    publisher.send(zmq::str_buffer("published"), zmq::send_flags::none);
    return counter(node, "peer.multipart") > 1 && counter(node, "peer.oversized") > 1 &&
           cluster.recorders[0].has_from_peer("published", ReplicaId{2});
  }));
  zmq::message_t id;
  REQUIRE(cluster.until([&] {
    node.send(ReplicaId{2}, to_bytes("hello"));
    return receive(router, id) == Received::more;
  }));
  drop_rest(router);
  REQUIRE(cluster.until([&] {
    zmq::message_t to;
    to.copy(id);
    zmq::message_t text("backwards", 9);
    if (send(router, to, ZMQ_SNDMORE) == Sent::ok) send(router, text);
    return counter(node, "peer.unexpected") > 0;
  }));
  CHECK_FALSE(cluster.recorders[0].has_from_peer("backwards", ReplicaId{2}));
  CHECK_FALSE(cluster.recorders[0].has_from_peer("two", ReplicaId{2}));
}

TEST_CASE("a flood from one client stops neither another client nor a peer") {
  Cluster cluster(2);
  cluster.await_mesh();
  NodeBus& node = *cluster.buses[0];
  Outsider flooder(zmq::socket_type::dealer);
  flooder.with_curve(crypto::Identity::generate(), cluster.curve_key(0)).connect(node.bound().client);
  std::atomic<bool> stop{false};
  std::thread flood([&] {
    const std::string text(1'000, 'f');
    while (!stop) {
      if (!flooder.send(text)) std::this_thread::yield();
    }
  });
  std::size_t flooded = 0;
  std::size_t served = 0;
  cluster.recorders[0].on_client = [&](const ClientFrame& frame) {
    if (frame.text == "honest") {
      node.answer({}, frame.origin, to_bytes("served"));
    } else {
      ++flooded;
    }
    cluster.recorders[0].client_frames.clear();
  };
  auto client = cluster.client(crypto::Identity::generate());
  const auto serve_one = [&] {
    const std::size_t wanted = served + 1;
    client->send(ReplicaId{0}, to_bytes("honest"));
    return until([&] { return served >= wanted; },
                 [&] {
                   node.poll(1ms, 64, cluster.recorders[0]);
                   client->poll(100us, 10, [&](const SharedBytes&, ReplicaId, std::size_t) { ++served; });
                 });
  };
  bool ok = until([&] { return flooded > 1'000; }, [&] { node.poll(1ms, 64, cluster.recorders[0]); });
  const std::size_t flooded_before = flooded;
  for (int i = 0; ok && i < 50; ++i) {
    cluster.buses[1]->send(ReplicaId{0}, to_bytes("peer " + std::to_string(i)));
    cluster.buses[1]->broadcast(to_bytes("broadcast " + std::to_string(i)));
    ok = serve_one();
  }
  ok = ok && until(
                 [&] {
                   return cluster.recorders[0].has_from_peer("peer 49", ReplicaId{1}) &&
                          cluster.recorders[0].has_from_peer("broadcast 49", ReplicaId{1});
                 },
                 [&] { node.poll(1ms, 64, cluster.recorders[0]); });
  stop = true;
  flood.join();
  REQUIRE(ok);
  CHECK(flooded > flooded_before);  // it went on all the while
}

TEST_CASE("who sends more than is taken and hangs up ends nobody") {
  Cluster cluster(1);
  NodeBus& node = *cluster.buses[0];
  std::optional<Outsider> client(std::in_place, zmq::socket_type::dealer);
  client->with_curve(crypto::Identity::generate(), cluster.curve_key(0)).connect(node.bound().client).send("hello");
  REQUIRE(cluster.until([&] { return cluster.recorders[0].client_frames.size() == 1; }));
  const Origin origin = cluster.recorders[0].client_frames[0].origin;
  // Nobody polls the node, so that its queue and the kernel's fill, until the client's own is full.
  const std::string text(100'000, 'x');
  REQUIRE(testing::until([&] { return !client->send(text); }, [] {}));
  client.reset();
  // What is written to a connection that has been closed tells libzmq that it is gone, with the queue still full.
  for (int i = 0; i < 10; ++i) node.answer({}, origin, Bytes(1'000));
  // Heartbeats of two seconds would end this process now. That nothing happens cannot be awaited.
  std::this_thread::sleep_for(5s);
  check_service(cluster);
}

// A client with room for one frame that it has not read, which the only node has heard of.
Origin connect_deaf(Outsider& deaf, Cluster& cluster) {
  deaf.with_curve(crypto::Identity::generate(), cluster.curve_key(0));
  deaf.socket.set(zmq::sockopt::rcvhwm, 1);
  deaf.connect(cluster.buses[0]->bound().client).send("hello");
  REQUIRE(cluster.until([&] { return cluster.recorders[0].client_frames.size() == 1; }));
  return cluster.recorders[0].client_frames[0].origin;
}

TEST_CASE("a client that does not read its replies loses them, and nobody else's") {
  Cluster cluster(1, [](NodeBusOptions& options) { options.client_send_mark = 10; });
  NodeBus& node = *cluster.buses[0];
  Outsider deaf(zmq::socket_type::dealer);
  const Origin origin = connect_deaf(deaf, cluster);
  REQUIRE(cluster.until([&] {
    for (int i = 0; i < 100; ++i) node.answer({}, origin, Bytes(100'000));
    return counter(node, "client.queue_full") > 100;
  }));
  check_service(cluster);
}

TEST_CASE("what waits for a client that does not read is bounded in bytes, and is sent once it reads") {
  constexpr std::size_t frame = 100'000;
  Cluster cluster(1, [](NodeBusOptions& options) {
    options.client_send_mark = 1'000'000;
    options.connection_send_bytes = 10 * frame;
  });
  NodeBus& node = *cluster.buses[0];
  Outsider deaf(zmq::socket_type::dealer);
  const Origin origin = connect_deaf(deaf, cluster);
  REQUIRE(cluster.until([&] {
    for (int i = 0; i < 100; ++i) node.answer({}, origin, Bytes(frame));
    return counter(node, "client.queue_full") > 1'000;
  }));
  const Bytes last(2 * frame, 'z');
  std::string text;
  REQUIRE(cluster.until([&] {
    node.answer({}, origin, last);
    static_cast<void>(deaf.receive(text));
    return text.size() == last.size();
  }));
}

TEST_CASE("a client that gives itself a name is not served, and can take no other's replies") {
  Cluster cluster(1);
  NodeBus& node = *cluster.buses[0];
  const auto victim_key = crypto::Identity::generate();
  Outsider victim(zmq::socket_type::dealer);
  victim.with_curve(victim_key, cluster.curve_key(0)).connect(node.bound().client).send("victim");
  REQUIRE(cluster.until([&] { return cluster.recorders[0].client_frames.size() == 1; }));
  const Origin origin = cluster.recorders[0].client_frames[0].origin;
  node.learn_route(victim_key.client_id(), SessionId{1}, RequestNumber{1}, origin);

  SECTION("a name of its own") {
    const auto thief = crypto::Identity::generate();
    Outsider first(zmq::socket_type::dealer);
    Outsider second(zmq::socket_type::dealer);
    for (Outsider* outsider : {&first, &second}) {
      outsider->with_curve(thief, cluster.curve_key(0)).with_routing_id("name").connect(node.bound().client);
      outsider->send("intruder");
    }
    REQUIRE(cluster.until([&] { return counter(node, "client.chosen_routing_id") >= 1; }));
  }
  SECTION("the very name that the ROUTER gave to the victim") {
    // Nobody but the node knows it.
    std::string name(5, '\0');
    for (std::size_t i = 1; i < 5; ++i) name[i] = static_cast<char>(origin.value >> (8 * (4 - i)));
    Outsider thief(zmq::socket_type::dealer);
    thief.with_curve(crypto::Identity::generate(), cluster.curve_key(0)).with_routing_id(name);
    const auto accepted = counter(node, "client.accepted");
    thief.connect(node.bound().client).send("intruder");
    REQUIRE(cluster.until([&] { return counter(node, "client.accepted") > accepted; }));
    for (int i = 0; i < 100; ++i) node.reply(victim_key.client_id(), SessionId{1}, RequestNumber{1}, to_bytes("yours"));
    std::string text;
    for (int i = 0; i < 100; ++i) {
      REQUIRE(cluster.until([&] { return victim.receive(text); }));
      CHECK(text == "yours");
    }
    CHECK(thief.received_nothing());
  }
  check_service(cluster);
  CHECK(cluster.recorders[0].count_from_clients("intruder") == 0);
  node.reply(victim_key.client_id(), SessionId{1}, RequestNumber{1}, to_bytes("still yours"));
  std::string text;
  REQUIRE(cluster.until([&] { return victim.receive(text); }));
  CHECK(text == "still yours");
}

}  // namespace
}  // namespace pbft::bus::testing
