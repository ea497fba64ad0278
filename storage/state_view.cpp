#include "storage/state_view.h"

#include <algorithm>

#include "storage/digest_tree.h"
#include "storage/fields.h"
#include "storage/leave_down.h"

namespace pbft::storage {

Bytes pair_name(Namespace name_space, BytesView key) {
  return FieldWriter{}.u8(static_cast<std::uint8_t>(name_space)).raw(key).take();
}

StorageError damage_error(const std::string& where, const std::string& what) {
  return {StorageError::Kind::damaged, where + ": the state is damaged: " + what + "; " + repair};
}

Bytes encode_before(const std::optional<BytesView>& value) {
  FieldWriter writer;
  writer.u8(value ? 1 : 0);
  if (value) writer.raw(*value);
  return writer.take();
}

void put_before(WriteBatch& batch, std::uint64_t interval, const Before& before) {
  const std::uint8_t present = before.value ? 1 : 0;
  batch.put_parts(Family::undo, {undo_prefix(interval), before.name},
                  {BytesView{&present, 1}, before.value.value_or(BytesView{})});
}

std::optional<Before> decode_before(BytesView key, BytesView value) {
  FieldReader keys{key};
  static_cast<void>(keys.u64());
  const BytesView name = keys.rest();
  FieldReader values{value};
  const std::uint8_t present = values.u8();
  if (!keys.ok() || name.empty() || name[0] > 1 || !values.ok() || present > 1) return std::nullopt;
  if (present == 0 && !values.complete()) return std::nullopt;
  Before before{name, std::nullopt};
  if (present == 1) before.value = values.rest();
  return before;
}

Result<LtHash> load_bucket(const Reader& reader, const std::string& where, std::uint32_t bucket) {
  const auto bytes = reader.get(Family::tree, bucket_key(bucket));
  if (!bytes) return tl::unexpected(bytes.error());
  if (!*bytes) return LtHash{};
  if ((*bytes)->size() != LtHash::byte_size) {
    return tl::unexpected(damage_error(where, "bucket " + std::to_string(bucket) + " of family tree cannot be read"));
  }
  return LtHash::from_bytes(**bytes);
}

Result<std::map<std::uint32_t, LtHash>> load_buckets(const Reader& reader, const std::string& where) {
  std::map<std::uint32_t, LtHash> buckets;
  const auto entries = reader.scan(Family::tree, {}, {});
  for (; entries->valid(); entries->next()) {
    FieldReader key{entries->key()};
    const std::uint32_t bucket = key.u32();
    if (!key.complete() || bucket >= DigestTree::bucket_count || entries->value().size() != LtHash::byte_size) {
      return tl::unexpected(damage_error(where, "bucket " + to_hex(entries->key()) + " of family tree cannot be read"));
    }
    buckets.emplace(bucket, LtHash::from_bytes(entries->value()));
  }
  if (auto status = entries->status(); !status) return tl::unexpected(status.error());
  return buckets;
}

void Changes::add(std::uint64_t interval, BytesView name) {
  buckets_[DigestTree::bucket_of(name)].try_emplace(Bytes{name.begin(), name.end()}, interval);
}

const Changes::OfBucket& Changes::in(std::uint32_t bucket) const {
  static const OfBucket none;
  const auto found = buckets_.find(bucket);
  return found == buckets_.end() ? none : found->second;
}

tl::unexpected<StorageError> StateView::damaged(const std::string& what) const {
  return tl::unexpected(damage_error(where_, what));
}

Result<std::optional<Bytes>> StateView::now(BytesView name) const {
  return reader_->get(family_of(space_of(name)), key_of(name));
}

Result<std::optional<std::optional<Bytes>>> StateView::find_before(std::uint64_t interval, BytesView name) const {
  const Bytes key = undo_key(interval, name);
  const auto bytes = reader_->get(Family::undo, key);
  if (!bytes) return tl::unexpected(bytes.error());
  if (!*bytes) return std::nullopt;
  const auto entry = decode_before(key, **bytes);
  if (!entry) return damaged("entry " + to_hex(key) + " of family undo cannot be read");
  std::optional<Bytes> value;
  if (entry->value) value.emplace(entry->value->begin(), entry->value->end());
  return std::optional{std::move(value)};
}

Result<std::optional<Bytes>> StateView::before(std::uint64_t interval, BytesView name) const {
  auto found = find_before(interval, name);
  if (!found) return tl::unexpected(found.error());
  if (!*found) return damaged("entry " + to_hex(undo_key(interval, name)) + " of family undo is missing");
  return std::move(**found);
}

Result<std::vector<ListedPair>> StateView::listed(std::uint32_t bucket) const {
  std::vector<ListedPair> pairs;
  const auto entries = reader_->scan(Family::buckets, index_key(bucket, {}), index_key(bucket + 1, {}));
  for (; entries->valid(); entries->next()) {
    FieldReader key{entries->key()};
    static_cast<void>(key.u16());
    const BytesView name = key.rest();
    FieldReader value{entries->value()};
    const auto hash = value.fixed<PairHash>();
    if (name.empty() || name[0] > 1 || !value.complete()) {
      return damaged("entry " + to_hex(entries->key()) + " of family buckets cannot be read");
    }
    pairs.push_back({{name.begin(), name.end()}, hash});
  }
  if (auto status = entries->status(); !status) return tl::unexpected(status.error());
  return pairs;
}

Result<void> StateView::visit_undo(SequenceNumber from, const VisitUndo& each) const {
  const auto entries = reader_->scan(Family::undo, number_key(from.value), {});
  for (; entries->valid(); entries->next()) {
    const auto entry = decode_before(entries->key(), entries->value());
    if (!entry) return damaged("entry " + to_hex(entries->key()) + " of family undo cannot be read");
    if (auto done = each(FieldReader{entries->key()}.u64(), *entry); !done) return done;
  }
  return entries->status();
}

Result<Changes> StateView::changes_since(SequenceNumber checkpoint) const {
  Changes changes;
  auto visited = visit_undo(checkpoint, [&](std::uint64_t interval, const Before& before) -> Result<void> {
    changes.add(interval, before.name);  // intervals ascend: the first one met is the one that counts
    return {};
  });
  if (!visited) return tl::unexpected(visited.error());
  return changes;
}

// The first entry of a pair that is not older than the row tells what the row has of it, the first one that is not
// older than n what it had at n; where there is none, that is what it has now.
Result<void> StateView::visit_steps(const TreeRows& rows, SequenceNumber n, const VisitStep& each) const {
  struct Met {
    bool since_row = false;
    bool since_n = false;
  };
  std::map<Bytes, Met> all;
  const SequenceNumber from{std::min(rows.lowest(), n.value)};
  auto visited = visit_undo(from, [&](std::uint64_t interval, const Before& before) -> Result<void> {
    const std::uint32_t bucket = DigestTree::bucket_of(before.name);
    Met& met = all[{before.name.begin(), before.name.end()}];
    const bool of_row = !met.since_row && interval >= rows.of(bucket);
    const bool of_n = !met.since_n && interval >= n.value;
    met.since_row = met.since_row || of_row;
    met.since_n = met.since_n || of_n;
    if (of_row != of_n) each(bucket, before.name, of_row ? Step{before.value, {}} : Step{{}, before.value});
    return {};
  });
  if (!visited) return visited;
  constexpr std::size_t at_once = 32;
  std::vector<const Bytes*> names;
  const auto step = [&]() -> Result<void> {
    const auto present = now_all(names);
    if (!present) return tl::unexpected(present.error());
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (!(*present)[i]) continue;
      const BytesView value{*(*present)[i]};
      each(DigestTree::bucket_of(*names[i]), *names[i], all[*names[i]].since_row ? Step{{}, value} : Step{value, {}});
    }
    names.clear();
    return {};
  };
  for (const auto& [name, met] : all) {
    if (met.since_row != met.since_n) names.push_back(&name);
    if (names.size() < at_once) continue;
    if (auto done = step(); !done) return done;
  }
  return step();
}

// Names ascend, so that those of one namespace stand together.
Result<std::vector<std::optional<Bytes>>> StateView::now_all(const std::vector<const Bytes*>& names) const {
  std::vector<std::optional<Bytes>> all;
  for (const Namespace name_space : {Namespace::state, Namespace::clients}) {
    std::vector<BytesView> keys;
    for (const Bytes* name : names) {
      if (space_of(*name) == name_space) keys.push_back(key_of(*name));
    }
    auto found = reader_->get_many(family_of(name_space), keys);
    if (!found) return found;
    std::ranges::move(*found, std::back_inserter(all));
  }
  return all;
}

Result<std::vector<Bytes>> StateView::values(const std::vector<const Bytes*>& names,
                                             const Changes::OfBucket& changes) const {
  std::vector<const Bytes*> unchanged;
  std::ranges::copy_if(names, std::back_inserter(unchanged),
                       [&](const Bytes* name) { return !changes.contains(*name); });
  auto present = now_all(unchanged);
  if (!present) return tl::unexpected(present.error());
  auto next = present->begin();
  std::vector<Bytes> all;
  for (const Bytes* name : names) {
    const auto changed = changes.find(*name);
    auto value =
        changed == changes.end() ? Result<std::optional<Bytes>>{std::move(*next++)} : before(changed->second, *name);
    if (!value) return tl::unexpected(value.error());
    if (!*value) return damaged("the pair " + to_hex(*name) + " is missing");
    all.push_back(std::move(**value));
  }
  return all;
}

// A pair that was there at a checkpoint is in the list of the last one, or has changed since.
Result<std::vector<ListedPair>> StateView::merged(std::uint32_t bucket, const Changes& changes,
                                                  const Find& find) const {
  auto list = listed(bucket);
  const Changes::OfBucket& changed = changes.in(bucket);
  if (!list || changed.empty()) return list;
  std::vector<ListedPair> all;
  auto at = list->begin();
  for (const auto& [name, first] : changed) {
    for (; at != list->end() && at->name < name; ++at) all.push_back(std::move(*at));
    if (at != list->end() && at->name == name) ++at;
    const auto found = find(name, first);
    if (!found) return tl::unexpected(found.error());
    if (*found) all.push_back({name, hash_of(name, **found)});
  }
  std::move(at, list->end(), std::back_inserter(all));
  return all;
}

Result<std::vector<ListedPair>> StateView::pairs_at(std::uint32_t bucket, const Changes& changes) const {
  return merged(bucket, changes, [&](const Bytes& name, std::uint64_t first) { return before(first, name); });
}

Result<std::vector<ListedPair>> StateView::pairs_now(std::uint32_t bucket, const Changes& changes) const {
  return merged(bucket, changes, [&](const Bytes& name, std::uint64_t) { return now(name); });
}

Result<void> StateView::visit_now(std::uint32_t bucket, const Changes& changes, const Visit& each) const {
  const auto pairs = pairs_now(bucket, changes);
  if (!pairs) return tl::unexpected(pairs.error());
  for (const ListedPair& pair : *pairs) {
    auto found = now(pair.name);
    if (!found) return tl::unexpected(found.error());
    if (!*found) return damaged("the pair " + to_hex(pair.name) + " is missing");
    each(pair.name, std::move(**found));
  }
  return {};
}

}  // namespace pbft::storage
