// The rule on random view-changes: against the model that was written from its clauses, and on histories of several
// slots. new_view_walk_test.cpp is exhaustive on one slot; here are the slots side by side, and water marks.
#include <rapidcheck.h>

#include <catch2/catch.hpp>
#include <iostream>
#include <map>
#include <set>

#include "node/pbft/digests.h"
#include "tests/pbft/new_view_model.h"

using namespace pbft;
using namespace pbft::new_view_rules;
using namespace pbft::testing;

namespace {

constexpr std::uint64_t narrow_window = 4;
constexpr Room narrow{narrow_window, 2, 5};

// Uniform in [low, high), however small the case is.
std::uint64_t pick(std::uint64_t low, std::uint64_t high) {
  return *rc::gen::resize(rc::kNominalSize, rc::gen::inRange<std::uint64_t>(low, high));
}
bool coin() {
  return pick(0, 2) == 1;
}

Digest any_digest() {
  return *rc::gen::element(letter('a'), letter('b'), letter('c'), null_batch_digest());
}

template <class Property>
void holds(const char* what, const Property& property) {
  rc::detail::TestParams params = rc::detail::configuration().testParams;
  params.maxSuccess *= 20;
  rc::detail::TestMetadata metadata;
  metadata.id = metadata.description = what;
  const rc::detail::TestResult result = rc::detail::checkTestable(property, metadata, params);
  std::ostringstream told;
  rc::detail::printResultMessage(result, told);
  INFO(what << ", RC_PARAMS=seed=" << params.seed << "\n" << told.str());
  CHECK(result.is<rc::detail::SuccessResult>());
}

bool same(const std::optional<Decision>& left, const std::optional<Decision>& right) {
  if (!left || !right) return left.has_value() == right.has_value();
  if (left->proof.has_value() != right->proof.has_value()) return false;
  return left->start == right->start && left->slots == right->slots &&
         (!left->proof || (left->proof->n == right->proof->n && left->proof->root == right->proof->root));
}

// ---- Any view-changes -------------------------------------------------------------------------------

// Seldom prepared, often voted: a set of these has a decision often enough.
ViewChange any_view_change(std::uint64_t view, std::uint64_t low) {
  ViewChange message;
  message.view = View{view};
  // The root tells proofs of one h apart, which cannot be in a cluster, to see whose is taken.
  if (low > 0) message.stable = StableCheckpoint{SequenceNumber{low}, any_digest(), {}};
  std::map<std::pair<std::uint64_t, Digest>, std::uint64_t> voted;
  for (std::uint64_t n = low + 1; n <= low + narrow_window; ++n) {
    if (pick(0, 4) == 0) message.prepared.push_back({SequenceNumber{n}, any_digest(), View{pick(0, view)}});
    for (std::uint64_t votes = pick(0, 6); votes > 0; --votes) voted[{n, any_digest()}] = pick(0, view);
  }
  for (const auto& [what, in] : voted) {
    message.voted.push_back({SequenceNumber{what.first}, what.second, View{in}});
  }
  return message;
}

S any_set(std::uint32_t n) {
  S s;
  const bool checkpoints = coin();
  const std::uint64_t absent = pick(0, 3);
  for (std::uint32_t i = 0; i < n; ++i) {
    if (i % 3 < absent && coin()) continue;
    s.push_back({ReplicaId{i}, any_view_change(3, checkpoints ? 2 * pick(0, 3) : 0)});
  }
  return s;
}

}  // namespace

TEST_CASE("the rule is the model's, on random view-changes") {
  std::size_t none = 0;
  std::size_t chosen = 0;
  std::size_t gaps = 0;
  std::size_t filled = 0;
  for (std::uint32_t n = 4; n <= 7; ++n) {
    const Quorum quorum{n};
    holds("the same decision", [&] {
      const S s = any_set(n);
      const auto decision = decide(s, quorum, narrow);
      RC_ASSERT(same(decision, Model(quorum, narrow).decide(s)));
      none += decision ? 0 : 1;
      filled += decision && !same(decision, decide(s, quorum, {narrow_window, 2, UINT64_MAX})) ? 1 : 0;
      chosen += decision && !decision->slots.empty() ? 1 : 0;
      gaps += decision && std::count(decision->slots.begin(), decision->slots.end(), null_batch_digest()) > 0 ? 1 : 0;
    });
  }
  std::cout << "random view-changes: " << none << " without a decision, " << chosen << " with slots, " << gaps
            << " with null batches\n";
  CHECK(none > 100);
  CHECK(chosen > 100);
  CHECK(gaps > 20);
  CHECK(filled > 20);
}

TEST_CASE("the order of the view-changes changes nothing") {
  holds("any order", [] {
    const auto n = static_cast<std::uint32_t>(pick(4, 8));
    S s = any_set(n);
    const auto decision = decide(s, Quorum{n}, narrow);
    for (std::size_t i = s.size(); i > 1; --i) std::swap(s[i - 1], s[pick(0, i)]);
    RC_ASSERT(same(decision, decide(s, Quorum{n}, narrow)));
  });
}

// ---- Histories of several slots ---------------------------------------------------------------------

namespace {

// What a correct replica remembers.
struct ReplicaMemory {
  std::map<std::uint64_t, SlotMark> prepared;
  std::map<std::pair<std::uint64_t, Digest>, SlotMark> voted;

  [[nodiscard]] ViewChange view_change(std::uint64_t view) const {
    ViewChange message;
    message.view = View{view};
    for (const auto& [n, mark] : prepared) message.prepared.push_back(mark);
    for (const auto& [what, mark] : voted) message.voted.push_back(mark);
    return message;
  }
};

struct Tally {
  std::size_t committed = 0;  // slots
  std::size_t binding = 0;    // of them null batches
  std::size_t views = 0;      // that were installed
};

// A cluster whose last f replicas are faulty, in lock step; every choice is a random one.
class History {
 public:
  History(std::uint32_t n, Tally& tally) : quorum_(n), correct_(n - quorum_.faults()), tally_(tally) {}

  void run(std::uint64_t views) {
    for (view_ = 0; view_ < views; ++view_) {
      if (view_ > 0) check();
      turn();
    }
    check();
    tally_.committed += committed_.size();
    for (const auto& [n, digest] : committed_) tally_.binding += digest == null_batch_digest() ? 1 : 0;
  }

 private:
  [[nodiscard]] NewView::Signed honest(std::uint32_t i) const { return {ReplicaId{i}, correct_[i].view_change(view_)}; }

  [[nodiscard]] S random_s() const {
    S s;
    for (std::uint32_t i = 0; i < correct_.size(); ++i) {
      if (pick(0, 4) > 0) s.push_back(honest(i));
    }
    add_lies(s);
    return s;
  }

  void add_lies(S& s) const {
    for (auto i = static_cast<std::uint32_t>(correct_.size()); i < quorum_.replicas(); ++i) {
      if (coin()) s.push_back({ReplicaId{i}, any_view_change(view_, 0)});
    }
  }

  void keeps_what_is_committed(const Decision& decision) const {
    for (const auto& [n, digest] : committed_) {
      RC_ASSERT(n <= decision.slots.size());
      RC_ASSERT(decision.slots[n - 1] == digest);
    }
  }

  // Whatever S is, and whichever correct view-changes come in after it, committed slots stay; all of them are enough.
  void check() const {
    S s = random_s();
    if (const auto decision = decide(s, quorum_, narrow)) keeps_what_is_committed(*decision);
    for (std::uint32_t i = 0; i < correct_.size(); ++i) {
      const bool there = std::any_of(s.begin(), s.end(), [&](const auto& each) { return each.replica.value == i; });
      if (there) continue;
      s.push_back(honest(i));
      if (const auto decision = decide(s, quorum_, narrow)) keeps_what_is_committed(*decision);
    }
    const auto decision = decide(s, quorum_, narrow);
    RC_ASSERT(decision.has_value());
  }

  // One view: a NEW-VIEW, votes, prepared certificates, commits.
  void turn() {
    const bool faulty_primary = coin();
    std::optional<Decision> common = new_view();
    Digest proposal = any_proposal();
    std::map<std::pair<std::uint64_t, Digest>, std::set<std::size_t>> votes;
    for (std::size_t i = 0; i < correct_.size(); ++i) {
      if (faulty_primary) {
        common = new_view();
        proposal = any_proposal();
      }
      if (!common || pick(0, 5) == 0) continue;
      ++tally_.views;
      for (std::uint64_t n = 1; n <= narrow_window; ++n) {
        // A new-view is voted for as a whole; a proposal may be lost.
        const bool decided = n <= common->slots.size();
        if (!decided && pick(0, 3) == 0) continue;
        votes[{n, decided ? common->slots[n - 1] : proposal}].insert(i);
      }
    }
    for (const auto& [what, who] : votes) settle(what.first, what.second, who);
  }

  [[nodiscard]] std::optional<Decision> new_view() const {
    return view_ == 0 ? Decision{} : decide(random_s(), quorum_, narrow);
  }
  [[nodiscard]] static Digest any_proposal() { return coin() ? letter('a') : letter('b'); }

  void settle(std::uint64_t n, const Digest& digest, const std::set<std::size_t>& who) {
    const SlotMark mark{SequenceNumber{n}, digest, View{view_}};
    std::size_t commits = 0;
    for (const std::size_t i : who) {
      correct_[i].voted[{n, digest}] = mark;
      if (who.size() + quorum_.faults() < quorum_.quorum() || pick(0, 3) == 0) continue;
      correct_[i].prepared[n] = mark;
      ++commits;
    }
    if (commits + quorum_.faults() < quorum_.quorum()) return;
    RC_ASSERT(committed_.try_emplace(n, digest).first->second == digest);
  }

  Quorum quorum_;
  std::vector<ReplicaMemory> correct_;
  Tally& tally_;
  std::uint64_t view_ = 0;
  std::map<std::uint64_t, Digest> committed_;
};

}  // namespace

TEST_CASE("in random histories of several slots, committed slots stay whichever view-changes are added") {
  Tally tally;
  for (std::uint32_t n = 4; n <= 7; ++n) {
    holds("committed slots stay", [&] { History{n, tally}.run(4); });
  }
  std::cout << "random histories: " << tally.committed << " slots committed, " << tally.binding
            << " of them null; views were installed " << tally.views << " times\n";
  CHECK(tally.committed > 1000);
  CHECK(tally.binding > 20);
}
