#include "node/pbft/delivery.h"

#include <algorithm>
#include <cassert>

#include "node/pbft/digests.h"

namespace pbft {

void Delivery::deliver(SequenceNumber n, View view, const BatchPtr& batch, bool durable, Outbox& out) {
  assert(n == next());
  assert(open());
  if (!durable) out.persist(PersistBatch{n, batch});

  Execute execute;
  execute.n = n;
  execute.view = view;
  execute.batch = batch;
  // Agreed time never goes back, whatever a primary proposes.
  execute.time = std::max(time_, batch->time);
  execute.ledger_head = pbft::ledger_head(ledger_head_, n, batch->digest);
  clients_.apply(n, *batch, execute);
  for (const BundlePtr& bundle : batch->bundles) queue_.executed(*bundle);
  queue_.settled(n);
  watch_.executed(*batch, static_cast<std::size_t>(std::count_if(execute.run.begin(), execute.run.end(),
                                                                 [](const auto& run) { return !run.decided; })));

  delivered_ = n;
  time_ = execute.time;
  ledger_head_ = execute.ledger_head;
  out.execute(std::move(execute));
  // Right behind its last batch, so that what is taken is the state at n and nothing later.
  if (n.value % parameters_.checkpoint_interval == 0) out.execute(TakeCheckpoint{n});
}

void Delivery::installed(const CheckpointSummary& summary) {
  delivered_ = summary.n;
  executed_ = summary.n;
  time_ = summary.time;
  ledger_head_ = summary.ledger_head;
  stopped_ = false;
  held_ = false;
  follows_state_ = true;
  queue_.settled(summary.n);
}

bool Delivery::on_executed(SequenceNumber n) {
  if (n <= executed_ || n > delivered_) return false;
  executed_ = n;
  return true;
}

}  // namespace pbft
