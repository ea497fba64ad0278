// Whether the primary is to be trusted for longer (OSDI 1999, section 4.4, on timers; Aardvark, NSDI 2009, sections 4.3
// and 4.4, on primaries that are slow on purpose). Four reasons to suspect it (what follows: view_changer.h):
//   1. something that is known here waits, and nothing new was executed for the view timeout. That is a reason for the
//      primary itself, too: backups that have executed its slots have none, and it may be the one that makes up f+1;
//   2. the oldest request of some client waits for longer than several timeouts, whatever progress others make, and
//      longer than what waited here before it can account for: where there is more to do than can be done at once, a
//      primary that takes one request after the other starves nobody. There is an end to that, too;
//   3. requests wait here, and what takes effect stays below a floor that rises towards what earlier views achieved. As
//      long as fewer than f+1 views have been measured, any primary under which requests always wait is slow. Where
//      f+1 primaries in a row were below the floor, one of them was correct: the floor is forgotten for a while, and
//      for twice as long the next time;
//   4. somebody has given up the view for a slot that is executed here, and nothing moves (retransmission.h):
//      what a vote there rested on may be lost, and in the next view it is voted on anew.
// Of each client the first few bundles count, in the order in which they wait here: the others have no claim to be
// next. Only what this replica still holds itself, waiting or in a slot, counts as waiting: what it had no room for,
// pushed out or dropped is nothing to hold against the primary, and its client asks again. A client whose MACs hold at
// one backup only looks like one that the primary does not serve: it is named when the primary is suspected for it, and
// has to sign then. The timeout doubles with each view that brings no progress, up to a maximum, and is back to its
// base once something new is executed. Ticks, not clocks.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "node/pbft/client_table.h"
#include "node/pbft/message_log.h"
#include "node/pbft/parameters.h"
#include "node/pbft/quorum.h"
#include "node/pbft/request_queue.h"

namespace pbft {

class PrimaryWatch {
 public:
  static constexpr std::size_t most_of_one = 4;  // bundles of each client

  PrimaryWatch(const LocalParameters& local, const ClientTable& clients, const RequestQueue& queue,
               const Quorum& quorum)
      : local_(local), clients_(clients), queue_(queue), weak_(quorum.weak()), probes_(quorum.weak()) {}

  // A request that has still to be ordered is among the first of its client that wait in the queue, and the primary is
  // told of it. Precondition: there is room for the client. `too_many`: enough others of it wait already.
  enum class Heard : std::uint8_t { now, before, too_many };
  Heard heard(const Bundle& bundle);
  [[nodiscard]] bool waits_with(const Bundle& bundle) const { return find(bundle) != nullptr; }
  // Clients take turns where there are more than can be watched.
  [[nodiscard]] bool has_room_for(const ClientId& client) const {
    return waiting_.size() < most_clients || waiting_.contains(client);
  }
  // This replica had no room itself for what the client asks for: the primary may have none either, so where the
  // primary has taken others of this client's requests meanwhile, the patience of those that wait begins anew. Who asks
  // for little is not refused (request_queue.h), and has a claim on its turn.
  void refused(const ClientId& client);
  // The client has to sign from now on: what it did not sign waits for nothing any more.
  void forget_unsigned(const ClientId& client);
  // What this replica does not hold any more, or what has been answered in the meantime, waits for nothing.
  void forget_settled(const ClientId& client);
  // A batch was delivered to execution, in which so many requests take effect.
  void executed(const Batch& batch, std::size_t take_effect);
  // The state was replaced as a whole: what waits is judged anew.
  void forget_requests() {
    waiting_.clear();
    backlog_ = 0;
  }

  // The present view has become active.
  void entered();
  // It is left for a later one. What its primary achieved counts for those after it.
  void left();

  struct Standing {
    bool watching = true;      // false: this replica is behind the others, or hears too few of them
    bool slot_waits = false;   // something is accepted here and not executed
    bool primary = false;      // it is the primary itself: only reasons 1, for its slots, and 4 count
    Ticks primary_silent = 0;  // since so many ticks nothing has come from the primary
    bool suspected = false;    // there has been a reason in this view: it is not looked for another one
    bool stuck = false;        // reason 4
  };
  // Once a tick. Why the primary is not to be trusted any more; nothing: there is no new reason.
  [[nodiscard]] std::optional<const char*> on_tick(const Standing& standing);
  // The clients whose requests without a signature were the last tick's reason, or starve under a primary that is
  // suspected already, where the primary is there and takes others: perhaps their MACs do not hold at it. A few of
  // them, if there are many.
  [[nodiscard]] const std::vector<ClientId>& unsigned_reasons() const { return unsigned_reasons_; }
  // Half of the timeout has passed without anything being executed: the primary is to be told again what waits, since
  // it may have had no room for it, or never heard of it.
  [[nodiscard]] bool half_way() const { return half_way_; }
  // For these, half of the patience has passed, whatever was executed of others: the primary is to be told once more,
  // of a few at a time.
  [[nodiscard]] const std::vector<std::pair<ClientId, Digest>>& half_starved() const { return half_starved_; }
  void told(const ClientId& client, const Digest& bundle);
  // The clients of which it has forgotten something since this was last asked.
  [[nodiscard]] std::set<ClientId> take_moved() { return std::exchange(moved_, {}); }

  [[nodiscard]] Ticks timeout() const { return timeout_; }
  // Clients of which a request is known to wait.
  [[nodiscard]] std::size_t waiting() const { return waiting_.size(); }
  void invariants() const;

 private:
  [[nodiscard]] std::optional<const char*> judge(const Standing& standing);
  static constexpr std::size_t most_clients = 10'000;
  static constexpr std::size_t most_reasons = 8;
  static constexpr std::size_t most_half_starved = 64;
  static constexpr Ticks look_every = 8;        // ticks; what waits is looked through so often
  static constexpr Ticks starvation = 4;        // timeouts
  static constexpr Ticks longest_queue = 32;    // timeouts; nothing accounts for more in one view
  static constexpr Ticks period = 100;          // ticks over which throughput is measured
  static constexpr Ticks grace = 5;             // periods of a new view in which the floor rises to its full height
  static constexpr std::size_t remembered = 8;  // earlier views whose best period counts

  // One request of a bundle that stands for it; without its bytes.
  struct Waiting {
    Bundle request;
    bool is_signed = false;
    Ticks heard = 0;
    Ticks since = 0;         // when patience began: as heard, or later
    bool moved = false;      // since then another request of its client was executed
    bool told = false;       // the primary was told once more in this view
    std::uint64_t turn = 0;  // so many requests executed, its own turn has come
  };
  // The one that stands for this bundle; null: there is none.
  [[nodiscard]] const Waiting* find(const Bundle& bundle) const;
  void forget(std::deque<Waiting>& mine, const std::function<bool(const Waiting&)>& which);
  void forget_settled();
  void forget_settled(std::deque<Waiting>& mine);
  [[nodiscard]] bool starves(const Waiting& one) const;
  [[nodiscard]] bool someone_starves();
  void find_half_starved();
  void name_unsigned(const std::function<bool(const Waiting&)>& which);
  [[nodiscard]] bool too_slow(bool waits);

  const LocalParameters& local_;
  const ClientTable& clients_;
  const RequestQueue& queue_;
  const std::uint32_t weak_;
  Ticks now_ = 0;
  Ticks entered_ = 0;
  std::optional<Ticks> stalled_since_;  // since when something waits without anything being executed
  bool progress_ = false;               // in the present view
  bool executed_since_tick_ = false;
  Ticks timeout_ = local_.view_timeout_ticks;
  // Invariant: no client has none, or more than most_of_one; at most most_clients.
  std::map<ClientId, std::deque<Waiting>> waiting_;
  std::uint64_t backlog_ = 0;   // Invariant: the requests in waiting_
  std::uint64_t executed_ = 0;  // requests, since the start

  std::vector<ClientId> unsigned_reasons_;
  ClientId named_last_;  // the next ones named are those behind it
  bool half_way_ = false;
  std::vector<std::pair<ClientId, Digest>> half_starved_;
  std::set<ClientId> moved_;

  // Throughput, in requests executed per period.
  std::uint64_t in_period_ = 0;
  Ticks period_start_ = 0;
  bool waited_throughout_ = true;  // requests waited here in every tick of the period
  std::uint64_t best_period_ = 0;  // of the present view
  std::deque<std::uint64_t> best_of_views_;
  std::uint32_t probes_;  // views that are still to be measured before the floor is known
  // Views in a row in which the floor was the reason here. f+1 of them, and it is more than a correct primary achieves.
  std::uint32_t below_in_row_ = 0;
  std::uint32_t floors_forgotten_ = 0;  // since one was met
  Ticks no_floor_until_ = 0;
};

}  // namespace pbft
