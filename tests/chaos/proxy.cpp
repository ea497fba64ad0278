#include "tests/chaos/proxy.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <system_error>

namespace pbft::chaos {
namespace {

constexpr std::size_t piece_bytes = 64 * 1024;
// What a direction keeps before the sender has to wait; with small buffers in the kernel, so that it soon does.
constexpr std::size_t most_waiting = 1024 * 1024;
constexpr int kernel_buffer_bytes = 64 * 1024;
constexpr int longest_wait_ms = 1'000;

std::uint64_t now_us() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

int check(int result, const char* what) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), what);
  return result;
}

void set_option(int fd, int level, int option, int value) {
  check(::setsockopt(fd, level, option, &value, sizeof value), "setsockopt");
}

int make_socket() {
  return check(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket");
}

void configure(int fd) {
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(fd, SOL_SOCKET, SO_RCVBUF, kernel_buffer_bytes);
  set_option(fd, SOL_SOCKET, SO_SNDBUF, kernel_buffer_bytes);
}

}  // namespace

Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

void Descriptor::reset() {
  if (fd_ < 0) return;
  const linger at_once{1, 0};
  static_cast<void>(::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once));
  ::close(std::exchange(fd_, -1));
}

Proxy::Proxy(std::uint64_t seed) : random_(sim::Random::stream(seed, "proxy")) {}

Proxy::~Proxy() = default;

std::uint16_t Proxy::link(const std::string& from, const std::string& to, std::uint16_t port) {
  Descriptor listener{make_socket()};
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  check(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size), "bind");
  check(::listen(listener.get(), SOMAXCONN), "listen");
  check(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size), "getsockname");
  links_.push_back({from, to, port, std::move(listener)});
  return ntohs(address.sin_port);
}

// ---- Rules ------------------------------------------------------------------------------------------------

const Rule& Proxy::rule_of(const Pipe& pipe) const {
  static const Rule none;
  const auto found = rules_.find(pipe.direction);
  return found == rules_.end() ? none : found->second;
}

bool Proxy::refused(const std::string& one, const std::string& other) const {
  return refusals_.contains({one, other}) || refusals_.contains({other, one});
}

// How many directions a hold has really held up, known only where bytes wait in it.
void Proxy::count_held(const Connection& connection) {
  const auto count = [this](const Pipe& pipe, int source) {
    int unread = 0;
    if (::ioctl(source, FIONREAD, &unread) != 0) unread = 0;
    if (rule_of(pipe).held && (unread > 0 || !pipe.pieces.empty())) ++counts_.held;
  };
  count(connection.there, connection.near.get());
  count(connection.back, connection.far.get());
}

void Proxy::set_rule(const Direction& direction, const Rule& rule) {
  for (const Connection& connection : connections_) {
    if (connection.there.direction == direction || connection.back.direction == direction) count_held(connection);
  }
  rules_[direction] = rule;
}

void Proxy::drop(const std::string& one, const std::string& other) {
  for (Connection& connection : connections_) {
    const Direction& between = connection.there.direction;
    if (connection.gone || (between != Direction{one, other} && between != Direction{other, one})) continue;
    ++counts_.reset;
    end(connection, true);
  }
}

void Proxy::refuse(const std::string& one, const std::string& other) {
  refusals_[{one, other}] = true;
  drop(one, other);
}

void Proxy::heal() {
  for (const Connection& connection : connections_) count_held(connection);
  rules_.clear();
  refusals_.clear();
}

// ---- Bytes ------------------------------------------------------------------------------------------------

void Proxy::end(Connection& connection, bool hard) {
  if (hard) {
    connection.near.reset();
    connection.far.reset();
  }
  connection.gone = true;
}

void Proxy::accept_all(Link& link) {
  while (true) {
    Descriptor near{::accept4(link.listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)};
    if (near.get() < 0) return;
    if (refused(link.from, link.to)) {
      ++counts_.refused;
      near.reset();
      continue;
    }
    configure(near.get());
    Descriptor far{make_socket()};
    configure(far.get());
    const sockaddr_in address = loopback(link.port);
    const int started = ::connect(far.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    if (started != 0 && errno != EINPROGRESS) {
      near.reset();
      continue;
    }
    ++counts_.connections;
    Pipe there{{link.from, link.to}, {}, 0, 0, false, false};
    Pipe back{{link.to, link.from}, {}, 0, 0, false, false};
    connections_.push_back({std::move(near), std::move(far), std::move(there), std::move(back), started == 0, false});
  }
}

void Proxy::read_from(Connection& connection, int source, Pipe& pipe) {
  std::array<char, piece_bytes> buffer;
  const ssize_t got = ::recv(source, buffer.data(), buffer.size(), 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got < 0) return end(connection, true);
  if (got == 0) {
    pipe.ended = true;
    return;
  }
  const Rule& rule = rule_of(pipe);
  auto size = static_cast<std::size_t>(got);
  if (random_.chance(rule.tear_per_mille)) {
    size = random_.below(size);
    pipe.ended = pipe.torn = true;
  }
  Piece piece{std::string(buffer.data(), size), 0};
  if (rule.delay_us + rule.jitter_us > 0) {
    ++counts_.delayed;
    piece.due_us = now_us() + rule.delay_us + random_.below(rule.jitter_us + 1);
  }
  // What came later does not overtake.
  if (!pipe.pieces.empty()) piece.due_us = std::max(piece.due_us, pipe.pieces.back().due_us);
  pipe.waiting += size;
  pipe.pieces.push_back(std::move(piece));
}

void Proxy::write_to(Connection& connection, int sink, Pipe& pipe) {
  if (rule_of(pipe).held) return;
  while (!pipe.pieces.empty() && pipe.pieces.front().due_us <= now_us()) {
    const std::string& bytes = pipe.pieces.front().bytes;
    const ssize_t put = ::send(sink, bytes.data() + pipe.sent, bytes.size() - pipe.sent, MSG_NOSIGNAL);
    if (put < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (put < 0) return end(connection, true);
    pipe.sent += static_cast<std::size_t>(put);
    counts_.bytes += static_cast<std::uint64_t>(put);
    if (pipe.sent < bytes.size()) return;
    pipe.waiting -= bytes.size();
    pipe.sent = 0;
    pipe.pieces.pop_front();
  }
}

void Proxy::finish_ended(Connection& connection) {
  for (const Pipe* pipe : {&connection.there, &connection.back}) {
    if (!pipe->ended || !pipe->pieces.empty() || connection.gone) continue;
    if (pipe->torn) ++counts_.torn;
    end(connection, pipe->torn);
  }
}

void Proxy::serve(Connection& connection, int near_events, int far_events) {
  constexpr int broken = POLLERR | POLLHUP | POLLNVAL;
  if (connection.gone) return;
  if (((near_events | far_events) & broken) != 0) return end(connection, true);
  if ((far_events & POLLOUT) != 0) connection.connected = true;
  if ((near_events & POLLIN) != 0) read_from(connection, connection.near.get(), connection.there);
  if ((far_events & POLLIN) != 0 && !connection.gone) read_from(connection, connection.far.get(), connection.back);
  if (connection.connected && !connection.gone) write_to(connection, connection.far.get(), connection.there);
  if (!connection.gone) write_to(connection, connection.near.get(), connection.back);
  finish_ended(connection);
}

// ---- The loop -----------------------------------------------------------------------------------------------

short Proxy::events_of(const Connection& connection, bool near) const {
  const Pipe& in = near ? connection.there : connection.back;
  const Pipe& out = near ? connection.back : connection.there;
  const bool reads = !in.ended && in.waiting < most_waiting && !rule_of(in).held;
  const bool due = !out.pieces.empty() && out.pieces.front().due_us <= now_us() && !rule_of(out).held;
  const bool writes = due || (!near && !connection.connected);
  return static_cast<short>((reads ? POLLIN : 0) | (writes ? POLLOUT : 0));
}

// Until the next piece is due.
int Proxy::wait_ms() const {
  std::uint64_t next = now_us() + longest_wait_ms * 1'000;
  for (const Connection& connection : connections_) {
    for (const Pipe* pipe : {&connection.there, &connection.back}) {
      if (pipe->pieces.empty() || rule_of(*pipe).held || pipe->pieces.front().due_us <= now_us()) continue;
      next = std::min(next, pipe->pieces.front().due_us);
    }
  }
  const std::uint64_t now = now_us();
  return next <= now ? 0 : static_cast<int>((next - now + 999) / 1'000);
}

void Proxy::run_until_readable(int input) {
  while (true) {
    std::erase_if(connections_, [](const Connection& connection) { return connection.gone; });
    std::vector<pollfd> polled{{input, POLLIN, 0}};
    for (const Link& link : links_) polled.push_back({link.listener.get(), POLLIN, 0});
    for (const Connection& connection : connections_) {
      polled.push_back({connection.near.get(), events_of(connection, true), 0});
      polled.push_back({connection.far.get(), events_of(connection, false), 0});
    }
    const int ready = ::poll(polled.data(), polled.size(), wait_ms());
    if (ready < 0 && errno != EINTR) check(ready, "poll");
    std::size_t i = 1 + links_.size();
    for (Connection& connection : connections_) {
      const int near_events = ready > 0 ? polled[i].revents : 0;
      const int far_events = ready > 0 ? polled[i + 1].revents : 0;
      i += 2;
      serve(connection, near_events, far_events);
    }
    i = 1;
    for (Link& link : links_) {
      if (ready > 0 && (polled[i].revents & POLLIN) != 0) accept_all(link);
      ++i;
    }
    if (ready > 0 && polled[0].revents != 0) return;
  }
}

}  // namespace pbft::chaos
