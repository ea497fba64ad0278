// What clients were told against the agreed order. Durability: it is there. Linearizability: an operation that was
// answered before another one was submitted stands before it, and a read answers with what some point between its
// submission and its answer held.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <vector>

#include "tools/sim/checkers/history.h"
#include "tools/sim/checkers/model.h"
#include "tools/sim/findings.h"
#include "tools/sim/kv_language.h"

namespace pbft::sim {

// One operation as one client process submitted it.
struct OperationId {
  std::uint32_t process = 0;  // each life of each client is a process of its own
  std::uint64_t ticket = 0;
  friend auto operator<=>(const OperationId&, const OperationId&) = default;
};

class OutcomeChecker {
 public:
  OutcomeChecker(Findings& findings, const Model& model) : findings_(findings), model_(model) {}

  void submitted(OperationId id, const KvOperation& operation);
  // The process sent this request. Requests are sent under ascending names in the order of submission, so equal
  // operations are told apart by it.
  void sent(std::uint32_t process, const RequestName& name, BytesView operation);
  // The next batch of the agreed order; the model has seen it before.
  void ordered(const RanBatch& batch);
  // The client believes this answer: the operation ran (status ok or failed).
  void answered(OperationId id, const KvAnswer& answer);
  // The client gave up: the operation may still take effect, unless it was never sent.
  void given_up(OperationId id);

  [[nodiscard]] std::uint64_t checked_reads() const { return checked_reads_; }
  [[nodiscard]] std::uint64_t checked_writes() const { return checked_writes_; }

 private:
  struct Submitted {
    KvOperation operation;
    Position floor;  // everything up to here was known to some client before this was submitted
    std::vector<RequestName> names;
  };
  struct Effect {
    Position at;
    KvAnswer answer;
  };
  void read(const Submitted& submitted, const KvAnswer& answer);
  void write(const Submitted& submitted, const KvAnswer& answer);
  [[nodiscard]] const Effect* effect_of(const Submitted& submitted) const;

  Findings& findings_;
  const Model& model_;
  std::map<OperationId, Submitted> submitted_;
  std::map<std::pair<std::uint32_t, Bytes>, std::deque<OperationId>> unnamed_;
  std::map<std::pair<std::uint32_t, Bytes>, OperationId> last_named_;
  std::map<RequestName, OperationId> named_;
  std::map<RequestName, Effect> effects_;  // of requests that the plugin ran
  Position known_;                         // the highest position that any client has learnt of
  std::uint64_t checked_reads_ = 0;
  std::uint64_t checked_writes_ = 0;
};

}  // namespace pbft::sim
