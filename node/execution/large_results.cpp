#include "node/execution/large_results.h"

namespace pbft::execution {

template <class Change>
void LargeResults::change(const ClientId& client, const Change& how) {
  Holding& holding = holdings_[client];
  ranks_.erase({holding.bytes, client});
  how(holding);
  if (!holding.offered.empty()) {
    ranks_.emplace(holding.bytes, client);
  } else if (holding.bytes == 0) {
    holdings_.erase(client);
  }
}

void LargeResults::add(const ClientId& client, std::size_t bytes) {
  if (bytes == 0) return;
  bytes_ += bytes;
  change(client, [&](Holding& holding) { holding.bytes += bytes; });
}

void LargeResults::remove(const ClientId& client, std::size_t bytes) {
  if (bytes == 0) return;
  bytes_ -= bytes;
  change(client, [&](Holding& holding) { holding.bytes -= bytes; });
}

void LargeResults::offer(const ClientId& client, const Use& session) {
  change(client, [&](Holding& holding) { holding.offered.insert(session); });
}

bool LargeResults::withdraw(const ClientId& client, const Use& session) {
  const auto found = holdings_.find(client);
  if (found == holdings_.end() || !found->second.offered.contains(session)) return false;
  change(client, [&](Holding& holding) { holding.offered.erase(session); });
  return true;
}

std::optional<std::pair<ClientId, SessionId>> LargeResults::first() const {
  if (ranks_.empty()) return std::nullopt;
  const ClientId& client = ranks_.begin()->second;
  return std::pair(client, holdings_.at(client).offered.begin()->second);
}

}  // namespace pbft::execution
