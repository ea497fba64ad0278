#include "storage/rocksdb_files.h"

namespace pbft::storage {

namespace fs = std::filesystem;

std::optional<StorageError> disk_error(const rocksdb::Status& status, const std::string& where) {
  using Kind = StorageError::Kind;
  const std::string text = status.ToString();
  const auto says = [&](const char* what) { return text.find(what) != std::string::npos; };
  if (status.IsNoSpace() || says("No space left") || says("Disk quota exceeded")) {
    return StorageError{Kind::no_space, where + ": the disk is full (" + text +
                                            "); make room and start again: nothing that was promised is lost"};
  }
  if (says("Read-only file system")) {
    return StorageError{
        Kind::io, where + ": the disk cannot be written (" + text +
                      "); it is mounted read-only, as the operating system does after an error: look for that one, "
                      "mount it for writing and start again"};
  }
  if (says("Input/output error")) {
    return StorageError{Kind::io,
                        where + ": the disk failed (" + text +
                            "); see what the operating system says of it (dmesg) before starting again: what it has "
                            "lost is found then, or by the scrub"};
  }
  return std::nullopt;
}

StorageError io_error(const rocksdb::Status& status, const std::string& where) {
  if (auto known = disk_error(status, where)) return *known;
  return {StorageError::Kind::io, where + ": " + status.ToString()};
}

namespace {

Result<void> checked(const rocksdb::IOStatus& status, const fs::path& path, const char* what) {
  if (status.ok()) return {};
  return tl::unexpected(io_error(status, path.string() + ": cannot " + what));
}

}  // namespace

Files::Files(rocksdb::Env* environment)
    : system_((environment != nullptr ? environment : rocksdb::Env::Default())->GetFileSystem()) {}

bool Files::exists(const fs::path& path) const {
  return system_->FileExists(path.string(), {}, nullptr).ok();
}

Result<Files::Presence> Files::look(const fs::path& path) const {
  bool is_directory = false;
  const auto status = system_->IsDirectory(path.string(), {}, &is_directory, nullptr);
  if (status.IsNotFound() || status.IsPathNotFound()) return Presence::missing;
  if (auto looked = checked(status, path, "look at it"); !looked) return tl::unexpected(looked.error());
  return is_directory ? Presence::directory : Presence::file;
}

std::vector<std::string> Files::children(const fs::path& directory) const {
  std::vector<std::string> names;
  if (!system_->GetChildren(directory.string(), {}, &names, nullptr).ok()) names.clear();
  return names;
}

Result<void> Files::create_directories(const fs::path& directory) const {
  const fs::path whole = fs::absolute(directory).lexically_normal();
  const fs::path parent = whole.parent_path();
  if (parent != whole && !exists(parent)) {
    if (auto above = create_directories(parent); !above) return above;
  }
  auto made = checked(system_->CreateDirIfMissing(whole.string(), {}, nullptr), whole, "create the directory");
  if (!made || parent == whole) return made;
  return sync_directory(parent);
}

Result<void> Files::sync_directory(const fs::path& directory) const {
  std::unique_ptr<rocksdb::FSDirectory> opened;
  auto status = system_->NewDirectory(directory.string(), {}, &opened, nullptr);
  if (status.ok()) status = opened->Fsync({}, nullptr);
  return checked(status, directory, "sync the directory");
}

Result<void> Files::create(const fs::path& file, BytesView content) const {
  std::unique_ptr<rocksdb::FSWritableFile> made;
  auto status = system_->NewWritableFile(file.string(), {}, &made, nullptr);
  const rocksdb::Slice bytes{reinterpret_cast<const char*>(content.data()), content.size()};
  if (status.ok() && !content.empty()) status = made->Append(bytes, {}, nullptr);
  if (status.ok()) status = made->Sync({}, nullptr);
  if (status.ok()) status = made->Close({}, nullptr);
  return checked(status, file, "create");
}

Result<void> Files::remove(const fs::path& file) const {
  if (!exists(file)) return {};
  return checked(system_->DeleteFile(file.string(), {}, nullptr), file, "remove");
}

Result<std::unique_ptr<rocksdb::FSRandomRWFile>> Files::open(const fs::path& file) const {
  std::unique_ptr<rocksdb::FSRandomRWFile> opened;
  auto done = checked(system_->NewRandomRWFile(file.string(), {}, &opened, nullptr), file, "open");
  if (!done) return tl::unexpected(done.error());
  return opened;
}

void Files::move_away(const fs::path& from, const fs::path& to) const {
  if (exists(from)) system_->RenameFile(from.string(), to.string(), {}, nullptr).PermitUncheckedError();
}

std::unique_ptr<rocksdb::FSWritableFile> Files::begin(const fs::path& file) const {
  std::unique_ptr<rocksdb::FSWritableFile> made;
  if (!system_->NewWritableFile(file.string(), {}, &made, nullptr).ok()) made.reset();
  return made;
}

}  // namespace pbft::storage
