#include <catch2/catch.hpp>
#include <map>
#include <random>
#include <set>

#include "tools/client/cpp/ascending.h"
#include "tools/client/cpp/deadlines.h"

namespace pbft::client::testing {
namespace {

TEST_CASE("Ascending is a map, in whatever order its entries come and go") {
  std::mt19937_64 random{5};  // NOLINT: the same run every time
  Ascending<Ticket, int> mine;
  std::map<Ticket, int> model;
  Ticket highest{1000};
  for (int step = 0; step < 20'000; ++step) {
    const auto choice = random() % 8;
    if (choice < 3) {
      highest = Ticket{highest.value + 1 + (random() % 4 == 0 ? random() % 50 : 0)};
      mine.add(highest, step);
      model.emplace(highest, step);
    } else if (choice == 3) {
      const Ticket low{1 + random() % highest.value};
      if (model.emplace(low, step).second) mine.add(low, step);
    } else if (!model.empty()) {
      auto victim =
          random() % 3 == 0 ? std::next(model.begin(), static_cast<long>(random() % model.size())) : model.begin();
      REQUIRE(mine.take(victim->first) == victim->second);
      model.erase(victim);
    }
    REQUIRE(mine.size() == model.size());
    REQUIRE(mine.empty() == model.empty());
    if (!model.empty()) REQUIRE((mine.first_key() == model.begin()->first && mine.first() == model.begin()->second));
    const Ticket some{random() % (highest.value + 2)};
    const auto known = model.find(some);
    const int* found = mine.find(some);
    REQUIRE((known == model.end() ? found == nullptr : found != nullptr && *found == known->second));
  }
  std::map<Ticket, int> seen;
  mine.for_each([&](Ticket ticket, int value) { seen.emplace(ticket, value); });
  CHECK(seen == model);
  mine.clear();
  CHECK(mine.empty());
}

TEST_CASE("Deadlines gives what is due in order, and nothing that ended before") {
  std::mt19937_64 random{6};  // NOLINT: the same run every time
  Deadlines mine;
  std::set<std::pair<std::uint64_t, Ticket>> model;
  std::map<Ticket, std::uint64_t> all;
  std::uint64_t now = 1;
  for (std::uint64_t step = 1; step < 20'000; ++step) {
    const std::uint64_t deadline = random() % 10 == 0 ? 0 : now + random() % 5'000;
    mine.add(Ticket{step}, deadline);
    all.emplace(Ticket{step}, deadline);
    if (deadline != 0) model.emplace(deadline, Ticket{step});
    if (random() % 4 != 0) {
      const auto [ticket, its] = *std::next(all.begin(), static_cast<long>(random() % all.size()));
      mine.remove(ticket);
      model.erase({its, ticket});
      all.erase(ticket);
    }
    now += random() % 3;
    while (const auto due = mine.take_due(now)) {
      REQUIRE((!model.empty() && model.begin()->second == *due && model.begin()->first <= now));
      model.erase(model.begin());
      all.erase(*due);
    }
    REQUIRE(mine.next() == (model.empty() ? std::nullopt : std::optional{model.begin()->first}));
    REQUIRE(mine.size() == all.size());
  }
}

}  // namespace
}  // namespace pbft::client::testing
