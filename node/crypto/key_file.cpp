// Secret key files: a line that names the kind, then the Ed25519 seed as 64 hex digits.
#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "node/crypto/keys.h"

namespace pbft::crypto {
namespace {

constexpr std::string_view kind_line = "pbft-ed25519-secret-key-1";
constexpr std::size_t seed_digits = 64;

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  ~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool valid() const { return fd_ >= 0; }
  [[nodiscard]] bool close() { return ::close(std::exchange(fd_, -1)) == 0; }

 private:
  int fd_;
};

// Text that is wiped when it goes out of use. Of fixed room, so that no copy is left behind by growing.
struct SecretText {
  std::array<char, 256> characters{};
  std::size_t size = 0;

  SecretText() = default;
  SecretText(const SecretText&) = delete;
  SecretText& operator=(const SecretText&) = delete;
  ~SecretText() { sodium_memzero(characters.data(), characters.size()); }
  [[nodiscard]] std::string_view view() const { return {characters.data(), size}; }
  void append(std::string_view text) {
    std::memcpy(characters.data() + size, text.data(), text.size());
    size += text.size();
  }
};

std::string system_error(std::string_view what, const std::filesystem::path& file) {
  const int error = errno;
  return "cannot " + std::string{what} + " key file " + file.string() + ": " + std::strerror(error);
}

// Judged on the open file, so that it cannot be exchanged between the check and the reading.
tl::expected<void, std::string> check_owner_and_mode(int fd, const std::filesystem::path& file) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return tl::unexpected(system_error("look at", file));
  if (!S_ISREG(status.st_mode)) return tl::unexpected("key file " + file.string() + " is not a regular file");
  if (status.st_uid != ::geteuid()) {
    return tl::unexpected("key file " + file.string() + " belongs to user " + std::to_string(status.st_uid) +
                          ", but this process runs as user " + std::to_string(::geteuid()) + "; run: chown " +
                          std::to_string(::geteuid()) + " " + file.string());
  }
  if ((status.st_mode & 07177) != 0) {
    return tl::unexpected("key file " + file.string() + " can be used by others than its owner; run: chmod 600 " +
                          file.string());
  }
  return {};
}

tl::expected<void, std::string> read_all(int fd, SecretText& text, const std::filesystem::path& file) {
  while (text.size < text.characters.size()) {
    const ssize_t got = ::read(fd, text.characters.data() + text.size, text.characters.size() - text.size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return tl::unexpected(system_error("read", file));
    if (got == 0) return {};
    text.size += static_cast<std::size_t>(got);
  }
  return tl::unexpected("key file " + file.string() + " is too long for a secret key file");
}

tl::expected<void, std::string> write_all(int fd, std::string_view text, const std::filesystem::path& file) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return tl::unexpected(system_error("write", file));
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

std::string_view take_line(std::string_view& text) {
  const std::size_t end = text.find('\n');
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return line;
}

tl::expected<void, std::string> sync_directory_of(const std::filesystem::path& file) {
  const std::filesystem::path parent = file.has_parent_path() ? file.parent_path() : std::filesystem::path{"."};
  const FileDescriptor directory{::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (!directory.valid() || ::fsync(directory.get()) != 0)
    return tl::unexpected(system_error("sync directory of", file));
  return {};
}

}  // namespace

tl::expected<Identity, std::string> Identity::load(const std::filesystem::path& file) {
  // O_NONBLOCK: a FIFO in the place of the file is refused, not waited for.
  const FileDescriptor fd{::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (!fd.valid()) return tl::unexpected(system_error("open", file));
  if (auto checked = check_owner_and_mode(fd.get(), file); !checked) return tl::unexpected(checked.error());
  SecretText text;
  if (auto read = read_all(fd.get(), text, file); !read) return tl::unexpected(read.error());

  std::string_view rest = text.view();
  if (take_line(rest) != kind_line) {
    return tl::unexpected("key file " + file.string() + ", line 1: expected \"" + std::string{kind_line} +
                          "\"; this is no secret key file of this program");
  }
  auto seed = from_hex<PublicKey>(take_line(rest));
  if (!seed) return tl::unexpected("key file " + file.string() + ", line 2: " + seed.error());
  Identity identity = from_seed(seed->bytes);
  sodium_memzero(seed->bytes.data(), seed->bytes.size());
  if (!rest.empty()) return tl::unexpected("key file " + file.string() + ", line 3: nothing may follow the key");
  return identity;
}

tl::expected<void, std::string> Identity::save(const std::filesystem::path& file) const {
  SecretText text;
  text.append(kind_line);
  text.append("\n");
  static_assert(kind_line.size() + seed_digits + 3 < std::tuple_size_v<decltype(SecretText::characters)>);
  sodium_bin2hex(text.characters.data() + text.size, seed_digits + 1, secret_key_.data(), seed_digits / 2);
  text.size += seed_digits;
  text.append("\n");

  FileDescriptor fd{::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
  if (!fd.valid() && errno == EEXIST) {
    return tl::unexpected("key file " + file.string() + " exists already and is not overwritten; remove it first");
  }
  if (!fd.valid()) return tl::unexpected(system_error("create", file));
  auto written = write_all(fd.get(), text.view(), file);
  if (written && (::fchmod(fd.get(), 0600) != 0 || ::fsync(fd.get()) != 0 || !fd.close())) {
    written = tl::unexpected(system_error("write", file));
  }
  if (!written) {
    ::unlink(file.c_str());  // half a key would only be in the way of the next attempt
    return written;
  }
  return sync_directory_of(file);
}

}  // namespace pbft::crypto
