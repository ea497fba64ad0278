#include "tools/sim/checkers/progress.h"

#include <fmt/format.h>

#include <algorithm>

namespace pbft::sim {

void ProgressChecker::not_below(ReplicaId replica, const char* what, std::uint64_t& last, std::uint64_t now) {
  if (now < last) {
    findings_.report({"monotonic", now, {replica.value}, fmt::format("{} went back from {} to {}", what, last, now)});
  }
  last = now;
}

void ProgressChecker::status(ReplicaId replica, const ReplicaStatus& status) {
  Last& last = last_[replica.value];
  not_below(replica, "the stable checkpoint", last.stable, status.stable.value);
  if (last.damaged) {
    last.damaged = status.diverged;
    last.executed = status.executed.value;
    last.time = status.time.value;
  }
  not_below(replica, "the executed number", last.executed, status.executed.value);
  not_below(replica, "the view", last.view, status.view.value);
  not_below(replica, "the agreed time", last.time, status.time.value);
  if (status.diverged && !last.damaged) {
    findings_.report({"state-digest", status.executed.value, {replica.value}, "the replica reports that it diverged"});
  }
  bounds(replica, status);
}

void ProgressChecker::bounds(ReplicaId replica, const ReplicaStatus& status) {
  const auto at_most = [&](const char* what, std::uint64_t value, std::uint64_t bound) {
    if (value <= bound) return;
    findings_.report(
        {"bounds", status.executed.value, {replica.value}, fmt::format("{}: {} > {}", what, value, bound)});
  };
  at_most("queued requests", status.queued_requests, local_.max_queued_requests);
  at_most("sessions", status.sessions, cluster_.max_sessions);
  at_most("width of the window", status.high.value - status.stable.value, cluster_.window);
  // A new view may begin above the window of a replica that lags behind; who proposes stays inside of its own.
  if (!status.active || status.primary != replica) return;
  at_most("last proposed against the high water mark", status.last_accepted.value,
          std::max(status.high.value, status.executed.value));
}

void ProgressChecker::voted(ReplicaId replica, SequenceNumber n, SequenceNumber stable) {
  if (n.value <= stable.value + cluster_.window) return;
  findings_.report(
      {"bounds",
       n.value,
       {replica.value},
       fmt::format("voted at {}, {} above its stable checkpoint {}", n.value, n.value - stable.value, stable.value)});
}

void ProgressChecker::restarted(ReplicaId replica, SequenceNumber executed, SequenceNumber stable, View view) {
  Last& last = last_[replica.value];
  not_below(replica, "the view, over a restart,", last.view, view.value);
  not_below(replica, "the stable checkpoint, over a restart,", last.stable, stable.value);
  if (executed < stable) {
    findings_.report(
        {"monotonic",
         executed.value,
         {replica.value},
         fmt::format("restarted with {} executed, below its stable checkpoint {}", executed.value, stable.value)});
  }
  last.executed = executed.value;
  last.time = 0;  // the agreed time goes with the executed number
}

}  // namespace pbft::sim
