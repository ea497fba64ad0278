#include "tools/sim/random.h"

#include <catch2/catch.hpp>

using pbft::sim::Random;

TEST_CASE("a seed means the same numbers everywhere") {
  Random random{42};
  // Computed once from the published xoshiro256** and splitmix64.
  const std::uint64_t expected[] = {1546998764402558742ULL, 6990951692964543102ULL, 12544586762248559009ULL};
  for (const std::uint64_t value : expected) CHECK(random.next() == value);
}

TEST_CASE("numbers stay in their bounds and reach them") {
  Random random{1};
  std::vector<int> seen(7);
  for (int i = 0; i < 10'000; ++i) ++seen[random.between(3, 9) - 3];
  for (const int count : seen) CHECK(count > 1'200);
  CHECK_FALSE(random.chance(0));
  CHECK(random.chance(1000));
}

TEST_CASE("streams of one seed differ") {
  Random a = Random::stream(1, "network");
  Random b = Random::stream(1, "client 1");
  Random c = Random::stream(2, "network");
  const std::uint64_t first = a.next();
  CHECK(first != b.next());
  CHECK(first != c.next());
  CHECK(first == Random::stream(1, "network").next());
}
