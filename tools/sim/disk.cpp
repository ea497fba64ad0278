#include "tools/sim/disk.h"

#include <algorithm>

namespace pbft::sim {
namespace {

bool holds_promise(const storage::WriteBatch& batch) {
  using storage::Family;
  return std::any_of(batch.operations.begin(), batch.operations.end(), [](const auto& operation) {
    const auto* put = std::get_if<storage::WriteBatch::Put>(&operation);
    return put != nullptr &&
           (put->family == Family::journal || put->family == Family::batches || put->family == Family::checkpoints);
  });
}

}  // namespace

storage::Result<void> Disk::write(const storage::WriteBatch& batch, storage::Sync sync) {
  boundary_();
  const storage::Result<void> written = memory_.write(batch, sync);
  if (!written) return written;
  ++writes_;
  if (sync == storage::Sync::durable) {
    ++syncs_;
    promises_unsynced_ = false;
  } else if (holds_promise(batch)) {
    promises_unsynced_ = true;
  }
  return written;
}

storage::WriteBatch Disk::image() const {
  storage::WriteBatch image;
  for (std::size_t i = 0; i < static_cast<std::size_t>(storage::Family::count_); ++i) {
    const auto family = static_cast<storage::Family>(i);
    for (const auto at = memory_.scan(family, {}, {}); at->valid(); at->next()) {
      image.operations.emplace_back(storage::WriteBatch::Put{
          family, {at->key().begin(), at->key().end()}, {at->value().begin(), at->value().end()}});
    }
  }
  return image;
}

void Disk::lose_power(std::size_t kept) {
  memory_.lose_power(kept);
  promises_unsynced_ = false;
}

}  // namespace pbft::sim
