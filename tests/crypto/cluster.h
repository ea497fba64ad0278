// A small cluster's keys and authenticators, the same in every run.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "node/crypto/authenticator.h"
#include "node/pbft/digests.h"
#include "node/wire/codec.h"

namespace pbft::testing {

inline crypto::Identity identity_of(std::uint32_t number) {
  std::array<std::uint8_t, 32> seed{};
  for (std::size_t i = 0; i < 4; ++i) seed[i] = static_cast<std::uint8_t>(number >> (8 * i));
  seed[31] = 1;
  return crypto::Identity::from_seed(seed);
}

constexpr std::uint32_t first_client = 100;

struct TestCluster {
  crypto::Roster roster;
  std::vector<crypto::Identity> identities;

  explicit TestCluster(std::uint32_t replicas = 4, std::uint8_t cluster = 7, Epoch epoch = Epoch{1}) {
    roster.cluster.bytes.fill(cluster);
    roster.epoch = epoch;
    for (std::uint32_t i = 0; i < replicas; ++i) {
      identities.push_back(identity_of(i));
      roster.replicas.push_back(identities.back().public_key());
    }
  }

  [[nodiscard]] crypto::Authenticator replica(std::uint32_t id) const {
    return {roster, ReplicaId{id}, identities[id]};
  }
  [[nodiscard]] crypto::ClientAuthenticator client(std::uint32_t number = first_client) const {
    return {roster, identity_of(number)};
  }
};

inline Digest digest_of(std::uint8_t byte) {
  Digest digest;
  digest.bytes.fill(byte);
  return digest;
}

inline Prepare prepare(std::uint64_t n = 5) {
  return {View{1}, SequenceNumber{n}, digest_of(3)};
}

inline SharedBytes shared(const Bytes& bytes) {
  return SharedBytes::copy_of(bytes);
}

inline std::vector<Request> one_request(std::string_view operation = "put k v") {
  return {{RequestNumber{1}, RequestKind::execute, SharedBytes::own(to_bytes(operation))}};
}

// The same bundle with other proof bytes.
inline BundlePtr with_proof(const Bundle& bundle, Bytes proof) {
  auto changed = std::make_shared<Bundle>(bundle);
  changed->proof = SharedBytes::own(std::move(proof));
  return changed;
}
inline Bytes proof_of(const Bundle& bundle) {
  return {bundle.proof.view().begin(), bundle.proof.view().end()};
}

inline PrePrepare pre_prepare(std::vector<BundlePtr> bundles) {
  auto batch = std::make_shared<Batch>();
  batch->time = Timestamp{1};
  batch->bundles = std::move(bundles);
  batch->digest = batch_digest(batch->time, batch->bundles);
  return {View{0}, SequenceNumber{1}, batch, {}};
}

// The refusal with which `receiver` meets a frame of a peer, or of a client; none if it takes it.
inline std::optional<crypto::Refusal> refusal_of_peer(crypto::Authenticator& receiver, const Bytes& frame,
                                                      std::uint32_t channel) {
  const auto opened = receiver.open_peer(shared(frame), ReplicaId{channel});
  return opened ? std::nullopt : std::optional{opened.error().refusal};
}
inline std::optional<crypto::Refusal> refusal_of_client(crypto::Authenticator& receiver, const Bytes& frame,
                                                        std::uint32_t channel = first_client) {
  const auto opened = receiver.open_client(shared(frame), identity_of(channel).curve().public_key);
  return opened ? std::nullopt : std::optional{opened.error().refusal};
}

}  // namespace pbft::testing
