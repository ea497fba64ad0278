#include "storage/serving_session.h"

#include <algorithm>
#include <set>
#include <utility>

#include "node/pbft/digests.h"
#include "node/wire/codec.h"
#include "storage/digest_tree.h"
#include "storage/fields.h"
#include "storage/meta.h"
#include "storage/staging.h"

namespace pbft::storage {
namespace {

// What decides whether the state at n can be given, as it stands in the snapshot.
struct Standing {
  bool kept = false;
  CheckpointSummary summary;
};

Result<Standing> standing_of(const Reader& snapshot, SequenceNumber n) {
  Standing standing;
  const std::pair<Family, Bytes> hindrances[] = {{Family::meta, damaged_key}, {Family::staging, installing_key()}};
  for (const auto& [family, key] : hindrances) {
    const auto found = snapshot.get(family, key);
    if (!found) return tl::unexpected(found.error());
    if (*found) return standing;
  }
  const auto interval = snapshot.get(Family::meta, interval_key);
  if (!interval) return tl::unexpected(interval.error());
  const auto kept = snapshot.get(Family::meta, kept_key);
  if (!kept) return tl::unexpected(kept.error());
  const auto own = snapshot.get(Family::checkpoints, own_summary_key(n.value));
  if (!own) return tl::unexpected(own.error());
  if (!*interval || !*kept || !*own) return standing;
  const auto record = decode_kept(**kept);
  const auto summary = wire::decode_summary(SharedBytes::copy_of(**own));
  if (!record || !summary) return standing;
  standing.summary = *summary;
  standing.kept = n.value <= FieldReader{**interval}.u64() && n.value >= record->first_undo;
  return standing;
}

}  // namespace

Result<std::unique_ptr<ServingSession>> ServingSession::open(std::shared_ptr<const Reader> snapshot, SequenceNumber n,
                                                             std::string where, const std::vector<Digest>* leaves) {
  const auto standing = standing_of(*snapshot, n);
  if (!standing) return tl::unexpected(standing.error());
  if (!standing->kept) return nullptr;
  std::unique_ptr<ServingSession> session{new ServingSession{std::move(snapshot), std::move(where)}};
  auto changes = session->view_.changes_since(n);
  if (!changes) return tl::unexpected(changes.error());
  session->changes_ = std::move(*changes);
  session->tree_.summary = standing->summary;
  auto found = leaves != nullptr ? Result<std::vector<Digest>>{*leaves} : session->count_leaves(n);
  if (!found) return tl::unexpected(found.error());
  session->tree_.leaves = std::move(*found);
  if (tree_root(session->tree_.leaves) != standing->summary.state) {
    return tl::unexpected(damage_error(
        session->where_, "the digests at checkpoint " + std::to_string(n.value) + " do not give its root"));
  }
  return session;
}

Result<std::vector<Digest>> ServingSession::count_leaves(SequenceNumber n) const {
  const auto bytes = snapshot_->get(Family::meta, tree_rows_key);
  if (!bytes) return tl::unexpected(bytes.error());
  const auto rows = *bytes ? TreeRows::decode(**bytes) : std::nullopt;
  if (!rows) return tl::unexpected(damage_error(where_, "what rows family tree has is not known"));
  auto buckets = load_buckets(*snapshot_, where_);
  if (!buckets) return tl::unexpected(buckets.error());
  auto led = view_.visit_steps(*rows, n, [&](std::uint32_t bucket, BytesView name, const Step& step) {
    replace_pair((*buckets)[bucket], name, step.from, step.to);
  });
  if (!led) return tl::unexpected(led.error());
  std::vector<Digest> leaves(DigestTree::bucket_count, leaf_digest(LtHash{}));
  for (const auto& [bucket, hash] : *buckets) leaves[bucket] = leaf_digest(hash);
  return leaves;
}

Result<ServingSession::Listing*> ServingSession::listing(std::uint32_t bucket) {
  const auto found = std::ranges::find_if(listings_, [&](const auto& one) { return one->bucket == bucket; });
  if (found != listings_.end()) {
    std::rotate(found, found + 1, listings_.end());
    return listings_.back().get();
  }
  auto made = std::make_unique<Listing>();
  made->bucket = bucket;
  auto pairs = view_.pairs_at(bucket, changes_);
  if (!pairs) return tl::unexpected(pairs.error());
  made->pairs = std::move(*pairs);
  for (const ListedPair& pair : made->pairs) made->hashes.push_back(pair.hash);
  std::ranges::sort(made->hashes);
  if (listings_.size() == max_listings) listings_.erase(listings_.begin());
  listings_.push_back(std::move(made));
  return listings_.back().get();
}

const ServingSession::Walk& ServingSession::walk(const FetchBucket& request, ReplicaId asker, const Listing& list) {
  // The hashes are bytes in a row.
  static_assert(sizeof(PairHash) == PairHash::size);
  const BytesView bytes{reinterpret_cast<const std::uint8_t*>(request.have.data()),
                        request.have.size() * PairHash::size};
  const Digest have = tagged_digest("have", bytes);
  const auto is_it = [&](const Walk& one) {
    return one.asker == asker && one.bucket == request.bucket && one.have == have;
  };
  if (const auto found = std::ranges::find_if(walks_, is_it); found != walks_.end()) {
    std::rotate(found, found + 1, walks_.end());
    return walks_.back();
  }
  Walk made{asker, request.bucket, have, {}};
  for (std::uint32_t i = 0; i < list.pairs.size(); ++i) {
    if (!std::ranges::binary_search(request.have, list.pairs[i].hash)) made.lacking.push_back(i);
  }
  gone_through_ += (list.pairs.size() + request.have.size()) * PairHash::size;
  const auto is_its = [&](const Walk& one) { return one.asker == asker; };
  if (static_cast<std::size_t>(std::ranges::count_if(walks_, is_its)) == max_walks) {
    walks_.erase(std::ranges::find_if(walks_, is_its));
  }
  walks_.push_back(std::move(made));
  return walks_.back();
}

std::uint64_t ServingSession::take_work() {
  const std::uint64_t before = std::exchange(taken_, snapshot_->bytes());
  return taken_ - before + std::exchange(gone_through_, 0);
}

Result<std::optional<BucketPart>> ServingSession::part(const FetchBucket& request, ReplicaId asker) {
  if (request.bucket >= DigestTree::bucket_count || !std::ranges::is_sorted(request.have)) return std::nullopt;
  const auto list = listing(request.bucket);
  if (!list) return tl::unexpected(list.error());
  const std::vector<std::uint32_t>& lacking = walk(request, asker, **list).lacking;
  BucketPart part{request.n, request.bucket, request.skip, static_cast<std::uint32_t>(lacking.size()), {}, {}};
  if (part.skip > part.total || (part.skip == part.total && part.skip > 0)) return std::nullopt;
  if (part.skip == 0) {
    gone_through_ += request.have.size() * PairHash::size;
    for (std::uint32_t i = 0; i < request.have.size(); ++i) {
      if (!std::ranges::binary_search((*list)->hashes, request.have[i])) part.wrong.push_back(i);
    }
  }
  if (auto filled = fill(part, **list, lacking); !filled) return tl::unexpected(filled.error());
  if (part.skip + part.pairs.size() == part.total) walks_.pop_back();  // it was the last part
  return part;
}

// What is read beyond a part is read in vain. So it begins with one value, and reads no more at once than there is room
// for, were all as large as the largest that was met in the bucket.
Result<void> ServingSession::fill(BucketPart& part, Listing& list, const std::vector<std::uint32_t>& lacking) const {
  constexpr std::size_t most_at_once = 32;
  std::size_t at_once = 1;
  std::size_t bytes = 0;
  const std::size_t end = std::min(lacking.size(), part.skip + Limits::max_bucket_pairs);
  for (std::size_t next = part.skip; next < end && bytes < Limits::bucket_part_bytes;) {
    const std::size_t room = (Limits::bucket_part_bytes - bytes) / std::max<std::size_t>(list.largest, 1);
    const std::size_t count = std::clamp<std::size_t>(room, 1, at_once);
    std::vector<const Bytes*> names;
    for (std::size_t i = next; i < std::min(next + count, end); ++i) names.push_back(&list.pairs[lacking[i]].name);
    at_once = std::min(2 * at_once, most_at_once);
    auto values = view_.values(names, changes_.in(part.bucket));
    if (!values) return tl::unexpected(values.error());
    for (const Bytes& value : *values) list.largest = std::max(list.largest, value.size());
    for (Bytes& value : *values) {
      const auto& [name, hash] = list.pairs[lacking[next++]];
      if (hash_of(name, value) != hash) {
        return tl::unexpected(damage_error(where_, "the pair " + to_hex(name) + " is not what it was"));
      }
      const std::size_t size = name.size() - 1 + value.size();
      if (!part.pairs.empty() && bytes + size > Limits::bucket_part_bytes) return {};
      bytes += size;
      part.pairs.push_back({space_of(name), SharedBytes::copy_of(key_of(name)), SharedBytes::own(std::move(value))});
    }
  }
  return {};
}

// ---- The sessions ---------------------------------------------------------------------------------------

Result<ServingSession*> ServingSessions::at(ReplicaId asker, SequenceNumber n, const Engine& engine,
                                            const std::vector<Digest>* leaves) {
  const auto found = std::ranges::find_if(held_, [&](const Held& one) { return one.asker == asker && one.n == n; });
  if (found != held_.end()) {
    std::rotate(found, found + 1, held_.end());
    held_.back().idle = 0;
    return held_.back().shared->session.get();
  }
  auto shared = share(n, engine, leaves);
  if (!shared) return tl::unexpected(shared.error());
  if (!*shared) return nullptr;
  const auto is_its = [&](const Held& one) { return one.asker == asker; };
  if (static_cast<std::size_t>(std::ranges::count_if(held_, is_its)) == most) {
    held_.erase(std::ranges::find_if(held_, is_its));
  }
  held_.push_back({asker, n, std::move(*shared)});
  return held_.back().shared->session.get();
}

// The session that somebody holds already, or another one; null where the state at n is not kept.
Result<std::shared_ptr<ServingSessions::Shared>> ServingSessions::share(SequenceNumber n, const Engine& engine,
                                                                        const std::vector<Digest>* leaves) const {
  const auto found = std::ranges::find_if(
      held_, [&](const Held& one) { return one.n == n && now_ - one.shared->opened < life_ticks; });
  if (found != held_.end()) return found->shared;
  auto opened = ServingSession::open(engine.snapshot(), n, engine.name(), leaves);
  if (!opened) return tl::unexpected(opened.error());
  if (!*opened) return nullptr;
  return std::make_shared<Shared>(Shared{std::move(*opened), now_});
}

void ServingSessions::tick(std::uint64_t ticks) {
  now_ += ticks;
  for (Held& one : held_) {
    one.idle += ticks;
    one.age += ticks;
  }
  std::erase_if(held_, [](const Held& one) { return one.idle >= idle_ticks || one.age >= life_ticks; });
}

void ServingSessions::asked_for_batch(ReplicaId asker, SequenceNumber n) {
  for (Held& one : held_) {
    if (one.asker == asker && one.n < n) one.idle = 0;
  }
}

std::optional<SequenceNumber> ServingSessions::lowest() const {
  const auto found = std::ranges::min_element(held_, {}, &Held::n);
  return found == held_.end() ? std::nullopt : std::optional{found->n};
}

std::size_t ServingSessions::size() const {
  std::set<const Shared*> sessions;
  for (const Held& one : held_) sessions.insert(one.shared.get());
  return sessions.size();
}

}  // namespace pbft::storage
