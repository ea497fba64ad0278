/* Preloaded into a process, it makes the disk fail. DISK_SHIM names a control file of one line,
 *
 *     ERROR OPERATIONS PART
 *
 * for example "ENOSPC write,open,sync /data/": as long as it holds that, these operations fail with this error on files
 * whose path contains PART. "open" is opening for writing, "write" all writing, cutting, and renaming, "sync" all
 * syncing. Without the file, or where it is empty, nothing fails. It is looked at in each of these calls. Whoever
 * changes it renames another file over it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* The error that this operation is to fail with on this path; 0: none. */
static int failure(const char* operation, const char* path) {
  const char* control = getenv("DISK_SHIM");
  if (control == NULL) return 0;
  const int saved = errno;
  char line[512] = {0};
  const int descriptor = (int)syscall(SYS_openat, AT_FDCWD, control, O_RDONLY | O_CLOEXEC, 0);
  if (descriptor >= 0) {
    if (syscall(SYS_read, descriptor, line, sizeof line - 1) < 0) line[0] = 0;
    syscall(SYS_close, descriptor);
  }
  errno = saved;
  char error[16];
  char operations[64];
  char part[256];
  if (sscanf(line, "%15s %63s %255s", error, operations, part) != 3) return 0;
  if (strstr(operations, operation) == NULL || strstr(path, part) == NULL) return 0;
  if (strcmp(error, "ENOSPC") == 0) return ENOSPC;
  if (strcmp(error, "EROFS") == 0) return EROFS;
  return EIO;
}

static int failure_at(const char* operation, int descriptor) {
  char link[32];
  char path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  const int saved = errno;
  const ssize_t length = readlink(link, path, sizeof path - 1);
  errno = saved;
  if (length < 0) return 0;
  path[length] = 0;
  return failure(operation, path);
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAIL(error)    \
  do {                 \
    const int e = error; \
    if (e != 0) {      \
      errno = e;       \
      return -1;       \
    }                  \
  } while (0)

#define ON_DESCRIPTOR(type, name, operation, parameters, ...) \
  type name parameters {                                      \
    FAIL(failure_at(operation, descriptor));                  \
    return NEXT(name)(descriptor, ##__VA_ARGS__);             \
  }

ON_DESCRIPTOR(ssize_t, write, "write", (int descriptor, const void* bytes, size_t count), bytes, count)
ON_DESCRIPTOR(ssize_t, pwrite, "write", (int descriptor, const void* bytes, size_t count, off_t at), bytes, count, at)
ON_DESCRIPTOR(ssize_t, pwrite64, "write", (int descriptor, const void* bytes, size_t count, off64_t at), bytes, count,
              at)
ON_DESCRIPTOR(ssize_t, writev, "write", (int descriptor, const struct iovec* parts, int count), parts, count)
ON_DESCRIPTOR(int, ftruncate, "write", (int descriptor, off_t size), size)
ON_DESCRIPTOR(int, ftruncate64, "write", (int descriptor, off64_t size), size)
ON_DESCRIPTOR(int, fsync, "sync", (int descriptor))
ON_DESCRIPTOR(int, fdatasync, "sync", (int descriptor))

/* Without flags it touches no disk, and is asked only whether it is there. */
int sync_file_range(int descriptor, off64_t at, off64_t count, unsigned flags) {
  if (flags != 0) FAIL(failure_at("sync", descriptor));
  return NEXT(sync_file_range)(descriptor, at, count, flags);
}

static int opens_for_writing(int flags) {
  return (flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT) != 0;
}

#define OPEN(name)                                            \
  int name(const char* path, int flags, ...) {                \
    va_list more;                                             \
    va_start(more, flags);                                    \
    const mode_t mode = (flags & O_CREAT) ? va_arg(more, mode_t) : 0; \
    va_end(more);                                             \
    if (opens_for_writing(flags)) FAIL(failure("open", path)); \
    return NEXT(name)(path, flags, mode);                     \
  }
OPEN(open)
OPEN(open64)

int rename(const char* from, const char* to) {
  FAIL(failure("write", to));
  return NEXT(rename)(from, to);
}
