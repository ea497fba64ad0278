#include "node/bus/sockets.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>

namespace pbft::bus {
namespace {

constexpr int handshake_ms = 5'000;
constexpr int reconnect_ms = 50;
constexpr int reconnect_max_ms = 1'000;
// Connections that wait to be accepted: clients come all at once where a replica was restarted, and who finds no room
// tries again after a second, and then after ever longer times. The kernel may allow fewer (net.core.somaxconn).
constexpr int backlog = 4'096;
constexpr int keepalive_idle_s = 5;
constexpr int keepalive_interval_s = 5;
constexpr int unacknowledged_ms = 20'000;
constexpr std::size_t handshake_bytes = 1'024;  // no part of a CURVE handshake is longer

// Collects the first failure, so that a list of options reads as a list.
class Options {
 public:
  explicit Options(zmq::socket_t& socket) : socket_(socket) {}

  Options& set(int option, const char* name, const void* value, std::size_t size) {
    if (error_.empty() && zmq_setsockopt(socket_.handle(), option, value, size) != 0) {
      error_ = std::string("cannot set the socket option ") + name + ": " + zmq_strerror(errno);
    }
    return *this;
  }
  Options& set(int option, const char* name, int value) { return set(option, name, &value, sizeof value); }

  [[nodiscard]] Status status() const {
    if (!error_.empty()) return tl::unexpected(error_);
    return {};
  }

 private:
  zmq::socket_t& socket_;
  std::string error_;
};

// A party that vanished without a word is noticed by TCP itself. ZeroMQ's heartbeats would end the process: where a
// queue is full and the other side hangs up, libzmq keeps the connection until the queue has room, and its timer then
// asserts that the connection stands (4.3.4 and later, libzmq issue 4364).
void set_common(Options& options, const QueueLimits& limits) {
  const auto largest = static_cast<std::int64_t>(std::max(limits.frame_bytes + curve_overhead, handshake_bytes));
  options.set(ZMQ_MAXMSGSIZE, "ZMQ_MAXMSGSIZE", &largest, sizeof largest)
      .set(ZMQ_SNDHWM, "ZMQ_SNDHWM", limits.send_frames)
      .set(ZMQ_RCVHWM, "ZMQ_RCVHWM", limits.receive_frames)
      .set(ZMQ_LINGER, "ZMQ_LINGER", 0)
      .set(ZMQ_HANDSHAKE_IVL, "ZMQ_HANDSHAKE_IVL", handshake_ms)
      .set(ZMQ_TCP_KEEPALIVE, "ZMQ_TCP_KEEPALIVE", 1)
      .set(ZMQ_TCP_KEEPALIVE_IDLE, "ZMQ_TCP_KEEPALIVE_IDLE", keepalive_idle_s)
      .set(ZMQ_TCP_KEEPALIVE_INTVL, "ZMQ_TCP_KEEPALIVE_INTVL", keepalive_interval_s)
      .set(ZMQ_TCP_MAXRT, "ZMQ_TCP_MAXRT", unacknowledged_ms)
      .set(ZMQ_RECONNECT_IVL, "ZMQ_RECONNECT_IVL", reconnect_ms)
      .set(ZMQ_RECONNECT_IVL_MAX, "ZMQ_RECONNECT_IVL_MAX", reconnect_max_ms);
}

// libzmq resolves names to IPv6 addresses too once this is on, which then fail on a host without IPv6.
Status allow_ipv6_if_needed(zmq::socket_t& socket, const std::string& endpoint) {
  if (endpoint.find('[') == std::string::npos) return {};
  return Options(socket).set(ZMQ_IPV6, "ZMQ_IPV6", 1).status();
}

}  // namespace

Status configure_server(zmq::socket_t& socket, const crypto::CurveKeyPair& own, const std::string& domain,
                        const QueueLimits& limits) {
  if (domain.empty()) return tl::unexpected(std::string("the ZAP domain must not be empty"));
  Options options(socket);
  set_common(options, limits);
  options.set(ZMQ_BACKLOG, "ZMQ_BACKLOG", backlog)
      .set(ZMQ_CURVE_SERVER, "ZMQ_CURVE_SERVER", 1)
      .set(ZMQ_CURVE_SECRETKEY, "ZMQ_CURVE_SECRETKEY", own.secret_key.data(), own.secret_key.size())
      .set(ZMQ_ZAP_DOMAIN, "ZMQ_ZAP_DOMAIN", domain.data(), domain.size())
      .set(zap_enforce_domain, "ZMQ_ZAP_ENFORCE_DOMAIN", 1);
  if (const auto status = options.status(); !status) return status;

  int enforced = 0;
  std::size_t size = sizeof enforced;
  if (zmq_getsockopt(socket.handle(), zap_enforce_domain, &enforced, &size) != 0 || enforced != 1) {
    return tl::unexpected(std::string("this libzmq does not enforce ZAP domains; 4.3 or later is needed"));
  }
  return {};
}

Status configure_client(zmq::socket_t& socket, const crypto::CurveKeyPair& own, const CurveKey& server,
                        const QueueLimits& limits, bool queue_unconnected) {
  Options options(socket);
  set_common(options, limits);
  options.set(ZMQ_CURVE_SERVERKEY, "ZMQ_CURVE_SERVERKEY", server.data(), server.size())
      .set(ZMQ_CURVE_PUBLICKEY, "ZMQ_CURVE_PUBLICKEY", own.public_key.data(), own.public_key.size())
      .set(ZMQ_CURVE_SECRETKEY, "ZMQ_CURVE_SECRETKEY", own.secret_key.data(), own.secret_key.size())
      .set(ZMQ_IMMEDIATE, "ZMQ_IMMEDIATE", queue_unconnected ? 0 : 1);
  return options.status();
}

tl::expected<std::string, std::string> bind(zmq::socket_t& socket, const std::string& endpoint) {
  if (const auto status = allow_ipv6_if_needed(socket, endpoint); !status) return tl::unexpected(status.error());
  if (zmq_bind(socket.handle(), endpoint.c_str()) != 0) {
    return tl::unexpected("cannot bind " + endpoint + ": " + zmq_strerror(errno));
  }
  std::array<char, 512> bound{};
  std::size_t size = bound.size();
  if (zmq_getsockopt(socket.handle(), ZMQ_LAST_ENDPOINT, bound.data(), &size) != 0) {
    return tl::unexpected("cannot read back the endpoint of " + endpoint + ": " + zmq_strerror(errno));
  }
  return std::string(bound.data());
}

Status connect(zmq::socket_t& socket, const std::string& endpoint) {
  if (auto status = allow_ipv6_if_needed(socket, endpoint); !status) return status;
  if (zmq_connect(socket.handle(), endpoint.c_str()) != 0) {
    return tl::unexpected("cannot connect to " + endpoint + ": " + zmq_strerror(errno));
  }
  return {};
}

void renew(zmq::socket_t& socket, const std::string& endpoint) {
  // Neither can fail in a way that matters: the endpoint was accepted before, and the caller tries again later.
  zmq_disconnect(socket.handle(), endpoint.c_str());
  zmq_connect(socket.handle(), endpoint.c_str());
}

Sent send(zmq::socket_t& socket, zmq::message_t& message, int flags) {
  while (zmq_msg_send(message.handle(), socket.handle(), flags | ZMQ_DONTWAIT) < 0) {
    if (errno == EINTR) continue;
    return errno == EHOSTUNREACH ? Sent::unreachable : Sent::full;
  }
  return Sent::ok;
}

Received receive(zmq::socket_t& socket, zmq::message_t& message) {
  while (zmq_msg_recv(message.handle(), socket.handle(), ZMQ_DONTWAIT) < 0) {
    if (errno != EINTR) return Received::nothing;
  }
  return message.more() ? Received::more : Received::frame;
}

void drop_rest(zmq::socket_t& socket) {
  zmq::message_t part;
  while (receive(socket, part) == Received::more) {
  }
}

bool readable(zmq::socket_t& socket) {
  int events = 0;
  std::size_t size = sizeof events;
  while (zmq_getsockopt(socket.handle(), ZMQ_EVENTS, &events, &size) != 0) {
    if (errno != EINTR) return false;
  }
  return (events & ZMQ_POLLIN) != 0;
}

zmq::message_t to_message(Bytes frame) {
  if (frame.size() < copy_below) return {frame.data(), frame.size()};
  auto owner = std::make_unique<Bytes>(std::move(frame));
  zmq::message_t message(
      owner->data(), owner->size(), [](void*, void* hint) { delete static_cast<Bytes*>(hint); }, owner.get());
  static_cast<void>(owner.release());
  return message;
}

SharedBytes to_shared(zmq::message_t&& message) {
  auto owner = std::make_shared<zmq::message_t>(std::move(message));
  const BytesView view{static_cast<const std::uint8_t*>(owner->data()), owner->size()};
  return SharedBytes::alias(std::move(owner), view);
}

std::string to_user_id(const CurveKey& key) {
  return crypto::to_hex(BytesView{key});
}

const char* user_id(zmq::message_t& message) {
  return zmq_msg_gets(message.handle(), "User-Id");
}

}  // namespace pbft::bus
