// Preloaded into a replica (LD_PRELOAD): a disk that fails and a clock that is wrong, for this one process, as a file
// says that others write while it runs.
//   PBFT_CHAOS_CONTROL    the file, at least sizeof(Control) bytes
//   PBFT_CHAOS_DATA       the directory that the disk is; everything else goes on as always
// Without the two, or where the file cannot be mapped, nothing is different.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace {

// tests/chaos/replica_control.py writes and reads the same layout.
struct Control {
  std::atomic<std::int32_t> write_error;  // errno of what changes files; 0: none
  std::atomic<std::int32_t> sync_error;   // errno of fsync and fdatasync; 0: none
  std::atomic<std::uint32_t> sync_delay_ms;
  std::uint32_t unused;
  std::atomic<std::int64_t> clock_offset_ns;  // of the wall clock; the monotonic one is never wrong
  // Counted here: how often it made a difference.
  std::atomic<std::uint64_t> failed_writes;
  std::atomic<std::uint64_t> failed_syncs;
  std::atomic<std::uint64_t> slow_syncs;
  std::atomic<std::uint64_t> wrong_times;
};
static_assert(sizeof(Control) == 56);

constexpr std::int64_t second_ns = 1'000'000'000;

Control* map_control() {
  const char* path = std::getenv("PBFT_CHAOS_CONTROL");
  if (path == nullptr) return nullptr;
  const int fd = ::open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return nullptr;
  void* mapped = ::mmap(nullptr, sizeof(Control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ::close(fd);
  return mapped == MAP_FAILED ? nullptr : static_cast<Control*>(mapped);
}

// Nothing before the process's own start: libraries write and ask for the time while they are loaded.
Control* control = nullptr;
char data[PATH_MAX];
std::size_t data_length = 0;

__attribute__((constructor)) void start() {
  const char* path = std::getenv("PBFT_CHAOS_DATA");
  if (path == nullptr || ::realpath(path, data) == nullptr) {
    // A replica that lost its disk has none yet.
    if (path == nullptr || std::strlen(path) >= sizeof data) return;
    std::strcpy(data, path);
  }
  data_length = std::strlen(data);
  control = map_control();
}

template <class Function>
Function* real(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}
// One lookup for each function, at its first call.
#define REAL(name)                                            \
  ([] {                                                       \
    static auto* const found = real<decltype(::name)>(#name); \
    return found;                                             \
  }())

bool on_disk(const char* path) {
  return std::strncmp(path, data, data_length) == 0 && (path[data_length] == '/' || path[data_length] == '\0');
}

bool on_disk(int fd) {
  char link[64];
  char path[PATH_MAX];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t length = ::readlink(link, path, sizeof path - 1);
  if (length < 0) return false;
  path[length] = '\0';
  return on_disk(path);
}

enum class Needs { space, change };  // a disk that is full still renames and removes

// Whether it fails, with errno set. `where` is a path or a descriptor.
template <class Where>
bool fails(Where where, Needs needs) {
  if (control == nullptr) return false;
  const int error = control->write_error.load(std::memory_order_relaxed);
  if (error == 0 || (error == ENOSPC && needs == Needs::change) || !on_disk(where)) return false;
  ++control->failed_writes;
  errno = error;
  return true;
}

bool sync_fails(int fd) {
  if (control == nullptr || !on_disk(fd)) return false;
  if (const std::uint32_t delay = control->sync_delay_ms.load(std::memory_order_relaxed); delay > 0) {
    ++control->slow_syncs;
    const timespec time{static_cast<time_t>(delay / 1'000), static_cast<long>(delay % 1'000) * 1'000'000};
    ::nanosleep(&time, nullptr);
  }
  const int error = control->sync_error.load(std::memory_order_relaxed);
  if (error == 0) return false;
  ++control->failed_syncs;
  errno = error;
  return true;
}

std::int64_t clock_offset() {
  if (control == nullptr) return 0;
  const std::int64_t offset = control->clock_offset_ns.load(std::memory_order_relaxed);
  if (offset != 0) ++control->wrong_times;
  return offset;
}

void shift(timespec& time, std::int64_t by) {
  const std::int64_t shifted = time.tv_sec * second_ns + time.tv_nsec + by;
  time.tv_sec = static_cast<time_t>(shifted / second_ns);
  time.tv_nsec = static_cast<long>(shifted % second_ns);
}

// Opening makes a file where there is none, which needs space; opening for writing alone is refused read-only.
bool open_fails(const char* path, int flags) {
  if ((flags & (O_CREAT | O_TRUNC)) != 0 && ::access(path, F_OK) != 0) return fails(path, Needs::space);
  return (flags & O_ACCMODE) != O_RDONLY && fails(path, Needs::change);
}

}  // namespace

extern "C" {

#define TAKE_MODE(flags)                        \
  mode_t mode = 0;                              \
  if (((flags) & (O_CREAT | O_TMPFILE)) != 0) { \
    va_list rest;                               \
    va_start(rest, flags);                      \
    mode = va_arg(rest, mode_t);                \
    va_end(rest);                               \
  }

int open(const char* path, int flags, ...) {
  TAKE_MODE(flags)
  return open_fails(path, flags) ? -1 : REAL(open)(path, flags, mode);
}
int open64(const char* path, int flags, ...) {
  TAKE_MODE(flags)
  return open_fails(path, flags) ? -1 : REAL(open64)(path, flags, mode);
}

ssize_t write(int fd, const void* bytes, size_t size) {
  return fails(fd, Needs::space) ? -1 : REAL(write)(fd, bytes, size);
}
ssize_t pwrite(int fd, const void* bytes, size_t size, off_t offset) {
  return fails(fd, Needs::space) ? -1 : REAL(pwrite)(fd, bytes, size, offset);
}
ssize_t pwrite64(int fd, const void* bytes, size_t size, off64_t offset) {
  return fails(fd, Needs::space) ? -1 : REAL(pwrite64)(fd, bytes, size, offset);
}
int fallocate(int fd, int mode, off_t offset, off_t length) {
  return fails(fd, Needs::space) ? -1 : REAL(fallocate)(fd, mode, offset, length);
}
int posix_fallocate(int fd, off_t offset, off_t length) {
  return fails(fd, Needs::space) ? errno : REAL(posix_fallocate)(fd, offset, length);
}
int ftruncate(int fd, off_t length) noexcept {
  return fails(fd, Needs::change) ? -1 : REAL(ftruncate)(fd, length);
}
int ftruncate64(int fd, off64_t length) noexcept {
  return fails(fd, Needs::change) ? -1 : REAL(ftruncate64)(fd, length);
}

int mkdir(const char* path, mode_t mode) noexcept {
  return fails(path, Needs::space) ? -1 : REAL(mkdir)(path, mode);
}
int rename(const char* from, const char* to) noexcept {
  return fails(to, Needs::change) ? -1 : REAL(rename)(from, to);
}
int unlink(const char* path) noexcept {
  return fails(path, Needs::change) ? -1 : REAL(unlink)(path);
}

int fsync(int fd) {
  return sync_fails(fd) ? -1 : REAL(fsync)(fd);
}
int fdatasync(int fd) {
  return sync_fails(fd) ? -1 : REAL(fdatasync)(fd);
}

int clock_gettime(clockid_t clock, struct timespec* time) noexcept {
  const int result = REAL(clock_gettime)(clock, time);
  if (result == 0 && clock == CLOCK_REALTIME) shift(*time, clock_offset());
  return result;
}
int gettimeofday(struct timeval* time, void* zone) noexcept {
  const int result = REAL(gettimeofday)(time, zone);
  if (result != 0) return result;
  timespec exact{time->tv_sec, time->tv_usec * 1'000};
  shift(exact, clock_offset());
  time->tv_sec = exact.tv_sec;
  time->tv_usec = exact.tv_nsec / 1'000;
  return result;
}
time_t time(time_t* to) noexcept {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  if (to != nullptr) *to = now.tv_sec;
  return now.tv_sec;
}

}  // extern "C"
