// Lies that need no content: silence, delay, repetition and noise.
#include <deque>
#include <set>

#include "node/wire/codec.h"
#include "tools/sim/byzantine/strategies.h"

namespace pbft::sim {
namespace {

// Says nothing: to all, to some, or nothing of some types; always, or for some seconds now and then.
class Silent final : public Strategy {
 public:
  explicit Silent(Mouth& mouth) : Strategy(mouth) {
    const std::uint64_t how = random().below(3);
    if (how == 1) deaf_ = random().next();
    if (how == 2) types_ = static_cast<std::uint32_t>(random().next() & random().next());
    if (random().chance(500)) period_ = random().between(2, 12) * second;
  }
  void speak(Speech& speech) override {
    if (period_ != 0 && (mouth_.now() / period_) % 2 != 0) return;
    if ((deaf_ >> (speech.to.value % 64) & 1) == 0) return;
    const std::size_t dropped =
        std::erase_if(speech.messages, [this](const PeerMessage& m) { return (types_ >> m.index() & 1) != 0; });
    if (dropped > 0) mouth_.told(Lie::silent);
  }

 private:
  std::uint64_t deaf_ = ~0ULL;  // bit of each replica that hears nothing
  std::uint32_t types_ = ~0U;   // bit of each alternative of PeerMessage that is not said
  Microseconds period_ = 0;
};

// Sends nothing to f others, so that the rest cannot do without it.
class StarveReplicas final : public Strategy {
 public:
  explicit StarveReplicas(Mouth& mouth) : Strategy(mouth) {
    while (victims_.size() < mouth.quorum().faults()) {
      const auto victim = static_cast<std::uint32_t>(random().below(mouth.quorum().replicas()));
      if (victim != mouth.self().value) victims_.insert(victim);
    }
  }
  void speak(Speech& speech) override {
    if (!victims_.contains(speech.to.value) || speech.messages.empty()) return;
    speech.messages.clear();
    mouth_.told(Lie::starve_replicas);
  }

 private:
  std::set<std::uint32_t> victims_;
};

// Everything, or only what a primary orders, comes just before the others lose patience.
class Slow final : public Strategy {
 public:
  explicit Slow(Mouth& mouth)
      : Strategy(mouth),
        delay_(mouth.view_timeout() * random().between(50, 95) / 100),
        proposals_only_(random().chance(500)) {}
  void speak(Speech& speech) override {
    bool proposes = false;
    for (const PeerMessage& message : speech.messages) proposes |= std::holds_alternative<PrePrepare>(message);
    if ((proposals_only_ && !proposes) || (speech.messages.empty() && speech.frames.empty())) return;
    speech.delay += delay_;
    mouth_.told(Lie::slow);
  }

 private:
  const Microseconds delay_;
  const bool proposals_only_;
};

class Replay final : public Strategy {
 public:
  using Strategy::Strategy;
  void speak(Speech& speech) override {
    if (!old_.empty() && random().chance(rate_ / 4 + 1)) {
      speech.frames.push_back(old_[random().below(old_.size())]);
      mouth_.told(Lie::replay);
    }
    for (const PeerMessage& message : speech.messages) {
      if (std::holds_alternative<Status>(message) && !random().chance(100)) continue;
      if (old_.size() < kept) {
        old_.push_back(wire::encode(message));
      } else if (random().chance(50)) {  // some of every age
        old_[random().below(kept)] = wire::encode(message);
      }
    }
  }

 private:
  static constexpr std::size_t kept = 200;
  std::vector<Bytes> old_;
};

class Malformed final : public Strategy {
 public:
  using Strategy::Strategy;
  void speak(Speech& speech) override {
    if (speech.messages.empty() || !random().chance(rate_ / 2 + 1)) return;
    Bytes bytes = wire::encode(speech.messages[random().below(speech.messages.size())]);
    switch (random().below(4)) {
      case 0:
        bytes.resize(random().below(bytes.size()));
        break;
      case 1:
        bytes.push_back(static_cast<std::uint8_t>(random().next()));
        break;
      case 2:
        for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random().next());
        break;
      default:
        bytes[random().below(bytes.size())] ^= static_cast<std::uint8_t>(1U << random().below(8));
    }
    speech.frames.push_back(std::move(bytes));
    mouth_.told(Lie::malformed);
  }
};

}  // namespace

std::unique_ptr<Strategy> silence_lie(Lie lie, Mouth& mouth) {
  if (lie == Lie::silent) return std::make_unique<Silent>(mouth);
  if (lie == Lie::starve_replicas) return std::make_unique<StarveReplicas>(mouth);
  if (lie == Lie::slow) return std::make_unique<Slow>(mouth);
  if (lie == Lie::replay) return std::make_unique<Replay>(mouth);
  if (lie == Lie::malformed) return std::make_unique<Malformed>(mouth);
  return nullptr;
}

}  // namespace pbft::sim
