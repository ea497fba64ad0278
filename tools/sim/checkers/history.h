// What the checkers are told: what replicas ran and what clients saw, in words of the outside world. Nothing here
// comes from the inside of a replica.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "node/pbft/messages.h"
#include "node/pbft/types.h"

namespace pbft::sim {

// The name of a request: each takes effect at most once.
struct RequestName {
  ClientId client;
  SessionId session;
  RequestNumber number;
  friend auto operator<=>(const RequestName&, const RequestName&) = default;
};
[[nodiscard]] std::string to_string(const RequestName& name);
[[nodiscard]] std::string short_hex(BytesView bytes);  // the first four bytes

// A request that took effect at one replica, with what came of it.
struct RanRequest {
  RequestName name;
  RequestKind kind = RequestKind::execute;
  Bytes operation;
  bool decided = false;  // the core decided the outcome (open_session, refusals): the plugin was not asked
  ReplyStatus status = ReplyStatus::ok;
  Bytes result;
  friend bool operator==(const RanRequest&, const RanRequest&) = default;
};

// One sequence number as one replica ran it.
struct RanBatch {
  SequenceNumber n;
  Digest digest;
  Digest ledger_head;
  Timestamp time;               // agreed time
  std::vector<Digest> bundles;  // all that the batch orders, duplicates included
  std::vector<RanRequest> run;  // what took effect, in order
};

// A place in the agreed order. {0, 0} is before everything.
struct Position {
  std::uint64_t n = 0;
  std::uint64_t index = 0;  // 1 for the first request of the batch
  friend auto operator<=>(const Position&, const Position&) = default;
};
[[nodiscard]] std::string to_string(const Position& position);

}  // namespace pbft::sim
