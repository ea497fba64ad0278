// What is walked is said in new_view_walk.h. The second half shows that the walk has teeth: each part of the rule is
// left out in turn, and the walk has to find a history in which that does harm. There one view at most has a faulty
// primary, as it is with f = 1, so that what is found could happen in a cluster.
#include "tests/pbft/new_view_walk.h"

#include <catch2/catch.hpp>
#include <iostream>

#include "tests/pbft/new_view_model.h"

using namespace pbft;
using namespace pbft::testing;

namespace {

using Setting = NewViewWalk::Setting;
using Memory = NewViewWalk::Memory;

void nothing_goes_wrong(std::uint32_t n, int last_view) {
  NewViewWalk walk{Setting{n, last_view}};
  const std::optional<std::string> violation = walk.run();
  CAPTURE(n, last_view);
  INFO(violation.value_or(""));
  CHECK_FALSE(violation);
  std::cout << "n = " << n << ", views 0 to " << last_view << ": " << walk.states() << " states, " << walk.decisions()
            << " decisions\n";
}

// The first violation that is found with a faulty primary in one of the views.
std::optional<std::string> harm(Setting setting) {
  for (int view = 0; view < setting.last_view; ++view) {
    setting.only_faulty_primary = view;
    if (const auto violation = NewViewWalk{setting}.run()) {
      return "with a faulty primary in view " + std::to_string(view) + ", " + *violation;
    }
  }
  return std::nullopt;
}

void finds(const char* kind, const Setting& setting, const char* what) {
  const std::optional<std::string> violation = harm(setting);
  CAPTURE(what);
  REQUIRE(violation);
  INFO(*violation);
  CHECK(violation->find(kind) != std::string::npos);
  std::cout << what << ": " << *violation << "\n";
}

Model model(std::uint32_t n) {
  return {Quorum{n}, {NewViewWalk::window, NewViewWalk::window, UINT64_MAX}};
}

Setting with(std::uint32_t n, int last_view, const Model& rule) {
  Setting setting{n, last_view};
  setting.view_change_quorum = rule.quorum;
  setting.decide = [rule](const auto& s) { return rule.decide(s); };
  return setting;
}

}  // namespace

TEST_CASE("in every small history, committed batches stay, decisions come, and nothing is invented", "[walk]") {
  nothing_goes_wrong(4, 3);
  nothing_goes_wrong(5, 2);
  nothing_goes_wrong(6, 2);
  nothing_goes_wrong(7, 1);
}

TEST_CASE("nor where null batches are put up to the next checkpoint whatever was voted for", "[walk]") {
  Setting setting{4, 3};
  setting.decide = [](const auto& s) { return new_view_rules::decide(s, Quorum{4}, {1, 1, 0}); };
  CHECK_FALSE(harm(setting));
}

// Takes minutes: `test_new_view [further]`.
TEST_CASE("larger histories", "[.][further]") {
  SECTION("n = 5") {
    nothing_goes_wrong(5, 3);
  }
  SECTION("n = 7") {
    nothing_goes_wrong(7, 2);
  }
}

TEST_CASE("teeth: the model that the broken rules are made of is sound when it is whole", "[walk]") {
  CHECK_FALSE(harm(with(4, 2, model(4))));
}

TEST_CASE("teeth: without A1, A2, or a prepared null batch that binds, the walk finds harm", "[walk]") {
  Model rule = model(4);
  SECTION("A1") {
    rule.a1 = false;
    finds("safety", with(4, 2, rule), "no A1");
  }
  SECTION("A2") {
    rule.a2 = false;
    Setting setting = with(4, 2, rule);
    finds("validity", setting, "no A2");
    setting.validity = false;
    finds("safety", setting, "no A2, and invented batches are let pass");
  }
  SECTION("A2 of one replica") {
    rule.weak = 1;
    finds("validity", with(4, 2, rule), "A2 of f replicas");
  }
  SECTION("null") {
    rule.null_binds = false;
    finds("safety", with(4, 3, rule), "null");
  }
}

TEST_CASE("teeth: with P of the last view only, the walk finds harm", "[walk]") {
  Setting setting{4, 3};
  setting.tells = [](Memory memory, int view) {
    if (memory.prepared_view != view - 1) memory.prepared_view = NewViewWalk::never;
    return memory;
  };
  finds("safety", setting, "P of the last view only");
}

TEST_CASE("teeth: with two entries of Q for a slot, the walk finds harm", "[walk]") {
  Setting setting{4, 3};
  setting.tells = [](Memory memory, int) {
    std::array<int, NewViewWalk::batches> views = memory.voted;
    std::sort(views.begin(), views.end());
    for (int& view : memory.voted) {
      if (view < views[NewViewWalk::batches - 2]) view = NewViewWalk::never;
    }
    return memory;
  };
  finds("liveness", setting, "two entries of Q");
}

TEST_CASE("teeth: with 2f+1 for a quorum, the walk finds harm", "[walk]") {
  for (const std::uint32_t n : {5U, 6U}) {
    Model rule = model(n);
    rule.quorum = 3;
    Setting setting = with(n, 2, rule);
    setting.vote_quorum = 3;
    finds("safety", setting, "2f+1 everywhere");
  }
}

TEST_CASE("teeth: with 2f+1 in view changes alone, the walk finds harm for n = 6; n = 5 hides it", "[walk]") {
  for (const std::uint32_t n : {5U, 6U}) {
    Model rule = model(n);
    rule.quorum = 3;
    const Setting setting = with(n, 2, rule);
    if (n == 6) finds("safety", setting, "2f+1 in view changes");
    if (n == 5) CHECK_FALSE(harm(setting));
  }
}
