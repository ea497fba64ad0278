#include "node/pbft/quorum.h"

#include <catch2/catch.hpp>

using namespace pbft;

TEST_CASE("the quorum of n = 4 to 10 is 3, 4, 4, 5, 6, 6, 7") {
  const std::vector<std::uint32_t> expected{3, 4, 4, 5, 6, 6, 7};
  for (std::uint32_t n = 4; n <= 10; ++n) CHECK(Quorum{n}.quorum() == expected[n - 4]);
}

TEST_CASE("any two quorums share a correct replica, and the correct replicas are a quorum, for n = 1 to 64") {
  for (std::uint32_t n = 1; n <= 64; ++n) {
    const Quorum q{n};
    CAPTURE(n);
    CHECK(q.faults() == (n - 1) / 3);
    CHECK(n >= 3 * q.faults() + 1);
    CHECK(q.quorum() == (n + q.faults() + 1 + 1) / 2);  // ceil((n + f + 1) / 2)
    CHECK(2 * q.quorum() >= n + q.faults() + 1);
    CHECK(q.quorum() <= n - q.faults());
    CHECK(2 * (q.quorum() - 1) < n + q.faults() + 1);  // and no smaller number would do
    CHECK(q.weak() == q.faults() + 1);
  }
}

TEST_CASE("the unreplicated case is n = 1") {
  const Quorum q{1};
  CHECK(q.faults() == 0);
  CHECK(q.quorum() == 1);
  CHECK(q.weak() == 1);
}

TEST_CASE("the primary of a view is the view modulo n") {
  const Quorum q{4};
  CHECK(q.primary(View{0}) == ReplicaId{0});
  CHECK(q.primary(View{7}) == ReplicaId{3});
  CHECK(q.primary(View{~0ULL}) == ReplicaId{3});
}
