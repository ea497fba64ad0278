// What a write changes of the lists of buckets. Gathered, so that it is written in the order of the keys, which is the
// cheapest for the engine.
#pragma once

#include <optional>
#include <vector>

#include "node/pbft/messages.h"
#include "storage/engine.h"

namespace pbft::storage {

class ListChanges {
 public:
  // The pair has this hash now, or is gone. A name is given once.
  void add(std::uint32_t bucket, BytesView name, const std::optional<PairHash>& hash);
  void put_into(WriteBatch& batch);

 private:
  struct Entry {
    std::uint16_t bucket;
    bool present;
    std::uint32_t name_bytes;
    std::size_t name_at;  // in names_
    PairHash hash;
  };
  [[nodiscard]] BytesView name_of(const Entry& entry) const {
    return BytesView{names_}.subspan(entry.name_at, entry.name_bytes);
  }

  std::vector<Entry> entries_;
  Bytes names_;
};

}  // namespace pbft::storage
