// Message authentication codes and the keys that pairs of parties have for them. Keys come from X25519 of the two
// static keys and are separate per direction, cluster and epoch. Wiped on destruction.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <optional>
#include <vector>

#include "node/crypto/authenticator.h"
#include "node/crypto/keys.h"

namespace pbft::crypto {

using CurveKey = std::array<std::uint8_t, 32>;

class MacKey {
 public:
  MacKey() = default;
  explicit MacKey(const std::array<std::uint8_t, 32>& bytes) : bytes_(bytes) {}
  MacKey(const MacKey&) = default;
  MacKey& operator=(const MacKey&) = default;
  ~MacKey();

  [[nodiscard]] Mac mac(BytesView data) const;
  // In constant time. False if `claimed` is not of a MAC's size.
  [[nodiscard]] bool holds(BytesView data, BytesView claimed) const;

 private:
  std::array<std::uint8_t, 32> bytes_{};
};

struct PairKeys {
  MacKey to;    // own messages to the peer
  MacKey from;  // the peer's to us
};

// Derives the keys of one party and any other.
class PairKeyMaker {
 public:
  PairKeyMaker(const Roster& roster, const Identity& self);
  PairKeyMaker(const PairKeyMaker&) = default;
  PairKeyMaker& operator=(const PairKeyMaker&) = default;
  ~PairKeyMaker();

  // `peer_curve` is the X25519 form of `peer`. Nothing for a key that no shared secret can be made with.
  [[nodiscard]] std::optional<PairKeys> make(const PublicKey& peer, const CurveKey& peer_curve) const;
  [[nodiscard]] std::optional<PairKeys> make(const PublicKey& peer) const;

 private:
  [[nodiscard]] MacKey derive(BytesView shared, const PublicKey& sender, const PublicKey& receiver) const;

  ClusterId cluster_;
  Epoch epoch_;
  PublicKey self_;
  CurveKey secret_{};
};

// Keys with every replica; those of replicas whose public key is invalid are missing, as is the own entry.
[[nodiscard]] std::vector<std::optional<PairKeys>> replica_keys(const Roster& roster, const PairKeyMaker& maker,
                                                                std::optional<ReplicaId> self);

// Keys with clients, made when needed, since each costs a scalar multiplication; bounded, the least recently used
// one goes first.
class ClientKeys {
 public:
  static constexpr std::size_t capacity = 4096;

  // `admits` empty: every client.
  explicit ClientKeys(PairKeyMaker maker, std::function<bool(const ClientId&)> admits = {})
      : maker_(std::move(maker)), admits_(std::move(admits)) {}

  // Whether keys are made with this client at all.
  [[nodiscard]] bool admits(const ClientId& client) const { return !admits_ || admits_(client); }
  // The pointer is valid until the next call. Null for an id that is no valid key, or not admitted.
  [[nodiscard]] const PairKeys* find(const ClientId& client);
  // As above, but null as well where the client's X25519 key is not `channel`; then nothing is stored, so that
  // claimed names do not push out those in use.
  [[nodiscard]] const PairKeys* find_on_channel(const ClientId& client, const CurveKey& channel);
  [[nodiscard]] std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    ClientId client;
    CurveKey curve{};
    PairKeys keys;
  };
  [[nodiscard]] const Entry* cached(const ClientId& client);
  [[nodiscard]] const PairKeys* add(const ClientId& client, const CurveKey& curve);

  PairKeyMaker maker_;
  std::function<bool(const ClientId&)> admits_;
  std::list<Entry> entries_;  // most recently used first
  std::map<ClientId, std::list<Entry>::iterator> index_;
};

}  // namespace pbft::crypto
