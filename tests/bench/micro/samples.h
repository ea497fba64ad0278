// What the micro-benchmarks work on: batches as clients and primaries of a small cluster make them.
#pragma once

#include <random>

#include "node/pbft/digests.h"
#include "tests/crypto/cluster.h"

namespace pbft::micro {

using Proof = crypto::ClientAuthenticator::Proof;

inline Bytes random_bytes(std::size_t size) {
  static std::mt19937_64 random{1};  // NOLINT: the same bytes in every run
  Bytes made(size);
  for (auto& byte : made) byte = static_cast<std::uint8_t>(random());
  return made;
}

// Puts of values of so many bytes.
inline std::vector<Request> puts(std::uint64_t low, std::size_t count, std::size_t value_bytes = 256) {
  std::vector<Request> made;
  for (std::size_t i = 0; i < count; ++i) {
    Bytes operation = to_bytes("put key ");
    const Bytes value = random_bytes(value_bytes);
    operation.insert(operation.end(), value.begin(), value.end());
    made.push_back({RequestNumber{low + i}, RequestKind::execute, SharedBytes::own(std::move(operation))});
  }
  return made;
}

inline BundlePtr bundle_of(std::uint64_t low, std::size_t requests, Proof proof, std::uint32_t client = 0) {
  const testing::TestCluster cluster;
  return cluster.client(testing::first_client + client)
      .seal_bundle(SessionId{1}, RequestNumber{low}, puts(low, requests), proof);
}

// So many bundles of different clients.
inline BatchPtr batch_of(std::uint64_t time, std::size_t bundles, std::size_t requests, Proof proof = Proof::macs) {
  auto made = std::make_shared<Batch>();
  made->time = Timestamp{time};
  for (std::size_t i = 0; i < bundles; ++i) {
    made->bundles.push_back(bundle_of(1, requests, proof, static_cast<std::uint32_t>(i)));
  }
  made->digest = batch_digest(made->time, made->bundles);
  return made;
}

}  // namespace pbft::micro
