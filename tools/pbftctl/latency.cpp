// pbftctl bench --sequential N: one client, one operation at a time, and what bare ZeroMQ needs for a round trip.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <zmq.hpp>

#include "tools/pbftctl/bench.h"

namespace pbft::ctl {
namespace {

using std::chrono::microseconds;
using std::chrono::steady_clock;

template <class Run>
std::uint64_t time_us(Run run) {
  const auto start = steady_clock::now();
  run();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<microseconds>(steady_clock::now() - start).count());
}

// DEALER to ROUTER and back over TCP on loopback, without encryption, two threads of this process.
Histogram zeromq_round_trip(std::size_t count) {
  zmq::context_t context;
  zmq::socket_t router{context, zmq::socket_type::router};
  zmq::socket_t dealer{context, zmq::socket_type::dealer};
  router.bind("tcp://127.0.0.1:*");
  dealer.connect(router.get(zmq::sockopt::last_endpoint));
  const std::size_t warm_up = 100;
  std::thread echo{[&] {
    for (std::size_t i = 0; i < count + warm_up; ++i) {
      zmq::message_t route;
      zmq::message_t body;
      (void)router.recv(route);
      (void)router.recv(body);
      router.send(route, zmq::send_flags::sndmore);
      router.send(body, zmq::send_flags::none);
    }
  }};
  Histogram samples;
  for (std::size_t i = 0; i < count + warm_up; ++i) {
    const std::uint64_t us = time_us([&] {
      dealer.send(zmq::message_t{256}, zmq::send_flags::none);
      zmq::message_t answer;
      (void)dealer.recv(answer);
    });
    if (i >= warm_up) samples.add(us);
  }
  echo.join();
  return samples;
}

void print_result(const Histogram& operations, const Histogram& zeromq, double seconds, const Globals& globals) {
  const double per_second = static_cast<double>(operations.count()) / seconds;
  if (globals.json) {
    nlohmann::json value = to_json(operations);
    value["operations"] = operations.count();
    value["per_second"] = per_second;
    value["zeromq_round_trip"] = to_json(zeromq);
    print_json(value);
    return;
  }
  fmt::print("{} operations, one after the other, {:.0f} per second\n", operations.count(), per_second);
  fmt::print("operation          {}\n", describe(operations));
  fmt::print("ZeroMQ round trip  {}\n", describe(zeromq));
}

}  // namespace

nlohmann::json to_json(const Histogram& latency) {
  return {{"p50_us", latency.percentile(0.5)},  {"p90_us", latency.percentile(0.9)},
          {"p99_us", latency.percentile(0.99)}, {"p999_us", latency.percentile(0.999)},
          {"max_us", latency.largest()},        {"mean_us", latency.mean()}};
}

std::string describe(const Histogram& latency) {
  return fmt::format("p50 {:>7} us   p99 {:>7} us   p99.9 {:>7} us   max {:>7} us", latency.percentile(0.5),
                     latency.percentile(0.99), latency.percentile(0.999), latency.largest());
}

int bench_sequential(OperationOptions words, std::size_t count, const Globals& globals) {
  const auto connection = connect(globals);
  if (!connection) return usage_error(connection.error());
  OperationMaker maker{*connection->plugin, std::move(words)};
  Histogram samples;
  auto start = steady_clock::now();
  for (std::size_t i = 0; i <= count; ++i) {  // The first one opens the session and is not counted.
    const auto parsed = maker.next(i);
    if (!parsed) return usage_error(parsed.error());
    client::Outcome outcome;
    const std::uint64_t us = time_us([&] {
      auto& client = *connection->client;
      outcome = (parsed->read_only && i > 0 ? client.query(parsed->operation, globals.timeout())
                                            : client.submit(parsed->operation, globals.timeout()))
                    .get();
    });
    if (outcome.kind != client::OutcomeKind::ok) {
      print_error(fmt::format("operation {}: {}", i, describe(*connection->plugin, parsed->operation, outcome)));
      return exit_code(outcome.kind);
    }
    if (i == 0) {
      start = steady_clock::now();
    } else {
      samples.add(us);
    }
  }
  const double seconds = std::chrono::duration<double>(steady_clock::now() - start).count();
  print_result(samples, zeromq_round_trip(std::max<std::size_t>(count, 1000)), seconds, globals);
  return exit_ok;
}

}  // namespace pbft::ctl
