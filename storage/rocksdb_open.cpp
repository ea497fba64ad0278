// How a database is opened, and what is refused.
#include <rocksdb/cache.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>

#include <set>

#include "storage/leave_down.h"
#include "storage/rocksdb_impl.h"
#include "storage/rocksdb_log.h"

namespace pbft::storage {
namespace {

namespace fs = std::filesystem;

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
  made.stats_dump_period_sec = 0;
  made.stats_persist_period_sec = 0;
  made.max_bgerror_resume_count = 0;  // see BackgroundErrors
  return made;
}

rocksdb::ColumnFamilyOptions family_options(Family family, const RocksOptions& options,
                                            const std::shared_ptr<rocksdb::TableFactory>& tables) {
  rocksdb::ColumnFamilyOptions made;
  made.write_buffer_size = options.write_buffer_bytes;
  made.level_compaction_dynamic_level_bytes = true;
  made.table_factory = tables;
  // Undo is gone before it would be read, and mostly before it would be written to a table.
  const bool large = family == Family::batches || family == Family::ledger || family == Family::state ||
                     family == Family::clients || family == Family::buckets || family == Family::staging;
  made.compression = large ? rocksdb::kLZ4Compression : rocksdb::kNoCompression;
  // These are asked for keys that mostly are not there.
  if (family == Family::state || family == Family::journal) {
    made.memtable_whole_key_filtering = true;
    made.memtable_prefix_bloom_size_ratio = 0.02;
  }
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

Result<void> prepare_new(const Files& files, const fs::path& directory) {
  if (files.exists(directory / "CURRENT") || files.exists(directory / mark_file)) {
    return tl::unexpected(StorageError{StorageError::Kind::exists,
                                       directory.string() + ": holds a store already; remove it or choose another "
                                                            "directory, if you mean to start anew"});
  }
  return files.create_directories(directory);
}

// What a call that did not come to its end has left goes; RocksDB's lock shows whether it still runs.
Result<void> clear_unfinished(const Files& files, const fs::path& directory, const RocksOptions& options) {
  rocksdb::Env* env = options.env != nullptr ? options.env : rocksdb::Env::Default();
  const std::string lock_path = (directory / lock_file).string();
  rocksdb::FileLock* lock = nullptr;
  if (const auto status = env->LockFile(lock_path, &lock); !status.ok()) {
    return tl::unexpected(classify(status, directory.string()));
  }
  Result<void> done;
  for (const std::string& name : files.children(directory)) {
    if (name == "." || name == ".." || name == lock_file || name == unfinished_file) continue;
    if (done = files.remove(directory / name); !done) break;
  }
  env->UnlockFile(lock);
  return done;
}

Result<void> begin_store(const Files& files, const fs::path& directory, const RocksOptions& options) {
  if (files.exists(directory / unfinished_file)) return clear_unfinished(files, directory, options);
  if (auto prepared = prepare_new(files, directory); !prepared) return prepared;
  if (auto made = files.create(directory / unfinished_file, {}); !made) return made;
  return files.sync_directory(directory);
}

Result<void> check_present(const Files& files, const fs::path& directory) {
  const auto missing = [&](const char* what) {
    return tl::unexpected(
        StorageError{StorageError::Kind::missing, directory.string() + ": " + what + "; " + create_or_leave_down});
  };
  const auto presence = files.look(directory);
  if (!presence) return tl::unexpected(presence.error());
  if (*presence == Files::Presence::missing) return missing("there is no store here");
  if (*presence == Files::Presence::file) return missing("this is not a directory");
  if (files.exists(directory / unfinished_file)) {
    return tl::unexpected(StorageError{StorageError::Kind::missing, directory.string() + ": " + unfinished_store});
  }
  if (files.exists(directory / "CURRENT")) return {};
  for (const std::string& name : files.children(directory)) {
    if (name == mark_file || name.starts_with("MANIFEST-") || name.ends_with(".sst") || name.ends_with(".log")) {
      return tl::unexpected(StorageError{
          StorageError::Kind::corrupt,
          directory.string() + ": the store is corrupt: there is " + name + " but no file CURRENT; " + leave_down});
    }
  }
  return missing("the store is empty");
}

// The families that are there. Missing may be one that reset was about to make anew when the process ended.
Result<std::set<std::string>> check_families(const fs::path& directory, const rocksdb::DBOptions& options) {
  std::vector<std::string> names;
  const auto status = rocksdb::DB::ListColumnFamilies(options, directory.string(), &names);
  if (!status.ok()) return tl::unexpected(classify(status, directory.string()));
  const std::set<std::string> present{names.begin(), names.end()};
  std::set<std::string> unknown = present;
  unknown.erase(rocksdb::kDefaultColumnFamilyName);
  std::optional<Family> lost;
  for (std::size_t i = 0; i < family_count; ++i) {
    const auto family = static_cast<Family>(i);
    if (unknown.erase(to_string(family)) == 0 && !is_repairable(family) && !lost) lost = family;
  }
  const auto refuse = [&](StorageError::Kind kind, const std::string& what) {
    return tl::unexpected(StorageError{kind, directory.string() + ": " + what});
  };
  if (!unknown.empty()) {
    return refuse(StorageError::Kind::newer_format, "has the family " + *unknown.begin() +
                                                        " that this program does not know; run the newer program that "
                                                        "wrote it");
  }
  if (!present.contains(to_string(Family::staging)) && !present.contains(to_string(Family::buckets))) {
    return refuse(StorageError::Kind::older_format, std::string{"has no families buckets and staging: "} + older_store);
  }
  if (lost) {
    return refuse(StorageError::Kind::corrupt,
                  "family " + std::string{to_string(*lost)} + " is missing; " + leave_down);
  }
  return present;
}

Result<std::shared_ptr<Engine>> open_database(const fs::path& directory, OpenMode mode, const RocksOptions& options) {
  const Files files{options.env};
  const auto checked = mode == OpenMode::create ? prepare_new(files, directory) : check_present(files, directory);
  if (!checked) return tl::unexpected(checked.error());
  auto settings = database_options(options, mode);
  const auto background = std::make_shared<BackgroundErrors>(directory.string(), options.on_failed_compaction);
  settings.listeners.push_back(background);
  settings.info_log = std::make_shared<InfoLog>(files, directory);
  std::set<std::string> present;
  if (mode == OpenMode::existing) {
    auto families = check_families(directory, settings);
    if (!families) return tl::unexpected(families.error());
    present = std::move(*families);
  }
  const bool damage_noted = files.exists(directory / damage_file);
  const auto tables = table_factory(options);
  std::vector<rocksdb::ColumnFamilyDescriptor> descriptors;
  descriptors.emplace_back(rocksdb::kDefaultColumnFamilyName, rocksdb::ColumnFamilyOptions{});
  FamilyOptions made;
  std::vector<std::size_t> opened_families;
  for (std::size_t i = 0; i < family_count; ++i) {
    const auto family = static_cast<Family>(i);
    made[i] = family_options(family, options, tables);
    made[i].disable_auto_compactions = damage_noted && is_repairable(family);
    if (mode == OpenMode::existing && !present.contains(to_string(family))) continue;
    descriptors.emplace_back(to_string(family), made[i]);
    opened_families.push_back(i);
  }
  std::vector<rocksdb::ColumnFamilyHandle*> opened_handles;
  rocksdb::DB* opened = nullptr;
  const auto status = rocksdb::DB::Open(settings, directory.string(), descriptors, &opened_handles, &opened);
  if (!status.ok()) return tl::unexpected(classify(status, directory.string()));
  const std::shared_ptr<rocksdb::DB> database{opened};
  FamilyHandles handles;
  owned(database, opened_handles.front()).reset();  // "default" is not used
  for (std::size_t i = 0; i < opened_families.size(); ++i) {
    handles[opened_families[i]] = owned(database, opened_handles[i + 1]);
  }
  auto engine = std::make_shared<RocksEngine>(
      directory.string(), files, RocksEngine::Opened{database, std::move(handles), std::move(made), background},
      damage_noted);

  const fs::path mark_path = directory / mark_file;
  auto mark = mode == OpenMode::create ? SyncedMark::create(files, mark_path) : SyncedMark::open(files, mark_path);
  if (!mark) return tl::unexpected(mark.error());
  if (auto followed = engine->follow(std::move(*mark)); !followed) return tl::unexpected(followed.error());
  if (mode == OpenMode::create) {
    if (auto synced = files.sync_directory(directory); !synced) return tl::unexpected(synced.error());
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

Result<void> create_store(const std::filesystem::path& directory, const StoreIdentity& identity, bool forgot,
                          const RocksOptions& options) {
  const Files files{options.env};
  if (auto begun = begin_store(files, directory, options); !begun) return begun;
  {
    auto engine = open_rocksdb(directory, OpenMode::create, options);
    if (!engine) return tl::unexpected(engine.error());
    if (auto made = Store::create(**engine, identity, forgot); !made) return made;
  }
  if (auto done = files.remove(directory / unfinished_file); !done) return done;
  return files.sync_directory(directory);
}

}  // namespace pbft::storage
