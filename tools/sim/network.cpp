#include "tools/sim/network.h"

#include <fmt/format.h>

#include <algorithm>

namespace pbft::sim {

Network::Network(Scheduler& scheduler, Trace& trace, FaultCounts& faults, const Plan& plan, Deliver deliver)
    : scheduler_(scheduler),
      trace_(trace),
      faults_(faults),
      plan_(plan.network),
      random_(Random::stream(plan.seed, "network")),
      deliver_(std::move(deliver)) {}

void Network::send(Endpoint from, Endpoint to, const SharedBytes& frame, TypeMask types) {
  const Link link{from, to};
  ++frames_;
  bytes_ += frame.size();
  if (lost(link, types)) return;
  Microseconds time = scheduler_.now() + delay();
  if (const auto clogged = clogs_.find(link); clogged != clogs_.end() && clogged->second > time) {
    ++faults_[static_cast<std::size_t>(Fault::clog)];
    time = clogged->second;
  }
  Microseconds& last = last_delivery_[link];
  if (time < last) {
    if (plan_.reorder) {
      ++faults_[static_cast<std::size_t>(Fault::reorder)];
    } else {
      time = last;
    }
  }
  last = std::max(last, time);
  const bool corrupt = random_.chance(plan_.corrupt);
  deliver_at(time, link, corrupt ? corrupted(frame) : frame);
  if (!random_.chance(plan_.duplicate)) return;
  ++faults_[static_cast<std::size_t>(Fault::duplicate)];
  deliver_at(time + random_.below(plan_.delay_max * 4), link, frame);
}

bool Network::lost(const Link& link, TypeMask types) {
  const Microseconds now = scheduler_.now();
  if (const auto cut = cuts_.find(link); cut != cuts_.end() && cut->second.until > now) {
    return drop(link, cut->second.cause);
  }
  for (const Endpoint end : {link.first, link.second}) {
    if (const auto quiet = quiet_.find(end); quiet != quiet_.end() && quiet->second > now) {
      return drop(link, Fault::late_subscription);
    }
  }
  if ((types & lost_types_) != 0 && lost_types_until_ > now) return drop(link, Fault::type_lost);
  return random_.chance(plan_.loss) && drop(link, Fault::loss);
}

bool Network::drop(const Link& link, Fault cause) {
  ++faults_[static_cast<std::size_t>(cause)];
  trace_.record(Trace::Kind::drop, link.first, link.second, static_cast<std::uint64_t>(cause));
  trace_.say([&] { return fmt::format("      lost {} -> {}: {}", link.first, link.second, to_string(cause)); });
  return true;
}

Microseconds Network::delay() {
  if (random_.chance(plan_.slow)) {
    ++faults_[static_cast<std::size_t>(Fault::slow_link)];
    return random_.between(plan_.delay_min, plan_.slow_max);
  }
  return random_.between(plan_.delay_min, plan_.delay_max);
}

SharedBytes Network::corrupted(const SharedBytes& frame) {
  ++faults_[static_cast<std::size_t>(Fault::corrupt)];
  Bytes bytes{frame.view().begin(), frame.view().end()};
  bytes[random_.below(bytes.size())] ^= static_cast<std::uint8_t>(1U << random_.below(8));
  if (random_.chance(200)) bytes.resize(random_.between(1, bytes.size()));
  return SharedBytes::own(std::move(bytes));
}

void Network::deliver_at(Microseconds time, const Link& link, const SharedBytes& frame) {
  scheduler_.at(time, [this, link, frame] {
    trace_.record(Trace::Kind::deliver, link.first, link.second, fast_hash(frame.view()));
    deliver_(link.first, link.second, frame);
  });
}

void Network::cut(Endpoint from, Endpoint to, Microseconds until, Fault cause) {
  cuts_[{from, to}] = {until, cause};
}
void Network::clog(Endpoint from, Endpoint to, Microseconds until) {
  clogs_[{from, to}] = until;
}
void Network::quiet(Endpoint replica, Microseconds until) {
  quiet_[replica] = until;
}

void Network::lose_types(TypeMask types, Microseconds until) {
  lost_types_ = types;
  lost_types_until_ = until;
}

void Network::heal() {
  cuts_.clear();
  clogs_.clear();
  quiet_.clear();
  lost_types_ = 0;
  plan_.loss = plan_.duplicate = plan_.slow = plan_.corrupt = 0;
}

}  // namespace pbft::sim
