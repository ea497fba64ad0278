// How every socket of the bus is set up, and the few calls that are made on it. Thin over libzmq's C interface where
// a refusal is an ordinary event, so that none of them costs an exception.
#pragma once

#include <cstdint>
#include <string>
#include <tl/expected.hpp>
#include <zmq.hpp>

#include "node/bus/curve_key.h"
#include "node/crypto/keys.h"
#include "node/pbft/types.h"

namespace pbft::bus {

// The option is stable in libzmq 4.3 but its name stands among the drafts of zmq.h, which Debian hides.
inline constexpr int zap_enforce_domain = 93;
// What CURVE adds to a frame at most (command name, nonce, flags, MAC), rounded up.
inline constexpr std::size_t curve_overhead = 64;

struct QueueLimits {
  int send_frames;          // per connection
  int receive_frames;       // per connection
  std::size_t frame_bytes;  // a longer frame ends the connection
};

using Status = tl::expected<void, std::string>;

// A socket that binds: CURVE server, and nobody gets in unless the ZAP handler says so for this domain (which must
// not be empty: libzmq asks nobody for an empty one).
[[nodiscard]] Status configure_server(zmq::socket_t& socket, const crypto::CurveKeyPair& own, const std::string& domain,
                                      const QueueLimits& limits);
// A socket that connects, to the holder of `server` only. What cannot be sent at once is not queued for later
// (ZMQ_IMMEDIATE) if `queue_unconnected` is false.
[[nodiscard]] Status configure_client(zmq::socket_t& socket, const crypto::CurveKeyPair& own, const CurveKey& server,
                                      const QueueLimits& limits, bool queue_unconnected);

// The error names the endpoint. bind() gives the endpoint with the port that was picked.
[[nodiscard]] tl::expected<std::string, std::string> bind(zmq::socket_t& socket, const std::string& endpoint);
[[nodiscard]] Status connect(zmq::socket_t& socket, const std::string& endpoint);
// Ends the connection to `endpoint`, alive or given up, and starts a new one.
void renew(zmq::socket_t& socket, const std::string& endpoint);

enum class Sent : std::uint8_t { ok, full, unreachable };
// Never blocks. On anything but ok the message was dropped.
Sent send(zmq::socket_t& socket, zmq::message_t& message, int flags = 0);

enum class Received : std::uint8_t { frame, more, nothing };
// Never blocks. `more`: it has a next part.
Received receive(zmq::socket_t& socket, zmq::message_t& message);
// After `more`: takes and drops what is left of the message.
void drop_rest(zmq::socket_t& socket);

// Whether there is something to receive. Also takes in what libzmq's threads have to tell, such as subscriptions.
bool readable(zmq::socket_t& socket);

// Without copying, but for small ones.
inline constexpr std::size_t copy_below = 1'024;
[[nodiscard]] zmq::message_t to_message(Bytes frame);
[[nodiscard]] SharedBytes to_shared(zmq::message_t&& message);

// User-Id of a connection: the key as lower-case hex text.
[[nodiscard]] std::string to_user_id(const CurveKey& key);
// Null if the message came over a connection that the ZAP handler did not name.
[[nodiscard]] const char* user_id(zmq::message_t& message);

}  // namespace pbft::bus
