// Validity: whatever is ordered was sent by its client. Exactly-once: each (client, session, number) takes effect at
// most once, and no operation that a client submitted once takes effect under two names.
#pragma once

#include <map>
#include <set>

#include "node/pbft/messages.h"
#include "tools/sim/checkers/history.h"
#include "tools/sim/findings.h"

namespace pbft::sim {

class RequestChecker {
 public:
  explicit RequestChecker(Findings& findings) : findings_(findings) {}

  // Nothing is expected of this client: it may use one number for two operations.
  void faulty(const ClientId& client) { faulty_.insert(client); }
  // A bundle left its client.
  void sent(const Bundle& bundle);
  // The next batch of the agreed order.
  void ordered(const RanBatch& batch);

 private:
  Findings& findings_;
  std::map<Digest, ClientId> bundles_;
  std::map<RequestName, std::set<std::pair<RequestKind, Bytes>>> requests_;
  std::set<ClientId> faulty_;
  std::map<RequestName, Position> effects_;
};

}  // namespace pbft::sim
