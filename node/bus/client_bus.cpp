#include "node/bus/client_bus.h"

#include <algorithm>
#include <deque>
#include <utility>
#include <zmq.hpp>

#include "node/bus/counters.h"
#include "node/bus/link.h"
#include "node/bus/monitor.h"
#include "node/bus/poll_set.h"
#include "node/bus/sockets.h"

namespace pbft::bus {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t quantum = 16;  // frames from one replica before it is the next one's turn
constexpr std::chrono::milliseconds client_upkeep_interval{50};

struct Waiting {
  zmq::message_t frame;
  Clock::time_point since;
};

struct Replica {
  std::unique_ptr<Link> link;
  std::size_t index = 0;  // in the poll set
  bool ready = true;      // it may have something; false: it had nothing, and has not signalled since
  std::deque<Waiting> waiting;
  std::size_t waiting_bytes = 0;  // Invariant: the sum over waiting
};

}  // namespace

struct ClientBus::Impl {
  Impl(const crypto::Identity& identity, ClientBusOptions given, PollSet poll)
      : options(std::move(given)), curve(identity.curve()), monitors(context), poll_set(std::move(poll)) {}

  Status open();
  [[nodiscard]] bool any_ready() const;
  // Sends what waits, and looks whether there is something to read after that.
  void flush(Replica& replica);
  void drop_stale(Replica& replica, Clock::time_point now);
  void upkeep(Clock::time_point now);
  std::size_t drain(std::size_t max_frames, const std::function<void(SharedBytes, ReplicaId)>& handler);
  bool read_one(std::size_t position, const std::function<void(SharedBytes, ReplicaId)>& handler);

  // The order of the members is the order in which they must come up.
  ClientBusOptions options;
  crypto::CurveKeyPair curve;
  Counters counters;
  zmq::context_t context{1};
  MonitorSet monitors;
  PollSet poll_set;
  std::vector<Replica> replicas;  // index = ReplicaId
  std::size_t turn = 0;           // whose turn it is in replicas
  Clock::time_point next_upkeep = Clock::now();
};

Status ClientBus::Impl::open() {
  if (options.replicas.empty()) return tl::unexpected(std::string("there are no replicas to connect to"));
  const QueueLimits limits{options.high_water_mark, options.high_water_mark, options.max_frame_bytes};
  replicas.resize(options.replicas.size());
  for (std::size_t i = 0; i < replicas.size(); ++i) {
    const std::string who = "replica " + std::to_string(i) + ": ";
    const auto key = crypto::curve_public_key(options.replicas[i].key);
    if (!key) return tl::unexpected(who + key.error());
    zmq::socket_t dealer(context, zmq::socket_type::dealer);
    if (auto status = configure_client(dealer, curve, *key, limits, false); !status) return status;
    auto link = Link::open(std::move(dealer), options.replicas[i].endpoint, counters, monitors);
    if (!link) return tl::unexpected(who + link.error());
    replicas[i].link = std::move(*link);
    replicas[i].index = poll_set.add(replicas[i].link->socket());
  }
  return {};
}

bool ClientBus::Impl::any_ready() const {
  return std::any_of(replicas.begin(), replicas.end(), [](const Replica& replica) { return replica.ready; });
}

void ClientBus::Impl::drop_stale(Replica& replica, Clock::time_point now) {
  while (!replica.waiting.empty() && now - replica.waiting.front().since >= options.max_wait) {
    counters.add(Counter::peer_send_dropped);
    replica.waiting_bytes -= replica.waiting.front().frame.size();
    replica.waiting.pop_front();
  }
}

void ClientBus::Impl::flush(Replica& replica) {
  if (replica.waiting.empty()) return;
  drop_stale(replica, Clock::now());
  while (!replica.waiting.empty()) {
    zmq::message_t& frame = replica.waiting.front().frame;
    const std::size_t size = frame.size();
    if (bus::send(replica.link->socket(), frame) != Sent::ok) break;
    counters.add(Counter::peer_frames_sent);
    replica.waiting_bytes -= size;
    replica.waiting.pop_front();
  }
  // Sending, also in vain, may have taken the signal of a frame that came in meanwhile.
  const int events = replica.link->socket().get(zmq::sockopt::events);
  replica.ready = replica.ready || (events & ZMQ_POLLIN) != 0;
}

void ClientBus::Impl::upkeep(Clock::time_point now) {
  if (now < next_upkeep) return;
  next_upkeep = now + client_upkeep_interval;
  monitors.drain();
  for (Replica& replica : replicas) {
    if (replica.link->renew_if_down(now, options.renew_after)) replica.ready = true;
    drop_stale(replica, now);
  }
}

std::size_t ClientBus::Impl::drain(std::size_t max_frames, const std::function<void(SharedBytes, ReplicaId)>& handler) {
  std::size_t taken = 0;
  while (taken < max_frames && any_ready()) {
    const std::size_t position = turn;
    turn = (turn + 1) % replicas.size();
    for (std::size_t i = 0; i < quantum && replicas[position].ready && taken < max_frames; ++i) {
      if (read_one(position, handler)) {
        ++taken;
      } else {
        replicas[position].ready = false;
        // Reading took in a connection that has come up, if there is one.
        flush(replicas[position]);
      }
    }
  }
  return taken;
}

bool ClientBus::Impl::read_one(std::size_t position, const std::function<void(SharedBytes, ReplicaId)>& handler) {
  zmq::socket_t& socket = replicas[position].link->socket();
  zmq::message_t frame;
  const Received got = receive(socket, frame);
  if (got == Received::nothing) return false;
  if (got == Received::more) {
    drop_rest(socket);
    counters.add(Counter::peer_multipart);
  } else if (frame.size() > options.max_frame_bytes) {
    counters.add(Counter::peer_oversized);
  } else {
    counters.add(Counter::peer_frames_received);
    handler(to_shared(std::move(frame)), ReplicaId{static_cast<std::uint32_t>(position)});
  }
  return true;
}

tl::expected<std::unique_ptr<ClientBus>, std::string> ClientBus::open(const crypto::Identity& identity,
                                                                      ClientBusOptions options) {
  auto poll_set = PollSet::create();
  if (!poll_set) return tl::unexpected(poll_set.error());
  try {
    auto impl = std::make_unique<Impl>(identity, std::move(options), std::move(*poll_set));
    if (auto status = impl->open(); !status) return tl::unexpected(status.error());
    return std::unique_ptr<ClientBus>(new ClientBus(std::move(impl)));
  } catch (const zmq::error_t& error) {
    return tl::unexpected(std::string("ZeroMQ: ") + error.what());
  }
}

ClientBus::ClientBus(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ClientBus::~ClientBus() = default;

bool ClientBus::send(ReplicaId to, Bytes frame) {
  if (to.value >= impl_->replicas.size()) {
    impl_->counters.add(Counter::peer_send_dropped);
    return false;
  }
  if (frame.size() > impl_->options.max_sent_frame_bytes) {
    impl_->counters.add(Counter::send_oversized);
    return false;
  }
  Replica& replica = impl_->replicas[to.value];
  zmq::message_t message = to_message(std::move(frame));
  impl_->flush(replica);
  // Sending may take the signal of a frame that came in meanwhile.
  replica.ready = true;
  if (replica.waiting.empty() && bus::send(replica.link->socket(), message) == Sent::ok) {
    impl_->counters.add(Counter::peer_frames_sent);
    return true;
  }
  if (replica.waiting.size() >= impl_->options.max_waiting_frames ||
      replica.waiting_bytes + message.size() > impl_->options.max_waiting_bytes) {
    impl_->counters.add(Counter::peer_send_dropped);
    return false;
  }
  replica.waiting_bytes += message.size();
  replica.waiting.push_back({std::move(message), Clock::now()});
  return true;
}

void ClientBus::poll(std::chrono::microseconds timeout, std::size_t max_frames,
                     const std::function<void(SharedBytes frame, ReplicaId from)>& handler) {
  Clock::time_point now = Clock::now();
  const Clock::time_point deadline = now + std::min<std::chrono::microseconds>(timeout, longest_poll);
  while (true) {
    const Clock::duration patience = std::min(deadline, impl_->next_upkeep) - now;
    const bool woken = impl_->poll_set.wait(impl_->any_ready() ? Clock::duration::zero() : patience);
    for (Replica& replica : impl_->replicas) replica.ready = replica.ready || impl_->poll_set.signalled(replica.index);
    const bool found = impl_->drain(max_frames, handler) > 0;
    now = Clock::now();
    impl_->upkeep(now);
    if (found || woken || now >= deadline) return;
  }
}

void ClientBus::wake() {
  impl_->poll_set.wake();
}

bool ClientBus::connected(ReplicaId replica) const {
  return replica.value < impl_->replicas.size() && impl_->replicas[replica.value].link->up();
}

std::map<std::string, std::uint64_t> ClientBus::counters() const {
  return impl_->counters.by_name();
}

}  // namespace pbft::bus
