#include "storage/transfer.h"

#include <algorithm>

#include "node/pbft/digests.h"
#include "storage/digest_tree.h"

namespace pbft::storage {

using Staged = BucketStaged::Outcome;

Transfer::Transfer(const CheckpointSummary& target, std::vector<Digest> leaves, Present present,
                   std::map<std::uint32_t, StagedHead> staged)
    : target_(target), leaves_(std::move(leaves)), present_(std::move(present)), staged_(std::move(staged)) {}

std::vector<std::uint32_t> Transfer::missing() const {
  std::vector<std::uint32_t> buckets;
  for (std::uint32_t bucket = 0; bucket < leaves_.size(); ++bucket) {
    if (leaves_[bucket] == present_.leaves[bucket]) continue;
    const auto found = staged_.find(bucket);
    if (found == staged_.end() || found->second.leaf != leaves_[bucket]) buckets.push_back(bucket);
  }
  return buckets;
}

// ---- What is here ---------------------------------------------------------------------------------------

Result<StagedChanges> Transfer::staged_changes(const StateView& view, std::uint32_t bucket) const {
  StagedChanges changes;
  if (!staged_.contains(bucket)) return changes;
  auto visited = visit_staged(view, bucket, [&](BytesView name, std::optional<BytesView> value) -> Result<void> {
    auto& change = changes[{name.begin(), name.end()}];
    if (value) change.emplace(value->begin(), value->end());
    return {};
  });
  if (!visited) return tl::unexpected(visited.error());
  return changes;
}

Result<Transfer::Content> Transfer::present(const StateView& view, std::uint32_t bucket) const {
  Content content;
  auto visited = view.visit_now(bucket, present_.changes, [&](const Bytes& name, Bytes&& value) {
    content.emplace_hint(content.end(), name, std::move(value));
  });
  if (!visited) return tl::unexpected(visited.error());
  return content;
}

Result<Transfer::Content> Transfer::here(const StateView& view, std::uint32_t bucket) const {
  auto content = present(view, bucket);
  if (!content) return content;
  auto changes = staged_changes(view, bucket);
  if (!changes) return tl::unexpected(changes.error());
  for (auto& [name, value] : *changes) {
    if (value) {
      (*content)[name] = std::move(*value);
    } else {
      content->erase(name);
    }
  }
  return content;
}

// From the lists alone where nothing speaks against them: the values are many.
Result<std::vector<ListedPair>> Transfer::listed(const StateView& view, std::uint32_t bucket) const {
  std::vector<ListedPair> pairs;
  if (doubted_.contains(bucket)) {
    const auto content = here(view, bucket);
    if (!content) return tl::unexpected(content.error());
    for (const auto& [name, value] : *content) pairs.push_back({name, hash_of(name, value)});
    return pairs;
  }
  auto now = view.pairs_now(bucket, present_.changes);
  const auto changes = staged_changes(view, bucket);
  if (!changes) return tl::unexpected(changes.error());
  if (!now || changes->empty()) return now;
  for (ListedPair& pair : *now) {
    if (!changes->contains(pair.name)) pairs.push_back(std::move(pair));
  }
  for (const auto& [name, value] : *changes) {
    if (value) pairs.push_back({name, hash_of(name, *value)});
  }
  return pairs;
}

// ---- Asking ---------------------------------------------------------------------------------------------

Result<std::vector<PairHash>> Transfer::hashes(const StateView& view, std::uint32_t bucket) {
  auto found = gatherings_.find(bucket);
  if (found == gatherings_.end()) {
    auto pairs = listed(view, bucket);
    if (!pairs) return tl::unexpected(pairs.error());
    Gathering gathering;
    gathering.order = asked_++;
    for (ListedPair& pair : *pairs) {
      if (gathering.have.size() < Limits::max_bucket_hashes) {
        gathering.have.emplace_back(pair.hash, std::move(pair.name));
      } else {
        gathering.untold.push_back(std::move(pair.name));
      }
    }
    std::ranges::sort(gathering.have);
    if (gatherings_.size() >= max_gatherings) {
      gatherings_.erase(std::ranges::min_element(
          gatherings_, [](const auto& a, const auto& b) { return a.second.order < b.second.order; }));
    }
    found = gatherings_.emplace(bucket, std::move(gathering)).first;
  }
  std::vector<PairHash> list;
  for (const auto& [hash, name] : found->second.have) list.push_back(hash);
  return list;
}

// ---- Receiving ------------------------------------------------------------------------------------------

bool Transfer::begin(Gathering& gathering, const BucketPart& part) {
  gathering.begun = true;
  gathering.total = part.total;
  gathering.bytes = 0;
  gathering.received.clear();
  gathering.wrong.clear();
  std::uint32_t least = 0;
  for (const std::uint32_t index : part.wrong) {
    if (index < least || index >= gathering.have.size()) return false;
    least = index + 1;
    gathering.wrong.insert(gathering.have[index].second);
  }
  return true;
}

bool Transfer::take(Gathering& gathering, const BucketPart& part) {
  const std::size_t before = gathering.received.size();
  if (part.skip != before || part.total != gathering.total) return false;
  if (part.pairs.size() > gathering.total - before) return false;
  if (part.pairs.empty() && before < gathering.total) return false;  // it would never end
  for (const StatePair& pair : part.pairs) {
    if (static_cast<std::uint8_t>(pair.name_space) > 1) return false;
    if (pair.key.size() > Limits::max_key_bytes || pair.value.size() > Limits::max_value_bytes) return false;
    gathering.bytes += pair.key.size() + pair.value.size();
    if (gathering.bytes > max_gathered_bytes) return false;
    Bytes name = pair_name(pair.name_space, pair.key.view());
    Content& received = gathering.received;
    if (DigestTree::bucket_of(name) != part.bucket) return false;
    if (!received.empty() && name <= received.rbegin()->first) return false;
    const BytesView value = pair.value.view();
    received.emplace_hint(received.end(), std::move(name), Bytes{value.begin(), value.end()});
  }
  return true;
}

Result<Transfer::Outcome> Transfer::add(const StateView& view, const BucketPart& part) {
  const auto found = gatherings_.find(part.bucket);
  if (part.n != target_.n || found == gatherings_.end()) return Outcome{};
  Gathering& gathering = found->second;
  const bool fits =
      (part.skip == 0 ? begin(gathering, part) : gathering.begun && part.wrong.empty()) && take(gathering, part);
  if (fits && gathering.received.size() < gathering.total) return Outcome{Staged::more, {}};
  Result<Outcome> outcome = fits ? complete(view, part.bucket, gathering) : Result<Outcome>{Outcome{}};
  gatherings_.erase(found);
  return outcome;
}

// Where the digest is not the planned one, it may be what is here that lies: then the values themselves decide, and if
// that does not help either, the next to be asked is told of them.
Result<Transfer::Outcome> Transfer::complete(const StateView& view, std::uint32_t bucket, const Gathering& gathering) {
  auto made = make(view, bucket, gathering);
  if (made && *made && leaf_digest((*made)->hash) != leaves_[bucket]) made = make_of_content(view, bucket, gathering);
  if (!made) return tl::unexpected(made.error());
  if (!*made || leaf_digest((*made)->hash) != leaves_[bucket]) {
    doubted_.insert(bucket);
    return Outcome{};
  }
  doubted_.erase(bucket);
  Outcome outcome{Staged::whole, {}};
  stage(outcome.whole, bucket, {present_.leaves[bucket], leaves_[bucket]}, (*made)->hash, (*made)->changes);
  return outcome;
}

// What is here of the bucket, without what is wrong of it, and what was received: only of these the values are read.
Result<std::optional<Transfer::Made>> Transfer::make(const StateView& view, std::uint32_t bucket,
                                                     const Gathering& gathering) const {
  auto changes = staged_changes(view, bucket);
  if (!changes) return tl::unexpected(changes.error());
  auto hash = staged_.contains(bucket) ? staged_hash(view, bucket) : present_hash(view, bucket);
  if (!hash) return tl::unexpected(hash.error());
  Made made{*hash, std::move(*changes)};
  const auto drop = [&](const Bytes& name) -> Result<void> {
    const auto staged = made.changes.find(name);
    auto value = staged == made.changes.end() ? view.now(name) : Result<std::optional<Bytes>>{staged->second};
    if (!value) return tl::unexpected(value.error());
    if (*value) made.hash.remove(pair_element(space_of(name), key_of(name), **value));
    made.changes[name] = std::nullopt;
    return {};
  };
  for (const auto& [own_hash, name] : gathering.have) {
    if (!gathering.wrong.contains(name)) {
      if (gathering.received.contains(name)) return std::nullopt;
    } else if (auto dropped = drop(name); !dropped) {
      return tl::unexpected(dropped.error());
    }
  }
  for (const Bytes& name : gathering.untold) {
    if (auto dropped = drop(name); !dropped) return tl::unexpected(dropped.error());
  }
  for (const auto& [name, value] : gathering.received) {
    made.hash.add(pair_element(space_of(name), key_of(name), value));
    made.changes[name] = value;
  }
  return made;
}

Result<LtHash> Transfer::present_hash(const StateView& view, std::uint32_t bucket) const {
  const auto touched = present_.touched.find(bucket);
  if (touched != present_.touched.end()) return touched->second;
  return load_bucket(view.reader(), view.where(), bucket);
}

// The same, from nothing but the values.
Result<std::optional<Transfer::Made>> Transfer::make_of_content(const StateView& view, std::uint32_t bucket,
                                                                const Gathering& gathering) const {
  auto own = here(view, bucket);
  if (!own) return tl::unexpected(own.error());
  Content content = gathering.received;
  for (const auto& [hash, name] : gathering.have) {
    const auto at = own->find(name);
    if (at == own->end() || gathering.wrong.contains(name)) continue;
    if (!content.emplace(name, at->second).second) return std::nullopt;
  }
  Made made;
  for (const auto& [name, value] : content) made.hash.add(pair_element(space_of(name), key_of(name), value));
  auto base = staged_.contains(bucket) ? present(view, bucket) : Result<Content>{std::move(*own)};
  if (!base) return tl::unexpected(base.error());
  for (const auto& [name, value] : *base) {
    if (!content.contains(name)) made.changes.emplace(name, std::nullopt);
  }
  for (auto& [name, value] : content) {
    const auto at = base->find(name);
    if (at == base->end() || at->second != value) made.changes.emplace(name, std::move(value));
  }
  return made;
}

}  // namespace pbft::storage
