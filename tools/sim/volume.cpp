#include "tools/sim/volume.h"

#include <algorithm>

namespace pbft::sim {
namespace {

std::string directory_name(const std::string& path) {
  return path.substr(0, path.find_last_of('/'));
}

std::string normal(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

std::string garbage(std::size_t size, Random& random) {
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random.next());
  return bytes;
}

void overwrite(std::string& bytes, std::size_t offset, std::string_view with) {
  if (bytes.size() < offset + with.size()) bytes.resize(offset + with.size(), '\0');
  std::copy(with.begin(), with.end(), bytes.begin() + static_cast<std::ptrdiff_t>(offset));
}

}  // namespace

// ---- Loss of power --------------------------------------------------------------------------------------

std::shared_ptr<Volume> Volume::after_power_loss(Random& random, Kept kept) const {
  const std::lock_guard lock{mutex_};
  auto next = std::make_shared<Volume>();
  Copies copies;
  const auto copy_of = [&](const FilePtr& file) {
    FilePtr& copy = copies[file.get()];
    if (!copy) copy = remains(*file, random, kept);
    return copy;
  };
  for (const auto& [path, directory] : directories_) {
    std::map<std::string, FilePtr> names = directory.durable;
    std::size_t changes = 0;
    if (kept == Kept::everything) changes = directory.unsynced.size();
    if (kept == Kept::some) changes = random.below(directory.unsynced.size() + 1);
    for (std::size_t i = 0; i < changes; ++i) apply(names, directory.unsynced[i]);
    Directory& made = next->directories_[path];
    for (const auto& [name, file] : names) made.now[name] = copy_of(file);
    made.durable = made.now;
  }
  return next;
}

std::shared_ptr<Volume> Volume::with_torn_blocks(Random& random) const {
  const std::lock_guard lock{mutex_};
  auto next = std::make_shared<Volume>();
  for (const auto& [path, directory] : directories_) {
    Directory& made = next->directories_[path];
    for (const auto& [name, file] : directory.now) {
      FilePtr& copy = made.now[name];
      copy = remains(*file, random, Kept::everything);
      if (file->overwrites.empty()) continue;
      const std::size_t block = file->overwrites.back().offset / block_bytes * block_bytes;
      overwrite(copy->now, block, garbage(std::min(block_bytes, copy->now.size() - block), random));
      copy->durable = copy->now;
    }
    made.durable = made.now;
  }
  return next;
}

Volume::FilePtr Volume::remains(const File& file, Random& random, Kept kept) {
  auto left = std::make_shared<File>();
  left->name = file.name;
  left->now = kept == Kept::everything ? file.now
              : kept == Kept::nothing  ? file.durable
                                       : remaining_bytes(file, random);
  left->durable = left->now;
  return left;
}

std::string Volume::remaining_bytes(const File& file, Random& random) {
  std::string bytes = file.durable;
  tear_overwritten(file, bytes, random);
  const std::size_t appended = file.now.size() - file.durable.size();
  const std::uint64_t how = random.below(4);
  const std::size_t reached = how == 0 ? 0 : how == 1 ? appended : random.below(appended + 1);
  bytes += file.now.substr(file.durable.size(), reached);
  // The sector that was just being written.
  if (reached < appended && random.chance(500)) {
    const std::size_t rest = sector_bytes - bytes.size() % sector_bytes;
    bytes += random.chance(500) ? std::string(rest, '\0') : garbage(rest, random);
  }
  return bytes;
}

// Each block is as it was after some of the writes to it.
void Volume::tear_overwritten(const File& file, std::string& bytes, Random& random) {
  std::map<std::size_t, std::size_t> writes;  // to each block
  for (const File::Overwrite& one : file.overwrites) ++writes[one.offset / block_bytes];
  std::map<std::size_t, std::size_t> reached;
  for (const auto& [block, count] : writes) reached[block] = random.below(count + 1);
  std::map<std::size_t, std::size_t> done;
  for (const File::Overwrite& one : file.overwrites) {
    const std::size_t block = one.offset / block_bytes;
    if (++done[block] <= reached[block]) overwrite(bytes, one.offset, one.bytes);
  }
  for (const auto& [block, count] : writes) {
    const std::size_t at = block * block_bytes;
    if (random.chance(200)) overwrite(bytes, at, garbage(std::min(block_bytes, bytes.size() - at), random));
  }
}

void Volume::apply(std::map<std::string, FilePtr>& names, const std::vector<Change>& changes) {
  for (const Change& change : changes) {
    if (change.file) {
      names[change.name] = change.file;
    } else {
      names.erase(change.name);
    }
  }
}

// ---- Failures -------------------------------------------------------------------------------------------

void Volume::fail(std::optional<DiskFailure> failure) {
  const std::lock_guard lock{mutex_};
  failure_ = std::move(failure);
}

std::uint64_t Volume::failures() const {
  const std::lock_guard lock{mutex_};
  return failures_;
}

void Volume::lie_about_syncs() {
  const std::lock_guard lock{mutex_};
  lies_ = true;
}

std::optional<Volume::Outcome> Volume::failure_of(const std::string& name, bool sync) {
  if (!failure_ || !name.ends_with(failure_->suffix) || !(sync ? failure_->syncs : failure_->writes)) {
    return std::nullopt;
  }
  ++failures_;
  return failure_->what == DiskFailure::What::no_space ? Outcome::no_space : Outcome::io;
}

// ---- Files ----------------------------------------------------------------------------------------------

Volume::FilePtr Volume::open(const std::string& path) const {
  const std::lock_guard lock{mutex_};
  const auto directory = directories_.find(directory_name(path));
  if (directory == directories_.end()) return nullptr;
  const auto found = directory->second.now.find(path.substr(path.find_last_of('/') + 1));
  return found == directory->second.now.end() ? nullptr : found->second;
}

Volume::Outcome Volume::create(const std::string& path, FilePtr& made) {
  const std::lock_guard lock{mutex_};
  std::string name;
  Directory* const directory = directory_of(path, name);
  if (directory == nullptr) return Outcome::missing;
  if (const auto failure = failure_of(name, false)) return *failure;
  made = std::make_shared<File>();
  made->name = name;
  change(*directory, {{name, made}});
  return Outcome::done;
}

Volume::Outcome Volume::append(File& file, std::string_view bytes) {
  const std::lock_guard lock{mutex_};
  if (const auto failure = failure_of(file.name, false)) {
    if (*failure == Outcome::no_space) file.now += bytes.substr(0, bytes.size() / 2);  // as much as there was room for
    return *failure;
  }
  file.now += bytes;
  return Outcome::done;
}

Volume::Outcome Volume::write(File& file, std::size_t offset, std::string_view bytes) {
  const std::lock_guard lock{mutex_};
  if (const auto failure = failure_of(file.name, false)) return *failure;
  overwrite(file.now, offset, bytes);
  if (offset < file.durable.size()) {
    file.overwrites.push_back({offset, std::string{bytes.substr(0, file.durable.size() - offset)}});
  }
  return Outcome::done;
}

Volume::Outcome Volume::truncate(File& file, std::size_t size) {
  const std::lock_guard lock{mutex_};
  if (const auto failure = failure_of(file.name, false)) return *failure;
  file.now.resize(size, '\0');
  file.durable.resize(std::min(size, file.durable.size()));
  std::erase_if(file.overwrites, [&](const auto& one) { return one.offset + one.bytes.size() > size; });
  return Outcome::done;
}

Volume::Outcome Volume::sync(File& file) {
  const std::lock_guard lock{mutex_};
  if (const auto failure = failure_of(file.name, true)) return *failure;
  if (lies_) return Outcome::done;
  for (const File::Overwrite& one : file.overwrites) overwrite(file.durable, one.offset, one.bytes);
  file.overwrites.clear();
  file.durable.append(file.now, file.durable.size(), std::string::npos);
  return Outcome::done;
}

std::string Volume::read(const File& file, std::size_t offset, std::size_t count) const {
  const std::lock_guard lock{mutex_};
  return offset >= file.now.size() ? std::string{} : file.now.substr(offset, count);
}

std::size_t Volume::size(const File& file) const {
  const std::lock_guard lock{mutex_};
  return file.now.size();
}

// ---- Names ----------------------------------------------------------------------------------------------

Volume::Directory* Volume::directory_of(const std::string& path, std::string& name) {
  name = path.substr(path.find_last_of('/') + 1);
  const auto found = directories_.find(directory_name(path));
  return found == directories_.end() ? nullptr : &found->second;
}

void Volume::change(Directory& directory, std::vector<Change> changes) {
  apply(directory.now, changes);
  directory.unsynced.push_back(std::move(changes));
}

void Volume::make_directory(const std::string& path) {
  const std::lock_guard lock{mutex_};
  directories_.try_emplace(normal(path));
}

bool Volume::is_directory(const std::string& path) const {
  const std::lock_guard lock{mutex_};
  return directories_.contains(normal(path));
}

std::vector<std::string> Volume::children(const std::string& directory) const {
  const std::lock_guard lock{mutex_};
  std::vector<std::string> names;
  const auto found = directories_.find(normal(directory));
  if (found == directories_.end()) return names;
  for (const auto& [name, file] : found->second.now) names.push_back(name);
  return names;
}

Volume::Outcome Volume::sync_directory(const std::string& path) {
  const std::lock_guard lock{mutex_};
  const auto found = directories_.find(normal(path));
  if (found == directories_.end()) return Outcome::missing;
  if (const auto failure = failure_of(path, true)) return *failure;
  found->second.durable = found->second.now;
  found->second.unsynced.clear();
  return Outcome::done;
}

Volume::Outcome Volume::remove(const std::string& path) {
  const std::lock_guard lock{mutex_};
  std::string name;
  Directory* const directory = directory_of(path, name);
  if (directory == nullptr || !directory->now.contains(name)) return Outcome::missing;
  change(*directory, {{name, nullptr}});
  return Outcome::done;
}

Volume::Outcome Volume::rename(const std::string& from, const std::string& to) {
  const std::lock_guard lock{mutex_};
  std::string old_name;
  std::string new_name;
  Directory* const directory = directory_of(from, old_name);
  if (directory == nullptr || directory != directory_of(to, new_name)) return Outcome::missing;
  const auto found = directory->now.find(old_name);
  if (found == directory->now.end()) return Outcome::missing;
  if (const auto failure = failure_of(new_name, false)) return *failure;
  const FilePtr file = found->second;
  file->name = new_name;
  change(*directory, {{old_name, nullptr}, {new_name, file}});
  return Outcome::done;
}

Volume::Outcome Volume::link(const std::string& from, const std::string& to) {
  const std::lock_guard lock{mutex_};
  std::string old_name;
  std::string new_name;
  Directory* const source = directory_of(from, old_name);
  Directory* const target = directory_of(to, new_name);
  if (source == nullptr || target == nullptr || !source->now.contains(old_name)) return Outcome::missing;
  change(*target, {{new_name, source->now[old_name]}});
  return Outcome::done;
}

bool Volume::lock(const std::string& path) {
  const std::lock_guard lock{mutex_};
  return locked_.insert(path).second;
}

void Volume::unlock(const std::string& path) {
  const std::lock_guard lock{mutex_};
  locked_.erase(path);
}

}  // namespace pbft::sim
