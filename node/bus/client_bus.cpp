#include "node/bus/client_bus.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <utility>
#include <zmq.hpp>

#include "node/bus/counters.h"
#include "node/bus/link.h"
#include "node/bus/monitor.h"
#include "node/bus/poll_set.h"
#include "node/bus/send_budget.h"
#include "node/bus/sockets.h"

namespace pbft::bus {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t quantum = 16;          // frames from one replica before it is the next one's turn
constexpr std::size_t sockets_per_line = 3;  // the DEALER, and both ends of its monitor
constexpr std::chrono::milliseconds client_upkeep_interval{50};

struct Waiting {
  zmq::message_t frame;
  Clock::time_point since;
};

// One client's connection to one replica.
struct Line {
  std::unique_ptr<Link> link;
  bool ready = false;  // it may have something, and is in the queue; false: it had nothing, and has not signalled since
  std::deque<Waiting> waiting;
  std::size_t waiting_bytes = 0;  // Invariant: the sum over waiting
};

}  // namespace

struct ClientBus::Impl {
  Impl(ClientBusOptions given, PollSet poll)
      : options(std::move(given)), monitors(context), poll_set(std::move(poll)), budget({options.max_unsent_bytes}) {}

  Status open(std::span<const crypto::Identity> clients);
  Status allow_sockets(std::size_t count);
  Status open_line(const crypto::CurveKeyPair& curve, const CurveKey& server, const std::string& endpoint);
  [[nodiscard]] std::optional<std::size_t> position_of(std::size_t client, ReplicaId replica) const;
  void set_ready(std::size_t position);
  void note_signals();
  // Sends what waits, and looks whether there is something to read after that.
  void flush(std::size_t position);
  void drop_stale(Line& line, Clock::time_point now);
  void upkeep(Clock::time_point now);
  std::size_t drain(std::size_t max_frames, const Handler& handler);
  bool read_one(std::size_t position, const Handler& handler);

  // The order of the members is the order in which they must come up.
  ClientBusOptions options;
  Counters counters;
  zmq::context_t context{1};
  MonitorSet monitors;            // index = position in lines
  PollSet poll_set;               // of each line its socket and then its monitor
  std::vector<Line> lines;        // those of the first client, by ReplicaId, then those of the second
  std::deque<std::size_t> queue;  // of the lines that are ready, in the order of their turns
  SendBudget budget;              // by position in lines
  Clock::time_point next_upkeep = Clock::now();
};

Status ClientBus::Impl::open(std::span<const crypto::Identity> clients) {
  if (options.replicas.empty()) return tl::unexpected(std::string("there are no replicas to connect to"));
  std::vector<CurveKey> servers;
  for (std::size_t i = 0; i < options.replicas.size(); ++i) {
    const auto key = crypto::curve_public_key(options.replicas[i].key);
    if (!key) return tl::unexpected("replica " + std::to_string(i) + ": " + key.error());
    servers.push_back(*key);
  }
  const std::size_t count = clients.size() * servers.size();
  if (auto status = allow_sockets(sockets_per_line * count); !status) return status;
  lines.reserve(count);
  for (const crypto::Identity& client : clients) {
    const crypto::CurveKeyPair curve = client.curve();
    for (std::size_t i = 0; i < servers.size(); ++i) {
      auto opened = open_line(curve, servers[i], options.replicas[i].endpoint);
      if (!opened) return tl::unexpected("replica " + std::to_string(i) + ": " + opened.error());
    }
  }
  return {};
}

Status ClientBus::Impl::allow_sockets(std::size_t count) {
  const auto most = static_cast<std::size_t>(context.get(zmq::ctxopt::socket_limit));
  if (count > most) {
    const std::size_t clients = most / (sockets_per_line * options.replicas.size());
    return tl::unexpected("more clients in one process than ZeroMQ has sockets for: they take " +
                          std::to_string(count) + " of " + std::to_string(most) + "; open at most " +
                          std::to_string(clients) + ", or spread them over several processes");
  }
  if (count > static_cast<std::size_t>(context.get(zmq::ctxopt::max_sockets))) {
    context.set(zmq::ctxopt::max_sockets, static_cast<int>(count));
  }
  return {};
}

Status ClientBus::Impl::open_line(const crypto::CurveKeyPair& curve, const CurveKey& server,
                                  const std::string& endpoint) {
  const QueueLimits limits{options.high_water_mark, options.high_water_mark, options.max_frame_bytes};
  zmq::socket_t dealer(context, zmq::socket_type::dealer);
  if (auto status = configure_client(dealer, curve, server, limits, false); !status) return status;
  auto link = Link::open(std::move(dealer), endpoint, counters, monitors);
  if (!link) return tl::unexpected(link.error());
  lines.push_back({std::move(*link), false, {}, 0});
  set_ready(lines.size() - 1);
  return poll_set.add(lines.back().link->socket())
      .and_then([&](std::size_t) { return poll_set.add(monitors.events(lines.size() - 1)); })
      // Only who has found nothing is signalled to.
      .map([&](std::size_t) { monitors.drain(lines.size() - 1); });
}

std::optional<std::size_t> ClientBus::Impl::position_of(std::size_t client, ReplicaId replica) const {
  const std::size_t position = client * options.replicas.size() + replica.value;
  if (replica.value >= options.replicas.size() || position >= lines.size()) return std::nullopt;
  return position;
}

void ClientBus::Impl::set_ready(std::size_t position) {
  if (!std::exchange(lines[position].ready, true)) queue.push_back(position);
}

void ClientBus::Impl::note_signals() {
  for (const std::size_t index : poll_set.signalled()) {
    if (index % 2 == 0) {
      set_ready(index / 2);
    } else {
      monitors.drain(index / 2);
    }
  }
}

void ClientBus::Impl::drop_stale(Line& line, Clock::time_point now) {
  while (!line.waiting.empty() && now - line.waiting.front().since >= options.max_wait) {
    counters.add(Counter::peer_send_dropped);
    line.waiting_bytes -= line.waiting.front().frame.size();
    line.waiting.pop_front();
  }
}

void ClientBus::Impl::flush(std::size_t position) {
  Line& line = lines[position];
  if (line.waiting.empty()) return;
  drop_stale(line, Clock::now());
  while (!line.waiting.empty()) {
    zmq::message_t& frame = line.waiting.front().frame;
    const std::size_t size = frame.size();
    if (bus::send(line.link->socket(), frame) != Sent::ok) break;
    counters.add(Counter::peer_frames_sent);
    line.waiting_bytes -= size;
    line.waiting.pop_front();
  }
  // Sending, also in vain, may have taken the signal of a frame that came in meanwhile.
  if (readable(line.link->socket())) set_ready(position);
}

void ClientBus::Impl::upkeep(Clock::time_point now) {
  if (now < next_upkeep) return;
  next_upkeep = now + client_upkeep_interval;
  budget.sweep();
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (lines[i].link->renew_if_down(now, options.renew_after)) set_ready(i);
    drop_stale(lines[i], now);
  }
}

std::size_t ClientBus::Impl::drain(std::size_t max_frames, const Handler& handler) {
  std::size_t taken = 0;
  while (taken < max_frames && !queue.empty()) {
    const std::size_t position = queue.front();
    queue.pop_front();
    lines[position].ready = false;
    bool more = true;
    for (std::size_t i = 0; more && i < quantum && taken < max_frames; ++i) {
      more = read_one(position, handler);
      taken += more ? 1 : 0;
    }
    if (more) {
      set_ready(position);
    } else {
      // Reading took in a connection that has come up, if there is one.
      flush(position);
    }
  }
  return taken;
}

bool ClientBus::Impl::read_one(std::size_t position, const Handler& handler) {
  zmq::socket_t& socket = lines[position].link->socket();
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
    const std::size_t replica = position % options.replicas.size();
    handler(to_shared(std::move(frame)), ReplicaId{static_cast<std::uint32_t>(replica)},
            position / options.replicas.size());
  }
  return true;
}

tl::expected<std::unique_ptr<ClientBus>, std::string> ClientBus::open(std::span<const crypto::Identity> clients,
                                                                      ClientBusOptions options) {
  auto poll_set = PollSet::create();
  if (!poll_set) return tl::unexpected(poll_set.error());
  try {
    auto impl = std::make_unique<Impl>(std::move(options), std::move(*poll_set));
    if (auto status = impl->open(clients); !status) return tl::unexpected(status.error());
    return std::unique_ptr<ClientBus>(new ClientBus(std::move(impl)));
  } catch (const zmq::error_t& error) {
    return tl::unexpected(std::string("ZeroMQ: ") + error.what());
  }
}

tl::expected<std::unique_ptr<ClientBus>, std::string> ClientBus::open(const crypto::Identity& client,
                                                                      ClientBusOptions options) {
  return open(std::span{&client, 1}, std::move(options));
}

ClientBus::ClientBus(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ClientBus::~ClientBus() = default;

bool ClientBus::send(ReplicaId to, Bytes frame, std::size_t client) {
  const auto position = impl_->position_of(client, to);
  if (!position) {
    impl_->counters.add(Counter::peer_send_dropped);
    return false;
  }
  if (frame.size() > impl_->options.max_sent_frame_bytes) {
    impl_->counters.add(Counter::send_oversized);
    return false;
  }
  impl_->flush(*position);
  auto message = impl_->budget.take(*position, std::move(frame));
  if (!message) {
    impl_->counters.add(Counter::peer_send_dropped);
    return false;
  }
  // Sending may take the signal of a frame that came in meanwhile.
  impl_->set_ready(*position);
  Line& line = impl_->lines[*position];
  if (line.waiting.empty() && bus::send(line.link->socket(), *message) == Sent::ok) {
    impl_->counters.add(Counter::peer_frames_sent);
    return true;
  }
  if (line.waiting.size() >= impl_->options.max_waiting_frames ||
      line.waiting_bytes + message->size() > impl_->options.max_waiting_bytes) {
    impl_->counters.add(Counter::peer_send_dropped);
    return false;
  }
  line.waiting_bytes += message->size();
  line.waiting.push_back({*std::move(message), Clock::now()});
  return true;
}

void ClientBus::poll(std::chrono::microseconds timeout, std::size_t max_frames, const Handler& handler) {
  Clock::time_point now = Clock::now();
  const Clock::time_point deadline = now + std::min<std::chrono::microseconds>(timeout, longest_poll);
  while (true) {
    const Clock::duration patience = std::min(deadline, impl_->next_upkeep) - now;
    const bool woken = impl_->poll_set.wait(impl_->queue.empty() ? patience : Clock::duration::zero());
    impl_->note_signals();
    const bool found = impl_->drain(max_frames, handler) > 0;
    now = Clock::now();
    impl_->upkeep(now);
    if (found || woken || now >= deadline) return;
  }
}

void ClientBus::wake() {
  impl_->poll_set.wake();
}

bool ClientBus::connected(ReplicaId replica, std::size_t client) const {
  const auto position = impl_->position_of(client, replica);
  return position && impl_->lines[*position].link->up();
}

std::map<std::string, std::uint64_t> ClientBus::counters() const {
  return impl_->counters.by_name();
}

}  // namespace pbft::bus
