#include "node/bus/link.h"

#include <utility>

namespace pbft::bus {

tl::expected<std::unique_ptr<Link>, std::string> Link::open(zmq::socket_t socket, std::string endpoint,
                                                            Counters& counters, MonitorSet& monitors) {
  std::unique_ptr<Link> link(new Link(std::move(socket), std::move(endpoint), counters));
  auto watched = monitors.add(link->socket_, [raw = link.get()](ConnectionEvent event) { raw->on_event(event); });
  if (!watched) return tl::unexpected(watched.error());
  if (auto connected = connect(link->socket_, link->endpoint_); !connected) return tl::unexpected(connected.error());
  return link;
}

void Link::on_event(ConnectionEvent event) {
  switch (event) {
    case ConnectionEvent::up:
      counters_.add(Counter::link_up);
      up_ = true;
      break;
    case ConnectionEvent::handshake_failed:
      counters_.add(Counter::link_handshake_failed);
      up_ = false;
      break;
    case ConnectionEvent::down:
      // Every attempt that ends reports this too, so only the end of a link that was up is counted.
      if (up_.exchange(false)) counters_.add(Counter::link_down);
      break;
  }
}

bool Link::renew_if_down(Clock::time_point now, Clock::duration patience) {
  if (up_) {
    patient_since_ = now;
    return false;
  }
  if (now - patient_since_ < patience) return false;
  patient_since_ = now;
  counters_.add(Counter::link_renewed);
  renew(socket_, endpoint_);
  return true;
}

}  // namespace pbft::bus
