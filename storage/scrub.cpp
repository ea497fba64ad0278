#include "storage/scrub.h"

#include <algorithm>

#include "storage/digest_tree.h"
#include "storage/fields.h"

namespace pbft::storage {
namespace {

Bytes to_key(BytesView name) {
  const BytesView key = key_of(name);
  return {key.begin(), key.end()};
}

Damage of_pair(BytesView name, std::string what) {
  return {space_of(name), to_key(name), to_key(name), std::nullopt, std::move(what)};
}

Damage of_bucket(std::uint32_t bucket, std::string what) {
  return {Namespace::state, {}, {}, bucket, std::move(what)};
}

// Damage is a finding; any other error is one.
bool is_finding(const StorageError& error) {
  return error.kind == StorageError::Kind::damaged;
}

}  // namespace

Result<ScrubReport> Scrub::step(const StateView& view, const Digests& digests, std::size_t pairs) {
  ScrubReport report;
  interval_ = digests.interval.value;
  const std::uint64_t passes = passes_;
  for (std::size_t done = 0; done < pairs && passes_ == passes && report.damage.size() < most_findings;) {
    const auto looked_at =
        bucket_ < DigestTree::bucket_count ? check_bucket(view, digests, report) : walk(view, pairs - done, report);
    if (!looked_at) return tl::unexpected(looked_at.error());
    done += std::max<std::size_t>(*looked_at, 1);
  }
  report.share = share();
  report.passes = passes_;
  return report;
}

double Scrub::share() const {
  const double buckets = static_cast<double>(bucket_) / DigestTree::bucket_count;
  const double walked = static_cast<double>(seen_) / static_cast<double>(std::max<std::uint64_t>(listed_, 1));
  return (buckets + std::min(walked, 1.0)) / 2;
}

// What the pairs in the bucket's list had at the last checkpoint, against the bucket's digest.
Result<std::size_t> Scrub::check_bucket(const StateView& view, const Digests& digests, ScrubReport& report) {
  const std::uint32_t bucket = bucket_++;
  const auto pairs = view.listed(bucket);
  if (!pairs && !is_finding(pairs.error())) return tl::unexpected(pairs.error());
  if (!pairs) {
    report.damage.push_back(of_bucket(bucket, pairs.error().message));
    return 0;
  }
  listed_ += pairs->size();
  LtHash hash;
  const std::size_t findings = report.damage.size();
  for (const auto& [name, listed] : *pairs) {
    auto before = view.find_before(interval_, name);
    auto value = before && *before ? Result<std::optional<Bytes>>{std::move(**before)} : view.now(name);
    if (!before) value = tl::unexpected(before.error());
    if (!value && !is_finding(value.error())) return tl::unexpected(value.error());
    if (!value) {
      report.damage.push_back(of_pair(name, value.error().message));
      Bytes& highest = unreadable_[name[0]];
      highest = std::max(highest, to_key(name));
    } else if (!*value) {
      report.damage.push_back(of_pair(name, "it is in the list of its bucket and is missing"));
    } else if (const Digest digest = pair_digest(space_of(name), key_of(name), **value); pair_hash(digest) != listed) {
      report.damage.push_back(of_pair(name, "its value is not the one in the list of its bucket"));
    } else {
      hash.add(LtHash::of(digest));
    }
  }
  if (report.damage.size() == findings && leaf_digest(hash) != digests.buckets[bucket]) {
    report.damage.push_back(of_bucket(bucket, "its content does not have its digest"));
  }
  if (auto checked = check_row(view, bucket, digests.rows[bucket], report); !checked) {
    return tl::unexpected(checked.error());
  }
  return pairs->size();
}

Result<void> Scrub::check_row(const StateView& view, std::uint32_t bucket, const Digest& written, ScrubReport& report) {
  const auto stored = load_bucket(view.reader(), view.where(), bucket);
  if (!stored && !is_finding(stored.error())) return tl::unexpected(stored.error());
  if (!stored) {
    report.damage.push_back(of_bucket(bucket, stored.error().message));
  } else if (leaf_digest(*stored) != written) {
    report.damage.push_back(of_bucket(bucket, "its row in family tree is not what was written"));
  }
  return {};
}

Family Scrub::family() const {
  switch (walk_) {
    case Walk::state:
      return Family::state;
    case Walk::clients:
      return Family::clients;
    case Walk::undo:
      break;
  }
  return Family::undo;
}

Result<std::size_t> Scrub::walk(const StateView& view, std::size_t pairs, ScrubReport& report) {
  std::size_t looked_at = 0;
  const auto entries = view.reader().scan(family(), from_, {});
  for (; entries->valid() && looked_at < pairs && report.damage.size() < most_findings; entries->next()) {
    walked_.assign(entries->key().begin(), entries->key().end());
    from_ = walked_;
    from_.push_back(0);
    ++looked_at;
    if (auto checked = check_entry(view, *entries, report); !checked) return tl::unexpected(checked.error());
  }
  if (walk_ != Walk::undo) seen_ += looked_at;
  if (entries->valid()) return looked_at;
  const auto status = entries->status();
  if (status) {
    next_walk();
  } else if (!is_finding(status.error())) {
    return tl::unexpected(status.error());
  } else if (auto gone = go_around(view, status.error(), report); !gone) {
    return tl::unexpected(gone.error());
  }
  return looked_at;
}

Result<void> Scrub::check_entry(const StateView& view, const Iterator& entry, ScrubReport& report) const {
  if (walk_ != Walk::undo) {
    const Namespace name_space = walk_ == Walk::state ? Namespace::state : Namespace::clients;
    return check_listed(view, pair_name(name_space, entry.key()), report);
  }
  if (!decode_before(entry.key(), entry.value())) {
    report.damage.push_back(
        {Namespace::state, {}, {}, std::nullopt, "entry " + to_hex(entry.key()) + " of family undo cannot be read"});
  }
  return {};
}

// A pair is in its bucket's list, or came into being after the last checkpoint.
Result<void> Scrub::check_listed(const StateView& view, BytesView name, ScrubReport& report) const {
  const auto listed = view.reader().get(Family::buckets, index_key(DigestTree::bucket_of(name), name));
  if (!listed && !is_finding(listed.error())) return tl::unexpected(listed.error());
  if (listed && *listed) return {};
  const auto before = view.find_before(interval_, name);
  if (!before && !is_finding(before.error())) return tl::unexpected(before.error());
  if (!listed) {
    report.damage.push_back(of_pair(name, listed.error().message));
  } else if (!before) {
    report.damage.push_back(of_pair(name, before.error().message));
  } else if (!*before || **before) {
    report.damage.push_back(of_pair(name, "it is not in the list of its bucket"));
  }
  return {};
}

// Looks for where reading can go on: behind the last pair that is known to be unreadable, or behind all keys that begin
// like it, with ever shorter beginnings. The finding goes from the last pair that was read to the next one that can be.
Result<void> Scrub::go_around(const StateView& view, const StorageError& error, ScrubReport& report) {
  if (walk_ == Walk::undo) {
    report.damage.push_back({Namespace::state, {}, {}, std::nullopt, error.message});
    next_walk();
    return {};
  }
  const auto name_space = static_cast<Namespace>(walk_);
  report.damage.push_back({name_space, walked_, {}, std::nullopt, error.message});
  Bytes at = std::max(walked_, unreadable_[static_cast<std::size_t>(name_space)]);
  at.push_back(0);
  for (; !at.empty(); at.pop_back()) {
    if (at.back() == 0xff) continue;
    ++at.back();
    const auto entries = view.reader().scan(family(), at, {});
    if (entries->valid()) {
      from_.assign(entries->key().begin(), entries->key().end());
      report.damage.back().last = from_;
      return {};
    }
    const auto status = entries->status();
    if (status) break;
    if (!is_finding(status.error())) return status;
  }
  next_walk();
  return {};
}

void Scrub::next_walk() {
  walked_.clear();
  from_.clear();
  if (walk_ != Walk::undo) {
    walk_ = static_cast<Walk>(static_cast<std::uint8_t>(walk_) + 1);
    return;
  }
  const std::uint64_t passes = passes_ + 1;
  *this = {};
  passes_ = passes;
}

}  // namespace pbft::storage
