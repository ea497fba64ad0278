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

void Disk::lose_power(std::size_t kept) {
  memory_.lose_power(kept);
  promises_unsynced_ = false;
}

}  // namespace pbft::sim
