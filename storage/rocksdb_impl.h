// The Engine on RocksDB, as its two source files see it: rocksdb_engine.cpp is what it does once it is open,
// rocksdb_open.cpp how it is opened.
#pragma once

#include <rocksdb/db.h>
#include <rocksdb/listener.h>
#include <rocksdb/options.h>
#include <rocksdb/write_batch.h>

#include <array>
#include <mutex>
#include <shared_mutex>

#include "storage/rocksdb_engine.h"
#include "storage/synced_mark.h"

namespace pbft::storage {

inline constexpr const char* mark_file = "synced-mark";
// Its presence is the note of Engine::note_damage.
inline constexpr const char* damage_file = "state-damaged";
// There while the store is being made.
inline constexpr const char* unfinished_file = "unfinished";
inline constexpr const char* lock_file = "LOCK";  // of RocksDB

[[nodiscard]] inline rocksdb::Slice slice(BytesView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
[[nodiscard]] inline BytesView view(const rocksdb::Slice& bytes) {
  return as_bytes(std::string_view{bytes.data(), bytes.size()});
}

// What went wrong. `family`: the one that was read, where it was one.
[[nodiscard]] StorageError classify(const rocksdb::Status& status, const std::string& where,
                                    std::optional<Family> family = std::nullopt);

// Told by RocksDB of what goes wrong behind its back: a table that cannot be written, a compaction that meets a bad
// block. By itself RocksDB would go on as long as it can, and try again by and by; but a replica whose store is not
// well has to stop while the reason is at hand.
class BackgroundErrors final : public rocksdb::EventListener {
 public:
  using OnFailedCompaction = std::function<void(const StorageError&)>;
  BackgroundErrors(std::string where, OnFailedCompaction on_failed_compaction)
      : where_(std::move(where)), on_failed_compaction_(std::move(on_failed_compaction)) {}

  void OnBackgroundError(rocksdb::BackgroundErrorReason reason, rocksdb::Status* status) override;
  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, rocksdb::Status, bool* auto_recovery) override {
    *auto_recovery = false;
  }
  void OnTableFileCreated(const rocksdb::TableFileCreationInfo& info) override;
  [[nodiscard]] std::optional<rocksdb::Status> first() const;

 private:
  std::string where_;
  OnFailedCompaction on_failed_compaction_;
  mutable std::mutex mutex_;
  std::optional<rocksdb::Status> first_;
};

// RocksDB's handle of a family; null where the family is missing.
using FamilyHandle = std::shared_ptr<rocksdb::ColumnFamilyHandle>;
[[nodiscard]] inline FamilyHandle owned(std::shared_ptr<rocksdb::DB> database, rocksdb::ColumnFamilyHandle* handle) {
  return {handle, [database = std::move(database)](rocksdb::ColumnFamilyHandle* one) {
            static_cast<void>(database->DestroyColumnFamilyHandle(one));
          }};
}
using FamilyHandles = std::array<FamilyHandle, family_count>;
using FamilyOptions = std::array<rocksdb::ColumnFamilyOptions, family_count>;

class RocksEngine final : public Engine {
 public:
  struct Opened {
    std::shared_ptr<rocksdb::DB> database;
    FamilyHandles handles;
    FamilyOptions options;
    std::shared_ptr<BackgroundErrors> background;
  };
  RocksEngine(std::string where, Files files, Opened opened, bool damage_noted);
  ~RocksEngine() override;
  RocksEngine(const RocksEngine&) = delete;
  RocksEngine& operator=(const RocksEngine&) = delete;

  [[nodiscard]] std::string name() const override { return where_; }
  [[nodiscard]] Result<std::optional<Bytes>> get(Family family, BytesView key) const override;
  [[nodiscard]] Result<std::vector<std::optional<Bytes>>> get_many(Family family,
                                                                   const std::vector<BytesView>& keys) const override;
  [[nodiscard]] std::unique_ptr<Iterator> scan(Family family, BytesView from, BytesView to) const override;
  [[nodiscard]] Result<void> write(const WriteBatch& batch, Sync sync) override;
  [[nodiscard]] std::shared_ptr<const Reader> snapshot() const override;
  [[nodiscard]] Result<void> note_damage() override;
  [[nodiscard]] bool damage_noted() const override { return damage_noted_; }
  [[nodiscard]] Result<void> forget_damage() override;
  [[nodiscard]] Result<void> reset(const std::vector<Family>& families) override;
  [[nodiscard]] Result<void> reclaim(Family family) override;

  // From now on the mark follows the log. An existing one must not be ahead of it.
  [[nodiscard]] Result<void> follow(std::unique_ptr<SyncedMark> mark);

  // As get, get_many and scan, at a snapshot where it is not null.
  [[nodiscard]] Result<std::optional<Bytes>> get_at(const rocksdb::Snapshot* at, Family family, BytesView key) const;
  [[nodiscard]] Result<std::vector<std::optional<Bytes>>> get_many_at(const rocksdb::Snapshot* at, Family family,
                                                                      const std::vector<BytesView>& keys) const;
  [[nodiscard]] std::unique_ptr<Iterator> scan_at(const rocksdb::Snapshot* at, Family family, BytesView from,
                                                  BytesView to) const;

 private:
  [[nodiscard]] FamilyHandle handle(Family family) const;
  [[nodiscard]] StorageError missing(Family family) const;
  [[nodiscard]] Result<void> perform(const WriteBatch& batch, Sync sync);
  [[nodiscard]] StorageError blame(const rocksdb::Status& status) const;
  [[nodiscard]] Result<void> make_anew(Family family);
  [[nodiscard]] Result<void> hold_compactions(bool hold);
  [[nodiscard]] Result<void> set_note(bool noted);

  std::string where_;
  Files files_;
  std::shared_ptr<BackgroundErrors> background_;
  std::shared_ptr<rocksdb::DB> database_;
  FamilyOptions options_;
  mutable std::shared_mutex handles_mutex_;  // of handles_: reads of other threads go on while a family is made anew
  FamilyHandles handles_;
  std::unique_ptr<SyncedMark> mark_;
  rocksdb::WriteBatch operations_;  // of the write that is under way; kept for its memory
  std::optional<StorageError> failure_;
  bool damage_noted_ = false;
};

}  // namespace pbft::storage
