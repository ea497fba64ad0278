// What comes in: which socket is read next, and who gets what it brings.
#include <sodium.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <thread>

#include "node/bus/node_bus_impl.h"
#include "node/bus/routing_id.h"

namespace pbft::bus {
namespace {

constexpr std::chrono::milliseconds upkeep_interval{250};

std::optional<CurveKey> to_curve_key(std::string_view user_id) {
  CurveKey key{};
  std::size_t size = 0;
  if (user_id.size() != 2 * key.size() ||
      sodium_hex2bin(key.data(), key.size(), user_id.data(), user_id.size(), nullptr, &size, nullptr) != 0 ||
      size != key.size()) {
    return std::nullopt;
  }
  return key;
}

}  // namespace

void NodeBus::Impl::note_signals() {
  for (const std::size_t index : poll_set.signalled()) {
    if (index > 0) {
      schedule.set_ready(index - 1);
    } else {
      // Nothing is read from PUB, but its subscriptions are taken in only when somebody asks.
      static_cast<void>(readable(publisher));
    }
  }
}

void NodeBus::Impl::upkeep(Clock::time_point now) {
  if (now < next_upkeep) return;
  next_upkeep = now + upkeep_interval;
  to_clients.sweep();
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    Peer& peer = peers[inputs[i].channel.value];
    if (inputs[i].kind == InputKind::subscription && peer.subscription->renew_if_down(now, options.renew_after)) {
      schedule.set_ready(i);
    }
    if (inputs[i].kind == InputKind::unread) {
      peer.dealer->renew_if_down(now, options.renew_after);
      // What comes in where nothing ought to may have been signalled to a send; nobody waits for it, so now is soon
      // enough.
      schedule.set_ready(i);
    }
  }
}

std::size_t NodeBus::Impl::drain(std::size_t max_frames, NodeBusHandler& handler) {
  std::size_t taken = 0;
  Clock::time_point now = options.clock();
  while (taken < max_frames) {
    const auto position = schedule.next();
    if (!position) break;
    if (!read_one(inputs[*position], handler)) {
      schedule.set_empty(*position);
      continue;
    }
    const Clock::time_point before = std::exchange(now, options.clock());
    schedule.took(*position, now - before);
    ++taken;
  }
  return taken;
}

// A turn costs much the same for one frame and for many. Where others wait for the processor, what they do brings more
// frames; where nobody does, this is over at once.
std::size_t NodeBus::Impl::gather(std::size_t max_frames, NodeBusHandler& handler) {
  constexpr int rounds = 2;
  const Clock::time_point end = options.clock() + options.max_handing_over;
  schedule.begin_poll();
  std::size_t taken = drain(max_frames, handler);
  // Where something is left, the poll had to end.
  for (int i = 0; i < rounds && taken > 0 && !schedule.any_ready() && options.clock() < end; ++i) {
    std::this_thread::yield();
    static_cast<void>(poll_set.wait(Clock::duration::zero()));  // poll returns, which is what a wake asks for
    note_signals();
    const std::size_t found = drain(max_frames - taken, handler);
    if (found == 0) break;
    taken += found;
  }
  return taken;
}

bool NodeBus::Impl::read_one(Input& input, NodeBusHandler& handler) {
  switch (input.kind) {
    case InputKind::subscription:
      return read_subscription(input, handler);
    case InputKind::peers:
      return read_peers(input, handler);
    case InputKind::clients:
      return read_clients(input, handler);
    case InputKind::unread:
      return read_unread(input);
  }
  return false;
}

bool NodeBus::Impl::read_subscription(Input& input, NodeBusHandler& handler) {
  const Received got = receive(*input.socket, frame);
  if (got == Received::nothing) return false;
  if (got == Received::more) {
    drop_rest(*input.socket);
    counters.add(Counter::peer_multipart);
  } else if (frame.size() > options.max_frame_bytes) {
    counters.add(Counter::peer_oversized);
  } else {
    counters.add(Counter::peer_frames_received);
    handler.on_peer_frame(to_shared(std::move(frame)), input.channel);
  }
  return true;
}

bool NodeBus::Impl::read_unread(Input& input) {
  const Received got = receive(*input.socket, frame);
  if (got == Received::nothing) return false;
  if (got == Received::more) drop_rest(*input.socket);
  counters.add(Counter::peer_unexpected);
  return true;
}

bool NodeBus::Impl::read_router(zmq::socket_t& socket, Counter multipart, bool& usable) {
  const Received first = receive(socket, routing_id);
  if (first == Received::nothing) return false;
  // A ROUTER always puts the routing id in front of at least one part.
  usable = first == Received::more;
  if (usable && receive(socket, frame) == Received::more) {
    drop_rest(socket);
    usable = false;
  }
  if (!usable) counters.add(multipart);
  return true;
}

bool NodeBus::Impl::read_peers(Input& input, NodeBusHandler& handler) {
  bool usable = false;
  if (!read_router(*input.socket, Counter::peer_multipart, usable)) return false;
  if (!usable) return true;
  const char* user = user_id(frame);
  const auto peer = user == nullptr ? replica_of_user.end() : replica_of_user.find(std::string_view(user));
  if (peer == replica_of_user.end()) {
    counters.add(Counter::peer_user_id_missing);
  } else if (frame.size() > options.max_frame_bytes) {
    counters.add(Counter::peer_oversized);
  } else {
    counters.add(Counter::peer_frames_received);
    handler.on_peer_frame(to_shared(std::move(frame)), peer->second);
  }
  return true;
}

bool NodeBus::Impl::read_clients(Input& input, NodeBusHandler& handler) {
  bool usable = false;
  if (!read_router(*input.socket, Counter::client_multipart, usable)) return false;
  if (!usable) return true;
  const char* user = user_id(frame);
  const auto key = user == nullptr ? std::nullopt : to_curve_key(user);
  const auto origin = to_origin(routing_id);
  if (!key) {
    counters.add(Counter::client_user_id_missing);
  } else if (!origin) {
    counters.add(Counter::client_chosen_routing_id);
  } else if (frame.size() > std::min(options.max_client_frame_bytes, options.max_frame_bytes)) {
    counters.add(Counter::client_oversized);
  } else {
    counters.add(Counter::client_frames_received);
    handler.on_client_frame(to_shared(std::move(frame)), *key, *origin);
  }
  return true;
}

}  // namespace pbft::bus
