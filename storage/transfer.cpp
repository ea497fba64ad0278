#include "storage/transfer.h"

#include <algorithm>

#include "node/pbft/digests.h"
#include "storage/digest_tree.h"

namespace pbft::storage {

const LtHash* Present::find(std::uint32_t bucket) const {
  const auto found = touched.find(bucket);
  return found != touched.end() ? &found->second : tree->bucket(bucket);
}

Transfer::Transfer(const CheckpointSummary& target, std::vector<Digest> leaves, Present present,
                   std::map<std::uint32_t, StagedHead> staged, std::size_t write_bytes)
    : target_(target),
      leaves_(std::move(leaves)),
      present_(std::move(present)),
      staged_(std::move(staged)),
      write_bytes_(write_bytes) {}

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

// From the lists alone where nothing speaks against them: the values are many.
Result<std::vector<ListedPair>> Transfer::listed(const StateView& view, std::uint32_t bucket) const {
  std::map<Bytes, std::optional<PairHash>> changes;
  if (staged_.contains(bucket)) {
    auto visited = visit_staged(view, bucket, [&](BytesView name, std::optional<BytesView> value) -> Result<void> {
      auto& change = changes[{name.begin(), name.end()}];
      if (value) change = hash_of(name, *value);
      return {};
    });
    if (!visited) return tl::unexpected(visited.error());
  }
  std::vector<ListedPair> pairs;
  const auto keep = [&](const Bytes& name, const PairHash& hash) {
    if (!changes.contains(name)) pairs.push_back({name, hash});
  };
  if (doubted_.contains(bucket)) {
    auto visited = view.visit_now(bucket, present_.changes,
                                  [&](const Bytes& name, Bytes&& value) { keep(name, hash_of(name, value)); });
    if (!visited) return tl::unexpected(visited.error());
  } else {
    const auto now = view.pairs_now(bucket, present_.changes);
    if (!now) return now;
    for (const auto& [name, hash] : *now) keep(name, hash);
  }
  for (const auto& [name, hash] : changes) {
    if (hash) pairs.push_back({name, *hash});
  }
  return pairs;
}

Result<LtHash> Transfer::noted_hash(const StateView& view, std::uint32_t bucket) const {
  if (staged_.contains(bucket)) return staged_hash(view, bucket);
  const LtHash* hash = present_.find(bucket);
  return hash != nullptr ? *hash : LtHash{};
}

// The same, from nothing but the values.
Result<LtHash> Transfer::counted_hash(const StateView& view, std::uint32_t bucket) const {
  LtHash hash;
  std::set<Bytes> changed;
  if (staged_.contains(bucket)) {
    auto visited = visit_staged(view, bucket, [&](BytesView name, std::optional<BytesView> value) -> Result<void> {
      changed.emplace(name.begin(), name.end());
      if (value) hash.add(pair_element(space_of(name), key_of(name), *value));
      return {};
    });
    if (!visited) return tl::unexpected(visited.error());
  }
  auto visited = view.visit_now(bucket, present_.changes, [&](const Bytes& name, Bytes&& value) {
    if (!changed.contains(name)) hash.add(pair_element(space_of(name), key_of(name), value));
  });
  if (!visited) return tl::unexpected(visited.error());
  return hash;
}

Result<std::uint64_t> Transfer::remove(LtHash& hash, const StateView& view, std::uint32_t bucket,
                                       const Bytes& name) const {
  using Change = std::optional<std::optional<Bytes>>;
  auto staged = staged_.contains(bucket) ? staged_change(view, bucket, name) : Result<Change>{Change{}};
  if (!staged) return tl::unexpected(staged.error());
  const auto value = *staged ? Result<std::optional<Bytes>>{std::move(**staged)} : view.now(name);
  if (!value) return tl::unexpected(value.error());
  if (!*value) return 0;
  hash.remove(pair_element(space_of(name), key_of(name), **value));
  return key_of(name).size() + (*value)->size();
}

// ---- Asking ---------------------------------------------------------------------------------------------

Result<std::vector<PairHash>> Transfer::hashes(const StateView& view, std::uint32_t bucket, std::uint32_t skip) {
  if (skip > 0) {
    const auto found = gatherings_.find(bucket);
    if (found == gatherings_.end()) return std::vector<PairHash>{};
    found->second.order = asked_++;
    return found->second.have;
  }
  auto pairs = listed(view, bucket);
  if (!pairs) return tl::unexpected(pairs.error());
  const std::size_t told = std::min(pairs->size(), Limits::max_bucket_hashes);
  std::ranges::sort(pairs->begin(), pairs->begin() + static_cast<std::ptrdiff_t>(told), {}, &ListedPair::hash);
  Gathering gathering;
  gathering.order = asked_++;
  for (std::size_t i = 0; i < told; ++i) gathering.have.push_back((*pairs)[i].hash);
  for (ListedPair& pair : *pairs) {
    gathering.by_name.push_back(static_cast<std::uint32_t>(gathering.names.size()));
    gathering.names.push_back(std::move(pair.name));
  }
  std::ranges::sort(gathering.by_name, {}, [&](std::uint32_t i) -> const Bytes& { return gathering.names[i]; });
  if (!gatherings_.contains(bucket) && gatherings_.size() >= max_gatherings) {
    gatherings_.erase(std::ranges::min_element(gatherings_, {}, [](const auto& one) { return one.second.order; }));
  }
  return gatherings_.insert_or_assign(bucket, std::move(gathering)).first->second.have;
}

// ---- Receiving ------------------------------------------------------------------------------------------

// Changes of one bucket on their way into family staging. After each write it is a difference with the digest that it
// gives, as far as what is present has its own.
class Transfer::Staging {
 public:
  Staging(Transfer& transfer, const StateView& view, std::uint32_t bucket, Gathering& gathering, const Write& write)
      : transfer_(transfer), view_(view), bucket_(bucket), gathering_(gathering), write_(write) {}

  Result<void> put(const StatePair& pair) {
    const Bytes name = pair_name(pair.name_space, pair.key.view());
    if (const auto own = gathering_.find(name)) {
      const auto removed = remove(name);
      if (!removed) return tl::unexpected(removed.error());
      gathering_.replaced += *removed;
      gathering_.leaving[*own] = false;
    }
    const BytesView value = pair.value.view();
    gathering_.hash.add(pair_element(pair.name_space, pair.key.view(), value));
    stage_change(batch_, bucket_, name, value);
    return {};
  }
  Result<void> drop(const Bytes& name) {
    if (auto removed = remove(name); !removed) return tl::unexpected(removed.error());
    const auto own = view_.now(name);
    if (!own) return tl::unexpected(own.error());
    if (*own) {
      stage_change(batch_, bucket_, name, std::nullopt);
    } else {
      unstage_change(batch_, bucket_, name);  // there is nothing that would have to go
    }
    dropped_ += name.size();
    return dropped_ < transfer_.write_bytes_ ? Result<void>{} : flush();
  }
  Result<void> flush() {
    const StagedHead head{transfer_.present_.leaves[bucket_], leaf_digest(gathering_.hash)};
    stage_head(batch_, bucket_, head, gathering_.hash);
    if (auto written = write_(batch_); !written) return written;
    batch_ = {};
    dropped_ = 0;
    transfer_.staged_[bucket_] = head;
    gathering_.written = gathering_.hash;
    return {};
  }

 private:
  Result<std::uint64_t> remove(const Bytes& name) { return transfer_.remove(gathering_.hash, view_, bucket_, name); }

  Transfer& transfer_;
  const StateView& view_;
  std::uint32_t bucket_;
  Gathering& gathering_;
  const Write& write_;
  WriteBatch batch_;
  std::size_t dropped_ = 0;  // bytes of names in batch_
};

std::optional<std::uint32_t> Transfer::Gathering::find(const Bytes& name) const {
  const auto name_at = [&](std::uint32_t index) -> const Bytes& { return names[index]; };
  const auto found = std::ranges::lower_bound(by_name, name, {}, name_at);
  if (found == by_name.end() || name_at(*found) != name) return std::nullopt;
  return *found;
}

bool Transfer::read_wrong(Gathering& gathering, const BucketPart& part) {
  if (gathering.begun) return false;
  gathering.begun = true;
  gathering.total = part.total;
  const std::size_t told = gathering.have.size();
  gathering.leaving.assign(told, false);
  gathering.leaving.resize(gathering.names.size(), true);
  std::uint32_t least = 0;
  for (const std::uint32_t index : part.wrong) {
    if (index < least || index >= told) return false;
    least = index + 1;
    gathering.leaving[index] = true;
  }
  return true;
}

bool Transfer::follows(Gathering& gathering, const BucketPart& part) {
  if (part.skip != gathering.received || part.total != gathering.total) return false;
  if (part.pairs.size() > gathering.total - gathering.received) return false;
  if (part.pairs.empty() && gathering.received < gathering.total) return false;  // it would never end
  std::size_t bytes = 0;
  for (const StatePair& pair : part.pairs) {
    if (static_cast<std::uint8_t>(pair.name_space) > 1) return false;
    if (pair.key.size() > Limits::max_key_bytes || pair.value.size() > Limits::max_value_bytes) return false;
    bytes += pair.key.size() + pair.value.size();
    if (bytes > Limits::bucket_part_bytes && part.pairs.size() > 1) return false;
    Bytes name = pair_name(pair.name_space, pair.key.view());
    if (DigestTree::bucket_of(name) != part.bucket || name <= gathering.last) return false;
    if (const auto own = gathering.find(name); own && !gathering.leaving[*own]) return false;
    gathering.last = std::move(name);
  }
  gathering.received += static_cast<std::uint32_t>(part.pairs.size());
  return true;
}

Result<Transfer::Added> Transfer::add(const StateView& view, const BucketPart& part, const Write& write) {
  const auto found = gatherings_.find(part.bucket);
  if (part.n != target_.n || found == gatherings_.end()) return Added{};
  Gathering& gathering = found->second;
  gathering.replaced = 0;
  const bool fits = (part.skip == 0 ? read_wrong(gathering, part) : gathering.begun && part.wrong.empty()) &&
                    follows(gathering, part);
  Result<Outcome> outcome = fits ? take(view, part, gathering, write) : Outcome::wrong;
  if (!outcome) {
    gatherings_.erase(found);
    return tl::unexpected(outcome.error());
  }
  const Added added{*outcome, gathering.replaced};
  if (*outcome != Outcome::more) gatherings_.erase(found);
  return added;
}

Result<Transfer::Outcome> Transfer::take(const StateView& view, const BucketPart& part, Gathering& gathering,
                                         const Write& write) {
  if (part.skip == 0) {
    const auto hash = doubted_.contains(part.bucket) ? counted_hash(view, part.bucket) : noted_hash(view, part.bucket);
    if (!hash) return tl::unexpected(hash.error());
    gathering.hash = gathering.written = *hash;
  }
  Staging staging{*this, view, part.bucket, gathering, write};
  for (const StatePair& pair : part.pairs) {
    if (auto put = staging.put(pair); !put) return tl::unexpected(put.error());
  }
  const bool more = gathering.received < gathering.total;
  if (!more) {
    const auto whole = is_whole(view, part.bucket, gathering);
    if (!whole) return tl::unexpected(whole.error());
    if (!*whole) {
      doubted_.insert(part.bucket);
      return Outcome::wrong;
    }
    doubted_.erase(part.bucket);
    for (std::size_t i = 0; i < gathering.names.size(); ++i) {
      if (!gathering.leaving[i]) continue;
      if (auto dropped = staging.drop(gathering.names[i]); !dropped) return tl::unexpected(dropped.error());
    }
  }
  if (auto flushed = staging.flush(); !flushed) return tl::unexpected(flushed.error());
  return more ? Outcome::more : Outcome::whole;
}

// With what was received, and without what is to go. Where that is not the planned digest, it may be the one noted here
// that lies: then the values themselves decide. If that does not help either, the next to be asked is told of them.
Result<bool> Transfer::is_whole(const StateView& view, std::uint32_t bucket, Gathering& gathering) const {
  LtHash end = gathering.hash;
  for (std::size_t i = 0; i < gathering.names.size(); ++i) {
    if (!gathering.leaving[i]) continue;
    if (auto removed = remove(end, view, bucket, gathering.names[i]); !removed) return tl::unexpected(removed.error());
  }
  if (leaf_digest(end) == leaves_[bucket]) return true;
  if (doubted_.contains(bucket)) return false;
  const auto counted = counted_hash(view, bucket);
  if (!counted) return tl::unexpected(counted.error());
  for (LtHash* hash : {&end, &gathering.hash}) {
    hash->remove(gathering.written);
    hash->add(*counted);
  }
  return leaf_digest(end) == leaves_[bucket];
}

}  // namespace pbft::storage
