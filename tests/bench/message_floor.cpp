// The message floor: PBFT's pattern of five messages (request, pre-prepare, prepare, commit, reply) between processes,
// over the sockets of the node with CURVE, and nothing else: no votes are checked, no MACs made, nothing is stored.
// What a node takes beyond this is the cost of the protocol and of its storage.
//   message_floor [--n 4] [--clients 1] [--pipeline 1] [--bytes 256] [--seconds 5] [--warm-up 1] [--json]
// Like the node a replica gathers what it sends in a turn into one frame, and its primary has at most 8 batches in
// flight. A client believes f+1 replies.
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <csignal>
#include <cstring>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "node/bus/client_bus.h"
#include "node/bus/node_bus.h"
#include "node/pbft/quorum.h"
#include "tools/pbftctl/free_ports.h"
#include "tools/pbftctl/histogram.h"

namespace pbft {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

struct Options {
  std::uint32_t n = 4;
  std::size_t clients = 1;
  std::size_t pipeline = 1;
  std::size_t bytes = 256;
  double seconds = 5;
  double warm_up = 1;
  bool json = false;
};

enum class Kind : std::uint8_t { hello, request, pre_prepare, prepare, commit, reply };

// Integers in the machine's order, one after the other: both sides are this program.
class Writer {
 public:
  explicit Writer(Kind kind) { bytes_.push_back(static_cast<std::uint8_t>(kind)); }
  Writer& u64(std::uint64_t value) {
    const auto* raw = reinterpret_cast<const std::uint8_t*>(&value);
    bytes_.insert(bytes_.end(), raw, raw + sizeof value);
    return *this;
  }
  Writer& raw(BytesView bytes) {
    u64(bytes.size());
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return *this;
  }
  [[nodiscard]] Bytes take() { return std::move(bytes_); }

 private:
  Bytes bytes_;
};

class Reader {
 public:
  explicit Reader(BytesView bytes) : rest_(bytes.subspan(1)), kind_(static_cast<Kind>(bytes[0])) {}
  [[nodiscard]] Kind kind() const { return kind_; }
  [[nodiscard]] bool more() const { return !rest_.empty(); }
  std::uint64_t u64() {
    std::uint64_t value = 0;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  BytesView raw() { return take(u64()); }

 private:
  BytesView take(std::size_t size) {
    const BytesView taken = rest_.first(size);
    rest_ = rest_.subspan(size);
    return taken;
  }

  BytesView rest_;
  Kind kind_;
};

struct World {
  Options options;
  std::vector<crypto::Identity> replicas;
  std::vector<crypto::Identity> clients;
  std::vector<bus::PeerAddress> addresses;
};

// One replica; the frames of a turn are gathered.
class Replica final : private bus::NodeBusHandler {
 public:
  Replica(const World& world, std::uint32_t id) : quorum_(world.options.n), self_(id) {
    bus::NodeBusOptions options;
    options.self = ReplicaId{id};
    options.bind = world.addresses[id].endpoints;
    options.replicas = world.addresses;
    options.admit_client = [](const bus::CurveKey&) { return true; };
    auto opened = bus::NodeBus::open(world.replicas[id], std::move(options));
    if (!opened) throw std::runtime_error(opened.error());
    bus_ = std::move(*opened);
  }

  void turn() {
    bus_->poll(10ms, 256, *this);
    greet();
    if (self_ == 0 && ready_) propose();
    flush(Kind::prepare, prepares_);
    flush(Kind::commit, commits_);
    answer();
  }

 private:
  struct Request {
    std::uint64_t client;
    std::uint64_t number;
    Bytes body;
  };
  struct Slot {
    bool accepted = false;
    std::uint32_t prepares = 0;
    bool prepared = false;
    std::uint32_t commits = 0;
    std::vector<std::pair<std::uint64_t, std::uint64_t>> requests;
  };

  void on_client_frame(SharedBytes frame, const bus::CurveKey&, Origin origin) override {
    Reader reader{frame.view()};
    const std::uint64_t client = reader.u64();
    origins_[client] = origin;
    if (reader.kind() == Kind::hello) return void(bus_->answer({}, origin, Writer{Kind::hello}.take()));
    while (reader.more()) {
      const std::uint64_t number = reader.u64();
      const BytesView body = reader.raw();
      waiting_.push_back({client, number, {body.begin(), body.end()}});
    }
  }

  // A PUB loses what it sends to who has not subscribed yet, and nothing is sent twice here. So everybody says over and
  // over whether it has heard all others, until all have; and once more then, for those who wait for it.
  void greet() {
    if (ready_) return;
    const bool all = heard_.size() + 1 == quorum_.replicas();
    ready_ = all && heard_all_.size() + 1 == quorum_.replicas();
    bus_->broadcast(Writer{Kind::hello}.u64(all ? 1 : 0).take());
  }

  void on_peer_frame(SharedBytes frame, ReplicaId from) override {
    Reader reader{frame.view()};
    if (reader.kind() == Kind::hello) {
      heard_.insert(from);
      if (reader.u64() == 1) heard_all_.insert(from);
      return;
    }
    if (reader.kind() == Kind::pre_prepare) {
      const std::uint64_t n = reader.u64();
      Slot& slot = slots_[n];
      while (reader.more()) {
        const std::uint64_t client = reader.u64();
        slot.requests.emplace_back(client, reader.u64());
        static_cast<void>(reader.raw());
      }
      accept(n, slot);
      return;
    }
    while (reader.more()) {
      const std::uint64_t n = reader.u64();
      if (n < next_) continue;
      Slot& slot = slots_[n];
      ++(reader.kind() == Kind::prepare ? slot.prepares : slot.commits);
      check(n, slot);
    }
  }

  void propose() {
    constexpr std::uint64_t pipeline = 8;
    if (waiting_.empty() || proposed_ + 1 - next_ >= pipeline) return;
    const std::uint64_t n = ++proposed_;
    Writer writer{Kind::pre_prepare};
    writer.u64(n);
    Slot& slot = slots_[n];
    for (const Request& request : waiting_) {
      writer.u64(request.client).u64(request.number).raw(request.body);
      slot.requests.emplace_back(request.client, request.number);
    }
    waiting_.clear();
    bus_->broadcast(writer.take());
    accept(n, slot);
  }

  void accept(std::uint64_t n, Slot& slot) {
    slot.accepted = true;
    if (self_ != 0) {
      prepares_.push_back(n);
      ++slot.prepares;
    }
    check(n, slot);
  }

  void check(std::uint64_t n, Slot& slot) {
    if (slot.accepted && !slot.prepared && slot.prepares + 1 >= quorum_.quorum()) {
      slot.prepared = true;
      commits_.push_back(n);
      ++slot.commits;
    }
    for (auto first = slots_.find(next_); first != slots_.end(); first = slots_.find(next_)) {
      if (!first->second.prepared || first->second.commits < quorum_.quorum()) return;
      for (const auto& [client, number] : first->second.requests) replies_[client].push_back(number);
      slots_.erase(first);
      ++next_;
    }
  }

  void flush(Kind kind, std::vector<std::uint64_t>& numbers) {
    if (numbers.empty()) return;
    Writer writer{kind};
    for (const std::uint64_t n : numbers) writer.u64(n);
    numbers.clear();
    bus_->broadcast(writer.take());
  }

  void answer() {
    for (const auto& [client, numbers] : replies_) {
      Writer writer{Kind::reply};
      for (const std::uint64_t number : numbers) writer.u64(number);
      bus_->answer({}, origins_[client], writer.take());
    }
    replies_.clear();
  }

  Quorum quorum_;
  std::uint32_t self_;
  std::unique_ptr<bus::NodeBus> bus_;
  bool ready_ = false;
  std::set<ReplicaId> heard_, heard_all_;
  std::map<std::uint64_t, Origin> origins_;
  std::vector<Request> waiting_;
  std::map<std::uint64_t, Slot> slots_;
  std::uint64_t next_ = 1;      // to be executed
  std::uint64_t proposed_ = 0;  // by the primary
  std::vector<std::uint64_t> prepares_, commits_;
  std::map<std::uint64_t, std::vector<std::uint64_t>> replies_;
};

// One client in a closed loop, on a thread of its own.
class Client {
 public:
  Client(const World& world, std::uint64_t id) : world_(world), id_(id), weak_(Quorum(world.options.n).weak()) {
    bus::ClientBusOptions options;
    for (const bus::PeerAddress& address : world.addresses) {
      options.replicas.push_back({address.key, address.endpoints.client});
    }
    auto opened = bus::ClientBus::open(world.clients[id], std::move(options));
    if (!opened) throw std::runtime_error(opened.error());
    bus_ = std::move(*opened);
  }

  // Until every replica has answered. False: not in time.
  [[nodiscard]] bool connect() {
    const auto deadline = Clock::now() + 60s;
    std::set<ReplicaId> known;
    for (std::uint32_t i = 0; i < world_.options.n; ++i) bus_->send(ReplicaId{i}, Writer{Kind::hello}.u64(id_).take());
    while (known.size() < world_.options.n && Clock::now() < deadline) {
      bus_->poll(10ms, 64, [&](const SharedBytes&, ReplicaId replica, std::size_t) { known.insert(replica); });
    }
    return known.size() == world_.options.n;
  }
  void run(Clock::time_point from, Clock::time_point to) {
    const Bytes body(world_.options.bytes, 'x');
    while (Clock::now() < to) {
      if (outstanding_.size() < world_.options.pipeline) send(body);
      bus_->poll(10ms, 64, [&](const SharedBytes& frame, ReplicaId, std::size_t) { take(frame, from, to); });
    }
  }
  [[nodiscard]] const ctl::Histogram& latency() const { return latency_; }

 private:
  struct Outstanding {
    Clock::time_point sent;
    std::uint32_t replies = 0;
  };

  // Everything that fits the pipeline, in one frame.
  void send(const Bytes& body) {
    Writer writer{Kind::request};
    writer.u64(id_);
    while (outstanding_.size() < world_.options.pipeline) {
      outstanding_[++number_] = {Clock::now()};
      writer.u64(number_).raw(body);
    }
    bus_->send(ReplicaId{0}, writer.take());
  }
  void take(const SharedBytes& frame, Clock::time_point from, Clock::time_point to) {
    for (Reader reader{frame.view()}; reader.more();) {
      const auto found = outstanding_.find(reader.u64());
      if (found == outstanding_.end() || ++found->second.replies < weak_) continue;
      const auto now = Clock::now();
      if (now >= from && now < to) {
        const auto took = std::chrono::duration_cast<std::chrono::microseconds>(now - found->second.sent);
        latency_.add(static_cast<std::uint64_t>(took.count()));
      }
      outstanding_.erase(found);
    }
  }

  const World& world_;
  const std::uint64_t id_;
  const std::uint32_t weak_;
  std::unique_ptr<bus::ClientBus> bus_;
  std::uint64_t number_ = 0;
  std::map<std::uint64_t, Outstanding> outstanding_;
  ctl::Histogram latency_;
};

World make_world(const Options& options) {
  World world{options, {}, {}, {}};
  const auto ports = ctl::free_ports("127.0.0.1", 3 * std::size_t{options.n});
  if (!ports) throw std::runtime_error(ports.error());
  const auto endpoint = [&](std::size_t i) { return fmt::format("tcp://127.0.0.1:{}", (*ports)[i]); };
  for (std::uint32_t i = 0; i < options.n; ++i) {
    world.replicas.push_back(crypto::Identity::generate());
    const std::size_t at = 3 * i;
    world.addresses.push_back({world.replicas[i].public_key(), {endpoint(at), endpoint(at + 1), endpoint(at + 2)}});
  }
  for (std::size_t i = 0; i < options.clients; ++i) world.clients.push_back(crypto::Identity::generate());
  return world;
}

// The process of a replica: until the other end of the pipe is closed, also by the end of the parent.
[[noreturn]] void serve(const World& world, std::uint32_t id, int pipe) {
  int code = 0;
  try {
    Replica replica{world, id};
    std::atomic<bool> done{false};
    std::thread watcher{[&] {
      char byte = 0;
      static_cast<void>(!::read(pipe, &byte, 1));
      done = true;
    }};
    while (!done) replica.turn();
    watcher.join();
  } catch (const std::exception& error) {
    fmt::print(stderr, "message_floor: replica {}: {}\n", id, error.what());
    code = 1;
  }
  ::_exit(code);
}

double cpu_seconds(int who) {
  rusage usage{};
  getrusage(who, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// For each client on a thread of its own.
template <class Do>
void at_once(const std::vector<std::unique_ptr<Client>>& clients, Do run) {
  std::vector<std::thread> threads;
  threads.reserve(clients.size());
  for (const auto& client : clients) threads.emplace_back([&client, &run] { run(*client); });
  for (std::thread& thread : threads) thread.join();
}

ctl::Histogram measure(const World& world) {
  std::vector<std::unique_ptr<Client>> clients;
  for (std::size_t i = 0; i < world.options.clients; ++i) clients.push_back(std::make_unique<Client>(world, i));
  std::atomic<bool> connected{true};
  at_once(clients, [&](Client& client) {
    if (!client.connect()) connected = false;
  });
  ctl::Histogram all;
  if (!connected) {
    fmt::print(stderr, "message_floor: a replica has not answered within a minute\n");
    return all;
  }
  const auto seconds = [](double s) {
    return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(s));
  };
  const auto from = Clock::now() + seconds(world.options.warm_up);
  const auto to = from + seconds(world.options.seconds);
  at_once(clients, [from, to](Client& client) { client.run(from, to); });
  for (const auto& client : clients) all.merge(client->latency());
  return all;
}

int run(const Options& options) {
  crypto::initialize();
  const World world = make_world(options);
  int pipe[2] = {-1, -1};
  if (::pipe(pipe) != 0) throw std::runtime_error("cannot make a pipe");
  std::vector<pid_t> children;
  for (std::uint32_t i = 0; i < options.n; ++i) {
    const pid_t child = ::fork();
    if (child < 0) throw std::runtime_error("cannot fork");
    if (child == 0) {
      ::close(pipe[1]);
      serve(world, i, pipe[0]);
    }
    children.push_back(child);
  }
  ::close(pipe[0]);
  const ctl::Histogram latency = measure(world);
  ::close(pipe[1]);
  bool ok = true;
  for (const pid_t child : children) {
    int status = 0;
    ::waitpid(child, &status, 0);
    ok = ok && WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }
  const double per_second = static_cast<double>(latency.count()) / options.seconds;
  const double share = options.seconds / (options.seconds + options.warm_up);
  const double replica_us =
      cpu_seconds(RUSAGE_CHILDREN) * share * 1e6 / static_cast<double>(latency.count()) / options.n;
  if (options.json) {
    const nlohmann::json json{{"per_second", per_second},
                              {"p50_us", latency.percentile(0.5)},
                              {"p99_us", latency.percentile(0.99)},
                              {"replica_cpu_us", replica_us}};
    fmt::print("{}\n", json.dump());
  } else {
    fmt::print(
        "message floor, n = {}: {:.0f} per second, p50 {} us, p99 {} us, {:.1f} us of CPU an operation and replica\n",
        options.n, per_second, latency.percentile(0.5), latency.percentile(0.99), replica_us);
  }
  return ok && latency.count() > 0 ? 0 : 1;
}

}  // namespace
}  // namespace pbft

int main(int argc, char** argv) {
  CLI::App app{"message_floor: PBFT's five messages over the node's sockets, without protocol and storage"};
  pbft::Options options;
  app.add_option("--n", options.n, "Replicas")->check(CLI::Range(1, 31))->capture_default_str();
  app.add_option("--clients", options.clients, "Clients")->check(CLI::Range(1, 1'000))->capture_default_str();
  app.add_option("--pipeline", options.pipeline, "What each keeps outstanding")->check(CLI::Range(1, 10'000));
  app.add_option("--bytes", options.bytes, "Size of a request")->capture_default_str();
  app.add_option("--seconds", options.seconds, "That are measured")->capture_default_str();
  app.add_option("--warm-up", options.warm_up, "Seconds before")->capture_default_str();
  app.add_flag("--json", options.json, "Print JSON");
  CLI11_PARSE(app, argc, argv);
  try {
    return pbft::run(options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "message_floor: {}\n", error.what());
    return 1;
  }
}
