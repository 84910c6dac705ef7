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
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { WRITE, CREATE, CHANGE, SYNC };
enum mode { WORKS, FULL, READ_ONLY, FAILING, UNSYNCED };

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
    struct stat found;
    if (stat(path, &found) != 0) FAIL_IF(of_path(CREATE, path));
    return REAL(mkdir)(path, mode);
}
int rename(const char *from, const char *to) {
    FAIL_IF(of_path(CHANGE, from));
    return REAL(rename)(from, to);
}
int unlink(const char *path) {
    struct stat found;
    if (stat(path, &found) == 0) FAIL_IF(of_path(CHANGE, path));
    return REAL(unlink)(path);
}

static int may_open(const char *path, int flags) {
    struct stat found;
    if (control == NULL || (flags & O_ACCMODE) == O_RDONLY) return 0;
    if (!(flags & O_CREAT) || stat(path, &found) == 0)
        return control->mode == READ_ONLY ? of_path(CHANGE, path) : 0;
    return of_path(CREATE, path);
}

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        va_list more; \
        va_start(more, flags); \
        mode_t mode = va_arg(more, mode_t); \
        va_end(more); \
        FAIL_IF(may_open(path, flags)); \
        return REAL(name)(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)
