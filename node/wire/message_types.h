// The number that each message begins with. A number is never used again for something else; 20 to 31 are free for
// messages between replicas.
#pragma once

#include <cstdint>

namespace pbft::wire {

enum class MessageType : std::uint8_t {
  pre_prepare = 1,
  prepare = 2,
  commit = 3,
  checkpoint = 4,
  stable_checkpoint = 5,
  status = 6,
  fetch_batch = 7,
  batch_response = 8,
  fetch_ledger = 9,
  ledger_range = 10,
  forward = 11,
  view_change = 12,
  new_view = 13,
  fetch_tree = 14,
  tree = 15,
  fetch_bucket = 16,
  bucket_part = 17,
  client_report = 18,
  committed = 19,

  hello = 32,
  client_request = 33,
  read_request = 34,
  info_request = 35,

  welcome = 48,
  reply = 49,
  read_reply = 50,
  info_reply = 51,
};

}  // namespace pbft::wire
