#include "node/bus/schedule.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <deque>
#include <string>
#include <vector>

namespace pbft::bus {
namespace {

using namespace std::chrono_literals;
using Party = Schedule::Party;

// Sockets with frames that wait in them, each of which costs what its deque says. What was read is noted by letter:
// "a", "b", ... for the sockets in order.
struct Sockets {
  explicit Sockets(std::vector<Party> parties) : frames(parties.size()) {
    for (const Party party : parties) schedule.add(party);
  }
  void arrive(std::size_t position, std::size_t count, std::chrono::microseconds cost) {
    frames[position].insert(frames[position].end(), count, cost);
    schedule.set_ready(position);
  }
  std::string poll(std::size_t max_frames = 256) {
    std::string order;
    schedule.begin_poll();
    while (order.size() < max_frames) {
      const auto position = schedule.next();
      if (!position) break;
      if (frames[*position].empty()) {
        schedule.set_empty(*position);
        continue;
      }
      order += static_cast<char>('a' + *position);
      schedule.took(*position, frames[*position].front());
      frames[*position].pop_front();
    }
    return order;
  }

  Schedule schedule{5ms};
  std::vector<std::deque<std::chrono::microseconds>> frames;
};

std::string times(std::size_t count, char letter) {
  return std::string(count, letter);
}

TEST_CASE("cheap frames: sockets take turns of 16, over polls too") {
  Sockets sockets({Party::replicas, Party::clients, Party::replicas});
  for (std::size_t i = 0; i < 3; ++i) sockets.arrive(i, 20, 0us);
  CHECK(sockets.poll(20) == times(16, 'a') + times(4, 'b'));
  CHECK(sockets.poll() == times(12, 'b') + times(16, 'c') + times(4, 'a') + times(4, 'b') + times(4, 'c'));
  CHECK_FALSE(sockets.schedule.any_ready());
  CHECK(sockets.poll().empty());
}

TEST_CASE("a poll ends when its time is used up, and never before one frame") {
  Sockets sockets({Party::replicas, Party::clients});
  sockets.arrive(1, 12, 900us);
  CHECK(sockets.poll() == times(6, 'b'));
  CHECK(sockets.poll() == times(6, 'b'));
  sockets.arrive(0, 3, 1h);
  CHECK(sockets.poll() == "a");
  CHECK(sockets.poll() == "a");
}

TEST_CASE("one slow frame of a client ends the poll, and what replicas sent meanwhile comes before the next") {
  Sockets sockets({Party::replicas, Party::clients, Party::replicas});
  sockets.arrive(1, 5, 60ms);
  for (int round = 0; round < 4; ++round) {
    CHECK(sockets.poll() == "b");
    sockets.arrive(0, 40, 10us);
    sockets.arrive(2, 1, 10us);
    const std::string order = sockets.poll();
    CHECK(order.size() == 42);
    CHECK(order.find('b') == 41);
    sockets.arrive(1, 1, 60ms);
  }
}

TEST_CASE("clients get no more of the time than replicas want, and no less than half") {
  Sockets sockets({Party::replicas, Party::clients});
  sockets.arrive(0, 10'000, 1ms);
  sockets.arrive(1, 100, 60ms);
  std::string order;
  for (int i = 0; i < 300; ++i) order += sockets.poll();
  const auto of_clients = static_cast<std::size_t>(std::count(order.begin(), order.end(), 'b'));
  // A turn of the replica's socket is over after one such frame.
  CHECK((order.size() - of_clients) >= 60 * (of_clients - 1));
  CHECK((order.size() - of_clients) <= 62 * (of_clients + 1));
  CHECK(of_clients > 5);
}

TEST_CASE("a replica that floods does not starve clients") {
  Sockets sockets({Party::replicas, Party::clients});
  sockets.arrive(0, 10'000, 100us);
  sockets.arrive(1, 1, 100us);
  const std::string order = sockets.poll();
  CHECK(order.find('b') == 10);
  sockets.arrive(1, 1, 0us);
  sockets.arrive(0, 20, 10us);
  CHECK(sockets.poll().find('b') < 16);
}

TEST_CASE("a replica whose frames are slow gets one of them between the turns of the others, over polls too") {
  Sockets sockets({Party::replicas, Party::replicas, Party::replicas, Party::clients});
  sockets.arrive(0, 100, 100ms);
  std::string order;
  for (int round = 0; round < 10; ++round) {
    sockets.arrive(1, 3, 10us);
    sockets.arrive(2, 3, 10us);
    order += sockets.poll();
  }
  CHECK(std::count(order.begin(), order.end(), 'a') <= 10);
  CHECK(std::count(order.begin(), order.end(), 'b') >= 27);
  CHECK(std::count(order.begin(), order.end(), 'c') >= 27);
  CHECK(order.find("aa") == std::string::npos);
}

TEST_CASE("the time of a replica's turn is counted over its frames, and anew in each turn") {
  Sockets sockets({Party::replicas, Party::replicas});
  sockets.arrive(0, 6, 400us);
  sockets.arrive(1, 6, 400us);
  CHECK(sockets.poll() + sockets.poll() == "aaabbbaaabbb");
}

TEST_CASE("clients owe nothing once no replica wants the time") {
  Sockets sockets({Party::replicas, Party::clients});
  sockets.arrive(1, 2, 1h);
  CHECK(sockets.poll() == "b");
  sockets.arrive(0, 1, 1us);
  CHECK(sockets.poll() == "ab");
}

}  // namespace
}  // namespace pbft::bus
