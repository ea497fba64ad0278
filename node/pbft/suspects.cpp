#include "node/pbft/suspects.h"

#include <cassert>

namespace pbft {

bool Suspects::must_sign(const ClientId& client, Ticks now) const {
  if (cluster_.signed_requests) return false;  // nobody's MACs are taken anyway
  std::uint32_t said = 0;
  for (const Reporter& reporter : reporters_) {
    const auto found = reporter.clients.find(client);
    if (found == reporter.clients.end() || now - found->second > remembered) continue;
    if (reporter.counts_alone.contains(client) || ++said >= quorum_.weak()) return true;
  }
  return false;
}

bool Suspects::named_here(const ClientId& client, Ticks now) const {
  const auto said = said_.find(client);
  return said != said_.end() && now - said->second <= remembered;
}

void Suspects::found_in_batch(const PrePrepare& message, Ticks now, Outbox& out) {
  const auto& bundles = message.batch->bundles;
  for (std::size_t i = 0; i < bundles.size(); ++i) {
    const bool authentic = i < message.authentic.size() && message.authentic[i];
    if (!authentic && !bundles[i]->is_signed()) report(bundles[i]->client, now, out);
  }
}

void Suspects::found_in_forward(ReplicaId from, const Bundle& bundle, Ticks now, Outbox& out) {
  if (bundle.is_signed()) return;
  if (forwards_.size() >= most_forwards && !forwards_.contains(bundle.digest)) forwards_.clear();
  std::set<ReplicaId>& senders = forwards_[bundle.digest];
  senders.insert(from);
  if (senders.size() >= quorum_.weak()) report(bundle.client, now, out);
}

void Suspects::report(const ClientId& client, Ticks now, Outbox& out) {
  if (cluster_.signed_requests) return;
  const auto said = said_.find(client);
  if (said != said_.end()) {
    if (now - said->second < again) return;
    said_by_time_.erase({said->second, client});
  } else if (said_.size() >= most_said) {
    said_.erase(said_by_time_.begin()->second);
    said_by_time_.erase(said_by_time_.begin());
  }
  said_[client] = now;
  said_by_time_.emplace(now, client);
  out.broadcast(ClientReport{client, {}});
}

void Suspects::expire(Reporter& reporter, Ticks now) const {
  std::erase_if(reporter.clients, [&](const auto& entry) {
    const bool old = now - entry.second > remembered;
    if (old) reporter.counts_alone.erase(entry.first);
    return old;
  });
}

bool Suspects::on_report(ReplicaId from, const ClientReport& report, Ticks now, Outbox& out) {
  if (cluster_.signed_requests) {
    out.reject(Reject::not_asked_for, from);
    return false;
  }
  Reporter& reporter = reporters_[from.value];
  const bool known = reporter.clients.contains(report.client);
  if (!known && reporter.clients.size() >= most_reported) {
    expire(reporter, now);
    if (reporter.clients.size() >= most_reported) {
      out.reject(Reject::too_many_reports, from);
      return false;
    }
  }
  const bool before = must_sign(report.client, now);
  reporter.clients[report.client] = now;
  if (reporter.counts_alone.size() >= alone) expire(reporter, now);
  if (reporter.counts_alone.size() < alone) reporter.counts_alone.insert(report.client);
  if (before || !must_sign(report.client, now)) return false;
  out.event(ClientSuspected{report.client});
  return true;
}

void Suspects::invariants() const {
  for (const Reporter& reporter : reporters_) {
    assert(reporter.clients.size() <= most_reported);
    assert(reporter.counts_alone.size() <= alone);
    for (const ClientId& client : reporter.counts_alone) assert(reporter.clients.contains(client));
  }
  assert(forwards_.size() <= most_forwards && said_.size() <= most_said);
  assert(said_.size() == said_by_time_.size());
}

}  // namespace pbft
