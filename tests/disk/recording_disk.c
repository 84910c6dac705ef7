/* A disk that is written down: put before libc by LD_PRELOAD, it adds every call that changes a file
 * below DISK_FOLDER, and every sync, to the file DISK_RECORD, once it has succeeded. `record.py` reads
 * that. What is written through a mapping is not seen: SQLite's `-shm` is the only such file.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

struct entry { uint32_t kind, path_size, other_size, unused; uint64_t at, size; };

static const char *folder;
static const char *record;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void start(void) {
    folder = getenv("DISK_FOLDER");
    if (folder != NULL) record = getenv("DISK_RECORD");
}

static int below(const char *path) {
    size_t length = strlen(folder);
    return strncmp(path, folder, length) == 0 && (path[length] == '/' || path[length] == 0);
}

/* W write, T truncate to `at`, P punch, S sync, C create, M mkdir, R rename, U unlink, D rmdir. */
static void note(char kind, const char *path, const char *other, uint64_t at, uint64_t size,
                 const void *data) {
    if (record == NULL || !below(path)) return;
    int kept = errno;
    struct entry entry = {kind, strlen(path), strlen(other), 0, at, size};
    struct iovec parts[] = {
        {&entry, sizeof entry},
        {(void *)path, entry.path_size},
        {(void *)other, entry.other_size},
        {(void *)data, kind == 'W' ? size : 0},
    };
    size_t all = 0;
    for (int i = 0; i < 4; i++) all += parts[i].iov_len;
    /* Opened anew each time: a child that is forked closes every file. */
    int file = REAL(open)(record, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file < 0 || REAL(writev)(file, parts, 4) != (ssize_t)all) abort();
    close(file);
    errno = kept;
}

static int path_of(int file, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, PATH_MAX);
    if (length < 0) return 0;
    path[length] = 0;
    return 1;
}

static void note_file(char kind, int file, uint64_t at, uint64_t size, const void *data) {
    char path[PATH_MAX + 1];
    if (record != NULL && path_of(file, path)) note(kind, path, "", at, size, data);
}

ssize_t write(int file, const void *data, size_t size) {
    ssize_t written = REAL(write)(file, data, size);
    if (written > 0 && record != NULL) note_file('W', file, lseek(file, 0, SEEK_CUR) - written, written, data);
    return written;
}
ssize_t writev(int file, const struct iovec *parts, int count) {
    ssize_t all = 0;
    for (int i = 0; i < count; i++) {
        ssize_t written = parts[i].iov_len ? write(file, parts[i].iov_base, parts[i].iov_len) : 0;
        if (written < 0) return all ? all : written;
        all += written;
        if ((size_t)written < parts[i].iov_len) break;
    }
    return all;
}
ssize_t pwrite(int file, const void *data, size_t size, off_t at) {
    ssize_t written = REAL(pwrite)(file, data, size, at);
    if (written > 0) note_file('W', file, at, written, data);
    return written;
}
ssize_t pwrite64(int file, const void *data, size_t size, off64_t at) {
    ssize_t written = REAL(pwrite64)(file, data, size, at);
    if (written > 0) note_file('W', file, at, written, data);
    return written;
}
/* What numpy saves: libc's stdio writes it without a call that can be seen. */
size_t fwrite(const void *data, size_t size, size_t count, FILE *stream) {
    off_t at = record != NULL ? ftello(stream) : 0;
    size_t written = REAL(fwrite)(data, size, count, stream);
    if (written > 0 && record != NULL) note_file('W', fileno(stream), at, written * size, data);
    return written;
}
int ftruncate(int file, off_t size) {
    int ended = REAL(ftruncate)(file, size);
    if (ended == 0) note_file('T', file, size, 0, NULL);
    return ended;
}
int ftruncate64(int file, off64_t size) {
    int ended = REAL(ftruncate64)(file, size);
    if (ended == 0) note_file('T', file, size, 0, NULL);
    return ended;
}
int fallocate64(int file, int mode, off64_t at, off64_t size) {
    int ended = REAL(fallocate64)(file, mode, at, size);
    if (ended == 0) note_file('P', file, at, size, NULL);
    return ended;
}
int fsync(int file) {
    int ended = REAL(fsync)(file);
    if (ended == 0) note_file('S', file, 0, 0, NULL);
    return ended;
}
int fdatasync(int file) {
    int ended = REAL(fdatasync)(file);
    if (ended == 0) note_file('S', file, 0, 0, NULL);
    return ended;
}
int mkdir(const char *path, mode_t mode) {
    int ended = REAL(mkdir)(path, mode);
    if (ended == 0) note('M', path, "", 0, 0, NULL);
    return ended;
}
int rename(const char *from, const char *to) {
    int ended = REAL(rename)(from, to);
    if (ended == 0) note('R', from, to, 0, 0, NULL);
    return ended;
}
int unlink(const char *path) {
    int ended = REAL(unlink)(path);
    if (ended == 0) note('U', path, "", 0, 0, NULL);
    return ended;
}
int rmdir(const char *path) {
    int ended = REAL(rmdir)(path);
    if (ended == 0) note('D', path, "", 0, 0, NULL);
    return ended;
}
int unlinkat(int folder_file, const char *name, int flags) {
    char path[PATH_MAX + 1] = "", whole[2 * PATH_MAX + 2];
    if (folder_file == AT_FDCWD) snprintf(whole, sizeof whole, "%s", name);
    else if (path_of(folder_file, path)) snprintf(whole, sizeof whole, "%s/%s", path, name);
    else whole[0] = 0;
    int ended = REAL(unlinkat)(folder_file, name, flags);
    if (ended == 0) note(flags & AT_REMOVEDIR ? 'D' : 'U', whole, "", 0, 0, NULL);
    return ended;
}

/* What opening a file will change: 'C' where it makes it, 'T' where it empties it, or nothing. */
static char opening(const char *path, int flags) {
    struct stat found;
    if (record == NULL) return 0;
    if (stat(path, &found) != 0) return flags & O_CREAT ? 'C' : 0;
    return (flags & O_TRUNC) && found.st_size > 0 ? 'T' : 0;
}

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        va_list more; \
        va_start(more, flags); \
        mode_t mode = va_arg(more, mode_t); \
        va_end(more); \
        char kind = opening(path, flags); \
        int file = REAL(name)(path, flags, mode); \
        if (file >= 0 && kind) note(kind, path, "", 0, 0, NULL); \
        return file; \
    }
OPEN(open)
OPEN(open64)

#define FOPEN(name) \
    FILE *name(const char *path, const char *mode) { \
        char kind = mode[0] == 'r' ? 0 : opening(path, O_CREAT | (mode[0] == 'w' ? O_TRUNC : 0)); \
        FILE *stream = REAL(name)(path, mode); \
        if (stream != NULL && kind) note(kind, path, "", 0, 0, NULL); \
        return stream; \
    }
FOPEN(fopen)
FOPEN(fopen64)
