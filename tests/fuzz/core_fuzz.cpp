// Four cores on a network that loses, repeats and reorders, one of them a liar that says what it says correctly and
// what it makes of messages that it has heard, ledger ranges and view-changes among them. No core breaks its own
// invariants, and the honest ones execute the same.
// Input: which replica lies, and a script.
#include <algorithm>
#include <deque>
#include <iterator>
#include <set>
#include <tuple>
#include <type_traits>

#include "node/wire/codec.h"
#include "tests/fuzz/msgpack_tree.h"
#include "tests/pbft/harness.h"

namespace pbft::fuzz {
namespace {

using namespace pbft::testing;

constexpr std::uint32_t replicas = 4;
constexpr std::size_t most_steps = 96;
constexpr std::size_t most_remembered = 128;
constexpr std::ptrdiff_t most_heard = 16;  // in one step
constexpr std::size_t most_under_way = 400;

class Game {
 public:
  explicit Game(Input& input)
      : cluster_(replicas, 4, 8, input.flag(), 8), liar_(static_cast<std::uint32_t>(input.below(replicas))) {
    ask(0, {RequestNumber{1}, RequestKind::open_session, {}}, SessionId{});
    cluster_.run();
    remember();
  }

  void step(Input& input) {
    switch (input.below(10)) {
      case 0:
        cluster_.tick_all();
        break;
      case 1:
        cluster_.run();
        break;
      case 2:
        ask(static_cast<std::uint32_t>(input.below(replicas)), request(input), SessionId{1});
        break;
      case 3:
        lose(input);
        break;
      case 4:
        crash_and_restart(static_cast<std::uint32_t>(input.below(replicas)));
        break;
      case 5:
        deliver_some(input);
        break;
      default:
        lie(input);
    }
    remember();
  }

  // The network works again; the liar goes on as it is, but makes nothing up any more.
  void end() {
    cluster_.settle(8);
    for (std::uint32_t a = 0; a < replicas; ++a) {
      for (std::uint32_t b = 0; b < a; ++b) {
        if (a != liar_ && b != liar_) check_agreement(cluster_.node(a), cluster_.node(b));
      }
    }
  }

 private:
  static Request request(Input& input) {
    return {RequestNumber{1 + input.below(12)}, input.below(4) == 0 ? RequestKind::query : RequestKind::execute,
            SharedBytes::own(Bytes{input.byte()})};
  }

  void ask(std::uint32_t at, const Request& request, SessionId session) {
    const Bytes body = wire::encode_bundle_body(client_id(1), session, RequestNumber{1}, {request});
    const BundlePtr bundle = wire::decode_bundle(SharedBytes::copy_of(body), SharedBytes::own(Bytes(65, 1))).value();
    signed_.insert(bundle->digest);
    cluster_.request(at, bundle);
  }

  void lose(Input& input) {
    auto& network = cluster_.network;
    if (network.empty()) return;
    const auto at = network.begin() + static_cast<std::ptrdiff_t>(input.below(network.size()));
    if (input.flag()) {
      network.erase(at, at + std::min<std::ptrdiff_t>(static_cast<std::ptrdiff_t>(input.below(8)), network.end() - at));
    } else {
      const CoreCluster::InFlight again = *at;
      network.push_back(again);
    }
  }

  void crash_and_restart(std::uint32_t id) {
    cluster_.crash(id);
    cluster_.restart(id);
  }

  // In any order.
  void deliver_some(Input& input) {
    for (std::size_t left = 1 + input.below(8); left > 0 && !cluster_.network.empty(); --left) {
      const auto at = cluster_.network.begin() + static_cast<std::ptrdiff_t>(input.below(cluster_.network.size()));
      CoreCluster::InFlight flight = std::move(*at);
      cluster_.network.erase(at);
      say(flight.from.value, flight.to.value, std::move(flight.message));
    }
  }

  // As the authenticator lets it through.
  void say(std::uint32_t from, std::uint32_t to, PeerMessage message) {
    if (auto* proposal = std::get_if<PrePrepare>(&message)) {
      proposal->authentic.clear();
      for (const BundlePtr& bundle : proposal->batch->bundles) {
        proposal->authentic.push_back(signed_.contains(bundle->digest));
      }
    }
    if (auto* forward = std::get_if<Forward>(&message)) forward->authentic = signed_.contains(forward->bundle->digest);
    cluster_.send(from, to, std::move(message));
  }

  void remember() {
    auto& network = cluster_.network;
    if (network.size() > most_under_way) network.erase(network.begin(), network.end() - most_under_way);
    for (auto at = network.end() - std::min<std::ptrdiff_t>(most_heard, std::ssize(network)); at != network.end();
         ++at) {
      heard_.push_back(*at);
    }
    while (heard_.size() > most_remembered) heard_.pop_front();
  }

  void lie(Input& input) {
    if (heard_.empty()) return;
    const CoreCluster::InFlight truth = heard_[input.below(heard_.size())];
    const auto to = static_cast<std::uint32_t>(input.below(replicas));
    if (to == liar_) return;
    const bool own = truth.from.value == liar_;
    std::optional<PeerMessage> told =
        std::visit([&](const auto& message) { return twisted(message, own, input); }, truth.message);
    if (told) say(liar_, to, std::move(*told));
  }

  // What is not signed is the liar's to change as a whole.
  template <class Message>
  std::optional<PeerMessage> twisted(const Message& message, bool, Input& input) const {
    // Pairs of the harness hold addresses.
    if constexpr (std::is_same_v<Message, BucketPart>) return message;
    const Bytes bytes = changed_often(wire::encode(PeerMessage{message}), input, 3);
    auto decoded = wire::decode_peer_message(SharedBytes::copy_of(bytes));
    if (!decoded || std::holds_alternative<BucketPart>(*decoded) || is_signed(*decoded)) return std::nullopt;
    return *std::move(decoded);
  }
  // Of what is signed only its own.
  std::optional<PeerMessage> twisted(const Checkpoint& message, bool own, Input& input) const {
    if (!own) return std::nullopt;
    Checkpoint told = message;
    told.n = SequenceNumber{input.value()};
    if (input.flag()) told.root = some_digest(input);
    return told;
  }
  std::optional<PeerMessage> twisted(const StableCheckpoint& message, bool, Input& input) const {
    return with_fewer_votes(message, input);
  }
  std::optional<PeerMessage> twisted(const ViewChange& message, bool own, Input& input) const {
    if (!own) return std::nullopt;
    return twisted_view_change(message, input);
  }
  std::optional<PeerMessage> twisted(const ClientReport& message, bool own, Input& input) const {
    if (!own) return std::nullopt;
    ClientReport told = message;
    told.client = client_id(input.byte());
    return told;
  }
  std::optional<PeerMessage> twisted(const NewView& message, bool own, Input& input) const {
    if (!own || message.primary.value != liar_) return message;  // anybody may hand it on
    NewView told = message;
    auto& set = told.view_changes;
    if (input.flag()) told.view = View{input.value()};
    if (!set.empty() && input.flag()) set.erase(set.begin() + static_cast<std::ptrdiff_t>(input.below(set.size())));
    for (NewView::Signed& one : set) {
      if (one.replica.value == liar_ && input.flag()) one.message = twisted_view_change(one.message, input);
    }
    return told;
  }

  static StableCheckpoint with_fewer_votes(StableCheckpoint proof, Input& input) {
    proof.votes.resize(proof.votes.size() - input.below(proof.votes.size() + 1));
    return proof;
  }

  ViewChange twisted_view_change(ViewChange told, Input& input) const {
    if (input.flag()) told.view = View{std::max<std::uint64_t>(1, input.value())};
    if (told.stable && input.flag()) told.stable = with_fewer_votes(*told.stable, input);
    if (told.stable && input.below(4) == 0) told.stable.reset();
    for (auto* marks : {&told.prepared, &told.voted}) {
      if (!marks->empty() && input.flag()) marks->pop_back();
      for (std::size_t left = input.below(3); left > 0; --left) {
        marks->push_back({SequenceNumber{input.value()}, some_digest(input), View{input.value()}});
      }
    }
    // As the decoder lets it through.
    const auto before = [](const SlotMark& a, const SlotMark& b) {
      return std::tie(a.n, a.digest) < std::tie(b.n, b.digest);
    };
    std::sort(told.prepared.begin(), told.prepared.end(), before);
    std::sort(told.voted.begin(), told.voted.end(), before);
    const auto same_slot = [](const SlotMark& a, const SlotMark& b) { return a.n == b.n; };
    told.prepared.erase(std::unique(told.prepared.begin(), told.prepared.end(), same_slot), told.prepared.end());
    const auto same_vote = [](const SlotMark& a, const SlotMark& b) { return a.n == b.n && a.digest == b.digest; };
    told.voted.erase(std::unique(told.voted.begin(), told.voted.end(), same_vote), told.voted.end());
    return told;
  }

  [[nodiscard]] static bool is_signed(const PeerMessage& message) {
    return std::holds_alternative<Checkpoint>(message) || std::holds_alternative<StableCheckpoint>(message) ||
           std::holds_alternative<ViewChange>(message) || std::holds_alternative<NewView>(message) ||
           std::holds_alternative<ClientReport>(message);
  }

  [[nodiscard]] Digest some_digest(Input& input) const {
    const std::size_t which = input.below(8);
    if (which == 0) return null_batch_digest();
    if (which < 4) return tagged_digest("fuzz", Bytes{static_cast<std::uint8_t>(which)});
    if (heard_.empty()) return {};
    const auto* vote = std::get_if<Prepare>(&heard_[input.below(heard_.size())].message);
    return vote == nullptr ? Digest{} : vote->digest;
  }

  static void check_agreement(const CoreNode& a, const CoreNode& b) {
    for (const auto& [n, digest] : a.executed) {
      const auto other = b.executed.find(n);
      holds(other == b.executed.end() || other->second == digest, "two honest replicas execute the same");
    }
  }

  CoreCluster cluster_;
  std::uint32_t liar_;
  std::set<Digest> signed_;  // bundles that the client made
  std::deque<CoreCluster::InFlight> heard_;
};

}  // namespace

void run(BytesView bytes) {
  Input input{bytes};
  Game game{input};
  for (std::size_t i = 0; i < most_steps && !input.empty(); ++i) game.step(input);
  game.end();
}

Seeds seeds() {
  Seeds made;
  for (std::uint8_t liar = 0; liar < replicas; ++liar) {
    Bytes seed{1, liar};
    for (std::uint8_t i = 1; i < 12; ++i) seed.insert(seed.end(), {2, liar, i, 0, i, 6, i, 1, 1, 1, i, 1, 1, 0});
    made.push_back(seed);
    // A view change on the way.
    for (int i = 0; i < 24; ++i) seed.insert(seed.end(), {0, 5, 7, 3, 1, 4, 1, 5});
    made.push_back(seed);
  }
  return made;
}

}  // namespace pbft::fuzz
