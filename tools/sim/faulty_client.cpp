#include "tools/sim/faulty_client.h"

#include <fmt/format.h>

#include "tools/sim/byzantine/batches.h"
#include "tools/sim/kv_language.h"

namespace pbft::sim {

FaultyClient::FaultyClient(World& world, std::uint32_t index)
    : world_(world),
      random_(Random::stream(world.plan.seed, fmt::format("faulty client {}", index))),
      authenticator_(world.roster, world.client_identities[index], world.scheme),
      rate_(random_.between(50, 1000)) {}

SharedBytes FaultyClient::twist(ReplicaId to, std::vector<ClientMessage> messages) {
  for (ClientMessage& message : messages) {
    if (auto* request = std::get_if<ClientRequest>(&message)) request->bundle = twisted(to, request->bundle);
  }
  return SharedBytes::own(authenticator_.seal_to(to, messages));
}

BundlePtr FaultyClient::twisted(ReplicaId to, const BundlePtr& bundle) {
  const auto [at, fresh] = twists_.try_emplace(bundle->digest);
  Twist& twist = at->second;
  if (fresh && random_.chance(rate_)) {
    // Openings are left alone most of the time, or nothing else would ever come.
    const bool opening = bundle->session == SessionId{};
    const std::uint64_t what = random_.below(10);
    twist.trick = what < 5 ? Trick::break_macs : what < 9 ? Trick::two_operations : Trick::break_all;
    if (opening && random_.chance(800)) twist.trick = Trick::none;
    // With one victim the others can vouch for the bundle; with many nobody can.
    twist.victims = random_.chance(600) ? 1ULL << random_.below(world_.cluster.replicas) : random_.next();
    if (twist.trick == Trick::two_operations) twist.second = second(*bundle);
  }
  const bool victim = (twist.victims >> to.value & 1) != 0;
  switch (twist.trick) {
    case Trick::none:
      return bundle;
    case Trick::break_macs: {
      BundlePtr broken = bundle;
      for (std::uint32_t replica = 0; replica < world_.cluster.replicas && !bundle->is_signed(); ++replica) {
        if ((twist.victims >> replica & 1) != 0) broken = break_proof(*broken, replica);
      }
      if (broken != bundle) world_.injected(Fault::faulty_client);
      return broken;
    }
    case Trick::two_operations:
      if (!victim || twist.second == nullptr) return bundle;
      world_.injected(Fault::faulty_client);
      return twist.second;
    case Trick::break_all:
      world_.injected(Fault::faulty_client);
      return break_proof(*bundle, to.value);
  }
  return bundle;
}

BundlePtr FaultyClient::second(const Bundle& bundle) {
  std::vector<Request> requests = bundle.requests;
  KvOperation put;
  put.kind = KvOperation::Kind::put;
  put.key = "k0";
  put.value = fmt::format("two-faced {}", random_.next());
  bool changed = false;
  for (Request& request : requests) {
    if (request.kind != RequestKind::execute) continue;
    request.operation = SharedBytes::own(put.bytes());
    changed = true;
  }
  if (!changed) return nullptr;
  const auto proof =
      bundle.is_signed() ? crypto::ClientAuthenticator::Proof::signature : crypto::ClientAuthenticator::Proof::macs;
  return authenticator_.seal_bundle(bundle.session, bundle.low, requests, proof);
}

}  // namespace pbft::sim
