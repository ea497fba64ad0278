#include "tools/sim/volume_files.h"

#include <rocksdb/file_system.h>

#include <algorithm>

namespace pbft::sim {
namespace {

using rocksdb::FileOptions;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;
using VolumePtr = std::shared_ptr<Volume>;

// In the words of the operating system, as RocksDB's own file system has them.
IOStatus status_of(Volume::Outcome outcome, const std::string& what, const std::string& name) {
  const std::string doing = "While " + what + ": " + name;
  switch (outcome) {
    case Volume::Outcome::done:
      return IOStatus::OK();
    case Volume::Outcome::missing:
      return IOStatus::PathNotFound(doing, "No such file or directory");
    case Volume::Outcome::no_space: {
      IOStatus status = IOStatus::NoSpace(doing, "No space left on device");
      status.SetRetryable(true);
      return status;
    }
    case Volume::Outcome::io:
      break;
  }
  return IOStatus::IOError(doing, "Input/output error");
}

std::string_view view(const Slice& slice) {
  return {slice.data(), slice.size()};
}

// Puts what was read where the caller wants it.
IOStatus give(const std::string& bytes, Slice* result, char* scratch) {
  std::copy(bytes.begin(), bytes.end(), scratch);
  *result = Slice{scratch, bytes.size()};
  return IOStatus::OK();
}

class Handle {
 public:
  Handle(VolumePtr volume, Volume::FilePtr file, std::string name)
      : volume_(std::move(volume)), file_(std::move(file)), name_(std::move(name)) {}

 protected:
  [[nodiscard]] IOStatus append(const Slice& data) const {
    return status_of(volume_->append(*file_, view(data)), "appending to file", name_);
  }
  [[nodiscard]] IOStatus sync() const { return status_of(volume_->sync(*file_), "syncing file", name_); }

  VolumePtr volume_;
  Volume::FilePtr file_;
  std::string name_;
};

class Sequential final : public rocksdb::FSSequentialFile, Handle {
 public:
  using Handle::Handle;
  IOStatus Read(size_t n, const IOOptions&, Slice* result, char* scratch, IODebugContext*) override {
    const std::string bytes = volume_->read(*file_, at_, n);
    at_ += bytes.size();
    return give(bytes, result, scratch);
  }
  IOStatus Skip(uint64_t n) override {
    at_ += n;
    return IOStatus::OK();
  }

 private:
  std::size_t at_ = 0;
};

class RandomAccess final : public rocksdb::FSRandomAccessFile, Handle {
 public:
  using Handle::Handle;
  IOStatus Read(uint64_t offset, size_t n, const IOOptions&, Slice* result, char* scratch,
                IODebugContext*) const override {
    return give(volume_->read(*file_, offset, n), result, scratch);
  }
};

class Writable final : public rocksdb::FSWritableFile, Handle {
 public:
  using Handle::Handle;
  using rocksdb::FSWritableFile::Append;
  IOStatus Append(const Slice& data, const IOOptions&, IODebugContext*) override { return append(data); }
  IOStatus Truncate(uint64_t size, const IOOptions&, IODebugContext*) override {
    return status_of(volume_->truncate(*file_, size), "truncating file", name_);
  }
  IOStatus Close(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus Flush(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus Sync(const IOOptions&, IODebugContext*) override { return sync(); }
  bool IsSyncThreadSafe() const override { return true; }
  uint64_t GetFileSize(const IOOptions&, IODebugContext*) override { return volume_->size(*file_); }
};

class RandomWritable final : public rocksdb::FSRandomRWFile, Handle {
 public:
  using Handle::Handle;
  IOStatus Write(uint64_t offset, const Slice& data, const IOOptions&, IODebugContext*) override {
    return status_of(volume_->write(*file_, offset, view(data)), "writing to file", name_);
  }
  IOStatus Read(uint64_t offset, size_t n, const IOOptions&, Slice* result, char* scratch,
                IODebugContext*) const override {
    return give(volume_->read(*file_, offset, n), result, scratch);
  }
  IOStatus Flush(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus Sync(const IOOptions&, IODebugContext*) override { return sync(); }
  IOStatus Close(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
};

class Directory final : public rocksdb::FSDirectory {
 public:
  Directory(VolumePtr volume, std::string name) : volume_(std::move(volume)), name_(std::move(name)) {}
  IOStatus Fsync(const IOOptions&, IODebugContext*) override {
    return status_of(volume_->sync_directory(name_), "syncing directory", name_);
  }

 private:
  VolumePtr volume_;
  std::string name_;
};

class Lock final : public rocksdb::FileLock {
 public:
  explicit Lock(std::string held) : path(std::move(held)) {}
  const std::string path;
};

class Files final : public rocksdb::FileSystem {
 public:
  explicit Files(VolumePtr volume) : volume_(std::move(volume)) {}
  const char* Name() const override { return "Volume"; }

  IOStatus NewSequentialFile(const std::string& path, const FileOptions&,
                             std::unique_ptr<rocksdb::FSSequentialFile>* made, IODebugContext*) override {
    return open<Sequential>(path, made);
  }
  IOStatus NewRandomAccessFile(const std::string& path, const FileOptions&,
                               std::unique_ptr<rocksdb::FSRandomAccessFile>* made, IODebugContext*) override {
    return open<RandomAccess>(path, made);
  }
  IOStatus NewWritableFile(const std::string& path, const FileOptions&, std::unique_ptr<rocksdb::FSWritableFile>* made,
                           IODebugContext*) override {
    Volume::FilePtr file;
    const IOStatus status = status_of(volume_->create(path, file), "making file", path);
    if (status.ok()) *made = std::make_unique<Writable>(volume_, std::move(file), path);
    return status;
  }
  IOStatus ReopenWritableFile(const std::string& path, const FileOptions& options,
                              std::unique_ptr<rocksdb::FSWritableFile>* made, IODebugContext* context) override {
    if (!volume_->open(path)) return NewWritableFile(path, options, made, context);
    return open<Writable>(path, made);
  }
  IOStatus NewRandomRWFile(const std::string& path, const FileOptions&, std::unique_ptr<rocksdb::FSRandomRWFile>* made,
                           IODebugContext*) override {
    return open<RandomWritable>(path, made);
  }
  IOStatus NewDirectory(const std::string& path, const IOOptions&, std::unique_ptr<rocksdb::FSDirectory>* made,
                        IODebugContext*) override {
    if (!volume_->is_directory(path)) return status_of(Volume::Outcome::missing, "opening directory", path);
    *made = std::make_unique<Directory>(volume_, path);
    return IOStatus::OK();
  }

  IOStatus FileExists(const std::string& path, const IOOptions&, IODebugContext*) override {
    return volume_->open(path) || volume_->is_directory(path) ? IOStatus::OK() : IOStatus::NotFound();
  }
  IOStatus GetChildren(const std::string& path, const IOOptions&, std::vector<std::string>* names,
                       IODebugContext*) override {
    if (!volume_->is_directory(path)) return IOStatus::NotFound();
    *names = volume_->children(path);
    return IOStatus::OK();
  }
  IOStatus DeleteFile(const std::string& path, const IOOptions&, IODebugContext*) override {
    return status_of(volume_->remove(path), "removing file", path);
  }
  IOStatus CreateDir(const std::string& path, const IOOptions& options, IODebugContext* context) override {
    return CreateDirIfMissing(path, options, context);
  }
  IOStatus CreateDirIfMissing(const std::string& path, const IOOptions&, IODebugContext*) override {
    volume_->make_directory(path);
    return IOStatus::OK();
  }
  IOStatus DeleteDir(const std::string&, const IOOptions&, IODebugContext*) override {
    return IOStatus::NotSupported();
  }
  IOStatus GetFileSize(const std::string& path, const IOOptions&, uint64_t* size, IODebugContext*) override {
    const auto file = volume_->open(path);
    if (!file) return status_of(Volume::Outcome::missing, "looking at file", path);
    *size = volume_->size(*file);
    return IOStatus::OK();
  }
  IOStatus GetFileModificationTime(const std::string&, const IOOptions&, uint64_t* time, IODebugContext*) override {
    *time = 0;
    return IOStatus::OK();
  }
  IOStatus RenameFile(const std::string& from, const std::string& to, const IOOptions&, IODebugContext*) override {
    return status_of(volume_->rename(from, to), "renaming file to " + to, from);
  }
  IOStatus LinkFile(const std::string& from, const std::string& to, const IOOptions&, IODebugContext*) override {
    return status_of(volume_->link(from, to), "linking file to " + to, from);
  }
  IOStatus LockFile(const std::string& path, const IOOptions&, rocksdb::FileLock** lock, IODebugContext*) override {
    if (!volume_->lock(path)) return IOStatus::IOError("lock hold by current process: " + path, "LOCK");
    *lock = new Lock{path};
    return IOStatus::OK();
  }
  IOStatus UnlockFile(rocksdb::FileLock* lock, const IOOptions&, IODebugContext*) override {
    const std::unique_ptr<Lock> held{static_cast<Lock*>(lock)};
    volume_->unlock(held->path);
    return IOStatus::OK();
  }
  IOStatus GetTestDirectory(const IOOptions&, std::string*, IODebugContext*) override {
    return IOStatus::NotSupported();
  }
  IOStatus NewLogger(const std::string&, const IOOptions&, std::shared_ptr<rocksdb::Logger>*,
                     IODebugContext*) override {
    return IOStatus::NotSupported();
  }
  IOStatus GetAbsolutePath(const std::string& path, const IOOptions&, std::string* absolute, IODebugContext*) override {
    *absolute = path;
    return IOStatus::OK();
  }
  IOStatus IsDirectory(const std::string& path, const IOOptions&, bool* is, IODebugContext*) override {
    *is = volume_->is_directory(path);
    return *is || volume_->open(path) ? IOStatus::OK() : IOStatus::NotFound();
  }

 private:
  template <class Kind, class Face>
  IOStatus open(const std::string& path, std::unique_ptr<Face>* made) const {
    auto file = volume_->open(path);
    if (!file) return status_of(Volume::Outcome::missing, "opening file", path);
    *made = std::make_unique<Kind>(volume_, std::move(file), path);
    return IOStatus::OK();
  }

  VolumePtr volume_;
};

}  // namespace

std::unique_ptr<rocksdb::Env> environment_on(std::shared_ptr<Volume> volume) {
  return rocksdb::NewCompositeEnv(std::make_shared<Files>(std::move(volume)));
}

}  // namespace pbft::sim
