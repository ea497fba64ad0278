// Lies about views: what was prepared and voted for, which view-changes a new view stands on, and how far all are.
#include <algorithm>
#include <deque>

#include "node/pbft/digests.h"
#include "node/wire/codec.h"
#include "tools/sim/byzantine/strategies.h"

namespace pbft::sim {
namespace {

constexpr View far_away{1ULL << 62};

// Puts the entries in the order of the protocol again; of equal keys the first stays.
void put_in_order(ViewChange& message) {
  const auto by_slot = [](const SlotMark& a, const SlotMark& b) { return a.n < b.n; };
  const auto by_digest = [](const SlotMark& a, const SlotMark& b) {
    return std::pair{a.n, a.digest} < std::pair{b.n, b.digest};
  };
  std::stable_sort(message.prepared.begin(), message.prepared.end(), by_slot);
  const auto same_slot = [](const SlotMark& a, const SlotMark& b) { return a.n == b.n; };
  message.prepared.erase(std::unique(message.prepared.begin(), message.prepared.end(), same_slot),
                         message.prepared.end());
  std::stable_sort(message.voted.begin(), message.voted.end(), by_digest);
  const auto same = [](const SlotMark& a, const SlotMark& b) { return a.n == b.n && a.digest == b.digest; };
  message.voted.erase(std::unique(message.voted.begin(), message.voted.end(), same), message.voted.end());
}

// Changes what one of its view-changes claims; most of the results are well-formed.
void forge(ViewChange& message, Mouth& mouth) {
  Random& random = mouth.random();
  const std::uint64_t low = message.low().value;
  const SequenceNumber n{random.between(low + 1, low + mouth.cluster().window)};
  const View before{message.view.value - 1};
  switch (random.below(7)) {
    case 0:
      message.prepared.clear();
      if (random.chance(500)) message.voted.clear();
      break;
    case 1: {  // what never was
      const SlotMark mark{n, tagged_digest("invented", {}), before};
      message.prepared.insert(message.prepared.begin(), mark);
      message.voted.push_back(mark);
      break;
    }
    case 2:  // in a later view than it was
      for (SlotMark& mark : message.prepared) mark.view = before;
      break;
    case 3:  // what the other half was told
      for (SlotMark& mark : message.prepared) {
        const Digest* other = mouth.conspiracy().other(mark.view, mark.n);
        if (other == nullptr) continue;
        mark.digest = *other;
        message.voted.push_back(mark);
      }
      break;
    case 4:
      if (!message.prepared.empty()) {
        message.prepared.erase(message.prepared.begin() +
                               static_cast<std::ptrdiff_t>(random.below(message.prepared.size())));
      }
      break;
    case 5:  // null where something was
      for (SlotMark& mark : message.prepared) {
        mark = {mark.n, null_batch_digest(), before};
        message.voted.push_back(mark);
      }
      break;
    default: {  // outside of its window or its views
      const bool outside = random.chance(500);
      const SequenceNumber at{outside ? low + mouth.cluster().window + 1 : n.value};
      message.prepared.push_back({at, tagged_digest("invented", {}), outside ? before : message.view});
    }
  }
  put_in_order(message);
}

class ForgeViewChange final : public Strategy {
 public:
  explicit ForgeViewChange(Mouth& mouth) : Strategy(mouth), alike_(random().chance(500)) {}
  void speak(Speech& speech) override {
    for (PeerMessage& message : speech.messages) {
      auto* change = std::get_if<ViewChange>(&message);
      if (change == nullptr) continue;
      const ReplicaId key = alike_ ? ReplicaId{} : speech.to;
      const auto [at, fresh] = forged_.try_emplace({change->view, key}, *change);
      if (fresh && tempted()) {
        forge(at->second, mouth_);
        mouth_.sign(at->second);
      }
      if (at->second.signed_bytes == change->signed_bytes) continue;
      *change = at->second;
      mouth_.told(Lie::forge_view_change);
    }
  }

 private:
  const bool alike_;  // the same forgery for all
  std::map<std::pair<View, ReplicaId>, ViewChange> forged_;
};

// An older one, or one from before a stable checkpoint that the replica has.
class StaleViewChange final : public Strategy {
 public:
  using Strategy::Strategy;
  void speak(Speech& speech) override {
    for (PeerMessage& message : speech.messages) {
      auto* change = std::get_if<ViewChange>(&message);
      if (change == nullptr) continue;
      if (old_.empty() || old_.back().view != change->view) old_.push_back(*change);
      if (old_.size() > 8) old_.pop_front();
      if (!tempted()) continue;
      const ViewChange& older = old_[random().below(old_.size())];
      const ViewChange now = *change;
      *change = older;
      if (random().chance(500)) {  // old content under the new view
        change->view = now.view;
        if (random().chance(300)) change->stable.reset();
        const std::uint64_t high = change->low().value + mouth_.cluster().window;
        const auto outside = [&](const SlotMark& mark) { return mark.n.value > high; };
        std::erase_if(change->prepared, outside);
        std::erase_if(change->voted, outside);
        mouth_.sign(*change);
      }
      if (change->signed_bytes != now.signed_bytes) mouth_.told(Lie::stale_view_change);
    }
  }

 private:
  std::deque<ViewChange> old_;
};

// A new view that does not stand on what it should, or that stands on different ground for different replicas.
class BadNewView final : public Strategy {
 public:
  using Strategy::Strategy;
  bool hear(const std::vector<PeerMessage>& messages) override {
    for (const PeerMessage& message : messages) {
      if (const auto* change = std::get_if<ViewChange>(&message)) remember(*change);
    }
    return true;
  }
  void speak(Speech& speech) override {
    for (PeerMessage& message : speech.messages) {
      if (const auto* change = std::get_if<ViewChange>(&message)) remember(*change);
      auto* view = std::get_if<NewView>(&message);
      if (view == nullptr || view->primary != mouth_.self()) continue;
      const auto [at, fresh] = made_.try_emplace({view->view, speech.to}, *view);
      if (fresh && tempted()) {
        twist(at->second);
        mouth_.sign(at->second);
      }
      if (at->second.signed_bytes == view->signed_bytes) continue;
      *view = at->second;
      mouth_.told(Lie::bad_new_view);
    }
  }

 private:
  void remember(const ViewChange& change) {
    const auto opened = wire::decode_signed(change.signed_bytes);
    if (!opened) return;
    const auto body = wire::decode_view_change_body(opened->body);
    if (!body) return;
    heard_[change.view][body->signer.replica] = change;
    if (heard_.size() > 8) heard_.erase(heard_.begin());
  }

  void twist(NewView& view) {
    std::map<ReplicaId, ViewChange> all;
    for (const NewView::Signed& one : view.view_changes) all[one.replica] = one.message;
    const std::uint64_t how = random().below(4);
    if (how == 0) {
      leave_out(all);
    } else if (how == 1) {  // all that there are, and then as few as are enough: others than an honest one takes
      for (const auto& [replica, change] : heard_[view.view]) all[replica] = change;
      while (all.size() > mouth_.quorum().quorum()) leave_out(all);
    } else if (how == 2 && !heard_.empty()) {  // of another view
      for (auto& [replica, change] : all) {
        const auto& others =
            std::next(heard_.begin(), static_cast<std::ptrdiff_t>(random().below(heard_.size())))->second;
        if (const auto found = others.find(replica); found != others.end() && random().chance(500)) {
          change = found->second;
        }
      }
    } else if (ViewChange& own = all[mouth_.self()]; own.view == view.view) {
      forge(own, mouth_);
      mouth_.sign(own);
    } else {
      all.erase(mouth_.self());
    }
    view.view_changes.clear();
    for (auto& [replica, change] : all) view.view_changes.push_back({replica, std::move(change)});
  }
  void leave_out(std::map<ReplicaId, ViewChange>& all) {
    if (all.size() > 1) all.erase(std::next(all.begin(), static_cast<std::ptrdiff_t>(random().below(all.size()))));
  }

  std::map<View, std::map<ReplicaId, ViewChange>> heard_;
  std::map<std::pair<View, ReplicaId>, NewView> made_;
};

class FarView final : public Strategy {
 public:
  using Strategy::Strategy;
  void speak(Speech& speech) override {
    for (PeerMessage& message : speech.messages) {
      if (auto* status = std::get_if<Status>(&message); status != nullptr && tempted()) {
        twist(*status);
        mouth_.told(Lie::far_view);
      } else if (auto* change = std::get_if<ViewChange>(&message); change != nullptr && tempted()) {
        change->view = far(change->view);
        mouth_.sign(*change);
        mouth_.told(Lie::far_view);
      }
    }
    if (speech.messages.empty() || !random().chance(rate_ / 50 + 1)) return;
    ViewChange change;
    change.view = far(View{1});
    mouth_.sign(change);
    speech.frames.push_back(wire::encode(PeerMessage{change}));
    mouth_.told(Lie::far_view);
  }

 private:
  View far(View view) { return random().chance(500) ? far_away : View{view.value + random().between(1, 1'000)}; }
  void twist(Status& status) {
    switch (random().below(5)) {
      case 0:
        status.view = far(status.view);
        break;
      case 1:
        status.view = far(status.view);
        status.active = status.suspects = false;
        status.view_changes = random().next();
        break;
      case 2:
        status.executed = SequenceNumber{~0ULL};
        break;
      case 3:
        status.stable = SequenceNumber{far_away.value};
        status.executed = status.stable;
        status.lacks.clear();
        break;
      default:
        status.suspects = status.active;
    }
  }
};

}  // namespace

std::unique_ptr<Strategy> view_lie(Lie lie, Mouth& mouth) {
  if (lie == Lie::forge_view_change) return std::make_unique<ForgeViewChange>(mouth);
  if (lie == Lie::stale_view_change) return std::make_unique<StaleViewChange>(mouth);
  if (lie == Lie::bad_new_view) return std::make_unique<BadNewView>(mouth);
  if (lie == Lie::far_view) return std::make_unique<FarView>(mouth);
  return nullptr;
}

}  // namespace pbft::sim
