// How long a client's frames may be. Both sides of the connection go by it.
#pragma once

#include <cstddef>

#include "node/pbft/messages.h"

namespace pbft::bus {

// A client packs its messages up to 4 MiB into one frame, and a single message that is longer alone: a bundle, whose
// body has at most Limits::max_bundle_bytes.
inline constexpr std::size_t max_client_frame_bytes = 6U << 20;
static_assert(max_client_frame_bytes <= Limits::max_packet_bytes);
static_assert(max_client_frame_bytes > 2 * Limits::max_bundle_bytes);

}  // namespace pbft::bus
