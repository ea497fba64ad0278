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

// The bucket's digest as it is stored.
Result<LtHash> stored_hash(const StateView& view, std::uint32_t bucket) {
  const auto bytes = view.reader().get(Family::tree, bucket_key(bucket));
  if (!bytes) return tl::unexpected(bytes.error());
  if (!*bytes) return LtHash{};
  if ((*bytes)->size() != LtHash::byte_size) {
    return tl::unexpected(damage_error(view.where(), "bucket " + std::to_string(bucket) + " of family tree"));
  }
  return LtHash::from_bytes(**bytes);
}

}  // namespace

Result<ScrubReport> Scrub::step(const StateView& view, SequenceNumber interval, std::size_t pairs) {
  ScrubReport report;
  interval_ = interval.value;
  const std::uint64_t passes = passes_;
  for (std::size_t done = 0; done < pairs && passes_ == passes && report.damage.size() < most_findings;) {
    const auto looked_at =
        bucket_ < DigestTree::bucket_count ? check_bucket(view, report) : walk(view, pairs - done, report);
    if (!looked_at) return tl::unexpected(looked_at.error());
    done += std::max<std::size_t>(*looked_at, 1);
  }
  report.share = share();
  report.passes = passes_;
  return report;
}

double Scrub::share() const {
  const double buckets = static_cast<double>(bucket_) / DigestTree::bucket_count;
  const double walked = static_cast<double>(walked_) / static_cast<double>(std::max<std::uint64_t>(listed_, 1));
  return (buckets + std::min(walked, 1.0)) / 2;
}

// What the pairs in the bucket's list had at the last checkpoint, against the bucket's digest.
Result<std::size_t> Scrub::check_bucket(const StateView& view, ScrubReport& report) {
  const std::uint32_t bucket = bucket_++;
  const auto names = view.listed(bucket);
  if (!names && !is_finding(names.error())) return tl::unexpected(names.error());
  if (!names) {
    report.damage.push_back(of_bucket(bucket, names.error().message));
    return 0;
  }
  listed_ += names->size();
  LtHash hash;
  const std::size_t findings = report.damage.size();
  for (const Bytes& name : *names) {
    auto before = view.find_before(interval_, name);
    auto value = before && *before ? Result<std::optional<Bytes>>{std::move(**before)} : view.now(name);
    if (!before) value = tl::unexpected(before.error());
    if (!value && !is_finding(value.error())) return tl::unexpected(value.error());
    if (!value) {
      report.damage.push_back(of_pair(name, value.error().message));
      Bytes& highest = unreadable_[name[0]];
      highest = std::max(highest, name);
    } else if (!*value) {
      report.damage.push_back(of_pair(name, "it is in the list of its bucket and is missing"));
    } else {
      hash.add(pair_element(space_of(name), key_of(name), **value));
    }
  }
  const auto stored = stored_hash(view, bucket);
  if (!stored && !is_finding(stored.error())) return tl::unexpected(stored.error());
  if (!stored) {
    report.damage.push_back(of_bucket(bucket, stored.error().message));
  } else if (report.damage.size() == findings && *stored != hash) {
    report.damage.push_back(of_bucket(bucket, "its content does not have its digest"));
  }
  return names->size();
}

Result<std::size_t> Scrub::walk(const StateView& view, std::size_t pairs, ScrubReport& report) {
  const Namespace name_space = space_;
  Bytes from;
  if (!walked_to_.empty()) {
    from = to_key(walked_to_);
    from.push_back(0);  // the next key that there can be
  }
  std::size_t looked_at = 0;
  const auto entries = view.reader().scan(family_of(name_space), from, {});
  for (; entries->valid() && looked_at < pairs && report.damage.size() < most_findings; entries->next()) {
    walked_to_ = pair_name(name_space, entries->key());
    ++looked_at;
    if (auto checked = check_listed(view, walked_to_, report); !checked) return tl::unexpected(checked.error());
  }
  walked_ += looked_at;
  if (entries->valid()) return looked_at;
  const auto status = entries->status();
  if (status) {
    next_space();
  } else if (is_finding(status.error())) {
    unreadable_from(name_space, status.error(), report);
  } else {
    return tl::unexpected(status.error());
  }
  return looked_at;
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

// The walk goes on behind the last pair that is known to be unreadable, if there is one.
void Scrub::unreadable_from(Namespace name_space, const StorageError& error, ScrubReport& report) {
  const Bytes& highest = unreadable_[static_cast<std::size_t>(name_space)];
  const bool known = walked_to_ < highest;
  Damage found{name_space, {}, {}, std::nullopt, error.message};
  if (!walked_to_.empty()) found.first = to_key(walked_to_);
  if (known) found.last = to_key(highest);
  report.damage.push_back(std::move(found));
  if (known) {
    walked_to_ = highest;
  } else {
    next_space();
  }
}

void Scrub::next_space() {
  walked_to_.clear();
  if (space_ == Namespace::state) {
    space_ = Namespace::clients;
    return;
  }
  const std::uint64_t passes = passes_ + 1;
  *this = {};
  passes_ = passes;
}

}  // namespace pbft::storage
