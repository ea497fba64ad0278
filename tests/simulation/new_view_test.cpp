#include "tools/sim/checkers/new_view.h"

#include <catch2/catch.hpp>

#include "tests/simulation/history_maker.h"

using namespace pbft;
using namespace pbft::sim;
using namespace pbft::sim::testing;

namespace {

SlotMark mark(std::uint64_t n, const std::string& what, std::uint64_t view) {
  return {SequenceNumber{n}, digest(what), View{view}};
}

struct SentViewChanges {
  std::vector<NewView::Signed> sent;

  void add(std::vector<SlotMark> prepared, std::vector<SlotMark> voted, std::uint64_t low = 0) {
    ViewChange change{View{9}, {}, std::move(prepared), std::move(voted), {}};
    if (low > 0) change.stable = StableCheckpoint{SequenceNumber{low}, {}, {}};
    sent.push_back({ReplicaId{static_cast<std::uint32_t>(sent.size())}, std::move(change)});
  }
  [[nodiscard]] std::optional<OpenedView> open(std::uint64_t crowded_above = 0) const {
    return open_view(sent, {4, 8, 4, crowded_above});
  }
};

}  // namespace

TEST_CASE_METHOD(SentViewChanges, "nothing prepared opens an empty view at the highest checkpoint") {
  add({}, {}, 4);
  add({}, {});
  REQUIRE_FALSE(open());  // two of four are not enough
  add({}, {});
  REQUIRE(open());
  CHECK(open()->start == 4);
  CHECK(open()->slots.empty());
}

TEST_CASE_METHOD(SentViewChanges, "what a quorum may have prepared is carried over, and gaps below it are null") {
  add({mark(3, "d", 0)}, {mark(3, "d", 0)});
  add({}, {mark(3, "d", 0)});
  add({}, {});
  REQUIRE(open());
  CHECK(open()->slots ==
        std::map<std::uint64_t, Digest>{{1, null_batch_digest()}, {2, null_batch_digest()}, {3, digest("d")}});
}

TEST_CASE_METHOD(SentViewChanges, "with many votes in a view-change null batches follow up to a checkpoint") {
  add({mark(1, "d", 0)}, {mark(1, "d", 0), mark(1, "e", 1), mark(5, "f", 1)});
  add({}, {mark(1, "d", 0)});
  add({}, {});
  REQUIRE(open());
  for (const std::uint64_t above : {0U, 3U}) {
    CHECK(open(above)->slots == std::map<std::uint64_t, Digest>{{1, digest("d")}});
    CHECK_FALSE(open(above)->crowded);
  }
  CHECK(open(2)->crowded);
  REQUIRE(open(2)->slots.size() == 8);
  for (std::uint64_t n = 2; n <= 8; ++n) CHECK(open(2)->slots.at(n) == null_batch_digest());
}

TEST_CASE_METHOD(SentViewChanges, "the later view wins (A1)") {
  add({mark(1, "old", 0)}, {mark(1, "old", 0), mark(1, "new", 2)});
  add({mark(1, "new", 2)}, {mark(1, "old", 0), mark(1, "new", 2)});
  add({}, {});
  REQUIRE(open());
  CHECK(open()->slots.at(1) == digest("new"));
}

TEST_CASE_METHOD(SentViewChanges, "what nobody else voted for binds nothing (A2), and one more has to be waited for") {
  add({mark(1, "invented", 7)}, {mark(1, "invented", 7)});
  add({}, {});
  add({}, {});
  CHECK_FALSE(open());
  add({}, {});
  REQUIRE(open());
  CHECK(open()->slots.empty());
}

TEST_CASE_METHOD(SentViewChanges, "a vote of an earlier view does not vouch") {
  add({mark(1, "d", 3)}, {mark(1, "d", 3)});
  add({}, {mark(1, "d", 2)});
  add({}, {});
  CHECK_FALSE(open());
}
