#include "tools/pbftctl/free_ports.h"

#include <fmt/format.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <random>

namespace pbft::ctl {

namespace {

class Socket {
 public:
  explicit Socket(int descriptor) : descriptor_(descriptor) {}
  Socket(Socket&& other) noexcept : descriptor_(other.descriptor_) { other.descriptor_ = -1; }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  Socket& operator=(Socket&&) = delete;
  ~Socket() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  [[nodiscard]] int descriptor() const { return descriptor_; }

 private:
  int descriptor_;
};

using Addresses = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

tl::expected<Addresses, std::string> resolve(const std::string& host, const std::string& port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(host.c_str(), port.c_str(), &hints, &found); error != 0) {
    return tl::unexpected(fmt::format("{}: {}", host, gai_strerror(error)));
  }
  return Addresses{found, &freeaddrinfo};
}

// Holds the port until the socket goes.
tl::expected<Socket, std::string> hold(const std::string& host, std::uint16_t port) {
  const auto addresses = resolve(host, std::to_string(port));
  if (!addresses) return tl::unexpected(addresses.error());
  const addrinfo& address = **addresses;
  Socket socket{::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  if (socket.descriptor() < 0 || ::bind(socket.descriptor(), address.ai_addr, address.ai_addrlen) != 0) {
    return tl::unexpected(fmt::format("cannot bind {} port {}: {}", host, port, std::strerror(errno)));
  }
  return socket;
}

std::uint16_t first_port_of_outgoing_connections() {
  std::ifstream range{"/proc/sys/net/ipv4/ip_local_port_range"};
  unsigned first = 0;
  return range >> first && first > 11'000 && first < 65'536 ? static_cast<std::uint16_t>(first) : 32'768;
}

}  // namespace

tl::expected<std::vector<std::uint16_t>, std::string> free_ports(const std::string& host, std::size_t count) {
  std::vector<std::uint16_t> ports;
  std::vector<Socket> held;  // all until the end, so that no port is found twice
  std::random_device random;
  std::uniform_int_distribution<int> any{10'240, first_port_of_outgoing_connections() - 1};
  std::string why;
  for (std::size_t attempt = 0; ports.size() < count && attempt < 100 * count + 100; ++attempt) {
    const auto port = static_cast<std::uint16_t>(any(random));
    auto socket = hold(host, port);
    if (!socket) {
      why = socket.error();
      continue;
    }
    held.push_back(std::move(*socket));
    ports.push_back(port);
  }
  if (ports.size() < count) return tl::unexpected(fmt::format("no free ports found: {}", why));
  return ports;
}

}  // namespace pbft::ctl
