// cluster_damage: what a bad disk does to the store of a replica that is not running.
//   cluster_damage DATA value KEY VALUE    another value under a key of the application's state
//   cluster_damage DATA block              a flipped bit in the first data block of the largest file of that state
#include <fmt/format.h>
#include <rocksdb/db.h>

#include <fstream>
#include <string>
#include <vector>

#include "storage/rocksdb_engine.h"

namespace pbft {
namespace {

namespace fs = std::filesystem;

int fail(const std::string& why) {
  fmt::print(stderr, "cluster_damage: {}\n", why);
  return 1;
}

Bytes to_bytes(std::string_view text) {
  const BytesView view = as_bytes(text);
  return {view.begin(), view.end()};
}

// No undo record, no ledger entry, no digest: nothing but the value.
int change_value(const fs::path& data, const std::string& key, const std::string& value) {
  auto engine = storage::open_rocksdb(data, storage::OpenMode::existing);
  if (!engine) return fail(engine.error().message);
  const auto before = (*engine)->get(storage::Family::state, as_bytes(key));
  if (!before) return fail(before.error().message);
  if (!*before) return fail("there is no key " + key);
  storage::WriteBatch batch;
  batch.put(storage::Family::state, to_bytes(key), to_bytes(value));
  if (auto written = (*engine)->write(batch, storage::Sync::durable); !written) return fail(written.error().message);
  return 0;
}

class Database {
 public:
  explicit Database(const fs::path& data) {
    std::vector<std::string> names;
    status_ = rocksdb::DB::ListColumnFamilies({}, data.string(), &names);
    if (!status_.ok()) return;
    std::vector<rocksdb::ColumnFamilyDescriptor> families;
    for (const std::string& name : names) families.emplace_back(name, rocksdb::ColumnFamilyOptions{});
    rocksdb::DB* opened = nullptr;
    status_ = rocksdb::DB::Open({}, data.string(), families, &handles_, &opened);
    database_.reset(opened);
  }
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  ~Database() {
    for (auto* handle : handles_) static_cast<void>(database_->DestroyColumnFamilyHandle(handle));
  }

  // Moves all of the family into files, and gives the largest.
  [[nodiscard]] rocksdb::Status compact(const std::string& family, std::string& largest) {
    for (auto* handle : handles_) {
      if (!status_.ok() || handle->GetName() != family) continue;
      status_ = database_->Flush({}, handle);
      rocksdb::CompactRangeOptions options;
      options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForce;
      if (status_.ok()) status_ = database_->CompactRange(options, handle, nullptr, nullptr);
    }
    if (!status_.ok()) return status_;
    std::vector<rocksdb::LiveFileMetaData> files;
    database_->GetLiveFilesMetaData(&files);
    std::size_t size = 0;
    for (const auto& file : files) {
      if (file.column_family_name != family || file.size <= size) continue;
      size = file.size;
      largest = file.name.substr(1);
    }
    return status_;
  }

 private:
  rocksdb::Status status_;
  std::vector<rocksdb::ColumnFamilyHandle*> handles_;
  std::unique_ptr<rocksdb::DB> database_;
};

int flip_bit(const fs::path& data) {
  constexpr std::streamoff offset = 300;  // in the first block: data blocks have 4 KiB, and stand before all others
  std::string file;
  {
    Database database{data};
    const auto status = database.compact(storage::to_string(storage::Family::state), file);
    if (!status.ok()) return fail(status.ToString());
  }
  if (file.empty()) return fail("the state has no file: nothing was written yet");
  std::fstream stream{data / file, std::ios::in | std::ios::out | std::ios::binary};
  stream.seekg(offset);
  const int byte = stream.get();
  stream.seekp(offset);
  stream.put(static_cast<char>(byte ^ 0x10));
  stream.close();
  return stream && byte >= 0 ? 0 : fail(file + " cannot be changed");
}

int run(const std::vector<std::string>& arguments) {
  if (arguments.size() == 4 && arguments[1] == "value") return change_value(arguments[0], arguments[2], arguments[3]);
  if (arguments.size() == 2 && arguments[1] == "block") return flip_bit(arguments[0]);
  return fail("usage: cluster_damage DATA value KEY VALUE | cluster_damage DATA block");
}

}  // namespace
}  // namespace pbft

int main(int argc, char** argv) {
  return pbft::run({argv + 1, argv + argc});
}
