// A network that can be broken: a TCP proxy on loopback between named parties, with rules for the bytes that one party
// sends to another. One thread; nothing here blocks.
#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tools/sim/random.h"

namespace pbft::chaos {

using Direction = std::pair<std::string, std::string>;  // who sends to whom

// What happens to bytes of one direction. A TCP stream cannot lose some of its bytes and go on, so what is to be lost
// is held up until the sender's queue overflows, or the connection is ended in the middle of it.
struct Rule {
  std::uint64_t delay_us = 0;
  std::uint64_t jitter_us = 0;       // at most so much more, drawn for each piece; the order stays
  bool held = false;                 // nothing goes through, and the sender gets to feel it
  std::uint64_t tear_per_mille = 0;  // chance for each piece that the connection ends in the middle of it
};

struct ProxyCounts {
  std::uint64_t connections = 0;
  std::uint64_t bytes = 0;
  std::uint64_t delayed = 0;  // pieces
  std::uint64_t held = 0;     // directions of connections in which bytes waited when a hold ended
  std::uint64_t reset = 0;    // connections ended by drop(), refuse()
  std::uint64_t refused = 0;  // connections that came while refused
  std::uint64_t torn = 0;     // connections ended in the middle of a piece
};

class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor();
  [[nodiscard]] int get() const { return fd_; }
  // Closes it so that the other end sees a reset, and loses what is on the way.
  void reset();

 private:
  int fd_;
};

class Proxy {
 public:
  explicit Proxy(std::uint64_t seed);
  ~Proxy();
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  // Connections of `from` to the port that is returned go on to `port` of `to`. Throws std::system_error.
  [[nodiscard]] std::uint16_t link(const std::string& from, const std::string& to, std::uint16_t port);
  void set_rule(const Direction& direction, const Rule& rule);
  // Ends the connections between the two, in the middle of what is on the way.
  void drop(const std::string& one, const std::string& other);
  // The same, and there are no new ones until heal().
  void refuse(const std::string& one, const std::string& other);
  void heal();
  [[nodiscard]] const ProxyCounts& counts() const { return counts_; }

  // Waits for what there is to do and does it, until `input` can be read.
  void run_until_readable(int input);

 private:
  struct Piece {
    std::string bytes;
    std::uint64_t due_us = 0;
  };
  // One direction of a connection.
  struct Pipe {
    Direction direction;
    std::deque<Piece> pieces;
    std::size_t waiting = 0;  // bytes in pieces
    std::size_t sent = 0;     // of the first piece
    bool ended = false;       // nothing more comes in; the connection ends when all has gone out
    bool torn = false;
  };
  struct Connection {
    Descriptor near, far;  // of the party that connected, and of the one that it connected to
    Pipe there, back;
    bool connected = false;
    bool gone = false;
  };
  struct Link {
    std::string from, to;
    std::uint16_t port = 0;
    Descriptor listener;
  };

  [[nodiscard]] const Rule& rule_of(const Pipe& pipe) const;
  [[nodiscard]] bool refused(const std::string& one, const std::string& other) const;
  [[nodiscard]] int wait_ms() const;
  void accept_all(Link& link);
  void read_from(Connection& connection, int source, Pipe& pipe);
  void write_to(Connection& connection, int sink, Pipe& pipe);
  void serve(Connection& connection, int near_events, int far_events);
  void finish_ended(Connection& connection);
  void end(Connection& connection, bool hard);
  [[nodiscard]] short events_of(const Connection& connection, bool near) const;
  void count_held(const Connection& connection);

  sim::Random random_;
  std::list<Link> links_;
  std::list<Connection> connections_;
  std::map<Direction, Rule> rules_;
  std::map<Direction, bool> refusals_;
  ProxyCounts counts_;
};

}  // namespace pbft::chaos
