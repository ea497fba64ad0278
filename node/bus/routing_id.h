// A ROUTER names a connection that brought no name of its own by a zero byte and a 32-bit number. Only those are
// served, so the number is the origin. The bit above it sets an origin apart from a number that means nothing here.
#pragma once

#include <optional>
#include <zmq.hpp>

#include "node/pbft/input.h"

namespace pbft::bus {

// Nothing where the connection named itself.
[[nodiscard]] std::optional<Origin> to_origin(const zmq::message_t& routing_id);
// Nothing where the number is none of these.
[[nodiscard]] std::optional<zmq::message_t> to_routing_id(Origin origin);

}  // namespace pbft::bus
