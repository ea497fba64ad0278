#include "storage/synced_mark.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "node/pbft/digests.h"
#include "storage/fields.h"
#include "storage/leave_down.h"

namespace pbft::storage {
namespace {

constexpr std::size_t slot_count = 2;
constexpr std::size_t slot_bytes = 512;  // a sector
constexpr std::size_t record_bytes = 8 + Digest::size;

Bytes encode(std::uint64_t value) {
  Bytes record = number_key(value);
  const Digest checksum = tagged_digest("pbft/synced-mark/1", record);
  record.insert(record.end(), checksum.bytes.begin(), checksum.bytes.end());
  return record;
}

}  // namespace

SyncedMark::SyncedMark(std::filesystem::path file, int descriptor) : file_(std::move(file)), descriptor_(descriptor) {}

SyncedMark::~SyncedMark() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

StorageError SyncedMark::io_error(const char* what) const {
  const int code = errno;
  const auto kind = code == ENOSPC ? StorageError::Kind::no_space : StorageError::Kind::io;
  return {kind, file_.string() + ": cannot " + what + ": " + std::generic_category().message(code)};
}

Result<std::unique_ptr<SyncedMark>> SyncedMark::create(const std::filesystem::path& file) {
  const int descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  std::unique_ptr<SyncedMark> mark{new SyncedMark{file, descriptor}};
  if (descriptor < 0) return tl::unexpected(mark->io_error("create"));
  for (std::size_t slot = 0; slot < slot_count; ++slot) {
    if (auto set = mark->set(0); !set) return tl::unexpected(set.error());
  }
  if (::fsync(descriptor) != 0) return tl::unexpected(mark->io_error("sync"));
  return mark;
}

Result<std::unique_ptr<SyncedMark>> SyncedMark::open(const std::filesystem::path& file) {
  const int descriptor = ::open(file.c_str(), O_RDWR | O_CLOEXEC);
  std::unique_ptr<SyncedMark> mark{new SyncedMark{file, descriptor}};
  if (descriptor < 0) {
    if (errno != ENOENT) return tl::unexpected(mark->io_error("open"));
    return tl::unexpected(StorageError{StorageError::Kind::corrupt,
                                       file.string() + " is missing: the store is incomplete; " + leave_down});
  }
  bool valid = false;
  for (std::size_t slot = 0; slot < slot_count; ++slot) {
    Bytes record(record_bytes);
    const auto count = ::pread(descriptor, record.data(), record.size(), static_cast<off_t>(slot * slot_bytes));
    if (count < 0) return tl::unexpected(mark->io_error("read"));
    if (count != static_cast<ssize_t>(record_bytes)) continue;
    const std::uint64_t value = FieldReader{record}.u64();
    if (record != encode(value) || (valid && value < mark->value_)) continue;
    valid = true;
    mark->value_ = value;
    mark->next_slot_ = (slot + 1) % slot_count;
  }
  if (!valid) {
    return tl::unexpected(
        StorageError{StorageError::Kind::corrupt, file.string() + " holds no valid mark; " + leave_down});
  }
  return mark;
}

Result<void> SyncedMark::set(std::uint64_t value) {
  const Bytes record = encode(value);
  const auto offset = static_cast<off_t>(next_slot_ * slot_bytes);
  ssize_t written = 0;
  do {
    written = ::pwrite(descriptor_, record.data(), record.size(), offset);
  } while (written < 0 && errno == EINTR);
  if (written != static_cast<ssize_t>(record.size())) return tl::unexpected(io_error("write"));
  value_ = value;
  next_slot_ = (next_slot_ + 1) % slot_count;
  return {};
}

}  // namespace pbft::storage
