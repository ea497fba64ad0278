// A state that is damaged: how that is found and remembered, and how what can be read of it is put in order, so that a
// transfer has to fetch no more than what is lost.
#include <algorithm>

#include "storage/store_impl.h"

namespace pbft::storage {
namespace {

bool is_damage(const StorageError& error) {
  return error.kind == StorageError::Kind::damaged;
}

// Writes as much as fits a write at a time, unsynced.
class Bulk {
 public:
  Bulk(std::size_t write_bytes, std::function<Result<void>(const WriteBatch&)> write)
      : write_bytes_(write_bytes), write_(std::move(write)) {}

  [[nodiscard]] Result<void> put(Family family, BytesView key, BytesView value) {
    bytes_ += key.size() + value.size();
    batch_.put(family, key, value);
    return bytes_ < write_bytes_ ? Result<void>{} : flush();
  }
  [[nodiscard]] Result<void> flush() {
    auto written = write_(batch_);
    batch_.clear();
    bytes_ = 0;
    return written;
  }

 private:
  std::size_t write_bytes_;
  std::function<Result<void>(const WriteBatch&)> write_;
  WriteBatch batch_;
  std::size_t bytes_ = 0;
};

}  // namespace

Result<ScrubReport> Store::scrub(std::size_t pairs) {
  if (impl_->damage) return ScrubReport{};
  const Scrub::Digests digests{impl_->interval, impl_->tree.leaves(), impl_->row_leaves};
  return impl_->scrub.step(impl_->view(), digests, impl_->begun ? 0 : pairs);
}

Result<void> Store::mark_damaged() {
  return impl_->mark_damaged(impl_->damage.value_or(damage_error(impl_->engine->name(), "this was found by a scrub")));
}

// An installation that was under way is given up: what it was based on is not what it seemed.
Result<void> Store::Impl::mark_damaged(const StorageError& found) {
  if (failure) return tl::unexpected(*failure);
  if (auto noted = engine->note_damage(); !noted) return noted;
  WriteBatch batch;
  batch.put(Family::meta, damaged_key, Bytes{0});
  batch.erase(Family::meta, writing_key);
  const auto marker = engine->get(Family::staging, installing_key());
  if (marker && *marker) batch.erase(Family::staging, installing_key());
  if (auto written = write(batch, options.durability); !written) return written;
  damage = found;
  executed = stored;
  unwritten.clear();
  begun.reset();
  taken.clear();
  rebuilt = false;
  transfer.reset();
  sessions.clear();
  scrub = {};
  tree = {};
  changed_since_rows = rows_due = 0;
  leaves_at.clear();
  saved.clear();
  return {};
}

// The families are made anew where they cannot be read as a whole; tree, lists and undo are in any case. What was
// salvaged waits in staging meanwhile: a crash leads here again.
Result<void> Store::Impl::rebuild() {
  sessions.clear();
  if (auto usable = clear_staging(); !usable) return usable;
  const auto lost = salvage_all();
  if (!lost) return tl::unexpected(lost.error());
  std::vector<Family> families{Family::undo, Family::tree, Family::buckets};
  for (const Namespace name_space : *lost) families.push_back(family_of(name_space));
  auto readable = engine->reset(families);
  if (readable) readable = engine->forget_damage();
  if (!readable) {
    failure = readable.error();
    return readable;
  }
  for (const Namespace name_space : *lost) {
    if (auto restored = restore(name_space); !restored) return restored;
  }
  return derive();
}

// Where staging itself cannot be read, all in it is fetched again, what was salvaged there too; where a bucket in it
// makes no sense, the buckets are.
Result<void> Store::Impl::clear_staging() {
  const auto read = read_all(Family::staging);
  if (read) {
    const auto checked = check_staged();
    if (checked || !is_damage(checked.error())) return checked;
    WriteBatch batch;
    unstage_all(batch);
    return write(batch, Sync::no);
  }
  if (!is_damage(read.error())) return read;
  auto reset = engine->reset({Family::staging});
  if (!reset) failure = reset.error();
  return reset;
}

Result<void> Store::Impl::check_staged() const {
  const auto heads = staged_heads(view());
  if (!heads) return tl::unexpected(heads.error());
  const auto ignore = [](BytesView, std::optional<BytesView>) { return Result<void>{}; };
  for (const auto& [bucket, head] : *heads) {
    if (auto visited = visit_staged(view(), bucket, ignore); !visited) return visited;
  }
  return {};
}

// The namespaces whose families have to be made anew; what can be read of them is in staging.
Result<std::vector<Namespace>> Store::Impl::salvage_all() {
  const auto marker = engine->get(Family::staging, salvage_done_key());
  if (!marker) return tl::unexpected(marker.error());
  std::vector<Namespace> lost;
  if (*marker) {
    for (const std::uint8_t name_space : **marker) lost.push_back(static_cast<Namespace>(name_space));
    return lost;
  }
  WriteBatch batch;
  batch.erase(Family::staging, salvaged_key({}), Bytes{'k' + 1});
  if (auto written = write(batch, Sync::no); !written) return tl::unexpected(written.error());
  Bytes names;
  for (const Namespace name_space : {Namespace::state, Namespace::clients}) {
    const auto read = read_all(family_of(name_space));
    if (read) continue;
    if (!is_damage(read.error())) return tl::unexpected(read.error());
    if (auto salvaged = salvage(name_space); !salvaged) return tl::unexpected(salvaged.error());
    lost.push_back(name_space);
    names.push_back(static_cast<std::uint8_t>(name_space));
  }
  batch = {};
  batch.put(Family::staging, salvage_done_key(), names);
  if (auto written = write(batch, options.durability); !written) return tl::unexpected(written.error());
  return lost;
}

Result<void> Store::Impl::read_all(Family family) const {
  const auto entries = engine->scan(family, {}, {});
  while (entries->valid()) entries->next();
  return entries->status();
}

// Up to the first thing that cannot be read pair by pair; then whatever the lists of the buckets and undo know of.
Result<void> Store::Impl::salvage(Namespace name_space) {
  const Family family = family_of(name_space);
  Bulk bulk{options.write_bytes, [&](const WriteBatch& batch) { return write(batch, Sync::no); }};
  Bytes last;
  const auto entries = engine->scan(family, {}, {});
  for (; entries->valid(); entries->next()) {
    last = pair_name(name_space, entries->key());
    if (auto put = bulk.put(Family::staging, salvaged_key(last), entries->value()); !put) return put;
  }
  const auto save = [&](BytesView name) -> Result<void> {
    if (name.empty() || name[0] != static_cast<std::uint8_t>(name_space)) return {};
    if (std::ranges::lexicographical_compare(name, last) || std::ranges::equal(name, last)) return {};
    const auto value = engine->get(family, key_of(name));
    if (!value) return is_damage(value.error()) ? Result<void>{} : tl::unexpected(value.error());
    return *value ? bulk.put(Family::staging, salvaged_key(name), **value) : Result<void>{};
  };
  for (std::uint32_t bucket = 0; bucket < DigestTree::bucket_count; ++bucket) {
    const auto list = engine->scan(Family::buckets, index_key(bucket, {}), index_key(bucket + 1, {}));
    for (; list->valid(); list->next()) {
      if (auto saved_pair = save(list->key().subspan(2)); !saved_pair) return saved_pair;
    }
    if (const auto status = list->status(); !status && !is_damage(status.error())) return status;
  }
  const auto undo = engine->scan(Family::undo, number_key(interval.value), {});
  for (; undo->valid(); undo->next()) {
    if (undo->key().size() <= 8) continue;
    if (auto saved_pair = save(undo->key().subspan(8)); !saved_pair) return saved_pair;
  }
  if (const auto status = undo->status(); !status && !is_damage(status.error())) return status;
  return bulk.flush();
}

Result<void> Store::Impl::restore(Namespace name_space) {
  const auto tag = static_cast<std::uint8_t>(name_space);
  Bulk bulk{options.write_bytes, [&](const WriteBatch& batch) { return write(batch, Sync::no); }};
  const auto entries =
      engine->scan(Family::staging, salvaged_key(Bytes{tag}), salvaged_key(Bytes{static_cast<std::uint8_t>(tag + 1)}));
  for (; entries->valid(); entries->next()) {
    const BytesView key = entries->key().subspan(2);
    if (auto put = bulk.put(family_of(name_space), key, entries->value()); !put) return put;
  }
  if (auto status = entries->status(); !status) return status;
  return bulk.flush();
}

// Tree and lists of what is there now.
Result<void> Store::Impl::derive() {
  tree = {};
  saved.clear();
  Bulk bulk{options.write_bytes, [&](const WriteBatch& batch) { return write(batch, Sync::no); }};
  for (const Namespace name_space : {Namespace::state, Namespace::clients}) {
    const auto entries = engine->scan(family_of(name_space), {}, {});
    for (; entries->valid(); entries->next()) {
      const Bytes name = pair_name(name_space, entries->key());
      const std::uint32_t bucket = DigestTree::bucket_of(name);
      const auto hash = tree.replace(bucket, name, std::nullopt, entries->value());
      auto put = bulk.put(Family::buckets, index_key(bucket, name), hash->view());
      if (!put) return put;
    }
    if (auto status = entries->status(); !status) return status;
  }
  if (auto flushed = bulk.flush(); !flushed) return flushed;
  WriteBatch batch;
  tree.refresh();
  row_leaves = DigestTree{}.leaves();  // there are none
  put_rows(batch, DigestTree::bucket_count, SIZE_MAX, interval);
  batch.erase(Family::staging, salvaged_key({}), Bytes{'k' + 1});
  batch.erase(Family::staging, salvage_done_key());
  batch.put(Family::meta, damaged_key, Bytes{1});
  if (auto written = write(batch, options.durability); !written) return written;
  rebuilt = true;
  return {};
}

}  // namespace pbft::storage
