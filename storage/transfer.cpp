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
  if (!content || !staged_.contains(bucket)) return content;
  auto applied = visit_staged(view, bucket, [&](BytesView name, std::optional<BytesView> value) -> Result<void> {
    const Bytes key{name.begin(), name.end()};
    if (value) {
      (*content)[key].assign(value->begin(), value->end());
    } else {
      content->erase(key);
    }
    return {};
  });
  if (!applied) return tl::unexpected(applied.error());
  return content;
}

Result<std::vector<PairHash>> Transfer::hashes(const StateView& view, std::uint32_t bucket) {
  auto found = gatherings_.find(bucket);
  if (found == gatherings_.end()) {
    const auto content = here(view, bucket);
    if (!content) return tl::unexpected(content.error());
    Gathering gathering;
    gathering.order = asked_++;
    for (const auto& [name, value] : *content) {
      if (gathering.have.size() == Limits::max_bucket_hashes) break;  // the others are sent once more
      gathering.have.emplace_back(pair_hash(space_of(name), key_of(name), value), name);
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

// What is here of the bucket, without what is wrong of it, and what was received: proven by the digest of it all.
Result<Transfer::Outcome> Transfer::complete(const StateView& view, std::uint32_t bucket,
                                             const Gathering& gathering) const {
  auto own = here(view, bucket);
  if (!own) return tl::unexpected(own.error());
  Content content = gathering.received;
  for (const auto& [hash, name] : gathering.have) {
    if (gathering.wrong.contains(name)) continue;
    const auto at = own->find(name);
    // A pair that is received although it is here and right, or is not here any more.
    if (at == own->end() || !content.emplace(name, at->second).second) return Outcome{};
  }
  LtHash hash;
  for (const auto& [name, value] : content) hash.add(pair_element(space_of(name), key_of(name), value));
  if (leaf_digest(hash) != leaves_[bucket]) return Outcome{};

  auto base = staged_.contains(bucket) ? present(view, bucket) : Result<Content>{std::move(*own)};
  if (!base) return tl::unexpected(base.error());
  StagedChanges difference;
  for (const auto& [name, value] : *base) {
    if (!content.contains(name)) difference.emplace(name, std::nullopt);
  }
  for (auto& [name, value] : content) {
    const auto at = base->find(name);
    if (at == base->end() || at->second != value) difference.emplace(name, std::move(value));
  }
  Outcome outcome{Staged::whole, {}};
  stage(outcome.whole, bucket, {present_.leaves[bucket], leaves_[bucket]}, hash, difference);
  return outcome;
}

}  // namespace pbft::storage
