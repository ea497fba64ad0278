// What can go wrong in a run, by name, and how often it did. A fault counts only where it changed what happened.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace pbft::sim {

enum class Fault : std::uint8_t {
  loss,               // a frame is lost
  duplicate,          // a frame arrives twice
  reorder,            // a frame overtakes an earlier one of the same link
  slow_link,          // a frame is late by up to seconds
  clog,               // a link holds everything back for a while and then delivers it at once
  cut_one_way,        // a link loses everything in one direction
  partition,          // the replicas fall into two groups
  isolate,            // one replica hears and reaches nobody, clients included
  client_cut,         // a client and a replica do not reach each other
  type_lost,          // frames with one kind of message are lost for a while
  corrupt,            // a byte of a frame is changed on the way
  late_subscription,  // what is sent to or by a replica that has just started is lost for a moment
  crash,              // a replica loses its memory and what it had not synced
  crash_at_boundary,  // the same, exactly at a write or at a send
  blackout,           // all replicas lose power at once
  crash_loop,         // a replica crashes again shortly after its start
  torn_log,           // of the writes that were not synced a part survived a crash
  pause,              // a replica stands still, then goes on
  disk_error,         // a write fails; the replica stops and is started again
  dead_replica,       // a replica is gone for good
  clock_skew,         // a replica's clock is off, or runs fast
  clock_jump,         // a replica's clock jumps
  wiped_disk,         // a replica loses its store and comes back without its memory
  faulty_client,      // a client sends broken proofs, or two operations under one number
  client_restart,     // a client's process is replaced by another one with the same key
  state_damaged,      // a replica's scrub finds its state damaged
  count_
};
[[nodiscard]] const char* to_string(Fault fault);

inline constexpr std::size_t fault_count = static_cast<std::size_t>(Fault::count_);
using FaultCounts = std::array<std::uint64_t, fault_count>;

}  // namespace pbft::sim
