// How far a database's log was synced, in a file of its own: a log whose tail is damaged is cut there on recovery
// without a word, and a replica that forgets what it promised is a lying one. The mark is written after each sync and
// not synced itself: so it never claims too much, and what it may lack after a loss of power is only the newest claim.
#pragma once

#include <filesystem>
#include <memory>

#include "storage/engine.h"

namespace pbft::storage {

class SyncedMark {
 public:
  // Creates the file with the mark 0, synced.
  [[nodiscard]] static Result<std::unique_ptr<SyncedMark>> create(const std::filesystem::path& file);
  // corrupt where the file is missing or holds no valid mark.
  [[nodiscard]] static Result<std::unique_ptr<SyncedMark>> open(const std::filesystem::path& file);
  ~SyncedMark();
  SyncedMark(const SyncedMark&) = delete;
  SyncedMark& operator=(const SyncedMark&) = delete;

  [[nodiscard]] std::uint64_t value() const { return value_; }
  [[nodiscard]] Result<void> set(std::uint64_t value);

 private:
  SyncedMark(std::filesystem::path file, int descriptor);
  [[nodiscard]] StorageError io_error(const char* what) const;

  std::filesystem::path file_;
  int descriptor_;
  std::uint64_t value_ = 0;
  // Marks are written to two sectors in turn: one that is torn leaves the one before it.
  std::size_t next_slot_ = 0;
};

}  // namespace pbft::storage
