// A file system in memory that knows what of it is on the disk. What was written and not synced a loss of power takes,
// or leaves, or tears; so it does with names that were made, renamed or removed in a directory that was not synced
// since. Operations can be made to fail. Any thread.
//
// How it loses: appended bytes reach the disk in their order, so that a file ends somewhere among its unsynced bytes,
// perhaps with a sector of garbage; of bytes that were overwritten each block is as it was at some time since the sync,
// or, where it was just being written, garbage as a whole; of a directory the first changes are there. Making a
// directory, and cutting a file, is on the disk at once.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tools/sim/random.h"

namespace pbft::sim {

// Operations that fail while it is set.
struct DiskFailure {
  enum class What : std::uint8_t { no_space, io };
  What what = What::io;
  bool writes = true;  // and making a file
  bool syncs = true;
  std::string suffix;  // of the file names that it is for; empty: all
};

class Volume {
 public:
  static constexpr std::size_t block_bytes = 4096;
  static constexpr std::size_t sector_bytes = 512;

  enum class Outcome : std::uint8_t { done, missing, no_space, io };
  // What a loss of power leaves of that which was not synced.
  enum class Kept : std::uint8_t { nothing, everything, some };

  class File {
   private:
    friend class Volume;
    struct Overwrite {
      std::size_t offset;
      std::string bytes;
    };
    std::string name;  // of its last name
    std::string now;
    // Invariant: a prefix of `now`, but for the overwrites.
    std::string durable;
    std::vector<Overwrite> overwrites;  // below durable.size(), since the last sync
  };
  using FilePtr = std::shared_ptr<File>;

  // The disk as the next start finds it. This one goes on as if nothing had happened, for whoever still holds it.
  [[nodiscard]] std::shared_ptr<Volume> after_power_loss(Random& random, Kept kept) const;
  // A loss of power of this kind on top: the last block that was overwritten in each file is garbage.
  [[nodiscard]] std::shared_ptr<Volume> with_torn_blocks(Random& random) const;

  void fail(std::optional<DiskFailure> failure);
  [[nodiscard]] std::uint64_t failures() const;  // operations that have failed
  // From now on it says that it has synced, and has not.
  void lie_about_syncs();

  // Null where it is not there.
  [[nodiscard]] FilePtr open(const std::string& path) const;
  // Empty, also where there was one of this name.
  [[nodiscard]] Outcome create(const std::string& path, FilePtr& made);
  [[nodiscard]] Outcome append(File& file, std::string_view bytes);
  [[nodiscard]] Outcome write(File& file, std::size_t offset, std::string_view bytes);
  [[nodiscard]] Outcome truncate(File& file, std::size_t size);
  [[nodiscard]] Outcome sync(File& file);
  // At most so many bytes; less at the end.
  [[nodiscard]] std::string read(const File& file, std::size_t offset, std::size_t count) const;
  [[nodiscard]] std::size_t size(const File& file) const;

  void make_directory(const std::string& path);
  [[nodiscard]] bool is_directory(const std::string& path) const;
  [[nodiscard]] std::vector<std::string> children(const std::string& directory) const;
  [[nodiscard]] Outcome sync_directory(const std::string& path);
  [[nodiscard]] Outcome remove(const std::string& path);
  [[nodiscard]] Outcome rename(const std::string& from, const std::string& to);
  [[nodiscard]] Outcome link(const std::string& from, const std::string& to);

  // False where somebody has the lock.
  [[nodiscard]] bool lock(const std::string& path);
  void unlock(const std::string& path);

 private:
  struct Change {
    std::string name;
    FilePtr file;  // null: it is gone
  };
  struct Directory {
    std::map<std::string, FilePtr> now;
    std::map<std::string, FilePtr> durable;
    std::vector<std::vector<Change>> unsynced;
  };
  using Copies = std::map<const File*, FilePtr>;

  [[nodiscard]] static FilePtr remains(const File& file, Random& random, Kept kept);
  [[nodiscard]] static std::string remaining_bytes(const File& file, Random& random);
  static void tear_overwritten(const File& file, std::string& bytes, Random& random);
  static void apply(std::map<std::string, FilePtr>& names, const std::vector<Change>& changes);
  [[nodiscard]] std::optional<Outcome> failure_of(const std::string& name, bool sync);
  [[nodiscard]] Directory* directory_of(const std::string& path, std::string& name);
  void change(Directory& directory, std::vector<Change> changes);

  mutable std::mutex mutex_;
  std::map<std::string, Directory> directories_;
  std::set<std::string> locked_;
  std::optional<DiskFailure> failure_;
  std::uint64_t failures_ = 0;
  bool lies_ = false;
};

}  // namespace pbft::sim
