#include "storage/engine.h"

#include <algorithm>

#include "node/pbft/messages.h"

namespace pbft::storage {

Result<std::vector<std::optional<Bytes>>> Reader::get_many(Family family, const std::vector<BytesView>& keys) const {
  std::vector<std::optional<Bytes>> values;
  for (const BytesView key : keys) {
    auto value = get(family, key);
    if (!value) return tl::unexpected(value.error());
    values.push_back(std::move(*value));
  }
  return values;
}

const char* to_string(Family family) {
  switch (family) {
    case Family::meta:
      return "meta";
    case Family::batches:
      return "batches";
    case Family::journal:
      return "journal";
    case Family::ledger:
      return "ledger";
    case Family::state:
      return "state";
    case Family::undo:
      return "undo";
    case Family::clients:
      return "clients";
    case Family::tree:
      return "tree";
    case Family::checkpoints:
      return "checkpoints";
    case Family::buckets:
      return "buckets";
    case Family::staging:
      return "staging";
    case Family::count_:
      break;
  }
  return "unknown";
}

bool is_repairable(Family family) {
  return std::ranges::find(repairable_families, family) != std::end(repairable_families);
}

std::uint32_t WriteBatch::append(std::initializer_list<BytesView> parts) {
  const std::size_t before = bytes_.size();
  for (const BytesView part : parts) bytes_.insert(bytes_.end(), part.begin(), part.end());
  return static_cast<std::uint32_t>(bytes_.size() - before);
}

void WriteBatch::put_parts(Family family, std::initializer_list<BytesView> key,
                           std::initializer_list<BytesView> value) {
  const std::uint32_t key_bytes = append(key);
  entries_.push_back({Operation::Kind::put, family, key_bytes, append(value)});
}

void WriteBatch::erase(Family family, BytesView key) {
  entries_.push_back({Operation::Kind::erase, family, append({key}), 0});
}

void WriteBatch::erase(Family family, BytesView from, BytesView to) {
  const std::uint32_t from_bytes = append({from});
  entries_.push_back({Operation::Kind::erase_range, family, from_bytes, append({to})});
}

void WriteBatch::clear() {
  entries_.clear();
  bytes_.clear();
}

// No key is as long as this one, and of those that begin with as many bytes of 255 there are none.
void WriteBatch::erase_all(Family family) {
  erase(family, {}, Bytes(Limits::max_key_bytes + 64, 0xff));
}

Result<void> Engine::reclaim(Family) {
  return {};
}

Result<void> Engine::reset(const std::vector<Family>& families) {
  WriteBatch batch;
  for (const Family family : families) batch.erase_all(family);
  return write(batch, Sync::durable);
}

}  // namespace pbft::storage
