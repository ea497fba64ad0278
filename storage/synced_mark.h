// How far a database's log was synced, in a file of its own: a log whose tail is damaged is cut there on recovery
// without a word, and a replica that forgets what it promised is a lying one. The mark is written after each sync and
// not synced itself, for a second sync would double the cost of the first: so it never claims too much, and what it may
// lack after a loss of power is only the newest claims.
//
// The file has two blocks. Marks go to one of them until it is synced, which happens after so many marks and at each
// opening, and then to the other. So at most one block is being written when the power fails, and where that one is
// torn, whatever is left in it, the other holds what was claimed when it was synced.
#pragma once

#include <filesystem>
#include <memory>

#include "storage/rocksdb_files.h"

namespace pbft::storage {

class SyncedMark {
 public:
  static constexpr std::size_t block_bytes = 4096;  // what a disk or a file system writes as one
  // A torn block costs at most so many claims.
  static constexpr std::uint64_t marks_per_sync = 1024;

  // Creates the file with the mark 0, synced; its name is not.
  [[nodiscard]] static Result<std::unique_ptr<SyncedMark>> create(Files files, const std::filesystem::path& file);
  // corrupt where the file is missing or holds no valid mark.
  [[nodiscard]] static Result<std::unique_ptr<SyncedMark>> open(Files files, const std::filesystem::path& file);
  SyncedMark(const SyncedMark&) = delete;
  SyncedMark& operator=(const SyncedMark&) = delete;

  [[nodiscard]] std::uint64_t value() const { return value_; }
  // After an error nothing is known of the mark any more.
  [[nodiscard]] Result<void> set(std::uint64_t value);

 private:
  SyncedMark(std::filesystem::path path, std::unique_ptr<rocksdb::FSRandomRWFile> file)
      : path_(std::move(path)), file_(std::move(file)) {}
  [[nodiscard]] Result<void> find();
  [[nodiscard]] Result<void> turn();
  [[nodiscard]] StorageError error(const rocksdb::Status& status, const char* what) const;

  std::filesystem::path path_;
  std::unique_ptr<rocksdb::FSRandomRWFile> file_;
  std::uint64_t value_ = 0;
  std::size_t block_ = 0;      // that marks go to
  std::uint64_t written_ = 0;  // marks since it was turned to
};

}  // namespace pbft::storage
