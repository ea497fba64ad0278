#include "node/bus/route_table.h"

#include <catch2/catch.hpp>

namespace pbft::bus {
namespace {

ClientId client(std::uint8_t id) {
  ClientId result;
  result.bytes[0] = id;
  return result;
}

TEST_CASE("a route belongs to a session, and to an open_session number before there is one") {
  RouteTable routes(10, 10);
  routes.learn(client(1), SessionId{7}, RequestNumber{1}, Origin{100});
  routes.learn(client(1), SessionId{}, RequestNumber{55}, Origin{200});

  CHECK(routes.find(client(1), SessionId{7}, RequestNumber{999}) == Origin{100});
  CHECK(routes.find(client(1), SessionId{}, RequestNumber{55}) == Origin{200});
  CHECK_FALSE(routes.find(client(1), SessionId{}, RequestNumber{56}));
  CHECK_FALSE(routes.find(client(1), SessionId{8}, RequestNumber{1}));
  CHECK_FALSE(routes.find(client(2), SessionId{7}, RequestNumber{1}));
}

TEST_CASE("what was learnt last leads, and a late failure of an old route does not undo it") {
  RouteTable routes(10, 10);
  routes.learn(client(1), SessionId{7}, {}, Origin{100});
  routes.learn(client(1), SessionId{7}, {}, Origin{101});
  CHECK(routes.size() == 1);
  routes.forget(client(1), SessionId{7}, {}, Origin{100});
  CHECK(routes.find(client(1), SessionId{7}, {}) == Origin{101});
  routes.forget(client(1), SessionId{7}, {}, Origin{101});
  CHECK_FALSE(routes.find(client(1), SessionId{7}, {}));
  CHECK(routes.size() == 0);
}

TEST_CASE("the table is bounded: the least recently learnt route goes first") {
  RouteTable routes(3, 3);
  for (std::uint8_t i = 1; i <= 3; ++i) CHECK(routes.learn(client(i), SessionId{1}, {}, Origin{i}) == 0);
  CHECK(routes.learn(client(1), SessionId{1}, {}, Origin{1}) == 0);  // 2 is the oldest now
  CHECK(routes.learn(client(4), SessionId{1}, {}, Origin{4}) == 1);
  CHECK(routes.size() == 3);
  CHECK_FALSE(routes.find(client(2), SessionId{1}, {}));
  CHECK(routes.find(client(1), SessionId{1}, {}));
  CHECK(routes.find(client(3), SessionId{1}, {}));
  CHECK(routes.find(client(4), SessionId{1}, {}));
}

TEST_CASE("a client with many sessions forgets its own routes, not those of others") {
  RouteTable routes(100, 5);
  routes.learn(client(1), SessionId{1}, {}, Origin{1});
  std::size_t evicted = 0;
  for (std::uint64_t i = 1; i <= 1'000; ++i) evicted += routes.learn(client(2), SessionId{i}, {}, Origin{2});
  CHECK(evicted == 995);
  CHECK(routes.size() == 6);
  CHECK(routes.find(client(1), SessionId{1}, {}) == Origin{1});
  CHECK(routes.find(client(2), SessionId{1'000}, {}) == Origin{2});
  CHECK_FALSE(routes.find(client(2), SessionId{995}, {}));
}

}  // namespace
}  // namespace pbft::bus
