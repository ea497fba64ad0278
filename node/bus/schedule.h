// Which socket a node reads next, so that none starves another: in frames among sockets, in time between replicas and
// clients. Frames differ in what they cost by a factor of 100 000, and what costs most is a client's choice.
//
// Sockets take turns of at most `quantum` frames, over polls; a socket of replicas gives its turn up as soon as it has
// used `slow` of the time in it, so that of frames that cost much, one comes between the turns of the others. What
// clients take of the time is a debt to the replicas: while it is not worked off, and a replica's socket may have
// something, no client's frame is next. A poll ends when its budget of time is used up, or after a single slow frame of
// a client, since what replicas sent meanwhile is seen only by the next poll. No sockets and no clock in here. One
// thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace pbft::bus {

class Schedule {
 public:
  using Duration = std::chrono::steady_clock::duration;
  enum class Party : std::uint8_t { replicas, clients };

  static constexpr std::size_t quantum = 16;  // frames from one socket before it is the next one's turn
  static constexpr std::chrono::milliseconds slow{1};

  explicit Schedule(Duration budget) : budget_(budget) {}

  // Gives the position. It may have something from the start.
  std::size_t add(Party party);
  void set_ready(std::size_t position);  // it may have something
  void set_empty(std::size_t position);  // it had nothing, and has not signalled since
  [[nodiscard]] bool any_ready() const;

  void begin_poll();
  // The socket to read a frame from. Nothing: none is ready, or the poll has to end. The first one of a poll is given
  // in any case.
  [[nodiscard]] std::optional<std::size_t> next();
  // A frame was read from there and handed over, which took so long.
  void took(std::size_t position, Duration time);

 private:
  struct Input {
    Party party;
    bool ready = true;
  };

  [[nodiscard]] bool replicas_ready() const;
  [[nodiscard]] bool may_go(const Input& input) const;
  [[nodiscard]] bool turn_is_over() const;
  void pass_turn();

  Duration budget_;
  std::vector<Input> inputs_;
  std::size_t turn_ = 0;      // whose turn it is
  std::size_t taken_ = 0;     // frames of this turn
  Duration turn_used_{0};     // of the time, in this turn
  Duration used_{0};          // in this poll
  bool over_ = false;         // this poll has to end
  Duration clients_debt_{0};  // what clients took of the time and replicas have not had yet
};

}  // namespace pbft::bus
