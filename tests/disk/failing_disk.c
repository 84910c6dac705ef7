/* A disk that fails when told to: put before libc by LD_PRELOAD, it counts what changes files below
 * DISK_FOLDER and, from a given call on, lets it fail as a kind of disk does. Told by the shared
 * integers in DISK_CONTROL. What libc's own stdio writes is not seen; its files' open and fsync are.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { WRITE, CREATE, CHANGE, SYNC };
enum mode { WORKS, FULL, READ_ONLY, FAILING, UNSYNCED, SLOW };

/* A slow disk takes what it is given as soon as it is told to work, or after so many naps. */
enum { NAP_MICROSECONDS = 10000, LONGEST_NAPS = 6000 };

/* Calls so far, the call to fail from on (0: none), how, and the calls that failed. */
struct control { volatile int calls, from, mode, failed; };

static struct control *control;
static const char *folder;
static size_t folder_length;

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("DISK_CONTROL");
    folder = getenv("DISK_FOLDER");
    if (path == NULL || folder == NULL) return;
    folder_length = strlen(folder);
    int file = open(path, O_RDWR);
    void *memory = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (memory != MAP_FAILED) control = memory;
}

static int below(const char *path) {
    return strncmp(path, folder, folder_length) == 0;
}

/* The errno of a call that is to fail, 0 for one that is not. */
static int verdict(enum kind kind) {
    int call = ++control->calls;
    if (control->from == 0 || call < control->from) return 0;
    int error = 0;
    switch (control->mode) {
    case FULL: error = kind == WRITE || kind == CREATE ? ENOSPC : 0; break;
    case READ_ONLY: error = kind == SYNC ? 0 : EROFS; break;
    case FAILING: error = EIO; break;
    case UNSYNCED: error = kind == SYNC ? EIO : 0; break;
    case SLOW:
        control->failed++;
        for (int naps = 0; control->from != 0 && naps < LONGEST_NAPS; naps++) usleep(NAP_MICROSECONDS);
        break;
    }
    control->failed += error != 0;
    return error;
}

static int of_path(enum kind kind, const char *path) {
    return control != NULL && below(path) ? verdict(kind) : 0;
}

static int of_file(enum kind kind, int file) {
    char link[64], path[PATH_MAX + 1];
    if (control == NULL) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, PATH_MAX);
    if (length < 0) return 0;
    path[length] = 0;
    return of_path(kind, path);
}

/* A path that is told by an open folder, as the calls whose names end with "at" take it. */
static const char *path_at(char *place, int folder_file, const char *path) {
    char link[64];
    if (folder_file == AT_FDCWD || path[0] == '/') return path;
    snprintf(link, sizeof link, "/proc/self/fd/%d", folder_file);
    ssize_t length = readlink(link, place, PATH_MAX);
    if (length < 0) return path;
    snprintf(place + length, PATH_MAX + 1 - length, "/%s", path);
    return place;
}

static int exists(const char *path) {
    struct stat found;
    return lstat(path, &found) == 0;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAIL_IF(expression) \
    do { int error = (expression); if (error) { errno = error; return -1; } } while (0)

ssize_t write(int file, const void *data, size_t size) {
    FAIL_IF(of_file(WRITE, file));
    return REAL(write)(file, data, size);
}
ssize_t writev(int file, const struct iovec *parts, int count) {
    FAIL_IF(of_file(WRITE, file));
    return REAL(writev)(file, parts, count);
}
ssize_t pwrite(int file, const void *data, size_t size, off_t at) {
    FAIL_IF(of_file(WRITE, file));
    return REAL(pwrite)(file, data, size, at);
}
ssize_t pwrite64(int file, const void *data, size_t size, off64_t at) {
    FAIL_IF(of_file(WRITE, file));
    return REAL(pwrite64)(file, data, size, at);
}
ssize_t pwritev(int file, const struct iovec *parts, int count, off_t at) {
    FAIL_IF(of_file(WRITE, file));
    return REAL(pwritev)(file, parts, count, at);
}
ssize_t pwritev64(int file, const struct iovec *parts, int count, off64_t at) {
    FAIL_IF(of_file(WRITE, file));
    return REAL(pwritev64)(file, parts, count, at);
}
ssize_t copy_file_range(int from, off64_t *start, int to, off64_t *at, size_t size, unsigned flags) {
    FAIL_IF(of_file(WRITE, to));
    return REAL(copy_file_range)(from, start, to, at, size, flags);
}
ssize_t sendfile(int to, int from, off_t *start, size_t size) {
    FAIL_IF(of_file(WRITE, to));
    return REAL(sendfile)(to, from, start, size);
}
ssize_t sendfile64(int to, int from, off64_t *start, size_t size) {
    FAIL_IF(of_file(WRITE, to));
    return REAL(sendfile64)(to, from, start, size);
}
/* A hole takes no room. */
static enum kind allocates(int mode) {
    return mode & FALLOC_FL_PUNCH_HOLE ? CHANGE : WRITE;
}
int fallocate(int file, int mode, off_t start, off_t size) {
    FAIL_IF(of_file(allocates(mode), file));
    return REAL(fallocate)(file, mode, start, size);
}
int fallocate64(int file, int mode, off64_t start, off64_t size) {
    FAIL_IF(of_file(allocates(mode), file));
    return REAL(fallocate64)(file, mode, start, size);
}
/* These two return the error. */
int posix_fallocate(int file, off_t start, off_t size) {
    int error = of_file(WRITE, file);
    return error ? error : REAL(posix_fallocate)(file, start, size);
}
int posix_fallocate64(int file, off64_t start, off64_t size) {
    int error = of_file(WRITE, file);
    return error ? error : REAL(posix_fallocate64)(file, start, size);
}
int truncate(const char *path, off_t size) {
    FAIL_IF(of_path(CHANGE, path));
    return REAL(truncate)(path, size);
}
int truncate64(const char *path, off64_t size) {
    FAIL_IF(of_path(CHANGE, path));
    return REAL(truncate64)(path, size);
}
int ftruncate(int file, off_t size) {
    FAIL_IF(of_file(CHANGE, file));
    return REAL(ftruncate)(file, size);
}
int ftruncate64(int file, off64_t size) {
    FAIL_IF(of_file(CHANGE, file));
    return REAL(ftruncate64)(file, size);
}
int fsync(int file) {
    FAIL_IF(of_file(SYNC, file));
    return REAL(fsync)(file);
}
int fdatasync(int file) {
    FAIL_IF(of_file(SYNC, file));
    return REAL(fdatasync)(file);
}
int mkdir(const char *path, mode_t mode) {
    if (!exists(path)) FAIL_IF(of_path(CREATE, path));
    return REAL(mkdir)(path, mode);
}
int mkdirat(int at, const char *name, mode_t mode) {
    char place[PATH_MAX + 1];
    const char *path = path_at(place, at, name);
    if (!exists(path)) FAIL_IF(of_path(CREATE, path));
    return REAL(mkdirat)(at, name, mode);
}
int rename(const char *from, const char *to) {
    FAIL_IF(of_path(CHANGE, from));
    return REAL(rename)(from, to);
}
int renameat(int from_at, const char *from, int to_at, const char *to) {
    char place[PATH_MAX + 1];
    FAIL_IF(of_path(CHANGE, path_at(place, from_at, from)));
    return REAL(renameat)(from_at, from, to_at, to);
}
int unlink(const char *path) {
    if (exists(path)) FAIL_IF(of_path(CHANGE, path));
    return REAL(unlink)(path);
}
int rmdir(const char *path) {
    if (exists(path)) FAIL_IF(of_path(CHANGE, path));
    return REAL(rmdir)(path);
}
int unlinkat(int at, const char *name, int flags) {
    char place[PATH_MAX + 1];
    const char *path = path_at(place, at, name);
    if (exists(path)) FAIL_IF(of_path(CHANGE, path));
    return REAL(unlinkat)(at, name, flags);
}

static int may_open(const char *path, int flags) {
    struct stat found;
    if (control == NULL || (flags & O_ACCMODE) == O_RDONLY) return 0;
    if (!(flags & O_CREAT) || stat(path, &found) == 0)
        return control->mode == READ_ONLY ? of_path(CHANGE, path) : 0;
    return of_path(CREATE, path);
}

#define MODE_OF(last, mode) \
    va_list more; \
    va_start(more, last); \
    mode_t mode = va_arg(more, mode_t); \
    va_end(more)

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        MODE_OF(flags, mode); \
        FAIL_IF(may_open(path, flags)); \
        return REAL(name)(path, flags, mode); \
    }
#define OPEN_AT(name) \
    int name(int at, const char *path, int flags, ...) { \
        char place[PATH_MAX + 1]; \
        MODE_OF(flags, mode); \
        FAIL_IF(may_open(path_at(place, at, path), flags)); \
        return REAL(name)(at, path, flags, mode); \
    }
OPEN(open)
OPEN(open64)
OPEN_AT(openat)
OPEN_AT(openat64)
