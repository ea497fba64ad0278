// One simulated replica: the node's real parts over a simulated disk and network. It crashes, loses its memory, and
// comes back from its disk.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "node/pbft/replica.h"
#include "tools/sim/byzantine/liar.h"
#include "tools/sim/disk.h"
#include "tools/sim/world.h"

namespace pbft::sim {

// Where the power of a replica may fail.
enum class Boundary : std::uint8_t {
  write,  // before one
  before_send,
  after_send,
  executed,    // a batch that is in the state, and of which nobody has heard
  checkpoint,  // the same
  count_
};
inline constexpr std::size_t boundary_count = static_cast<std::size_t>(Boundary::count_);
[[nodiscard]] const char* to_string(Boundary boundary);

class Node {
 public:
  // `endpoint` is where it is reached: the id, or another one for the second copy of a twin.
  Node(World& world, ReplicaId id, Endpoint endpoint);
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  void start();  // must not be running
  // The process ends at once. Of the writes that were not synced the first `kept` are on the disk afterwards.
  void crash(std::size_t kept);
  void crash();  // keeps a random number of them
  // Ends at the k-th boundary from now. `lose_all`: with everything that was not synced; else that is left to chance.
  void crash_at_boundary(std::uint64_t k, bool lose_all = false) {
    boundaries_left_ = k;
    lose_all_ = lose_all;
  }
  // Tells of each boundary from now on. Null: no more.
  void watch_boundaries(std::function<void(Boundary)> watcher) { boundary_watcher_ = std::move(watcher); }
  void pause(Microseconds until);
  void break_disk();   // the next write fails, and the node stops; the disk works again when it starts
  void mend();         // ends a pause, a due crash, a broken disk and a wrong clock
  void find_damage();  // its scrub does, in its next turn
  // The disk is lost, while it does not run; the store on the new one knows that.
  void wipe();
  void remember_disk();
  void forget();  // the disk is what it was at remember_disk(); while it does not run
  // `cause`, if any, counts wherever the wrong clock shows: in a proposal, or where one is judged by it.
  void set_clock(std::int64_t offset_us, std::int64_t drift_ppm, std::optional<Fault> cause);

  // A frame that the network delivers.
  void receive(Endpoint from, const SharedBytes& frame);

  [[nodiscard]] ReplicaId id() const { return id_; }
  [[nodiscard]] Endpoint endpoint() const { return endpoint_; }
  [[nodiscard]] bool running() const { return process_ != nullptr; }
  [[nodiscard]] ReplicaStatus status() const;
  [[nodiscard]] std::size_t unsynced_writes() const { return disk_->unsynced_writes(); }
  [[nodiscard]] Microseconds down_since() const { return down_since_; }
  [[nodiscard]] std::uint64_t starts() const { return starts_; }
  // What the state holds for a key, asked past the protocol; and the digest of all of it, recomputed.
  [[nodiscard]] std::optional<std::string> value(const std::string& key) const;
  [[nodiscard]] Digest state_digest() const;

 private:
  struct Process;
  struct Frame {
    Endpoint from;
    SharedBytes bytes;
  };

  void boundary(Boundary at);
  void new_disk();
  void repair_disk();
  void schedule_tick();
  void schedule_turn();
  void turn(bool tick);
  void take(const Frame& frame);
  void after_turn();
  void stopped(const storage::StorageError& error);
  [[nodiscard]] Timestamp clock() const;
  [[nodiscard]] std::optional<std::string> open();
  void sent(Endpoint to, bool broadcast, const SharedBytes& frame);
  void check_sent(const std::vector<PeerMessage>& messages);
  void count_sent(const PeerMessage& message, const ReplicaStatus& status);
  void proposes(const PrePrepare& proposal);
  void clock_shows();
  [[nodiscard]] bool held_back();
  void lie(Endpoint to, bool broadcast, const std::vector<PeerMessage>& messages);
  void judge_proofs(const SharedBytes& frame);
  void count_restart(const Recovered& recovered);

  World& world_;
  const ReplicaId id_;
  const Endpoint endpoint_;
  Random random_;
  std::shared_ptr<Disk> disk_;
  std::unique_ptr<Process> process_;
  std::uint64_t life_ = 0;  // events of earlier lives are stale
  std::vector<Frame> inbox_;
  bool turn_scheduled_ = false;
  std::uint64_t boundaries_left_ = 0;  // 0: no crash is due
  bool lose_all_ = false;
  bool damage_due_ = false;
  std::function<void(Boundary)> boundary_watcher_;
  std::uint64_t disks_ = 0;  // so far
  bool disk_broken_ = false;
  bool disk_was_broken_ = false;  // since the last start
  Microseconds paused_until_ = 0;
  bool pause_shows_ = false;  // something was held back by it
  Microseconds down_since_ = 0;
  std::uint64_t starts_ = 0;
  std::int64_t clock_offset_us_ = 0;
  std::int64_t clock_drift_ppm_ = 0;
  std::optional<Fault> clock_cause_;
  std::uint64_t last_executed_ = 0;
  std::unique_ptr<Liar> liar_;  // null: it is honest
  std::optional<storage::WriteBatch> old_disk_;
  // Where each request was executed, to see which replies are given again in a later view.
  std::map<std::tuple<ClientId, SessionId, RequestNumber>, View> executed_in_;
  std::map<SequenceNumber, View> ran_in_;
  std::set<Digest> unproven_;  // batches with a proof that does not hold here
};

}  // namespace pbft::sim
