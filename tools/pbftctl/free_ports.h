// Finds TCP ports that nobody uses, all distinct.
#pragma once

#include <cstdint>
#include <string>
#include <tl/expected.hpp>
#include <vector>

namespace pbft::ctl {

// `host` is the IP address that will be bound. Ports that the system gives to outgoing connections are avoided, so that
// a replica which is down does not lose its port to somebody's connection.
[[nodiscard]] tl::expected<std::vector<std::uint16_t>, std::string> free_ports(const std::string& host,
                                                                               std::size_t count);

}  // namespace pbft::ctl
