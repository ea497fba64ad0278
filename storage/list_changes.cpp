#include "storage/list_changes.h"

#include <algorithm>

#include "storage/fields.h"

namespace pbft::storage {

void ListChanges::add(std::uint32_t bucket, BytesView name, const std::optional<PairHash>& hash) {
  entries_.push_back({static_cast<std::uint16_t>(bucket), hash.has_value(), static_cast<std::uint32_t>(name.size()),
                      names_.size(), hash.value_or(PairHash{})});
  names_.insert(names_.end(), name.begin(), name.end());
}

void ListChanges::put_into(WriteBatch& batch) {
  std::ranges::sort(entries_, [this](const Entry& a, const Entry& b) {
    if (a.bucket != b.bucket) return a.bucket < b.bucket;
    return std::ranges::lexicographical_compare(name_of(a), name_of(b));
  });
  for (const Entry& entry : entries_) {
    if (entry.present) {
      batch.put_parts(Family::buckets, {index_prefix(entry.bucket), name_of(entry)}, {entry.hash.view()});
    } else {
      batch.erase(Family::buckets, index_key(entry.bucket, name_of(entry)));
    }
  }
}

}  // namespace pbft::storage
