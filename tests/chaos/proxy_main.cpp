// chaos_proxy [SEED]: the network between the replicas and clients of a test. Takes commands on standard input, a line
// each, and answers with a line each; ends with its input.
//   link FROM TO PORT                       a port of its own for FROM's connections to PORT of TO: "ok PORT"
//   rule FROM TO DELAY_MS JITTER_MS HELD TEAR_PER_MILLE    for the bytes that FROM sends to TO
//   drop A B                                ends the connections between the two
//   refuse A B                              the same, and admits no new ones
//   heal                                    no rules and refusals any more
//   counts                                  JSON
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <string>

#include "tests/chaos/proxy.h"

namespace pbft::chaos {
namespace {

std::string as_json(const ProxyCounts& counts) {
  const nlohmann::ordered_json json{{"connections", counts.connections},
                                    {"bytes", counts.bytes},
                                    {"delayed", counts.delayed},
                                    {"held", counts.held},
                                    {"reset", counts.reset},
                                    {"refused", counts.refused},
                                    {"torn", counts.torn}};
  return json.dump();
}

template <class T>
T take(std::istringstream& words) {
  T value{};
  if (!(words >> value)) throw std::invalid_argument("too few words");
  return value;
}

Rule take_rule(std::istringstream& words) {
  Rule rule;
  rule.delay_us = take<std::uint64_t>(words) * 1'000;
  rule.jitter_us = take<std::uint64_t>(words) * 1'000;
  rule.held = take<int>(words) != 0;
  rule.tear_per_mille = take<std::uint64_t>(words);
  return rule;
}

std::string obey(Proxy& proxy, const std::string& line) {
  std::istringstream words{line};
  const auto command = take<std::string>(words);
  if (command == "counts") return as_json(proxy.counts());
  if (command == "heal") {
    proxy.heal();
    return "ok";
  }
  const auto one = take<std::string>(words);
  const auto other = take<std::string>(words);
  if (command == "link") return "ok " + std::to_string(proxy.link(one, other, take<std::uint16_t>(words)));
  if (command == "rule") {
    proxy.set_rule({one, other}, take_rule(words));
  } else if (command == "drop") {
    proxy.drop(one, other);
  } else if (command == "refuse") {
    proxy.refuse(one, other);
  } else {
    throw std::invalid_argument("no such command");
  }
  return "ok";
}

int run(std::uint64_t seed) {
  Proxy proxy{seed};
  std::string input;
  while (true) {
    proxy.run_until_readable(STDIN_FILENO);
    char buffer[4096];
    const ssize_t got = ::read(STDIN_FILENO, buffer, sizeof buffer);
    if (got <= 0) return 0;
    input.append(buffer, static_cast<std::size_t>(got));
    for (std::size_t end = input.find('\n'); end != std::string::npos; end = input.find('\n')) {
      std::cout << obey(proxy, input.substr(0, end)) << std::endl;
      input.erase(0, end + 1);
    }
  }
}

}  // namespace
}  // namespace pbft::chaos

int main(int argc, char** argv) {
  try {
    return pbft::chaos::run(argc > 1 ? std::stoull(argv[1]) : 1);
  } catch (const std::exception& error) {
    std::cerr << "chaos_proxy: " << error.what() << '\n';
    return 2;
  }
}
