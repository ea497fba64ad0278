#include "tools/sim/checkers/agreement.h"

#include <fmt/format.h>

namespace pbft::sim {

void AgreementChecker::executed(ReplicaId replica, const RanBatch& batch) {
  const auto [at, fresh] = slots_.try_emplace(batch.n.value, Slot{batch, replica.value});
  if (!fresh) return compare(replica, at->second, batch);
  for (auto next = slots_.find(next_); next != slots_.end(); next = slots_.find(next_)) {
    ++next_;
    ordered_(next->second.batch);
  }
}

void AgreementChecker::compare(ReplicaId replica, const Slot& agreed, const RanBatch& batch) {
  const auto differ = [&](const char* invariant, std::string what) {
    findings_.report({invariant, batch.n.value, {agreed.first_by, replica.value}, std::move(what)});
  };
  if (agreed.batch.digest != batch.digest) {
    return differ("agreement",
                  fmt::format("batch {} at replica {}, {} at replica {}", short_hex(agreed.batch.digest.view()),
                              agreed.first_by, short_hex(batch.digest.view()), replica.value));
  }
  if (agreed.batch.ledger_head != batch.ledger_head) return differ("agreement", "ledger heads differ");
  if (agreed.batch.time != batch.time) {
    return differ("agreement", fmt::format("agreed time {} at replica {}, {} at replica {}", agreed.batch.time.value,
                                           agreed.first_by, batch.time.value, replica.value));
  }
  if (agreed.batch.run.size() != batch.run.size()) {
    return differ("exactly-once",
                  fmt::format("replica {} ran {} requests of the batch, replica {} ran {}", agreed.first_by,
                              agreed.batch.run.size(), replica.value, batch.run.size()));
  }
  for (std::size_t i = 0; i < batch.run.size(); ++i) {
    if (agreed.batch.run[i] == batch.run[i]) continue;
    return differ("same-results",
                  fmt::format("{}: status {} result {} at replica {}, status {} result {} at replica {}",
                              to_string(batch.run[i].name), int(agreed.batch.run[i].status),
                              short_hex(agreed.batch.run[i].result), agreed.first_by, int(batch.run[i].status),
                              short_hex(batch.run[i].result), replica.value));
  }
}

void AgreementChecker::checkpoint(ReplicaId replica, const CheckpointSummary& summary) {
  const auto [at, fresh] = checkpoints_.try_emplace(summary.n.value, Taken{summary, replica.value});
  if (fresh || at->second.summary == summary) return;
  const CheckpointSummary& agreed = at->second.summary;
  std::string what;
  if (agreed.state != summary.state) what += " state";
  if (agreed.ledger_head != summary.ledger_head) what += " ledger_head";
  if (agreed.time != summary.time) what += " time";
  if (agreed.epoch != summary.epoch) what += " epoch";
  if (agreed.plugin != summary.plugin) what += " plugin";
  findings_.report(
      {"state-digest", summary.n.value, {at->second.first_by, replica.value}, "checkpoints differ in:" + what});
}

}  // namespace pbft::sim
