#include "node/pbft/suspects.h"

#include <algorithm>
#include <cassert>
#include <iterator>

namespace pbft {

std::optional<Ticks> Suspects::Named::at(const ClientId& client) const {
  const auto found = clients_.find(client);
  return found == clients_.end() ? std::nullopt : std::optional{found->second};
}

std::optional<ClientId> Suspects::Named::set(const ClientId& client, Ticks now) {
  if (const auto before = at(client)) by_time_.erase({*before, client});
  clients_[client] = now;
  by_time_.emplace(now, client);
  if (clients_.size() <= most_named) return std::nullopt;
  const ClientId oldest = by_time_.begin()->second;
  by_time_.erase(by_time_.begin());
  clients_.erase(oldest);
  return oldest;
}

std::size_t Suspects::Named::since(Ticks when) const {
  std::size_t count = 0;
  for (auto at = by_time_.rbegin(); at != by_time_.rend() && at->first > when && count < most_reports; ++at) ++count;
  return count;
}

void Suspects::Named::invariants() const {
  assert(clients_.size() <= most_named && clients_.size() == by_time_.size());
  for (const auto& [when, client] : by_time_) assert(clients_.at(client) == when);
}

bool Suspects::remembers(const Named& named, const ClientId& client, Ticks now) {
  const auto at = named.at(client);
  return at && now - *at <= remembered;
}

bool Suspects::must_sign(const ClientId& client, Ticks now) const {
  if (cluster_.signed_requests) return false;  // nobody's MACs are taken anyway
  std::uint32_t said = 0;
  for (const Reporter& reporter : reporters_) {
    if (!remembers(reporter.clients, client, now)) continue;
    if (reporter.counts_alone.contains(client) || ++said >= quorum_.weak()) return true;
  }
  return false;
}

bool Suspects::named_here(const ClientId& client, Ticks now) const {
  return remembers(said_, client, now);
}

void Suspects::found_in_batch(const PrePrepare& message, Ticks now, Outbox& out) {
  const auto& bundles = message.batch->bundles;
  std::size_t reported = 0;
  for (std::size_t i = 0; i < bundles.size() && reported < most_in_batch; ++i) {
    const bool authentic = i < message.authentic.size() && message.authentic[i];
    if (authentic || bundles[i]->is_signed()) continue;
    reported += report(bundles[i]->client, now, out) ? 1 : 0;
  }
}

void Suspects::found_in_forward(ReplicaId from, const Bundle& bundle, Ticks now, Outbox& out) {
  if (bundle.is_signed()) return;
  if (forwards_.size() >= most_forwards && !forwards_.contains(bundle.digest)) forwards_.clear();
  std::set<ReplicaId>& senders = forwards_[bundle.digest];
  senders.insert(from);
  if (senders.size() >= quorum_.weak()) static_cast<void>(report(bundle.client, now, out));
}

bool Suspects::report(const ClientId& client, Ticks now, Outbox& out) {
  if (cluster_.signed_requests) return false;
  const auto said = said_.at(client);
  if (said && now - *said < again) return false;
  if (said_.since(now - std::min(now, again)) >= most_reports) return false;
  static_cast<void>(said_.set(client, now));
  out.broadcast(ClientReport{client, {}});
  return true;
}

bool Suspects::on_report(ReplicaId from, const ClientReport& report, Ticks now, Outbox& out) {
  if (cluster_.signed_requests) {
    out.reject(Reject::not_asked_for, from);
    return false;
  }
  Reporter& reporter = reporters_[from.value];
  const bool before = must_sign(report.client, now);
  if (const auto forgotten = reporter.clients.set(report.client, now)) reporter.counts_alone.erase(*forgotten);
  std::erase_if(reporter.counts_alone,
                [&](const ClientId& client) { return !remembers(reporter.clients, client, now); });
  if (reporter.counts_alone.size() < alone) reporter.counts_alone.insert(report.client);
  if (before || !must_sign(report.client, now)) return false;
  out.event(ClientSuspected{report.client});
  return true;
}

void Suspects::invariants() const {
  for (const Reporter& reporter : reporters_) {
    reporter.clients.invariants();
    assert(reporter.counts_alone.size() <= alone);
    for (const ClientId& client : reporter.counts_alone) assert(reporter.clients.at(client));
  }
  assert(forwards_.size() <= most_forwards);
  said_.invariants();
}

}  // namespace pbft
