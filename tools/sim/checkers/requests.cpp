#include "tools/sim/checkers/requests.h"

namespace pbft::sim {

void RequestChecker::sent(const Bundle& bundle) {
  if (!bundles_.try_emplace(bundle.digest, bundle.client).second) return;
  for (const Request& request : bundle.requests) {
    const BytesView operation = request.operation.view();
    const RequestName name{bundle.client, bundle.session, request.number};
    auto& sent = requests_[name];
    sent.insert({request.kind, Bytes{operation.begin(), operation.end()}});
    if (sent.size() == 1 || faulty_.contains(bundle.client)) continue;
    findings_.report({"client-honest", 0, {}, to_string(name) + ": sent with two operations"});
  }
}

void RequestChecker::ordered(const RanBatch& batch) {
  for (const Digest& digest : batch.bundles) {
    if (bundles_.contains(digest)) continue;
    findings_.report({"validity", batch.n.value, {}, "bundle " + short_hex(digest.view()) + " was sent by no client"});
  }
  std::uint64_t index = 0;
  for (const RanRequest& request : batch.run) {
    const Position at{batch.n.value, ++index};
    const auto known = requests_.find(request.name);
    if (known == requests_.end() || !known->second.contains({request.kind, request.operation})) {
      findings_.report({"validity", batch.n.value, {}, to_string(request.name) + ": was not sent by its client"});
    }
    // A refusal changes nothing and may be given again.
    if (request.decided && request.status != ReplyStatus::ok) continue;
    const auto [earlier, fresh] = effects_.try_emplace(request.name, at);
    if (fresh) continue;
    findings_.report(
        {"exactly-once",
         batch.n.value,
         {},
         to_string(request.name) + ": took effect at " + to_string(earlier->second) + " and at " + to_string(at)});
  }
}

}  // namespace pbft::sim
