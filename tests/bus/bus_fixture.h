// Buses of a cluster in one process, what they received, and sockets of outsiders.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>
#include <zmq.hpp>

#include "node/bus/client_bus.h"
#include "node/bus/node_bus.h"
#include "node/bus/sockets.h"

namespace pbft::bus::testing {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
inline constexpr std::chrono::seconds patience{30};
inline constexpr const char* any_port = "tcp://127.0.0.1:*";

// Runs `step`, which waits a little by itself, until the condition holds.
inline bool until(const std::function<bool()>& condition, const std::function<void()>& step) {
  const auto deadline = Clock::now() + patience;
  while (!condition()) {
    if (Clock::now() > deadline) return false;
    step();
  }
  return true;
}

class TcpSocket {
 public:
  TcpSocket() : descriptor_(::socket(AF_INET, SOCK_STREAM, 0)) { REQUIRE(descriptor_ >= 0); }
  ~TcpSocket() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  TcpSocket(TcpSocket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  TcpSocket& operator=(TcpSocket&&) = delete;

  // On a free port of loopback, which it returns.
  std::uint16_t listen() {
    const int on = 1;
    ::setsockopt(descriptor_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address = loopback(0);
    REQUIRE(::bind(descriptor_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(descriptor_, 16) == 0);
    socklen_t size = sizeof address;
    REQUIRE(::getsockname(descriptor_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    return ntohs(address.sin_port);
  }
  void connect(const std::string& endpoint) {
    const auto port = static_cast<std::uint16_t>(std::stoi(endpoint.substr(endpoint.rfind(':') + 1)));
    sockaddr_in address = loopback(port);
    REQUIRE(::connect(descriptor_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  }
  // The other side may hang up at any time.
  void send(BytesView bytes) const { (void)!::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL); }
  [[nodiscard]] int descriptor() const { return descriptor_; }

 private:
  static sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    return address;
  }

  int descriptor_;
};

// Free when they were picked; whoever uses them tries again if one was taken since.
inline std::vector<std::string> free_endpoints(std::size_t count) {
  std::vector<TcpSocket> held(count);
  std::vector<std::string> endpoints;
  for (TcpSocket& socket : held) endpoints.push_back("tcp://127.0.0.1:" + std::to_string(socket.listen()));
  return endpoints;
}

struct PeerFrame {
  std::string text;
  ReplicaId channel;
};
struct ClientFrame {
  std::string text;
  CurveKey channel;
  Origin origin;
};

struct Recorder final : NodeBusHandler {
  void on_peer_frame(SharedBytes frame, ReplicaId channel) override {
    peer_frames.push_back({std::string(as_text(frame.view())), channel});
  }
  void on_client_frame(SharedBytes frame, const CurveKey& channel, Origin origin) override {
    client_frames.push_back({std::string(as_text(frame.view())), channel, origin});
    if (on_client) on_client(client_frames.back());
  }
  [[nodiscard]] bool has_from_peer(std::string_view text, ReplicaId channel) const {
    return std::any_of(peer_frames.begin(), peer_frames.end(),
                       [&](const PeerFrame& frame) { return frame.text == text && frame.channel == channel; });
  }
  [[nodiscard]] std::size_t count_from_clients(std::string_view text) const {
    return static_cast<std::size_t>(std::count_if(client_frames.begin(), client_frames.end(),
                                                  [&](const ClientFrame& frame) { return frame.text == text; }));
  }

  std::vector<PeerFrame> peer_frames;
  std::vector<ClientFrame> client_frames;
  std::function<void(const ClientFrame&)> on_client;
};

inline std::uint64_t counter(const NodeBus& bus, const std::string& name) {
  const BusCounters counters = bus.counters();
  REQUIRE(counters.values.contains(name));
  return counters.values.at(name);
}
inline std::uint64_t counter(const ClientBus& bus, const std::string& name) {
  return bus.counters().at(name);
}

// The buses of `n` replicas. Options may be changed through `adjust`; by default every key is admitted as a client's.
class Cluster {
 public:
  using Adjust = std::function<void(NodeBusOptions&)>;

  explicit Cluster(std::size_t n, Adjust adjust = {}) : adjust_(std::move(adjust)), recorders(n) {
    crypto::initialize();
    for (std::size_t i = 0; i < n; ++i) identities.push_back(crypto::Identity::generate());
    std::string error;
    for (int attempt = 0; attempt < 5; ++attempt) {
      if (try_open(n, error)) return;
    }
    FAIL(error);
  }

  NodeBusOptions options(std::uint32_t id) const {
    NodeBusOptions options;
    options.self = ReplicaId{id};
    options.bind = addresses[id].endpoints;
    options.replicas = addresses;
    options.admit_client = [](const CurveKey&) { return true; };
    options.renew_after = 300ms;
    if (adjust_) adjust_(options);
    return options;
  }
  void open(std::uint32_t id) {
    auto bus = NodeBus::open(identities[id], options(id));
    if (!bus) FAIL(bus.error());
    buses[id] = std::move(*bus);
  }
  ClientBusOptions client_options() const {
    ClientBusOptions options;
    for (const PeerAddress& address : addresses) options.replicas.push_back({address.key, address.endpoints.client});
    options.renew_after = 300ms;
    return options;
  }
  std::unique_ptr<ClientBus> client(const crypto::Identity& identity) const {
    auto bus = ClientBus::open(identity, client_options());
    if (!bus) FAIL(bus.error());
    return std::move(*bus);
  }
  CurveKey curve_key(std::uint32_t id) const { return identities[id].curve().public_key; }

  // Every bus takes what it has.
  void poll() {
    for (std::size_t i = 0; i < buses.size(); ++i) {
      if (buses[i]) buses[i]->poll(200us, 1'000, recorders[i]);
    }
  }
  bool until(const std::function<bool()>& condition) {
    return testing::until(condition, [this] { poll(); });
  }
  // Until broadcasts and single frames get through among all open buses.
  void await_mesh() {
    const std::string hello = "hello " + std::to_string(++meshes_);
    const auto complete = [&] {
      for (std::uint32_t i = 0; i < buses.size(); ++i) {
        for (std::uint32_t j = 0; j < buses.size(); ++j) {
          if (i == j || !buses[i] || !buses[j]) continue;
          if (!recorders[i].has_from_peer(hello, ReplicaId{j})) return false;
          if (!recorders[i].has_from_peer(hello + " you", ReplicaId{j})) return false;
        }
      }
      return true;
    };
    REQUIRE(testing::until(complete, [&] {
      for (auto& bus : buses) {
        if (!bus) continue;
        bus->broadcast(to_bytes(hello));
        for (std::uint32_t j = 0; j < buses.size(); ++j) bus->send(ReplicaId{j}, to_bytes(hello + " you"));
      }
      poll();
    }));
    // What is still on its way has been overtaken by nothing: frames of one connection keep their order.
    const std::string end = hello + " end";
    for (auto& bus : buses) {
      if (!bus) continue;
      bus->broadcast(to_bytes(end));
      for (std::uint32_t j = 0; j < buses.size(); ++j) bus->send(ReplicaId{j}, to_bytes(end));
    }
    REQUIRE(until([&] {
      for (std::uint32_t i = 0; i < buses.size(); ++i) {
        for (std::uint32_t j = 0; j < buses.size(); ++j) {
          if (i == j || !buses[i] || !buses[j]) continue;
          const auto& got = recorders[i].peer_frames;
          if (std::count_if(got.begin(), got.end(), [&](const PeerFrame& frame) {
                return frame.text == end && frame.channel == ReplicaId{j};
              }) < 2) {
            return false;
          }
        }
      }
      return true;
    }));
    for (Recorder& recorder : recorders) recorder.peer_frames.clear();
  }

 private:
  bool try_open(std::size_t n, std::string& error) {
    const auto endpoints = free_endpoints(3 * n);
    addresses.clear();
    buses.clear();
    buses.resize(n);
    for (std::size_t i = 0; i < n; ++i) {
      addresses.push_back({identities[i].public_key(), {endpoints[3 * i], endpoints[3 * i + 1], endpoints[3 * i + 2]}});
    }
    for (std::uint32_t i = 0; i < n; ++i) {
      auto bus = NodeBus::open(identities[i], options(i));
      if (!bus) {
        error = bus.error();
        return false;
      }
      buses[i] = std::move(*bus);
    }
    return true;
  }

  Adjust adjust_;
  int meshes_ = 0;

 public:
  std::vector<crypto::Identity> identities;
  std::vector<PeerAddress> addresses;
  std::vector<std::unique_ptr<NodeBus>> buses;
  std::vector<Recorder> recorders;
};

// A socket outside of the bus classes, for those who do not keep to the rules.
class Outsider {
 public:
  explicit Outsider(zmq::socket_type type) : socket(context, type) {
    socket.set(zmq::sockopt::linger, 0);
    if (type == zmq::socket_type::sub) socket.set(zmq::sockopt::subscribe, "");
  }
  Outsider& with_curve(const crypto::Identity& own, const CurveKey& server) {
    const auto status = configure_client(socket, own.curve(), server, {1'000, 1'000, 64U << 20}, true);
    if (!status) FAIL(status.error());
    return *this;
  }
  Outsider& with_plain() {
    socket.set(zmq::sockopt::plain_username, "admin");
    socket.set(zmq::sockopt::plain_password, "admin");
    return *this;
  }
  Outsider& with_routing_id(const std::string& id) {
    socket.set(zmq::sockopt::routing_id, id);
    return *this;
  }
  Outsider& connect(const std::string& endpoint) {
    socket.connect(endpoint);
    return *this;
  }
  // False: the queue is full.
  bool send(const std::string& text, int flags = 0) {
    zmq::message_t message(text.data(), text.size());
    return bus::send(socket, message, flags) == Sent::ok;
  }
  bool receive(std::string& text) {
    zmq::message_t message;
    if (bus::receive(socket, message) == Received::nothing) return false;
    text = message.to_string();
    return true;
  }
  bool received_nothing() {
    std::string text;
    return !receive(text);
  }

  zmq::context_t context;
  zmq::socket_t socket;
};

}  // namespace pbft::bus::testing
