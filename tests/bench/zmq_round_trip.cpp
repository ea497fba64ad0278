// What ZeroMQ itself costs: round trips from a DEALER to a ROUTER and back, CURVE, loopback TCP, one at a time. The
// figure to hold the latency of the whole node against.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <tl/expected.hpp>
#include <vector>
#include <zmq.hpp>

#include "node/bus/sockets.h"
#include "node/bus/zap.h"
#include "node/crypto/keys.h"

namespace {

using Clock = std::chrono::steady_clock;
using namespace pbft::bus;

constexpr const char* domain = "bench";
constexpr std::size_t warm_up = 1'000;

struct Result {
  double p50_us;
  double p99_us;
  double max_us;
};
using Measured = tl::expected<Result, std::string>;

// Echoes until the context is shut down.
void echo(zmq::socket_t& router) {
  try {
    zmq::message_t part;
    while (router.recv(part)) {
      router.send(part, part.more() ? zmq::send_flags::sndmore : zmq::send_flags::none);
    }
  } catch (const zmq::error_t&) {
    return;
  }
}

// The value below which a share of the (sorted, not empty) values lies.
double quantile(const std::vector<double>& sorted, double share) {
  const auto index = static_cast<std::size_t>(share * static_cast<double>(sorted.size()));
  return sorted[std::min(index, sorted.size() - 1)];
}

Measured round_trips(zmq::socket_t& dealer, std::size_t count, std::size_t bytes) {
  const std::string payload(bytes, 'x');
  std::vector<double> times;
  times.reserve(count);
  zmq::message_t reply;
  for (std::size_t i = 0; i < warm_up + count; ++i) {
    const auto start = Clock::now();
    dealer.send(zmq::buffer(payload), zmq::send_flags::none);
    if (!dealer.recv(reply)) return tl::unexpected(std::string("no answer within 10 s"));
    const std::chrono::duration<double, std::micro> took = Clock::now() - start;
    if (reply.size() != bytes) return tl::unexpected(std::string("the answer differs from what was sent"));
    if (i >= warm_up) times.push_back(took.count());
  }
  std::sort(times.begin(), times.end());
  return Result{quantile(times, 0.5), quantile(times, 0.99), times.back()};
}

Measured measure(std::size_t count, std::size_t bytes) {
  pbft::crypto::initialize();
  const auto server = pbft::crypto::Identity::generate();
  const auto client = pbft::crypto::Identity::generate();
  const QueueLimits limits{1'000, 1'000, bytes};

  Counters counters;
  zmq::context_t context;
  MonitorSet monitors(context);
  Admission admission;
  admission[domain] = [key = client.curve().public_key](const CurveKey& asked) { return asked == key; };
  auto zap = ZapHandler::bind(context, std::move(admission), counters, monitors);
  if (!zap) return tl::unexpected(zap.error());
  (*zap)->start();

  zmq::socket_t router(context, zmq::socket_type::router);
  zmq::socket_t dealer(context, zmq::socket_type::dealer);
  dealer.set(zmq::sockopt::rcvtimeo, 10'000);
  auto configured = configure_server(router, server.curve(), domain, limits).and_then([&] {
    return configure_client(dealer, client.curve(), server.curve().public_key, limits, true);
  });
  if (!configured) return tl::unexpected(configured.error());
  const auto endpoint = bind(router, "tcp://127.0.0.1:*");
  if (!endpoint) return tl::unexpected(endpoint.error());
  if (auto connected = connect(dealer, *endpoint); !connected) return tl::unexpected(connected.error());

  std::thread server_thread([&] {
    echo(router);
    router.close();
  });
  Measured result = round_trips(dealer, count, bytes);
  dealer.close();
  context.shutdown();
  server_thread.join();
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  std::size_t count = 20'000;
  std::size_t bytes = 100;
  bool json = false;
  CLI::App app("Round trips between a ZeroMQ ROUTER and a DEALER with CURVE over loopback TCP, one at a time.");
  app.add_option("--count", count, "round trips that are measured")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--bytes", bytes, "size of request and answer")
      ->check(CLI::Range(std::size_t{1}, std::size_t{1} << 24U))
      ->capture_default_str();
  app.add_flag("--json", json, "print one JSON object");
  CLI11_PARSE(app, argc, argv);

  try {
    const Measured result = measure(count, bytes);
    if (!result) {
      std::fprintf(stderr, "zmq_round_trip: %s\n", result.error().c_str());
      return 1;
    }
    if (json) {
      const nlohmann::json line = {{"name", "zmq_router_dealer_round_trip"},
                                   {"count", count},
                                   {"bytes", bytes},
                                   {"p50_us", result->p50_us},
                                   {"p99_us", result->p99_us},
                                   {"max_us", result->max_us}};
      std::printf("%s\n", line.dump().c_str());
    } else {
      std::printf("ROUTER/DEALER round trip, CURVE, loopback, %zu bytes, %zu times: p50 %.1f us, p99 %.1f us\n", bytes,
                  count, result->p50_us, result->p99_us);
    }
    return 0;
  } catch (const zmq::error_t& error) {
    std::fprintf(stderr, "zmq_round_trip: ZeroMQ: %s\n", error.what());
    return 1;
  }
}
