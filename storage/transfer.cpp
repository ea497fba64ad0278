#include "storage/transfer.h"

#include <algorithm>

#include "node/pbft/digests.h"
#include "storage/digest_tree.h"

namespace pbft::storage {

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
  const auto touched = present_.touched.find(bucket);
  if (touched != present_.touched.end()) return touched->second;
  return load_bucket(view.reader(), view.where(), bucket);
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

// ---- Asking ---------------------------------------------------------------------------------------------

Result<std::vector<PairHash>> Transfer::hashes(const StateView& view, std::uint32_t bucket, std::uint32_t skip) {
  if (skip == 0) {
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
    for (std::uint32_t i = 0; i < gathering.have.size(); ++i) gathering.by_name.push_back(i);
    std::ranges::sort(gathering.by_name, {}, [&](std::uint32_t i) -> const Bytes& { return gathering.have[i].second; });
    if (!gatherings_.contains(bucket) && gatherings_.size() >= max_gatherings) {
      gatherings_.erase(std::ranges::min_element(
          gatherings_, [](const auto& a, const auto& b) { return a.second.order < b.second.order; }));
    }
    gatherings_.insert_or_assign(bucket, std::move(gathering));
  }
  std::vector<PairHash> list;
  if (const auto found = gatherings_.find(bucket); found != gatherings_.end()) {
    for (const auto& [hash, name] : found->second.have) list.push_back(hash);
  }
  return list;
}

// ---- Receiving ------------------------------------------------------------------------------------------

// Changes of one bucket on their way into family staging, in writes of bounded size. After each of them the bucket is a
// difference with the digest that it gives, like any other that is staged.
class Transfer::Staging {
 public:
  Staging(Transfer& transfer, std::uint32_t bucket, Gathering& gathering, const Write& write)
      : transfer_(transfer), bucket_(bucket), gathering_(gathering), write_(write) {}

  Result<void> drop(const StateView& view, const Bytes& name) {
    auto own = transfer_.staged_.contains(bucket_) ? staged_change(view, bucket_, name)
                                                   : Result<std::optional<std::optional<Bytes>>>{std::nullopt};
    if (!own) return tl::unexpected(own.error());
    auto value = *own ? Result<std::optional<Bytes>>{std::move(**own)} : view.now(name);
    if (!value) return tl::unexpected(value.error());
    if (*value) gathering_.hash.remove(pair_element(space_of(name), key_of(name), **value));
    return change(name, std::nullopt);
  }
  Result<void> put(const StatePair& pair) {
    const BytesView value = pair.value.view();
    gathering_.hash.add(pair_element(pair.name_space, pair.key.view(), value));
    return change(pair_name(pair.name_space, pair.key.view()), value);
  }
  Result<void> flush() {
    const StagedHead head{transfer_.present_.leaves[bucket_], leaf_digest(gathering_.hash)};
    stage_head(batch_, bucket_, head, gathering_.hash);
    if (auto written = write_(batch_); !written) return written;
    batch_ = {};
    bytes_ = 0;
    transfer_.staged_[bucket_] = head;
    gathering_.written = gathering_.hash;
    return {};
  }

 private:
  Result<void> change(const Bytes& name, const std::optional<BytesView>& value) {
    stage_change(batch_, bucket_, name, value);
    bytes_ += name.size() + (value ? value->size() : 0);
    return bytes_ < transfer_.write_bytes_ ? Result<void>{} : flush();
  }

  Transfer& transfer_;
  std::uint32_t bucket_;
  Gathering& gathering_;
  const Write& write_;
  WriteBatch batch_;
  std::size_t bytes_ = 0;
};

bool Transfer::read_wrong(Gathering& gathering, const BucketPart& part) {
  if (gathering.begun) return false;
  gathering.begun = true;
  gathering.total = part.total;
  gathering.wrong.assign(gathering.have.size(), false);
  std::uint32_t least = 0;
  for (const std::uint32_t index : part.wrong) {
    if (index < least || index >= gathering.have.size()) return false;
    least = index + 1;
    gathering.wrong[index] = true;
  }
  return true;
}

bool Transfer::follows(Gathering& gathering, const BucketPart& part) {
  if (part.skip != gathering.received || part.total != gathering.total) return false;
  if (part.pairs.size() > gathering.total - gathering.received) return false;
  if (part.pairs.empty() && gathering.received < gathering.total) return false;  // it would never end
  const auto name_at = [&](std::uint32_t index) -> const Bytes& { return gathering.have[index].second; };
  for (const StatePair& pair : part.pairs) {
    if (static_cast<std::uint8_t>(pair.name_space) > 1) return false;
    if (pair.key.size() > Limits::max_key_bytes || pair.value.size() > Limits::max_value_bytes) return false;
    Bytes name = pair_name(pair.name_space, pair.key.view());
    if (DigestTree::bucket_of(name) != part.bucket || name <= gathering.last) return false;
    const auto own = std::ranges::lower_bound(gathering.by_name, name, {}, name_at);
    const bool here = own != gathering.by_name.end() && name_at(*own) == name;
    if (here && !gathering.wrong[*own]) return false;
    gathering.last = std::move(name);
  }
  gathering.received += static_cast<std::uint32_t>(part.pairs.size());
  return true;
}

Result<Transfer::Outcome> Transfer::add(const StateView& view, const BucketPart& part, const Write& write) {
  const auto found = gatherings_.find(part.bucket);
  if (part.n != target_.n || found == gatherings_.end()) return Outcome::wrong;
  Gathering& gathering = found->second;
  const bool fits = (part.skip == 0 ? read_wrong(gathering, part) : gathering.begun && part.wrong.empty()) &&
                    follows(gathering, part);
  Result<Outcome> outcome = fits ? take(view, part, gathering, write) : Outcome::wrong;
  if (!outcome || *outcome != Outcome::more) gatherings_.erase(found);
  return outcome;
}

Result<Transfer::Outcome> Transfer::take(const StateView& view, const BucketPart& part, Gathering& gathering,
                                         const Write& write) {
  Staging staging{*this, part.bucket, gathering, write};
  if (part.skip == 0) {
    if (auto begun = begin(view, part.bucket, gathering, staging); !begun) return tl::unexpected(begun.error());
  }
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
  }
  if (auto flushed = staging.flush(); !flushed) return tl::unexpected(flushed.error());
  return more ? Outcome::more : Outcome::whole;
}

// What is here of the bucket, without what is wrong of it: only of these the values are read.
Result<void> Transfer::begin(const StateView& view, std::uint32_t bucket, Gathering& gathering,
                             Staging& staging) const {
  const auto hash = doubted_.contains(bucket) ? counted_hash(view, bucket) : noted_hash(view, bucket);
  if (!hash) return tl::unexpected(hash.error());
  gathering.hash = gathering.written = *hash;
  for (std::uint32_t i = 0; i < gathering.have.size(); ++i) {
    if (!gathering.wrong[i]) continue;
    if (auto dropped = staging.drop(view, gathering.have[i].second); !dropped) return dropped;
  }
  for (const Bytes& name : gathering.untold) {
    if (auto dropped = staging.drop(view, name); !dropped) return dropped;
  }
  return {};
}

// Where the digest is not the planned one, it may be the one noted here that lies: then the values themselves decide.
// If that does not help either, the next to be asked is told of them.
Result<bool> Transfer::is_whole(const StateView& view, std::uint32_t bucket, Gathering& gathering) const {
  if (leaf_digest(gathering.hash) == leaves_[bucket]) return true;
  if (doubted_.contains(bucket)) return false;
  const auto counted = counted_hash(view, bucket);
  if (!counted) return tl::unexpected(counted.error());
  gathering.hash.remove(gathering.written);
  gathering.hash.add(*counted);
  return leaf_digest(gathering.hash) == leaves_[bucket];
}

}  // namespace pbft::storage
