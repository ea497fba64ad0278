// What goes once a checkpoint is stable.
#include <algorithm>

#include "storage/store_impl.h"

namespace pbft::storage {

// Drops the batches of the slots from..to that were not committed there. All of these slots have been executed.
Result<void> Store::Impl::prune(WriteBatch& batch, std::uint64_t from, std::uint64_t to) const {
  const auto entries = engine->scan(Family::journal, journal_key(JournalKind::batch, SequenceNumber{from}),
                                    journal_key(JournalKind::batch, SequenceNumber{to + 1}));
  for (; entries->valid(); entries->next()) {
    FieldReader key{entries->key()};
    static_cast<void>(key.u8());
    const SequenceNumber n{key.u64()};
    const auto digest = key.fixed<Digest>();
    const auto committed = ledger(n);
    if (!committed) return tl::unexpected(committed.error());
    if (*committed && (*committed)->batch != digest) {
      batch.erase(Family::batches, batch_key(n, digest));
    }
  }
  return entries->status();
}

Result<void> Store::truncate(SequenceNumber n) {
  Impl& impl = *impl_;
  if (impl.failure) return tl::unexpected(*impl.failure);
  if (n < impl.kept.stable) return {};
  KeptRecord kept = impl.kept;
  if (n > kept.stable) {
    kept.previous = kept.stable;
    kept.stable = n;
  }
  WriteBatch batch;

  // A slot whose execution is not written yet keeps its batches.
  const std::uint64_t executed = impl.stored.n.value;
  kept.pruned = std::max(kept.pruned, std::min(n.value, executed));
  if (auto pruned = impl.prune(batch, impl.kept.pruned + 1, kept.pruned); !pruned) return pruned;
  const SequenceNumber origin{0};
  batch.erase(Family::journal, journal_key(JournalKind::batch, origin),
              journal_key(JournalKind::batch, SequenceNumber{kept.pruned + 1}));
  for (const JournalKind kind : {JournalKind::accepted, JournalKind::prepared}) {
    batch.erase(Family::journal, journal_key(kind, origin), journal_key(kind, n.next()));
  }

  // The entry of the batch that was executed last always stays: opening checks it.
  const std::uint64_t keep = impl.options.ledger_keep;
  if (keep != 0 && n.value > keep && executed > 0) {
    const std::uint64_t first = std::min(n.value - keep, impl.sessions.lowest().value_or(n).value) + 1;
    kept.first_ledger = std::max(kept.first_ledger, std::min(first, executed));
    batch.erase(Family::ledger, number_key(impl.kept.first_ledger), number_key(kept.first_ledger));
    batch.erase(Family::batches, number_key(impl.kept.first_ledger), number_key(kept.first_ledger));
    const std::uint64_t first_summary = std::min(kept.first_ledger, kept.previous.value);
    batch.erase(Family::checkpoints, own_summary_key(0), own_summary_key(first_summary));
  }

  // The current interval's undo is what the digest is updated from, earlier ones' is what leads there from the rows of
  // the tree.
  kept.first_undo = std::max(kept.first_undo, std::min(kept.previous.value, impl.interval.value));
  const std::uint64_t needed = std::min(kept.first_undo, impl.rows.lowest());
  if (!impl.damage) batch.erase(Family::undo, number_key(impl.undo_erased), number_key(needed));

  // An entry that stood for the head of the ledger where a state was installed; an opening may lead back to it.
  batch.erase(Family::ledger, {}, number_key(std::min(kept.first_ledger, impl.interval.value)));

  if (kept == impl.kept) return {};
  batch.put(Family::meta, kept_key, encode_kept(kept));
  if (auto written = impl.write(batch, Sync::no); !written) return written;
  impl.kept = kept;
  if (!impl.damage) impl.undo_erased = needed;
  impl.leaves_at.erase(impl.leaves_at.begin(), impl.leaves_at.lower_bound(kept.first_undo));
  return {};
}

}  // namespace pbft::storage
