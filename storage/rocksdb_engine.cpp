// What a database does once it is open.
#include "storage/rocksdb_engine.h"

#include <rocksdb/convenience.h>
#include <rocksdb/iterator.h>
#include <rocksdb/metadata.h>
#include <rocksdb/write_batch.h>

#include <mutex>

#include "storage/leave_down.h"
#include "storage/rocksdb_impl.h"

namespace pbft::storage {

namespace fs = std::filesystem;

namespace {

// What RocksDB calls it where the disk cannot read a sector: to it that is an I/O error.
constexpr std::string_view unreadable_sector = "Input/output error";

}  // namespace

StorageError classify(const rocksdb::Status& status, const std::string& where, std::optional<Family> family) {
  using Kind = StorageError::Kind;
  const std::string text = status.ToString();
  const bool unreadable = status.IsCorruption() || status.IsPathNotFound();
  if (family && is_repairable(*family) && (unreadable || text.find(unreadable_sector) != std::string::npos)) {
    return {Kind::damaged, where + ": family " + to_string(*family) + " is damaged (" + text + "); " + repair};
  }
  if (unreadable) return {Kind::corrupt, where + ": the store is corrupt (" + text + "); " + leave_down};
  // Before the lock: where the disk is full or read-only, that cannot be had either.
  if (auto disk = disk_error(status, where)) return *disk;
  if (status.IsIOError() && text.find("lock") != std::string::npos && text.find("LOCK") != std::string::npos) {
    return {Kind::locked, where + ": another process has the store open (" + text +
                              "); stop it: two processes with one replica's identity are a faulty replica"};
  }
  return io_error(status, where);
}

void BackgroundErrors::OnBackgroundError(rocksdb::BackgroundErrorReason, rocksdb::Status* status) {
  const std::lock_guard lock{mutex_};
  if (!first_) first_ = *status;
}

void BackgroundErrors::OnTableFileCreated(const rocksdb::TableFileCreationInfo& info) {
  if (info.reason != rocksdb::TableFileCreationReason::kCompaction || !info.status.IsIOError()) return;
  // What it read may have failed as well: that is no reason for RocksDB to go wrong, but for a note of the damage.
  const std::string text = info.status.ToString();
  const bool of_another_table = text.find(".sst") != std::string::npos &&
                                text.find(fs::path{info.file_path}.filename().string()) == std::string::npos;
  if (!of_another_table && on_failed_compaction_) on_failed_compaction_(classify(info.status, where_));
}

std::optional<rocksdb::Status> BackgroundErrors::first() const {
  const std::lock_guard lock{mutex_};
  return first_;
}

namespace {

class RocksIterator final : public Iterator {
 public:
  RocksIterator(rocksdb::DB& database, const rocksdb::Snapshot* snapshot, rocksdb::ColumnFamilyHandle* handle,
                Family family, BytesView from, BytesView to, const std::string& where)
      : end_(to.begin(), to.end()), end_slice_(slice(end_)), family_(family), where_(where) {
    rocksdb::ReadOptions options;
    options.snapshot = snapshot;
    if (!end_.empty()) options.iterate_upper_bound = &end_slice_;
    iterator_.reset(database.NewIterator(options, handle));
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
    if (const auto status = iterator_->status(); !status.ok()) {
      return tl::unexpected(classify(status, where_, family_));
    }
    return {};
  }

 private:
  Bytes end_;
  rocksdb::Slice end_slice_;
  Family family_;
  const std::string& where_;  // the engine's
  std::unique_ptr<rocksdb::Iterator> iterator_;
};

// Of a family that is not there.
class FailedIterator final : public Iterator {
 public:
  explicit FailedIterator(StorageError error) : error_(std::move(error)) {}
  [[nodiscard]] bool valid() const override { return false; }
  void next() override {}
  [[nodiscard]] BytesView key() const override { return {}; }
  [[nodiscard]] BytesView value() const override { return {}; }
  [[nodiscard]] Result<void> status() const override { return tl::unexpected(error_); }

 private:
  StorageError error_;
};

class RocksSnapshot final : public Reader {
 public:
  RocksSnapshot(const RocksEngine& engine, std::shared_ptr<rocksdb::DB> database)
      : engine_(engine), database_(std::move(database)), snapshot_(database_->GetSnapshot()) {}
  ~RocksSnapshot() override { database_->ReleaseSnapshot(snapshot_); }
  RocksSnapshot(const RocksSnapshot&) = delete;
  RocksSnapshot& operator=(const RocksSnapshot&) = delete;

  [[nodiscard]] Result<std::optional<Bytes>> get(Family family, BytesView key) const override {
    return engine_.get_at(snapshot_, family, key);
  }
  [[nodiscard]] Result<std::vector<std::optional<Bytes>>> get_many(Family family,
                                                                   const std::vector<BytesView>& keys) const override {
    return engine_.get_many_at(snapshot_, family, keys);
  }
  [[nodiscard]] std::unique_ptr<Iterator> scan(Family family, BytesView from, BytesView to) const override {
    return engine_.scan_at(snapshot_, family, from, to);
  }

 private:
  const RocksEngine& engine_;
  std::shared_ptr<rocksdb::DB> database_;
  const rocksdb::Snapshot* snapshot_;
};

}  // namespace

RocksEngine::RocksEngine(std::string where, Files files, Opened opened, bool damage_noted)
    : where_(std::move(where)),
      files_(std::move(files)),
      background_(std::move(opened.background)),
      database_(std::move(opened.database)),
      options_(std::move(opened.options)),
      handles_(std::move(opened.handles)),
      damage_noted_(damage_noted) {}

RocksEngine::~RocksEngine() {
  for (FamilyHandle& one : handles_) one.reset();
  static_cast<void>(database_->Close());
}

// ---- Reading --------------------------------------------------------------------------------------------

FamilyHandle RocksEngine::handle(Family family) const {
  const std::shared_lock lock{handles_mutex_};
  return handles_[static_cast<std::size_t>(family)];
}

StorageError RocksEngine::missing(Family family) const {
  return {StorageError::Kind::damaged, where_ + ": family " + to_string(family) + " is missing; " + repair};
}

Result<std::optional<Bytes>> RocksEngine::get_at(const rocksdb::Snapshot* at, Family family, BytesView key) const {
  const FamilyHandle of = handle(family);
  if (!of) return tl::unexpected(missing(family));
  rocksdb::ReadOptions options;
  options.snapshot = at;
  rocksdb::PinnableSlice value;
  const auto status = database_->Get(options, of.get(), slice(key), &value);
  if (status.IsNotFound()) return std::nullopt;
  if (!status.ok()) return tl::unexpected(classify(status, where_, family));
  const BytesView bytes = view(value);
  return Bytes{bytes.begin(), bytes.end()};
}

std::unique_ptr<Iterator> RocksEngine::scan_at(const rocksdb::Snapshot* at, Family family, BytesView from,
                                               BytesView to) const {
  const FamilyHandle of = handle(family);
  if (!of) return std::make_unique<FailedIterator>(missing(family));
  return std::make_unique<RocksIterator>(*database_, at, of.get(), family, from, to, where_);
}

Result<std::optional<Bytes>> RocksEngine::get(Family family, BytesView key) const {
  return get_at(nullptr, family, key);
}

Result<std::vector<std::optional<Bytes>>> RocksEngine::get_many_at(const rocksdb::Snapshot* at, Family family,
                                                                   const std::vector<BytesView>& keys) const {
  const FamilyHandle of = handle(family);
  if (!of) return tl::unexpected(missing(family));
  std::vector<rocksdb::Slice> wanted;
  for (const BytesView key : keys) wanted.push_back(slice(key));
  std::vector<rocksdb::PinnableSlice> values(keys.size());
  std::vector<rocksdb::Status> statuses(keys.size());
  constexpr bool sorted = true;
  rocksdb::ReadOptions options;
  options.snapshot = at;
  database_->MultiGet(options, of.get(), keys.size(), wanted.data(), values.data(), statuses.data(), sorted);
  std::vector<std::optional<Bytes>> found(keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (statuses[i].IsNotFound()) continue;
    if (!statuses[i].ok()) return tl::unexpected(classify(statuses[i], where_, family));
    const BytesView bytes = view(values[i]);
    found[i].emplace(bytes.begin(), bytes.end());
  }
  return found;
}

Result<std::vector<std::optional<Bytes>>> RocksEngine::get_many(Family family,
                                                                const std::vector<BytesView>& keys) const {
  return get_many_at(nullptr, family, keys);
}

std::unique_ptr<Iterator> RocksEngine::scan(Family family, BytesView from, BytesView to) const {
  return scan_at(nullptr, family, from, to);
}

std::shared_ptr<const Reader> RocksEngine::snapshot() const {
  return std::make_shared<RocksSnapshot>(*this, database_);
}

// ---- Writing --------------------------------------------------------------------------------------------

Result<void> RocksEngine::write(const WriteBatch& batch, Sync sync) {
  if (failure_) return tl::unexpected(*failure_);
  auto written = perform(batch, sync);
  if (!written) {
    failure_ = written.error();
    // A compaction that met a bad block has ended all writing. It would do so again, were it not held back.
    if (failure_->kind == StorageError::Kind::damaged) static_cast<void>(set_note(true));
  }
  return written;
}

namespace {

rocksdb::Status add(rocksdb::WriteBatch& batch, rocksdb::ColumnFamilyHandle* to,
                    const WriteBatch::Operation& operation) {
  const rocksdb::Slice key = slice(operation.key);
  const rocksdb::Slice value = slice(operation.value);
  switch (operation.kind) {
    case WriteBatch::Operation::Kind::put:
      return batch.Put(to, key, value);
    case WriteBatch::Operation::Kind::erase:
      return batch.Delete(to, key);
    case WriteBatch::Operation::Kind::erase_range:
      break;
  }
  return key.compare(value) < 0 ? batch.DeleteRange(to, key, value) : rocksdb::Status::OK();
}

}  // namespace

Result<void> RocksEngine::perform(const WriteBatch& batch, Sync sync) {
  if (const auto failed = background_->first()) return tl::unexpected(blame(*failed));
  constexpr std::size_t most_kept_bytes = 8U << 20;
  rocksdb::WriteBatch& operations = operations_;
  if (operations.Data().capacity() > most_kept_bytes) operations = rocksdb::WriteBatch{};
  operations.Clear();
  for (const WriteBatch::Operation& operation : batch) {
    const FamilyHandle of = handle(operation.family);
    if (!of) return tl::unexpected(missing(operation.family));
    if (auto status = add(operations, of.get(), operation); !status.ok()) {
      return tl::unexpected(classify(status, where_));
    }
  }
  rocksdb::WriteOptions options;
  options.sync = sync == Sync::durable && operations.Count() > 0;
  auto status = database_->Write(options, &operations);
  if (status.ok() && sync == Sync::durable && operations.Count() == 0) status = database_->SyncWAL();
  if (!status.ok()) return tl::unexpected(blame(status));
  if (sync == Sync::durable) return mark_->set(database_->GetLatestSequenceNumber());
  return {};
}

// A write fails with what a compaction has found earlier. RocksDB names the file, and so the family.
StorageError RocksEngine::blame(const rocksdb::Status& status) const {
  const std::string text = status.ToString();
  if (!status.IsCorruption() && text.find(unreadable_sector) == std::string::npos) return classify(status, where_);
  std::vector<rocksdb::LiveFileMetaData> files;
  database_->GetLiveFilesMetaData(&files);
  for (const rocksdb::LiveFileMetaData& file : files) {
    if (text.find(file.name) == std::string::npos) continue;
    for (const Family family : repairable_families) {
      if (file.column_family_name == to_string(family)) return classify(status, where_, family);
    }
  }
  return classify(status, where_);
}

Result<void> RocksEngine::follow(std::unique_ptr<SyncedMark> mark) {
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

// ---- Damage ---------------------------------------------------------------------------------------------

Result<void> RocksEngine::set_note(bool noted) {
  const fs::path directory{where_};
  const fs::path file = directory / damage_file;
  if (auto done = noted ? files_.create(file, {}) : files_.remove(file); !done) return done;
  damage_noted_ = noted;
  return files_.sync_directory(directory);
}

Result<void> RocksEngine::hold_compactions(bool hold) {
  for (const Family family : repairable_families) {
    const FamilyHandle of = handle(family);
    if (!of) continue;
    const auto status = database_->SetOptions(of.get(), {{"disable_auto_compactions", hold ? "true" : "false"}});
    if (!status.ok()) return tl::unexpected(classify(status, where_));
  }
  return {};
}

Result<void> RocksEngine::note_damage() {
  if (auto noted = set_note(true); !noted) return noted;
  return hold_compactions(true);
}

Result<void> RocksEngine::forget_damage() {
  if (failure_) return tl::unexpected(*failure_);
  if (auto held = hold_compactions(false); !held) return held;
  return set_note(false);
}

Result<void> RocksEngine::make_anew(Family family) {
  const std::unique_lock lock{handles_mutex_};
  FamilyHandle& of = handles_[static_cast<std::size_t>(family)];
  if (of) {
    if (const auto status = database_->DropColumnFamily(of.get()); !status.ok()) {
      return tl::unexpected(classify(status, where_));
    }
    of.reset();
  }
  rocksdb::ColumnFamilyOptions options = options_[static_cast<std::size_t>(family)];
  options.disable_auto_compactions = damage_noted_;
  rocksdb::ColumnFamilyHandle* made = nullptr;
  if (const auto status = database_->CreateColumnFamily(options, to_string(family), &made); !status.ok()) {
    return tl::unexpected(classify(status, where_));
  }
  of = owned(database_, made);
  return {};
}

// Files of the first level stay, since others may be older: as much as waits for a compaction in any case.
Result<void> RocksEngine::reclaim(Family family) {
  if (failure_) return tl::unexpected(*failure_);
  const FamilyHandle of = handle(family);
  if (!of) return tl::unexpected(missing(family));
  const auto status = rocksdb::DeleteFilesInRange(database_.get(), of.get(), nullptr, nullptr);
  if (status.ok()) return {};
  failure_ = blame(status);
  return tl::unexpected(*failure_);
}

Result<void> RocksEngine::reset(const std::vector<Family>& families) {
  if (failure_) return tl::unexpected(*failure_);
  for (const Family family : families) {
    if (auto made = make_anew(family); !made) {
      failure_ = made.error();
      return made;
    }
  }
  return {};
}

}  // namespace pbft::storage
