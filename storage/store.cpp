// Batches that are applied.
#include "storage/store.h"

#include <algorithm>
#include <utility>

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

// The next few pairs from `at` on, at most so many, and before its first change in an interval what each had.
// Precondition: the piece has room.
Result<void> Store::Impl::write_few(Piece& piece, Namespace name_space, Change& at, std::size_t most,
                                    const VisitChanged& first_change) const {
  struct Pair {
    Change at;
    bool fresh;  // not saved yet
  };
  Bytes name{static_cast<std::uint8_t>(name_space)};
  const auto name_it = [&name](BytesView key) {
    name.resize(1);
    name.insert(name.end(), key.begin(), key.end());
  };
  // Read in one call: no more than are sure to fit, where each has some 32 KiB.
  const std::size_t at_once = std::clamp<std::size_t>(options.write_bytes >> 15U, 1, 32);
  const Family family = family_of(name_space);
  const Change end = piece.changes.in(name_space).end();
  std::vector<Pair> pairs;
  std::vector<BytesView> fresh;
  std::size_t bytes = piece.bytes;
  for (; at != end && pairs.size() < std::min(most, at_once) && bytes < options.write_bytes; ++at) {
    bytes += at->second.value ? at->second.value->size() : 0;
    name_it(at->first);
    const bool is_fresh = !saved.contains(as_text(name));
    if (is_fresh) fresh.emplace_back(at->first);
    pairs.push_back({at, is_fresh});
  }
  piece.pairs += pairs.size();
  const auto found = engine->get_many(family, fresh);
  if (!found) return tl::unexpected(found.error());
  auto before = found->begin();
  for (const Pair& pair : pairs) {
    const Bytes& key = pair.at->first;
    const std::optional<Bytes>& value = pair.at->second.value;
    if (pair.fresh) {
      const std::optional<Bytes>& had = *before++;
      if (had == value) continue;
      name_it(key);
      piece.bytes += name.size() + (had ? had->size() : 0);
      const Before first{name, as_view(had)};
      put_before(piece.batch, interval.value, first);
      first_change(first, value);
    }
    piece.bytes += key.size() + (value ? value->size() : 0);
    if (value) {
      piece.batch.put(family, key, *value);
    } else {
      piece.batch.erase(family, key);
    }
  }
  return {};
}

// At most so many pairs, as many as go into one write.
Result<void> Store::Impl::fill(Piece& piece, std::size_t most, const VisitChanged& first_change) const {
  for (const Namespace name_space : {Namespace::state, Namespace::clients}) {
    Change& end = piece.ends[static_cast<std::size_t>(name_space)];
    while (end != piece.changes.in(name_space).end()) {
      if (piece.pairs >= most || piece.bytes >= options.write_bytes) return {};
      if (auto done = write_few(piece, name_space, end, most - piece.pairs, first_change); !done) return done;
    }
  }
  piece.last = true;
  return {};
}

// What is with the engine now leaves the memory.
void Store::Impl::forget(const Piece& piece) {
  for (const Namespace name_space : {Namespace::state, Namespace::clients}) {
    piece.changes.forget(name_space, piece.ends[static_cast<std::size_t>(name_space)]);
  }
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
    impl.unwritten.set(Namespace::state, std::move(change));
  }
  for (StateChange& change : applied.clients) {
    impl.unwritten.set(Namespace::clients, std::move(change));
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

// Everything that has gathered in the course of an interval, the first of it with what is in the batch. Where it is too
// much for one write, the marker lets an opening take back what was written.
Result<void> Store::Impl::write_changes(WriteBatch& batch) {
  if (auto finished = finish_checkpoint(); !finished) return finished;
  for (bool first = true, last = false; !last; first = false) {
    Piece piece{unwritten};
    std::swap(piece.batch, batch);
    std::vector<std::string> changed;
    auto filled = fill(piece, SIZE_MAX, [&](const Before& before, const std::optional<Bytes>&) {
      weigh(before);
      changed.emplace_back(as_text(before.name));
    });
    if (!filled) {
      give_up(filled.error());
      return filled;
    }
    last = piece.last;
    if (last) {
      piece.batch.put(Family::meta, executed_key, encode_executed(executed));
      piece.batch.erase(Family::meta, writing_key);
    } else if (first) {
      piece.batch.put(Family::meta, writing_key, {});
    }
    if (auto done = write(piece.batch, Sync::no); !done) return done;
    saved.insert(std::make_move_iterator(changed.begin()), std::make_move_iterator(changed.end()));
    forget(piece);
  }
  stored = executed;
  return {};
}

Result<void> Store::Impl::add_all(DigestTree& tree, Namespace name_space, Iterator& entries) {
  for (; entries.valid(); entries.next()) tree.add(name_space, entries.key(), entries.value());
  return entries.status();
}

Result<Digest> Store::recompute_state_digest() const {
  DigestTree tree;
  for (const Namespace name_space : {Namespace::state, Namespace::clients}) {
    auto added = Impl::add_all(tree, name_space, *impl_->scan(name_space, {}, {}));
    if (!added) return tl::unexpected(added.error());
  }
  tree.refresh();
  return tree.root();
}

}  // namespace pbft::storage
