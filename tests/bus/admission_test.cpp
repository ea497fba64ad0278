// Who may connect: the ZAP handler, its enforcement, and every way around it that ZeroMQ offers.
#include "node/bus/zap.h"
#include "tests/bus/bus_fixture.h"

namespace pbft::bus::testing {
namespace {

struct Door {
  std::string name;
  zmq::socket_type type;
  std::string endpoint;
};
std::vector<Door> doors(const NodeBus& bus) {
  return {{"PUB", zmq::socket_type::sub, bus.bound().publish},
          {"peer ROUTER", zmq::socket_type::dealer, bus.bound().peer},
          {"client ROUTER", zmq::socket_type::dealer, bus.bound().client}};
}

std::uint64_t failed_handshakes(const NodeBus& bus) {
  return counter(bus, "peer.handshake_failed") + counter(bus, "client.handshake_failed");
}

// The cluster goes on: a broadcast goes round, an honest client is heard. The outsider has seen none of it and was
// not heard.
void check_outsider_gets_nothing(Cluster& cluster, const crypto::Identity& honest, Outsider& outsider) {
  cluster.await_mesh();
  auto client = cluster.client(honest);
  cluster.recorders[0].client_frames.clear();
  REQUIRE(cluster.until([&] {
    client->send(ReplicaId{0}, to_bytes("honest"));
    return cluster.recorders[0].count_from_clients("honest") > 0;
  }));
  CHECK(outsider.received_nothing());
  for (const Recorder& recorder : cluster.recorders) {
    CHECK(recorder.count_from_clients("intruder") == 0);
    CHECK_FALSE(recorder.has_from_peer("intruder", ReplicaId{1}));
  }
}

struct GuardedCluster {
  GuardedCluster() {
    crypto::initialize();
    honest = std::make_unique<crypto::Identity>(crypto::Identity::generate());
    cluster = std::make_unique<Cluster>(2, [key = honest->curve().public_key](NodeBusOptions& options) {
      options.admit_client = [key](const CurveKey& asked) { return asked == key; };
    });
    cluster->await_mesh();
  }
  std::unique_ptr<crypto::Identity> honest;
  std::unique_ptr<Cluster> cluster;
};

TEST_CASE("an unknown key gets in nowhere and is counted") {
  GuardedCluster guarded;
  NodeBus& node = *guarded.cluster->buses[0];
  const auto unknown = crypto::Identity::generate();
  for (const Door& door : doors(node)) {
    DYNAMIC_SECTION(door.name) {
      Outsider outsider(door.type);
      outsider.with_curve(unknown, guarded.cluster->curve_key(0)).connect(door.endpoint);
      if (door.type == zmq::socket_type::dealer) outsider.send("intruder");
      REQUIRE(guarded.cluster->until([&] { return counter(node, "zap.refused_unknown_key") >= 1; }));
      check_outsider_gets_nothing(*guarded.cluster, *guarded.honest, outsider);
    }
  }
}

TEST_CASE("a client's key opens no door of the replicas, nor a replica's the clients'") {
  GuardedCluster guarded;
  NodeBus& node = *guarded.cluster->buses[0];
  const auto all = doors(node);
  for (std::size_t i = 0; i < all.size(); ++i) {
    DYNAMIC_SECTION(all[i].name) {
      Outsider outsider(all[i].type);
      const auto& key = i < 2 ? *guarded.honest : guarded.cluster->identities[1];
      outsider.with_curve(key, guarded.cluster->curve_key(0)).connect(all[i].endpoint);
      if (all[i].type == zmq::socket_type::dealer) outsider.send("intruder");
      REQUIRE(guarded.cluster->until([&] { return counter(node, "zap.refused_unknown_key") >= 1; }));
      check_outsider_gets_nothing(*guarded.cluster, *guarded.honest, outsider);
    }
  }
}

TEST_CASE("a second process with this replica's own key is refused") {
  GuardedCluster guarded;
  NodeBus& node = *guarded.cluster->buses[0];
  Outsider outsider(zmq::socket_type::dealer);
  outsider.with_curve(guarded.cluster->identities[0], guarded.cluster->curve_key(0)).connect(node.bound().peer);
  REQUIRE(guarded.cluster->until([&] { return counter(node, "zap.refused_unknown_key") >= 1; }));
}

TEST_CASE("without CURVE nobody gets in") {
  GuardedCluster guarded;
  NodeBus& node = *guarded.cluster->buses[0];
  for (const bool plain : {false, true}) {
    for (const Door& door : doors(node)) {
      DYNAMIC_SECTION((plain ? "PLAIN on " : "NULL on ") << door.name) {
        Outsider outsider(door.type);
        if (plain) outsider.with_plain();
        const auto before = failed_handshakes(node);
        outsider.connect(door.endpoint);
        if (door.type == zmq::socket_type::dealer) outsider.send("intruder");
        REQUIRE(guarded.cluster->until([&] { return failed_handshakes(node) > before; }));
        check_outsider_gets_nothing(*guarded.cluster, *guarded.honest, outsider);
      }
    }
  }
}

TEST_CASE("a client that expects another server's key gets nowhere") {
  GuardedCluster guarded;
  NodeBus& node = *guarded.cluster->buses[0];
  const auto before = failed_handshakes(node);
  Outsider outsider(zmq::socket_type::dealer);
  outsider.with_curve(*guarded.honest, guarded.cluster->curve_key(1)).connect(node.bound().client);
  outsider.send("intruder");
  REQUIRE(guarded.cluster->until([&] { return failed_handshakes(node) > before; }));
  check_outsider_gets_nothing(*guarded.cluster, *guarded.honest, outsider);
}

TEST_CASE("while the ZAP handler is stopped nobody gets in, with the right key neither") {
  GuardedCluster guarded;
  Cluster& cluster = *guarded.cluster;
  NodeBus& node = *cluster.buses[0];
  auto before_stop = cluster.client(*guarded.honest);
  REQUIRE(cluster.until([&] {
    before_stop->send(ReplicaId{0}, to_bytes("in already"));
    return cluster.recorders[0].count_from_clients("in already") > 0;
  }));

  node.stop_zap_for_testing();
  const auto unknown = crypto::Identity::generate();
  const auto accepted = counter(node, "zap.accepted");
  for (const crypto::Identity& identity : {*guarded.honest, unknown, cluster.identities[1]}) {
    for (const Door& door : doors(node)) {
      CAPTURE(door.name);
      Outsider outsider(door.type);
      const auto before = failed_handshakes(node);
      outsider.with_curve(identity, cluster.curve_key(0)).connect(door.endpoint);
      if (door.type == zmq::socket_type::dealer) outsider.send("intruder");
      REQUIRE(cluster.until([&] { return failed_handshakes(node) > before; }));
      node.broadcast(to_bytes("secret"));
      CHECK(outsider.received_nothing());
    }
  }
  CHECK(counter(node, "zap.accepted") == accepted);
  CHECK(cluster.recorders[0].count_from_clients("intruder") == 0);
  CHECK_FALSE(cluster.recorders[0].has_from_peer("intruder", ReplicaId{1}));

  // Connections that stand go on.
  const auto heard = cluster.recorders[0].count_from_clients("in already");
  REQUIRE(cluster.until([&] {
    before_stop->send(ReplicaId{0}, to_bytes("in already"));
    return cluster.recorders[0].count_from_clients("in already") > heard;
  }));
}

TEST_CASE("it is ZMQ_ZAP_ENFORCE_DOMAIN that refuses when no handler answers") {
  crypto::initialize();
  const auto server = crypto::Identity::generate();
  const auto client = crypto::Identity::generate();
  const bool enforced = GENERATE(true, false);
  CAPTURE(enforced);

  // A context without a ZAP handler.
  zmq::context_t context;
  MonitorSet monitors(context);
  std::uint64_t up = 0;
  std::uint64_t failed = 0;
  zmq::socket_t router(context, zmq::socket_type::router);
  REQUIRE(configure_server(router, server.curve(), "clients", {10, 10, 1'000}));
  if (!enforced) {
    const int off = 0;
    REQUIRE(zmq_setsockopt(router.handle(), zap_enforce_domain, &off, sizeof off) == 0);
  }
  REQUIRE(monitors.add(router, [&](ConnectionEvent event) {
    up += event == ConnectionEvent::up ? 1 : 0;
    failed += event == ConnectionEvent::handshake_failed ? 1 : 0;
  }));
  const auto endpoint = bus::bind(router, any_port);
  REQUIRE(endpoint);
  Outsider outsider(zmq::socket_type::dealer);
  outsider.with_curve(client, server.curve().public_key).connect(*endpoint).send("hello");
  zmq::message_t message;
  bool heard = false;
  REQUIRE(until([&] { return enforced ? failed > 0 : heard; },
                [&] {
                  zmq_pollitem_t item{router.handle(), 0, ZMQ_POLLIN, 0};
                  zmq_poll(&item, 1, 1);
                  monitors.drain();
                  heard = heard || receive(router, message) != Received::nothing;
                }));
  CHECK(heard == !enforced);
  if (enforced) CHECK(up == 0);
  unwatch(router);
}

TEST_CASE("an empty ZAP domain, which libzmq would not ask about, is refused") {
  crypto::initialize();
  zmq::context_t context;
  zmq::socket_t router(context, zmq::socket_type::router);
  CHECK_FALSE(configure_server(router, crypto::Identity::generate().curve(), "", {10, 10, 1'000}));
}

// Speaks to the handler itself, as no libzmq would.
struct ZapAsker {
  ZapAsker() {
    Admission admission;
    admission["replicas"] = [](const CurveKey& key) { return key[0] == 1; };
    auto bound = ZapHandler::bind(context, std::move(admission), counters, monitors);
    REQUIRE(bound);
    handler = std::move(*bound);
    handler->start();
    socket = zmq::socket_t(context, zmq::socket_type::req);
    socket.set(zmq::sockopt::linger, 0);
    socket.connect("inproc://zeromq.zap.01");
  }
  std::vector<std::string> ask(const std::vector<std::string>& request) {
    for (std::size_t i = 0; i < request.size(); ++i) {
      socket.send(zmq::buffer(request[i]), i + 1 < request.size() ? zmq::send_flags::sndmore : zmq::send_flags::none);
    }
    std::vector<std::string> reply;
    zmq::message_t part;
    do {
      REQUIRE(socket.recv(part));
      reply.push_back(part.to_string());
    } while (part.more());
    REQUIRE(reply.size() == 6);
    CHECK(reply[0] == "1.0");
    return reply;
  }

  zmq::context_t context;
  Counters counters;
  MonitorSet monitors{context};
  std::unique_ptr<ZapHandler> handler;
  zmq::socket_t socket;
};

TEST_CASE("the handler admits CURVE with a known key in a known domain, and nothing else") {
  ZapAsker zap;
  std::string known(32, '\0');
  known[0] = 1;
  const std::string unknown(32, '\0');

  auto reply = zap.ask({"1.0", "17", "replicas", "127.0.0.1", "", "CURVE", known});
  CHECK(reply[1] == "17");
  CHECK(reply[2] == "200");
  CHECK(reply[4] == "01" + std::string(62, '0'));
  CHECK(zap.counters.get(Counter::zap_accepted) == 1);

  CHECK(zap.ask({"1.0", "1", "replicas", "", "", "CURVE", unknown})[2] == "400");
  CHECK(zap.counters.get(Counter::zap_refused_unknown_key) == 1);
  CHECK(zap.ask({"1.0", "1", "other", "", "", "CURVE", known})[2] == "400");
  CHECK(zap.counters.get(Counter::zap_refused_domain) == 1);
  CHECK(zap.ask({"1.0", "1", "replicas", "", "", "NULL"})[2] == "400");
  CHECK(zap.ask({"1.0", "1", "replicas", "", "", "PLAIN", "admin", "admin"})[2] == "400");
  CHECK(zap.counters.get(Counter::zap_refused_mechanism) == 2);
  CHECK(zap.ask({"1.0", "1", "replicas", "", "", "CURVE", known + "x"})[2] == "500");
  CHECK(zap.ask({"1.0", "1", "replicas", "", "", "CURVE"})[2] == "500");
  CHECK(zap.ask({"2.0", "1", "replicas", "", "", "CURVE", known})[2] == "500");
  CHECK(zap.ask({"1.0"})[2] == "500");
  CHECK(zap.counters.get(Counter::zap_malformed) == 4);
  CHECK(zap.counters.get(Counter::zap_accepted) == 1);
}

}  // namespace
}  // namespace pbft::bus::testing
