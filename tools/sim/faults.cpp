#include "tools/sim/faults.h"

namespace pbft::sim {

const char* to_string(Fault fault) {
  switch (fault) {
    case Fault::loss:
      return "loss";
    case Fault::duplicate:
      return "duplicate";
    case Fault::reorder:
      return "reorder";
    case Fault::slow_link:
      return "slow link";
    case Fault::clog:
      return "clog";
    case Fault::cut_one_way:
      return "one-way cut";
    case Fault::partition:
      return "partition";
    case Fault::isolate:
      return "isolated replica";
    case Fault::client_cut:
      return "client cut off";
    case Fault::type_lost:
      return "message type lost";
    case Fault::corrupt:
      return "corrupt frame";
    case Fault::late_subscription:
      return "late subscription";
    case Fault::crash:
      return "crash";
    case Fault::crash_at_boundary:
      return "crash at a boundary";
    case Fault::blackout:
      return "blackout";
    case Fault::crash_loop:
      return "crash loop";
    case Fault::torn_log:
      return "torn log";
    case Fault::pause:
      return "pause";
    case Fault::disk_error:
      return "disk error";
    case Fault::dead_replica:
      return "dead replica";
    case Fault::clock_skew:
      return "clock skew";
    case Fault::clock_jump:
      return "clock jump";
    case Fault::wiped_disk:
      return "wiped disk";
    case Fault::faulty_client:
      return "faulty client";
    case Fault::client_restart:
      return "client restart";
    case Fault::state_damaged:
      return "damaged state";
    case Fault::count_:
      break;
  }
  return "?";
}

}  // namespace pbft::sim
