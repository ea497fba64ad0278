#include "tests/byzantine/lying_bus.h"

#include <utility>

#include "node/wire/codec.h"

namespace pbft::byzantine {
namespace {

constexpr std::size_t most_held_back = 100'000;

// What is in a frame of somebody who may lie as well; nothing where it cannot be read.
template <class Message>
std::vector<Message> open(const SharedBytes& frame, wire::Decoded<Message> (*decode)(const SharedBytes&)) {
  const auto packet = wire::decode_packet(frame);
  if (!packet) return {};
  std::vector<Message> messages;
  for (const SharedBytes& bytes : packet->messages) {
    auto message = decode(bytes);
    if (!message) return {};
    messages.push_back(*std::move(message));
  }
  return messages;
}

}  // namespace

// The real time, and a conspiracy of one: where n is below 7 there is no second liar.
class LyingBus::Here final : public sim::Setting {
 public:
  Here(LyingBus& owner, std::uint64_t seed) : owner_(owner), conspiracy_(seed) {}

  [[nodiscard]] sim::Microseconds now() const override {
    const auto now = Clock::now().time_since_epoch();
    return static_cast<sim::Microseconds>(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
  }
  [[nodiscard]] sim::Conspiracy& conspiracy() override { return conspiracy_; }
  void told(sim::Lie lie) override {
    ++owner_.counts_[static_cast<std::size_t>(lie)];
    owner_.told_ = true;
  }

 private:
  LyingBus& owner_;
  sim::Conspiracy conspiracy_;
};

LyingBus::LyingBus(const sim::LiarFacts& facts, const std::vector<sim::Lie>& lies, runtime::Transport& bus, Tell tell)
    : self_(facts.self),
      replicas_(facts.cluster.replicas),
      bus_(bus),
      tell_(std::move(tell)),
      liar_(facts, std::make_unique<Here>(*this, facts.seed), lies),
      authenticator_(facts.roster, facts.self, facts.identity, facts.scheme) {}

LyingBus::~LyingBus() = default;

// ---- In --------------------------------------------------------------------------------------------

bool LyingBus::hears(const SharedBytes& frame, ReplicaId) {
  return liar_.hear(open<PeerMessage>(frame, wire::decode_peer_message));
}

bool LyingBus::hears(const SharedBytes& frame, Origin) {
  const auto packet = wire::decode_packet(frame);
  const auto* client = packet ? std::get_if<ClientId>(&packet->sender) : nullptr;
  if (client == nullptr) return true;
  return liar_.hear(*client, open<ClientMessage>(frame, wire::decode_client_message));
}

// ---- Out -------------------------------------------------------------------------------------------

void LyingBus::lie(ReplicaId to, const std::vector<PeerMessage>& messages) {
  for (const sim::Liar::Outgoing& outgoing : liar_.speak(to, messages)) {
    const BytesView view = outgoing.frame.view();
    Bytes frame{view.begin(), view.end()};
    if (outgoing.delay == 0) {
      bus_.send(to, std::move(frame));
    } else if (held_back_.size() < most_held_back) {
      held_back_.emplace(Clock::now() + std::chrono::microseconds{outgoing.delay}, HeldBack{to, std::move(frame)});
    }
  }
}

void LyingBus::broadcast(Bytes frame) {
  const auto messages = open<PeerMessage>(SharedBytes::own(std::move(frame)), wire::decode_peer_message);
  for (std::uint32_t to = 0; to < replicas_; ++to) {
    if (ReplicaId{to} != self_) lie(ReplicaId{to}, messages);
  }
}

void LyingBus::send(ReplicaId to, Bytes frame) {
  lie(to, open<PeerMessage>(SharedBytes::own(std::move(frame)), wire::decode_peer_message));
}

Bytes LyingBus::lie(const ClientId& client, Bytes frame) {
  auto messages = open<ReplicaToClientMessage>(SharedBytes::own(std::move(frame)), wire::decode_replica_message);
  liar_.reply(client, messages);
  return authenticator_.seal_to_client(client, messages);
}

void LyingBus::reply(const ClientId& client, SessionId session, RequestNumber number, Bytes frame) {
  bus_.reply(client, session, number, lie(client, std::move(frame)));
}

bool LyingBus::answer(const ClientId& client, Origin origin, Bytes frame) {
  return bus_.answer(client, origin, lie(client, std::move(frame)));
}

void LyingBus::turn_ended() {
  const auto now = Clock::now();
  while (!held_back_.empty() && held_back_.begin()->first <= now) {
    const auto due = held_back_.extract(held_back_.begin());
    bus_.send(due.mapped().to, std::move(due.mapped().frame));
  }
  if (std::exchange(told_, false)) tell_(counts_);
}

}  // namespace pbft::byzantine
