// The simulated network: every frame goes over one link and has a fate of its own, a broadcast one for each receiver.
// Rules (cuts, clogs, lost types) hold until a time or until heal().
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "node/pbft/types.h"
#include "tools/sim/faults.h"
#include "tools/sim/plan.h"
#include "tools/sim/random.h"
#include "tools/sim/scheduler.h"
#include "tools/sim/trace.h"

namespace pbft::sim {

// Replicas are 0 .. n-1; each client process gets a number of its own above.
using Endpoint = std::uint32_t;

// The kinds of messages in a frame, one bit each: bit i is alternative i of the variant, client messages from bit 20,
// replies from bit 24.
using TypeMask = std::uint32_t;

class Network {
 public:
  using Deliver = std::function<void(Endpoint from, Endpoint to, const SharedBytes& frame)>;

  Network(Scheduler& scheduler, Trace& trace, FaultCounts& faults, const Plan& plan, Deliver deliver);

  void send(Endpoint from, Endpoint to, const SharedBytes& frame, TypeMask types);

  void cut(Endpoint from, Endpoint to, Microseconds until, Fault cause);
  void clog(Endpoint from, Endpoint to, Microseconds until);
  void lose_types(TypeMask types, Microseconds until);
  void quiet(Endpoint replica, Microseconds until);  // hears and says nothing: has just started
  void heal();

  [[nodiscard]] std::uint64_t frames() const { return frames_; }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

 private:
  using Link = std::pair<Endpoint, Endpoint>;
  struct Cut {
    Microseconds until = 0;
    Fault cause = Fault::cut_one_way;
  };
  [[nodiscard]] bool lost(const Link& link, TypeMask types);
  [[nodiscard]] Microseconds delay();
  void deliver_at(Microseconds time, const Link& link, const SharedBytes& frame);
  [[nodiscard]] bool drop(const Link& link, Fault cause);
  [[nodiscard]] SharedBytes corrupted(const SharedBytes& frame);

  Scheduler& scheduler_;
  Trace& trace_;
  FaultCounts& faults_;
  NetworkPlan plan_;
  Random random_;
  Deliver deliver_;
  std::map<Link, Cut> cuts_;
  std::map<Link, Microseconds> clogs_;
  std::map<Link, Microseconds> last_delivery_;
  std::map<Endpoint, Microseconds> quiet_;
  TypeMask lost_types_ = 0;
  Microseconds lost_types_until_ = 0;
  std::uint64_t frames_ = 0;
  std::uint64_t bytes_ = 0;
};

}  // namespace pbft::sim
