// The files of a store beside those of RocksDB, through the same file system: what stands in for the machine's stands
// in for all of them. Any thread.
#pragma once

#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "storage/engine.h"

namespace pbft::storage {

// What the operating system said, and what to do about it. `where` is the store or the file.
// Nothing where it is not the disk that is full, read-only or failing.
[[nodiscard]] std::optional<StorageError> disk_error(const rocksdb::Status& status, const std::string& where);
[[nodiscard]] StorageError io_error(const rocksdb::Status& status, const std::string& where);

class Files {
 public:
  explicit Files(rocksdb::Env* environment);  // null: the machine's. Must outlive this

  enum class Presence : std::uint8_t { missing, directory, file };
  [[nodiscard]] Result<Presence> look(const std::filesystem::path& path) const;
  [[nodiscard]] bool exists(const std::filesystem::path& path) const;
  [[nodiscard]] std::vector<std::string> children(const std::filesystem::path& directory) const;
  // With all that are missing above it; their names are on the disk afterwards.
  [[nodiscard]] Result<void> create_directories(const std::filesystem::path& directory) const;
  // The names in it are on the disk afterwards.
  [[nodiscard]] Result<void> sync_directory(const std::filesystem::path& directory) const;
  // The content is on the disk afterwards, the name is not.
  [[nodiscard]] Result<void> create(const std::filesystem::path& file, BytesView content) const;
  [[nodiscard]] Result<void> remove(const std::filesystem::path& file) const;
  [[nodiscard]] Result<std::unique_ptr<rocksdb::FSRandomRWFile>> open(const std::filesystem::path& file) const;
  // Gives `from` another name where it is there and that can be done.
  void move_away(const std::filesystem::path& from, const std::filesystem::path& to) const;
  // A new file that is appended to; null where there can be none.
  [[nodiscard]] std::unique_ptr<rocksdb::FSWritableFile> begin(const std::filesystem::path& file) const;

 private:
  std::shared_ptr<rocksdb::FileSystem> system_;
};

}  // namespace pbft::storage
