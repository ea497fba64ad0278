// Brings the faults of the plan down on the cluster, one after the other, until it is told to stop.
#pragma once

#include <memory>
#include <vector>

#include "tools/sim/client.h"
#include "tools/sim/node.h"
#include "tools/sim/world.h"

namespace pbft::sim {

class Storm {
 public:
  Storm(World& world, std::vector<std::unique_ptr<Node>>& nodes, std::vector<std::unique_ptr<SimClient>>& clients);

  void start();
  // No fault begins any more, and everything is repaired: links, clocks, disks, and all replicas run again except
  // those that are gone for good.
  void heal();

 private:
  void again(Fault fault);
  void strike(Fault fault);
  void supervise();  // starts again what went down by itself
  void cut_group(const std::vector<bool>& inside, Microseconds until, Fault cause);
  void isolate(Endpoint replica, Microseconds until);
  void crash_and_restart(Node& node);
  void restart_after(Node& node, Microseconds delay);
  void wipe(Node& node);
  void damage(Node& node);
  void forget_again(Node& node);
  void split_twins();
  void crash_loop(Node& node, std::uint64_t times);
  void set_clock(Node& node, bool jump);
  void bury();  // those that are gone for good go
  [[nodiscard]] bool dead(std::uint32_t replica) const;
  [[nodiscard]] Node& any_node();  // of those that are not dead for good; the primary more often than others
  [[nodiscard]] Node* primary();   // of the highest view; null where that is dead for good
  [[nodiscard]] Endpoint any_replica();
  [[nodiscard]] Microseconds lasts(Fault fault);

  World& world_;
  std::vector<std::unique_ptr<Node>>& nodes_;
  std::vector<std::unique_ptr<SimClient>>& clients_;
  Random random_;
  bool over_ = false;
  bool buried_ = false;
};

}  // namespace pbft::sim
