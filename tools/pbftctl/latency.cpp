// pbftctl bench --sequential N: one client, one operation at a time, and what bare ZeroMQ needs for a round trip.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <zmq.hpp>

#include "tools/pbftctl/cluster.h"
#include "tools/pbftctl/output.h"

namespace pbft::ctl {
namespace {

using std::chrono::microseconds;
using std::chrono::steady_clock;

struct Percentiles {
  std::int64_t p50_us = 0;
  std::int64_t p99_us = 0;
  std::int64_t max_us = 0;
};

Percentiles percentiles(std::vector<std::int64_t> samples) {
  std::sort(samples.begin(), samples.end());
  const auto at = [&](std::size_t percent) {  // nearest rank
    return samples[(samples.size() * percent + 99) / 100 - 1];
  };
  return {at(50), at(99), samples.back()};
}

template <class Run>
std::int64_t time_us(Run run) {
  const auto start = steady_clock::now();
  run();
  return std::chrono::duration_cast<microseconds>(steady_clock::now() - start).count();
}

// DEALER to ROUTER and back over TCP on loopback, without encryption, two threads of this process.
Percentiles zeromq_round_trip(std::size_t count) {
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
  std::vector<std::int64_t> samples;
  for (std::size_t i = 0; i < count + warm_up; ++i) {
    const std::int64_t us = time_us([&] {
      dealer.send(zmq::message_t{256}, zmq::send_flags::none);
      zmq::message_t answer;
      (void)dealer.recv(answer);
    });
    if (i >= warm_up) {
      samples.push_back(us);
    }
  }
  echo.join();
  return percentiles(std::move(samples));
}

// {i} in a word becomes the number of the operation.
std::vector<std::string> numbered(std::vector<std::string> words, std::size_t i) {
  for (std::string& word : words) {
    for (std::size_t at = word.find("{i}"); at != std::string::npos; at = word.find("{i}", at)) {
      word.replace(at, 3, std::to_string(i));
    }
  }
  return words;
}

void print_result(const Percentiles& operations, const Percentiles& zeromq, std::size_t count, double seconds,
                  const Globals& globals) {
  const double per_second = static_cast<double>(count) / seconds;
  if (globals.json) {
    const auto as_json = [](const Percentiles& p) {
      return nlohmann::json{{"p50_us", p.p50_us}, {"p99_us", p.p99_us}, {"max_us", p.max_us}};
    };
    nlohmann::json value = as_json(operations);
    value["operations"] = count;
    value["per_second"] = per_second;
    value["zeromq_round_trip"] = as_json(zeromq);
    print_json(value);
    return;
  }
  fmt::print("{} operations, one after the other, {:.0f} per second\n", count, per_second);
  fmt::print("operation          p50 {:>7} us   p99 {:>7} us   max {:>7} us\n", operations.p50_us, operations.p99_us,
             operations.max_us);
  fmt::print("ZeroMQ round trip  p50 {:>7} us   p99 {:>7} us   max {:>7} us\n", zeromq.p50_us, zeromq.p99_us,
             zeromq.max_us);
}

int bench(const std::vector<std::string>& words, std::size_t count, const Globals& globals) {
  const auto connection = connect(globals);
  if (!connection) {
    return usage_error(connection.error());
  }
  std::vector<std::int64_t> samples;
  auto start = steady_clock::now();
  for (std::size_t i = 0; i <= count; ++i) {  // The first one opens the session and is not counted.
    const auto parsed = parse_operation(*connection->plugin, numbered(words, i));
    if (!parsed) {
      return usage_error(parsed.error());
    }
    client::Outcome outcome;
    const std::int64_t us =
        time_us([&] { outcome = connection->client->submit(parsed->operation, globals.timeout()).get(); });
    if (outcome.kind != client::OutcomeKind::ok) {
      print_error(fmt::format("operation {}: {}", i, describe(*connection->plugin, parsed->operation, outcome)));
      return exit_code(outcome.kind);
    }
    if (i == 0) {
      start = steady_clock::now();
    } else {
      samples.push_back(us);
    }
  }
  const double seconds = std::chrono::duration<double>(steady_clock::now() - start).count();
  print_result(percentiles(std::move(samples)), zeromq_round_trip(std::max<std::size_t>(count, 1000)), count, seconds,
               globals);
  return exit_ok;
}

}  // namespace

void add_bench(CLI::App& app, Globals& globals, Action& action) {
  CLI::App* command = app.add_subcommand("bench", "Measure: bench --sequential 1000 put k{i} v");
  add_global_options(*command, globals);
  auto count = std::make_shared<std::size_t>(1000);
  command->add_option("--sequential", *count, "Operations of one client, one after the other; prints their latency")
      ->type_name("N")
      ->check(CLI::Range(std::size_t{1}, std::size_t{10'000'000}))
      ->capture_default_str();
  command->prefix_command();
  command->footer(
      "pbftctl bench [OPTIONS] WORDS...\nOptions come before the words; {i} in a word is the number of the operation.");
  command->callback([command, count, &globals, &action] {
    action = [command, count, &globals] { return bench(command->remaining(), *count, globals); };
  });
}

}  // namespace pbft::ctl
