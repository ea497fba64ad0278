#include "node/crypto/mac_keys.h"

#include <sodium.h>

#include "node/crypto/tagged_bytes.h"

namespace pbft::crypto {

MacKey::~MacKey() {
  sodium_memzero(bytes_.data(), bytes_.size());
}

Mac MacKey::mac(BytesView data) const {
  Mac mac;
  crypto_generichash(mac.bytes.data(), mac.bytes.size(), data.data(), data.size(), bytes_.data(), bytes_.size());
  return mac;
}

bool MacKey::holds(BytesView data, BytesView claimed) const {
  if (claimed.size() != Mac::size) return false;
  const Mac right = mac(data);
  return sodium_memcmp(right.bytes.data(), claimed.data(), Mac::size) == 0;
}

PairKeyMaker::PairKeyMaker(const Roster& roster, const Identity& self)
    : cluster_(roster.cluster), epoch_(roster.epoch), self_(self.public_key()) {
  CurveKeyPair curve = self.curve();
  secret_ = curve.secret_key;
  sodium_memzero(curve.secret_key.data(), curve.secret_key.size());
}

PairKeyMaker::~PairKeyMaker() {
  sodium_memzero(secret_.data(), secret_.size());
}

MacKey PairKeyMaker::derive(BytesView shared, const PublicKey& sender, const PublicKey& receiver) const {
  TaggedBytes data{"pbft/mac/1"};
  data.add(cluster_.view()).add(epoch_).add(sender.view()).add(receiver.view());
  std::array<std::uint8_t, 32> key{};
  crypto_generichash(key.data(), key.size(), data.view().data(), data.view().size(), shared.data(), shared.size());
  MacKey made{key};
  sodium_memzero(key.data(), key.size());
  return made;
}

std::optional<PairKeys> PairKeyMaker::make(const PublicKey& peer, const CurveKey& peer_curve) const {
  std::array<std::uint8_t, 32> shared{};
  if (crypto_scalarmult(shared.data(), secret_.data(), peer_curve.data()) != 0) return std::nullopt;
  PairKeys keys{derive(shared, self_, peer), derive(shared, peer, self_)};
  sodium_memzero(shared.data(), shared.size());
  return keys;
}

std::optional<PairKeys> PairKeyMaker::make(const PublicKey& peer) const {
  const auto curve = curve_public_key(peer);
  if (!curve) return std::nullopt;
  return make(peer, *curve);
}

std::vector<std::optional<PairKeys>> replica_keys(const Roster& roster, const PairKeyMaker& maker,
                                                  std::optional<ReplicaId> self) {
  std::vector<std::optional<PairKeys>> keys(roster.replicas.size());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (self && self->value == i) continue;
    keys[i] = maker.make(roster.replicas[i]);
  }
  return keys;
}

const ClientKeys::Entry* ClientKeys::cached(const ClientId& client) {
  const auto found = index_.find(client);
  if (found == index_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found->second);
  return &entries_.front();
}

const PairKeys* ClientKeys::add(const ClientId& client, const CurveKey& curve) {
  std::optional<PairKeys> keys = maker_.make(PublicKey{client.bytes}, curve);
  if (!keys) return nullptr;
  if (entries_.size() >= capacity) {
    index_.erase(entries_.back().client);
    entries_.pop_back();
  }
  entries_.push_front(Entry{client, curve, *keys});
  index_.emplace(client, entries_.begin());
  return &entries_.front().keys;
}

const PairKeys* ClientKeys::find(const ClientId& client) {
  if (const Entry* entry = cached(client)) return &entry->keys;
  if (!admits(client)) return nullptr;
  const auto curve = curve_public_key(PublicKey{client.bytes});
  return curve ? add(client, *curve) : nullptr;
}

const PairKeys* ClientKeys::find_on_channel(const ClientId& client, const CurveKey& channel) {
  if (const Entry* entry = cached(client)) return entry->curve == channel ? &entry->keys : nullptr;
  if (!admits(client)) return nullptr;
  const auto curve = curve_public_key(PublicKey{client.bytes});
  return curve && *curve == channel ? add(client, *curve) : nullptr;
}

}  // namespace pbft::crypto
