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

namespace {

ClientId party(std::uint8_t number) {
  ClientId id;
  id.bytes.fill(number);
  return id;
}

}  // namespace

TEST_CASE("who opens many connections has no more room than its party") {
  SendBudget budget({10'000, 25'000});
  std::vector<zmq::message_t> waiting;
  for (std::uint64_t connection = 0; connection < 100; ++connection) {
    if (auto message = budget.take(connection, Bytes(10'000), party(1))) waiting.push_back(*std::move(message));
  }
  CHECK(waiting.size() == 2);
  CHECK(budget.take(200, Bytes(10'000), party(2)));
}

TEST_CASE("where all together have no room, a party has its share, or one frame") {
  SendBudget budget({10'000, 10'000, 15'000, 5'000});
  std::vector<std::optional<zmq::message_t>> waiting;
  const auto fits = [&](std::uint64_t connection, std::size_t size, std::uint8_t of) {
    return waiting.emplace_back(budget.take(connection, Bytes(size), party(of))).has_value();
  };
  CHECK(fits(1, 8'000, 1));
  CHECK(fits(2, 7'000, 2));
  CHECK_FALSE(fits(2, 2'000, 2));  // has its share
  CHECK_FALSE(fits(3, 2'000, 2));  // over another connection, too
  CHECK(fits(4, 2'000, 3));
  CHECK(fits(4, 3'000, 3));
  CHECK_FALSE(fits(4, 1'024, 3));
  CHECK(fits(5, 9'000, 4));
  CHECK_FALSE(fits(5, 1'024, 4));
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
