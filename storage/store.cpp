// Batches that are applied.
#include "storage/store.h"

#include <algorithm>

#include "storage/store_impl.h"

namespace pbft::storage {

Result<void> Store::Impl::write(const WriteBatch& batch, Sync sync) {
  if (failure) return tl::unexpected(*failure);
  auto written = engine->write(batch, sync);
  if (!written) failure = written.error();
  return written;
}

// After an error memory and disk may differ. Where only the state is concerned, promises can still be kept.
void Store::Impl::give_up(const StorageError& error) {
  auto& reason = error.kind == StorageError::Kind::damaged ? damage : failure;
  if (!reason) reason = error;
}

Result<std::optional<Bytes>> Store::state_get(BytesView key) const {
  if (const auto* changed = impl_->newer(Namespace::state, key)) return *changed;
  return impl_->engine->get(Family::state, key);
}

std::unique_ptr<Iterator> Store::state_scan(BytesView from, BytesView to) const {
  return impl_->scan(Namespace::state, from, to);
}

std::unique_ptr<Iterator> Store::clients_scan() const {
  return impl_->scan(Namespace::clients, {}, {});
}

const std::optional<Bytes>* Store::Impl::newer(Namespace name_space, BytesView key) const {
  if (const auto* changed = unwritten.find(name_space, key)) return changed;
  return begun ? begun->changes.find(name_space, key) : nullptr;
}

std::unique_ptr<Iterator> Store::Impl::scan(Namespace name_space, BytesView from, BytesView to) const {
  auto entries = engine->scan(family_of(name_space), from, to);
  if (begun) entries = begun->changes.over(std::move(entries), name_space, from, to);
  return unwritten.over(std::move(entries), name_space, from, to);
}

// ---- Changes --------------------------------------------------------------------------------------------

// The pairs of [from, to), and before its first change in an interval what each had.
Result<void> Store::Impl::write_pairs(WriteBatch& batch, Namespace name_space, Change from, Change to,
                                      const VisitChanged& first_change) const {
  struct Pair {
    Change at;
    Bytes name;
    bool fresh;  // not saved yet
  };
  constexpr std::size_t at_once = 32;
  const Family family = family_of(name_space);
  while (from != to) {
    std::vector<Pair> pairs;
    std::vector<BytesView> fresh;
    for (; from != to && pairs.size() < at_once; ++from) {
      Bytes name = pair_name(name_space, from->first);
      const bool is_fresh = !saved.contains(as_text(name));
      if (is_fresh) fresh.emplace_back(from->first);
      pairs.push_back({from, std::move(name), is_fresh});
    }
    const auto found = engine->get_many(family, fresh);
    if (!found) return tl::unexpected(found.error());
    auto before = found->begin();
    for (const Pair& pair : pairs) {
      const auto& [key, value] = *pair.at;
      if (pair.fresh) {
        const std::optional<Bytes>& had = *before++;
        if (had == value) continue;
        batch.put(Family::undo, undo_key(interval.value, pair.name), encode_before(had));
        first_change({pair.name, had ? std::optional<BytesView>{*had} : std::nullopt}, value);
      }
      if (value) {
        batch.put(family, key, *value);
      } else {
        batch.erase(family, key);
      }
    }
  }
  return {};
}

Result<void> Store::apply(Applied applied) {
  Impl& impl = *impl_;
  if (impl.failure) return tl::unexpected(*impl.failure);
  if (impl.damage) return tl::unexpected(*impl.damage);
  const std::uint64_t last = impl.executed.n.value;
  if (applied.n.value != last + 1) {
    return impl.refuse("batch " + std::to_string(applied.n.value) + " cannot be applied after " + std::to_string(last));
  }
  const std::uint64_t every = impl.options.checkpoint_interval;
  const bool taken = impl.interval.value == last || (impl.begun && impl.begun->at.n.value == last);
  if (every != 0 && last % every == 0 && !taken) {
    return impl.refuse("batch " + std::to_string(applied.n.value) + " cannot be applied before the checkpoint at " +
                       std::to_string(last) + " is taken");
  }
  impl.executed = {applied.n, applied.time, applied.ledger_head};
  for (StateChange& change : applied.state) {
    impl.unwritten.set(Namespace::state, std::move(change.key), std::move(change.value));
  }
  for (StateChange& change : applied.clients) {
    impl.unwritten.set(Namespace::clients, std::move(change.key), std::move(change.value));
  }
  if (impl.begun) impl.begun->due += impl.begun->share;
  WriteBatch batch;
  batch.put(Family::ledger, number_key(applied.n.value),
            encode_ledger({applied.batch, applied.ledger_head, applied.time}));
  if (impl.unwritten.bytes() > impl.options.gather_bytes || impl.options.gather_bytes == 0) {
    return impl.write_changes(batch);
  }
  return impl.write(batch, Sync::no);
}

// Everything that has gathered in the course of an interval, with what is in the batch.
Result<void> Store::Impl::write_changes(WriteBatch& batch) {
  if (auto finished = finish_checkpoint(); !finished) return finished;
  std::vector<std::string> changed;
  for (const Namespace name_space : {Namespace::state, Namespace::clients}) {
    const auto& changes = unwritten.in(name_space);
    auto put = write_pairs(
        batch, name_space, changes.begin(), changes.end(),
        [&](const Before& before, const std::optional<Bytes>&) { changed.emplace_back(as_text(before.name)); });
    if (!put) {
      give_up(put.error());
      return put;
    }
  }
  batch.put(Family::meta, executed_key, encode_executed(executed));
  if (auto done = write(batch, Sync::no); !done) return done;
  saved.insert(std::make_move_iterator(changed.begin()), std::make_move_iterator(changed.end()));
  stored = executed;
  unwritten.clear();
  return {};
}

Result<Digest> Store::recompute_state_digest() const {
  DigestTree tree;
  for (const Namespace name_space : {Namespace::state, Namespace::clients}) {
    const auto entries = impl_->scan(name_space, {}, {});
    for (; entries->valid(); entries->next()) tree.add(name_space, entries->key(), entries->value());
    if (auto status = entries->status(); !status) return tl::unexpected(status.error());
  }
  tree.refresh();
  return tree.root();
}

}  // namespace pbft::storage
