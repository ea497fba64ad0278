#include "node/bus/send_budget.h"

#include <catch2/catch.hpp>
#include <vector>

#include "node/bus/sockets.h"

using namespace pbft;
using namespace pbft::bus;

TEST_CASE("a connection has room for so many bytes, until they are sent or dropped") {
  SendBudget budget({10'000});
  auto first = budget.take(1, Bytes(6'000, 'a'));
  REQUIRE(first);
  CHECK(first->to_string() == std::string(6'000, 'a'));
  CHECK_FALSE(budget.take(1, Bytes(6'000)));
  CHECK(budget.take(2, Bytes(6'000)));  // another connection; the message goes at once
  const auto second = budget.take(1, Bytes(4'000));
  CHECK(second);
  CHECK(budget.waiting() == 10'000);
  first.reset();
  CHECK(budget.waiting() == 4'000);
  CHECK(budget.take(1, Bytes(6'000)));
}

TEST_CASE("a frame that is larger than the budget goes alone") {
  SendBudget budget({10'000});
  const auto large = budget.take(1, Bytes(20'000));
  CHECK(large);
  CHECK_FALSE(budget.take(1, Bytes(copy_below)));
}

TEST_CASE("where all connections together have no room, each has one frame") {
  SendBudget budget({10'000, 15'000});
  const auto a = budget.take(1, Bytes(8'000));
  const auto b = budget.take(2, Bytes(7'000));
  REQUIRE(a);
  REQUIRE(b);
  CHECK_FALSE(budget.take(2, Bytes(2'000)));
  const auto c = budget.take(3, Bytes(9'000));
  CHECK(c);
  CHECK_FALSE(budget.take(3, Bytes(copy_below)));
}

TEST_CASE("small frames are not counted") {
  SendBudget budget({10'000});
  std::vector<zmq::message_t> messages;
  for (int i = 0; i < 100; ++i) messages.push_back(budget.take(1, Bytes(copy_below - 1)).value());
  CHECK(budget.waiting() == 0);
}

TEST_CASE("messages may outlive their budget, and connections are forgotten where nothing waits") {
  std::optional<SendBudget> budget(std::in_place, SendBudget::Bytes{10'000});
  const auto message = budget->take(1, Bytes(9'000));
  budget->sweep();
  CHECK_FALSE(budget->take(1, Bytes(9'000)));
  budget.reset();
  CHECK(message->size() == 9'000);
}
