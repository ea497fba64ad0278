#include "storage/synced_mark.h"

#include "node/pbft/digests.h"
#include "storage/fields.h"
#include "storage/leave_down.h"

namespace pbft::storage {
namespace {

constexpr std::size_t block_count = 2;
constexpr std::size_t record_bytes = 8 + Digest::size;

Bytes encode(std::uint64_t value) {
  Bytes record = number_key(value);
  const Digest checksum = tagged_digest("pbft/synced-mark/1", record);
  record.insert(record.end(), checksum.bytes.begin(), checksum.bytes.end());
  return record;
}

StorageError unusable(const std::string& what) {
  return {StorageError::Kind::corrupt, what + "; " + leave_down};
}

}  // namespace

StorageError SyncedMark::error(const rocksdb::Status& status, const char* what) const {
  return io_error(status, path_.string() + ": cannot " + what);
}

Result<std::unique_ptr<SyncedMark>> SyncedMark::create(Files files, const std::filesystem::path& file) {
  Bytes content;
  for (std::size_t block = 0; block < block_count; ++block) {
    const Bytes record = encode(0);
    content.insert(content.end(), record.begin(), record.end());
    content.resize((block + 1) * block_bytes);
  }
  if (auto created = files.create(file, content); !created) return tl::unexpected(created.error());
  return open(std::move(files), file);
}

Result<std::unique_ptr<SyncedMark>> SyncedMark::open(Files files, const std::filesystem::path& file) {
  if (!files.exists(file)) {
    return tl::unexpected(unusable(file.string() + " is missing: the store is incomplete"));
  }
  auto opened = files.open(file);
  if (!opened) return tl::unexpected(opened.error());
  std::unique_ptr<SyncedMark> mark{new SyncedMark{file, std::move(*opened)}};
  if (auto found = mark->find(); !found) return tl::unexpected(found.error());
  // It may be in the memory of the operating system only, since the process may have ended without the machine.
  if (auto turned = mark->turn(); !turned) return tl::unexpected(turned.error());
  return mark;
}

// The higher one of the valid marks. A block that cannot be read is like one that is torn.
Result<void> SyncedMark::find() {
  bool valid = false;
  for (std::size_t block = 0; block < block_count; ++block) {
    char bytes[record_bytes];
    rocksdb::Slice read;
    if (!file_->Read(block * block_bytes, record_bytes, {}, &read, bytes, nullptr).ok()) continue;
    if (read.size() != record_bytes) continue;
    const BytesView record = as_bytes(std::string_view{read.data(), read.size()});
    const std::uint64_t value = FieldReader{record}.u64();
    if (Bytes{record.begin(), record.end()} != encode(value) || (valid && value < value_)) continue;
    valid = true;
    value_ = value;
    block_ = block;
  }
  if (!valid) return tl::unexpected(unusable(path_.string() + " holds no valid mark"));
  return {};
}

// What is in the block is on the disk; the next marks go to the other.
Result<void> SyncedMark::turn() {
  if (const auto synced = file_->Sync({}, nullptr); !synced.ok()) return tl::unexpected(error(synced, "sync"));
  block_ = (block_ + 1) % block_count;
  written_ = 0;
  return {};
}

Result<void> SyncedMark::set(std::uint64_t value) {
  const Bytes record = encode(value);
  const rocksdb::Slice bytes{reinterpret_cast<const char*>(record.data()), record.size()};
  const auto written = file_->Write(block_ * block_bytes, bytes, {}, nullptr);
  if (!written.ok()) return tl::unexpected(error(written, "write"));
  value_ = value;
  return ++written_ < marks_per_sync ? Result<void>{} : turn();
}

}  // namespace pbft::storage
