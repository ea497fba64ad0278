#include "storage/rocksdb_engine.h"

#include <fcntl.h>
#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/iterator.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>
#include <unistd.h>

#include <array>
#include <set>
#include <system_error>

#include "storage/leave_down.h"
#include "storage/synced_mark.h"

namespace pbft::storage {
namespace {

namespace fs = std::filesystem;
constexpr std::size_t family_count = static_cast<std::size_t>(Family::count_);
constexpr const char* mark_file = "synced-mark";

rocksdb::Slice slice(BytesView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
BytesView view(const rocksdb::Slice& bytes) {
  return as_bytes(std::string_view{bytes.data(), bytes.size()});
}

StorageError classify(const rocksdb::Status& status, const std::string& where) {
  using Kind = StorageError::Kind;
  const std::string text = status.ToString();
  if (status.IsCorruption() || status.IsPathNotFound()) {
    return {Kind::corrupt, where + ": the store is corrupt (" + text + "); " + leave_down};
  }
  if (status.IsNoSpace()) return {Kind::no_space, where + ": the disk is full (" + text + "); make room and restart"};
  if (status.IsIOError() && text.find("lock") != std::string::npos && text.find("LOCK") != std::string::npos) {
    return {Kind::locked, where + ": another process has the store open (" + text +
                              "); stop it: two processes with one replica's identity are a faulty replica"};
  }
  return {Kind::io, where + ": " + text};
}

rocksdb::DBOptions database_options(const RocksOptions& options, OpenMode mode) {
  rocksdb::DBOptions made;
  if (options.env != nullptr) made.env = options.env;
  made.create_if_missing = mode == OpenMode::create;
  made.create_missing_column_families = mode == OpenMode::create;
  made.error_if_exists = mode == OpenMode::create;
  made.paranoid_checks = true;
  // What was written after the first damaged record is not used; the mark tells whether that was synced.
  made.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
  made.manual_wal_flush = false;  // every write reaches the operating system: it survives the process
  made.max_background_jobs = 2;
  made.db_write_buffer_size = 4 * options.write_buffer_bytes;
  made.max_total_wal_size = 4 * options.write_buffer_bytes;
  made.max_open_files = 512;
  made.keep_log_file_num = 4;
  made.max_log_file_size = 4U << 20;
  made.info_log_level = rocksdb::InfoLogLevel::WARN_LEVEL;
  made.stats_dump_period_sec = 0;
  made.stats_persist_period_sec = 0;
  return made;
}

rocksdb::ColumnFamilyOptions family_options(Family family, const RocksOptions& options,
                                            const std::shared_ptr<rocksdb::TableFactory>& tables) {
  rocksdb::ColumnFamilyOptions made;
  made.write_buffer_size = options.write_buffer_bytes;
  made.level_compaction_dynamic_level_bytes = true;
  made.table_factory = tables;
  const bool large = family == Family::batches || family == Family::ledger || family == Family::state ||
                     family == Family::undo || family == Family::clients;
  made.compression = large ? rocksdb::kLZ4Compression : rocksdb::kNoCompression;
  return made;
}

std::shared_ptr<rocksdb::TableFactory> table_factory(const RocksOptions& options) {
  rocksdb::BlockBasedTableOptions made;
  made.block_cache = rocksdb::NewLRUCache(options.block_cache_bytes);
  made.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  made.cache_index_and_filter_blocks = true;
  made.pin_l0_filter_and_index_blocks_in_cache = true;
  return std::shared_ptr<rocksdb::TableFactory>{rocksdb::NewBlockBasedTableFactory(made)};
}

class RocksIterator final : public Iterator {
 public:
  RocksIterator(rocksdb::DB& database, rocksdb::ColumnFamilyHandle* family, BytesView from, BytesView to,
                const std::string& where)
      : end_(to.begin(), to.end()), end_slice_(slice(end_)), where_(where) {
    rocksdb::ReadOptions options;
    if (!end_.empty()) options.iterate_upper_bound = &end_slice_;
    iterator_.reset(database.NewIterator(options, family));
    // RocksDB leaves open what a range with its end before its start gives.
    if (!end_.empty() && std::lexicographical_compare(end_.begin(), end_.end(), from.begin(), from.end())) {
      iterator_->Seek(end_slice_);
    } else {
      iterator_->Seek(slice(from));
    }
  }
  [[nodiscard]] bool valid() const override { return iterator_->Valid(); }
  void next() override { iterator_->Next(); }
  [[nodiscard]] BytesView key() const override { return view(iterator_->key()); }
  [[nodiscard]] BytesView value() const override { return view(iterator_->value()); }
  [[nodiscard]] Result<void> status() const override {
    if (const auto status = iterator_->status(); !status.ok()) return tl::unexpected(classify(status, where_));
    return {};
  }

 private:
  Bytes end_;
  rocksdb::Slice end_slice_;
  const std::string& where_;  // the engine's
  std::unique_ptr<rocksdb::Iterator> iterator_;
};

class RocksEngine final : public Engine {
 public:
  RocksEngine(std::string where, std::unique_ptr<rocksdb::DB> database,
              std::vector<rocksdb::ColumnFamilyHandle*> handles)
      : where_(std::move(where)), database_(std::move(database)), handles_(std::move(handles)) {}
  ~RocksEngine() override {
    for (auto* handle : handles_) static_cast<void>(database_->DestroyColumnFamilyHandle(handle));
    static_cast<void>(database_->Close());
  }
  RocksEngine(const RocksEngine&) = delete;
  RocksEngine& operator=(const RocksEngine&) = delete;

  [[nodiscard]] std::string name() const override { return where_; }

  [[nodiscard]] Result<std::optional<Bytes>> get(Family family, BytesView key) const override {
    rocksdb::PinnableSlice value;
    const auto status = database_->Get({}, handle(family), slice(key), &value);
    if (status.IsNotFound()) return std::nullopt;
    if (!status.ok()) return tl::unexpected(classify(status, where_));
    const BytesView bytes = view(value);
    return Bytes{bytes.begin(), bytes.end()};
  }

  [[nodiscard]] Result<void> write(const WriteBatch& batch, Sync sync) override {
    if (failure_) return tl::unexpected(*failure_);
    auto written = perform(batch, sync);
    if (!written) failure_ = written.error();
    return written;
  }

  [[nodiscard]] std::unique_ptr<Iterator> scan(Family family, BytesView from, BytesView to) const override {
    return std::make_unique<RocksIterator>(*database_, handle(family), from, to, where_);
  }

  // From now on the mark follows the log. An existing one must not be ahead of it.
  [[nodiscard]] Result<void> follow(std::unique_ptr<SyncedMark> mark) {
    if (mark->value() > database_->GetLatestSequenceNumber()) {
      return tl::unexpected(StorageError{StorageError::Kind::corrupt,
                                         where_ + ": the log lost writes that had been synced (it ends at " +
                                             std::to_string(database_->GetLatestSequenceNumber()) + ", " +
                                             std::to_string(mark->value()) +
                                             " was synced): this replica forgot what it promised; " + leave_down});
    }
    mark_ = std::move(mark);
    return {};
  }

 private:
  [[nodiscard]] rocksdb::ColumnFamilyHandle* handle(Family family) const {
    return handles_[static_cast<std::size_t>(family) + 1];  // 0 is RocksDB's own "default"
  }

  [[nodiscard]] Result<void> perform(const WriteBatch& batch, Sync sync) {
    rocksdb::WriteBatch operations;
    for (const auto& operation : batch.operations) {
      rocksdb::Status status;
      if (const auto* put = std::get_if<WriteBatch::Put>(&operation)) {
        status = operations.Put(handle(put->family), slice(put->key), slice(put->value));
      } else if (const auto* erase = std::get_if<WriteBatch::Erase>(&operation)) {
        status = operations.Delete(handle(erase->family), slice(erase->key));
      } else if (const auto* range = std::get_if<WriteBatch::EraseRange>(&operation)) {
        if (range->from < range->to) {
          status = operations.DeleteRange(handle(range->family), slice(range->from), slice(range->to));
        }
      }
      if (!status.ok()) return tl::unexpected(classify(status, where_));
    }
    rocksdb::WriteOptions options;
    options.sync = sync == Sync::durable && operations.Count() > 0;
    auto status = database_->Write(options, &operations);
    if (status.ok() && sync == Sync::durable && operations.Count() == 0) status = database_->SyncWAL();
    if (!status.ok()) return tl::unexpected(classify(status, where_));
    if (sync == Sync::durable) return mark_->set(database_->GetLatestSequenceNumber());
    return {};
  }

  std::string where_;
  std::unique_ptr<rocksdb::DB> database_;
  std::vector<rocksdb::ColumnFamilyHandle*> handles_;
  std::unique_ptr<SyncedMark> mark_;
  std::optional<StorageError> failure_;
};

Result<void> sync_directory(const fs::path& directory) {
  const int descriptor = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool synced = descriptor >= 0 && ::fsync(descriptor) == 0;
  const int code = errno;
  if (descriptor >= 0) ::close(descriptor);
  if (synced) return {};
  return tl::unexpected(StorageError{StorageError::Kind::io, directory.string() + ": cannot sync the directory: " +
                                                                 std::generic_category().message(code)});
}

Result<void> prepare_new(const fs::path& directory) {
  std::error_code code;
  if (fs::exists(directory / "CURRENT", code) || fs::exists(directory / mark_file, code)) {
    return tl::unexpected(StorageError{StorageError::Kind::exists,
                                       directory.string() + ": holds a store already; remove it or choose another "
                                                            "directory, if you mean to start anew"});
  }
  fs::create_directories(directory, code);
  if (code) {
    return tl::unexpected(
        StorageError{code == std::errc::no_space_on_device ? StorageError::Kind::no_space : StorageError::Kind::io,
                     directory.string() + ": cannot create the directory: " + code.message()});
  }
  const fs::path parent = fs::absolute(directory).parent_path();
  return sync_directory(parent);
}

Result<void> check_present(const fs::path& directory) {
  std::error_code code;
  const auto missing = [&](const char* what) {
    return tl::unexpected(
        StorageError{StorageError::Kind::missing, directory.string() + ": " + what + "; " + create_or_leave_down});
  };
  const auto status = fs::status(directory, code);
  if (status.type() == fs::file_type::not_found) return missing("there is no store here");
  if (code) {
    return tl::unexpected(StorageError{StorageError::Kind::io, directory.string() + ": " + code.message()});
  }
  if (!fs::is_directory(status)) return missing("this is not a directory");
  if (fs::exists(directory / "CURRENT", code)) return {};
  for (fs::directory_iterator entry{directory, code}, end; !code && entry != end; entry.increment(code)) {
    const std::string name = entry->path().filename().string();
    if (name == mark_file || name.starts_with("MANIFEST-") || name.ends_with(".sst") || name.ends_with(".log")) {
      return tl::unexpected(StorageError{
          StorageError::Kind::corrupt,
          directory.string() + ": the store is corrupt: there is " + name + " but no file CURRENT; " + leave_down});
    }
  }
  return missing("the store is empty");
}

Result<void> check_families(const fs::path& directory, const rocksdb::DBOptions& options) {
  std::vector<std::string> names;
  const auto status = rocksdb::DB::ListColumnFamilies(options, directory.string(), &names);
  if (!status.ok()) return tl::unexpected(classify(status, directory.string()));
  std::set<std::string> unknown{names.begin(), names.end()};
  unknown.erase(rocksdb::kDefaultColumnFamilyName);
  for (std::size_t i = 0; i < family_count; ++i) {
    const std::string name = to_string(static_cast<Family>(i));
    if (unknown.erase(name) == 0) {
      return tl::unexpected(StorageError{StorageError::Kind::corrupt,
                                         directory.string() + ": family " + name + " is missing; " + leave_down});
    }
  }
  if (unknown.empty()) return {};
  return tl::unexpected(StorageError{StorageError::Kind::newer_format,
                                     directory.string() + ": has the family " + *unknown.begin() +
                                         " that this program does not know; run the newer program that wrote it"});
}

Result<std::shared_ptr<Engine>> open_database(const fs::path& directory, OpenMode mode, const RocksOptions& options) {
  const auto checked = mode == OpenMode::create ? prepare_new(directory) : check_present(directory);
  if (!checked) return tl::unexpected(checked.error());
  const auto settings = database_options(options, mode);
  if (mode == OpenMode::existing) {
    if (auto families = check_families(directory, settings); !families) return tl::unexpected(families.error());
  }
  const auto tables = table_factory(options);
  std::vector<rocksdb::ColumnFamilyDescriptor> descriptors;
  descriptors.emplace_back(rocksdb::kDefaultColumnFamilyName, rocksdb::ColumnFamilyOptions{});
  for (std::size_t i = 0; i < family_count; ++i) {
    const auto family = static_cast<Family>(i);
    descriptors.emplace_back(to_string(family), family_options(family, options, tables));
  }
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* opened = nullptr;
  const auto status = rocksdb::DB::Open(settings, directory.string(), descriptors, &handles, &opened);
  if (!status.ok()) return tl::unexpected(classify(status, directory.string()));
  auto engine = std::make_shared<RocksEngine>(directory.string(), std::unique_ptr<rocksdb::DB>{opened}, handles);

  auto mark =
      mode == OpenMode::create ? SyncedMark::create(directory / mark_file) : SyncedMark::open(directory / mark_file);
  if (!mark) return tl::unexpected(mark.error());
  if (auto followed = engine->follow(std::move(*mark)); !followed) return tl::unexpected(followed.error());
  if (mode == OpenMode::create) {
    if (auto synced = sync_directory(directory); !synced) return tl::unexpected(synced.error());
  }
  return engine;
}

}  // namespace

Result<std::shared_ptr<Engine>> open_rocksdb(const std::filesystem::path& directory, OpenMode mode,
                                             const RocksOptions& options) {
  try {
    return open_database(directory, mode, options);
  } catch (const std::exception& failure) {
    return tl::unexpected(StorageError{StorageError::Kind::io, directory.string() + ": " + failure.what()});
  }
}

}  // namespace pbft::storage
