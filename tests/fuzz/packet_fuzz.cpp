// Frames from a peer, a client and a replica that hold the right keys: what is in them is theirs to choose. What opens
// is what was sealed, byte for byte; what was changed on the way does not open.
// Input: a script that makes the messages of one frame.
#include "node/crypto/mac_keys.h"
#include "node/crypto/proofs.h"
#include "tests/crypto/signed_samples.h"
#include "tests/fuzz/msgpack_tree.h"
#include "tests/wire/samples.h"

namespace pbft::fuzz {
namespace {

constexpr std::uint32_t sender = 2;
constexpr std::uint32_t receiver = 1;
constexpr std::size_t most_messages = 3;

Bytes copy(const SharedBytes& bytes) {
  return {bytes.view().begin(), bytes.view().end()};
}

// The parties, and the messages that take signatures to make.
struct World {
  testing::TestCluster cluster;
  crypto::Identity client = testing::identity_of(testing::first_client);
  crypto::Authenticator replica = cluster.replica(receiver);
  crypto::ClientAuthenticator as_client = cluster.client();
  crypto::PairKeys between_replicas = keys(cluster.identities[sender], cluster.identities[receiver].public_key());
  crypto::PairKeys of_client = keys(client, cluster.identities[receiver].public_key());
  crypto::PairKeys to_client = keys(cluster.identities[receiver], client.public_key());
  std::vector<Bytes> signed_messages;

  World() {
    crypto::Authenticator liar = cluster.replica(sender);
    const StableCheckpoint stable = testing::proof(cluster, {0, 1, 2});
    signed_messages.push_back(wire::encode(PeerMessage{stable}));
    signed_messages.push_back(
        copy(std::get<Checkpoint>(liar.sign(Checkpoint{stable.n, stable.root, {}}).message()).signed_bytes));
    signed_messages.push_back(copy(liar.sign(testing::view_change(stable)).signed_bytes));
    signed_messages.push_back(copy(liar.sign(testing::view_change(std::nullopt)).signed_bytes));
    signed_messages.push_back(copy(liar.sign(testing::new_view(cluster, {0, 1, 2})).signed_bytes));
    signed_messages.push_back(copy(liar.sign(ClientReport{client.client_id(), {}}).signed_bytes));
  }

  [[nodiscard]] crypto::PairKeys keys(const crypto::Identity& self, const PublicKey& peer) const {
    return crypto::PairKeyMaker{cluster.roster, self}.make(peer).value();
  }
  // The message with its body signed by the liar, where it is a signed one.
  [[nodiscard]] Bytes signed_again(const Bytes& message) const {
    const auto parts = wire::decode_signed(SharedBytes::copy_of(message));
    if (!parts) return message;
    const auto covered = crypto::signed_message_bytes(cluster.roster, parts->body.view());
    return wire::encode_signed(parts->body.view(), crypto::ed25519()->sign(cluster.identities[sender], covered.view()));
  }
};

World& world() {
  static World made;
  return made;
}

Bytes peer_message(Input& input) {
  const std::vector<Bytes>& signed_messages = world().signed_messages;
  if (input.flag()) return signed_messages[input.below(signed_messages.size())];
  const std::size_t kind = input.below(testing::Samples::peer_kinds);
  return wire::encode(testing::Samples{input.number(2)}.peer(kind));
}

// A bundle with its proof right or changed, or one of the other kinds.
Bytes client_message(Input& input) {
  using Proof = crypto::ClientAuthenticator::Proof;
  const std::size_t kind = input.below(testing::Samples::client_kinds + 1);
  testing::Samples samples{input.number(2)};
  if (kind < testing::Samples::client_kinds) return wire::encode(samples.client(kind));
  const BundlePtr bundle = samples.bundle();
  return wire::encode(ClientMessage{ClientRequest{world().as_client.seal_bundle(
      bundle->session, bundle->low, bundle->requests, input.flag() ? Proof::macs : Proof::signature)}});
}

Bytes reply_message(Input& input) {
  const std::size_t kind = input.below(testing::Samples::replica_kinds);
  return wire::encode(testing::Samples{input.number(2)}.replica(kind));
}

using Maker = Bytes (*)(Input&);

struct Frame {
  Bytes bytes;
  bool changed_on_the_way = false;
};

// Changes what the sender says before it seals, and then perhaps the frame on its way.
Frame make_frame(const wire::Sender& from, const crypto::PairKeys& keys, Maker make, Input& input) {
  std::vector<Bytes> messages;
  for (std::size_t left = 1 + input.below(most_messages); left > 0; --left) {
    messages.push_back(world().signed_again(changed_often(make(input), input, 4)));
  }
  const crypto::Roster& roster = world().cluster.roster;
  Frame frame{wire::encode_packet(roster.cluster, roster.epoch, from, messages)};
  if (input.below(8) == 0) frame.bytes = changed(frame.bytes, input);
  const Mac mac = keys.to.mac(frame.bytes);
  wire::append_authenticator(frame.bytes, mac.view());
  if (input.below(4) == 0) {
    const std::uint8_t mask = input.byte();
    frame.bytes[input.number(3) % frame.bytes.size()] ^= mask;
    frame.changed_on_the_way = mask != 0;
  }
  return frame;
}

// What opened says the same as the frame.
template <class Opened, class MessageOf>
void check(const Frame& frame, const Opened& opened, const MessageOf& message_of) {
  if (!opened) return;
  holds(!frame.changed_on_the_way, "a frame that was changed on its way does not open");
  const auto packet = wire::decode_packet(SharedBytes::copy_of(frame.bytes));
  holds(packet && packet->messages.size() == opened->size(), "as many messages open as were sealed");
  for (std::size_t i = 0; i < opened->size(); ++i) {
    holds(SharedBytes::own(wire::encode(message_of((*opened)[i]))) == packet->messages[i],
          "what opened is what was sealed");
  }
}

void to_replica(Input& input, bool as_client) {
  World& all = world();
  const auto message_of = [](const auto& one) -> const auto& {
    return one.message();
  };
  if (as_client) {
    const Frame frame = make_frame(all.client.client_id(), all.of_client, client_message, input);
    const auto opened = all.replica.open_client(SharedBytes::copy_of(frame.bytes), all.client.curve().public_key);
    check(frame, opened, message_of);
    for (std::size_t i = 0; opened && i < opened->size(); ++i) {
      const auto* request = std::get_if<ClientRequest>(&(*opened)[i].message());
      holds((*opened)[i].sender() == all.client.client_id(), "a message is its sender's");
      holds(request == nullptr || request->bundle->client == all.client.client_id(), "a bundle is its sender's");
    }
    return;
  }
  const Frame frame = make_frame(ReplicaId{sender}, all.between_replicas, peer_message, input);
  const auto opened = all.replica.open_peer(SharedBytes::copy_of(frame.bytes), ReplicaId{sender});
  check(frame, opened, message_of);
  for (std::size_t i = 0; opened && i < opened->size(); ++i) {
    const auto* proposal = std::get_if<PrePrepare>(&(*opened)[i].message());
    holds(proposal == nullptr || proposal->authentic.size() == proposal->batch->bundles.size(),
          "each bundle of a pre-prepare is judged");
  }
}

void to_client(Input& input) {
  World& all = world();
  const Frame frame = make_frame(ReplicaId{receiver}, all.to_client, reply_message, input);
  const auto opened = all.as_client.open(SharedBytes::copy_of(frame.bytes), ReplicaId{receiver});
  check(frame, opened, [](const ReplicaToClientMessage& one) -> const ReplicaToClientMessage& { return one; });
}

}  // namespace

void run(BytesView bytes) {
  Input input{bytes};
  switch (input.below(4)) {
    case 0:
      return to_replica(input, true);
    case 1:
      return to_client(input);
    default:
      return to_replica(input, false);
  }
}

// Each signed message and a few others, as they are and with a change.
Seeds seeds() {
  Seeds made;
  for (std::uint8_t way = 0; way < 3; ++way) {
    for (std::uint8_t kind = 0; kind < 6; ++kind) {
      made.push_back({way, 0, static_cast<std::uint8_t>(way == 2 ? 1 : kind), kind, 1, 0, 0, 1, 1});
      made.push_back({way, 0, static_cast<std::uint8_t>(way == 2 ? 1 : kind), kind, 1, 1, 1, 3, 1, 2, 1, 3, 1, 1});
    }
  }
  return made;
}

}  // namespace pbft::fuzz
