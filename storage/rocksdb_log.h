// RocksDB's account of itself, the file LOG in the store: warnings and errors. RocksDB's own logger does not bear a
// full disk: the second line that cannot be written is a failed assertion, which takes along whatever the node has to
// say. This one leaves out what it cannot write. Any thread.
#pragma once

#include <rocksdb/env.h>

#include <memory>
#include <mutex>

#include "storage/rocksdb_files.h"

namespace pbft::storage {

class InfoLog final : public rocksdb::Logger {
 public:
  static constexpr std::size_t most_bytes = 4U << 20;  // what comes later is left out

  // The one before becomes LOG.old.TIME, of which RocksDB removes the oldest ones.
  InfoLog(const Files& files, const std::filesystem::path& directory);
  using rocksdb::Logger::Logv;
  void Logv(const char* format, va_list arguments) override;
  [[nodiscard]] std::size_t GetLogFileSize() const override;

 private:
  mutable std::mutex mutex_;
  std::unique_ptr<rocksdb::FSWritableFile> file_;  // null: it could not be made
  std::size_t written_ = 0;
};

}  // namespace pbft::storage
