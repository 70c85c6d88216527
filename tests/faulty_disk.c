/* A disk that fails or hangs, for the files below one folder: a library to preload (see faulty_disk.py).
 *
 * FAULTY_DISK_FOLDER  the folder whose files are meant, absolute, without links and a slash at the end
 * FAULTY_DISK_CONTROL a folder of control files, looked at in each call:
 *     fail         a call that opens or changes something fails with the probability that this file holds
 *     refuse       each call on a path, and each that changes something, fails with the errno in this file
 *     hang-writes  a call that changes something waits until the file is gone, as on a frozen file system
 *     hang-all     every call waits until the file is gone, as on a dead NFS server
 * FAULTY_DISK_SEED    a number that the sequence of failures begins with
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* What a call does; each kind also meets the faults of those before it. */
enum kind {
    USES,    /* reads or closes an open file: hangs, and never fails */
    LOOKS,   /* looks at a path: can be refused; a disk that fails by chance can be looked at */
    OPENS,   /* opens a file that is there: can fail by chance */
    CHANGES, /* changes something: also hangs on a frozen file system */
};

static const int ERRORS[] = {ENOSPC, EIO, EDQUOT, EROFS, ESTALE};
static char folder[PATH_MAX], fail_file[PATH_MAX], refuse_file[PATH_MAX], writes_flag[PATH_MAX], all_flag[PATH_MAX];
static char control_folder[PATH_MAX];
static unsigned long long seed, calls;
static int (*real_open)(const char *, int, ...);
static ssize_t (*real_read)(int, void *, size_t);
static int (*real_close)(int);

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

/* Also called by a fork that gets an environment of its own (see warm_python.py). */
__attribute__((constructor)) void faulty_disk_begin(void) {
    const char *below = getenv("FAULTY_DISK_FOLDER"), *control = getenv("FAULTY_DISK_CONTROL");
    const char *number = getenv("FAULTY_DISK_SEED");
    real_open = real("open");
    real_read = real("read");
    real_close = real("close");
    seed = number ? strtoull(number, NULL, 10) : 0;
    if (!below || !control) return;
    snprintf(control_folder, PATH_MAX, "%s", control);
    snprintf(fail_file, PATH_MAX, "%s/fail", control);
    snprintf(refuse_file, PATH_MAX, "%s/refuse", control);
    snprintf(writes_flag, PATH_MAX, "%s/hang-writes", control);
    snprintf(all_flag, PATH_MAX, "%s/hang-all", control);
    snprintf(folder, PATH_MAX, "%s", below);
}

/* Between 0 and 1; splitmix64 of the number of the call, so that threads need no lock. */
static double chance(void) {
    unsigned long long z = (seed << 32) + __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
    z *= 0x9E3779B97F4A7C15ULL;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return ((z ^ (z >> 31)) >> 11) * (1.0 / 9007199254740992.0);
}

static int is_below(const char *path) {
    size_t length = strlen(folder);
    return length && !strncmp(path, folder, length) && (path[length] == '/' || !path[length]);
}

static int is_fd_below(int fd) {
    char link[64], path[PATH_MAX];
    if (!*folder || fd < 3) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_below(path);
}

static int is_path_below(int at, const char *path) {
    char whole[2 * PATH_MAX + 2], base[PATH_MAX];
    if (!*folder || !path) return 0;
    if (*path == '/') return is_below(path);
    if (at != AT_FDCWD) return is_fd_below(at);
    if (!getcwd(base, PATH_MAX)) return 0;
    snprintf(whole, sizeof whole, "%s/%s", base, path);
    return is_below(whole);
}

/* The number that a control file holds; 0 without the file. */
static double number_in(const char *path) {
    char text[32] = "";
    int before = errno, fd = real_open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (real_read(fd, text, sizeof text - 1) < 0) *text = 0;
        real_close(fd);
    }
    errno = before;
    return atof(text);
}

static int hangs(enum kind kind) {
    return !access(all_flag, F_OK) || (kind == CHANGES && !access(writes_flag, F_OK));
}

/* Wait, as in a call that the disk holds: without any use of a processor until a control file is removed. */
static void hang(enum kind kind) {
    const struct timespec pause = {0, 20000000};
    char events[4096];
    int before = errno, watch;
    if (hangs(kind)) {
        watch = inotify_init1(IN_CLOEXEC);
        if (watch >= 0 && inotify_add_watch(watch, control_folder, IN_DELETE | IN_MOVED_FROM) < 0) {
            real_close(watch);
            watch = -1;
        }
        while (hangs(kind)) {
            if (watch < 0) nanosleep(&pause, NULL);
            else if (real_read(watch, events, sizeof events) < 0 && errno != EINTR) nanosleep(&pause, NULL);
        }
        if (watch >= 0) real_close(watch);
    }
    errno = before;
}

/* Whether a call on a file below the folder is to fail, with errno set, after it has waited. */
static int fails(enum kind kind) {
    int error = 0;
    hang(kind);
    if (kind >= LOOKS) error = (int)number_in(refuse_file);
    if (!error && kind >= OPENS && chance() < number_in(fail_file))
        error = ERRORS[(int)(chance() * (sizeof ERRORS / sizeof *ERRORS))];
    if (error) errno = error;
    return error != 0;
}

ssize_t write(int fd, const void *bytes, size_t count) {
    static ssize_t (*call)(int, const void *, size_t);
    if (!call) call = real("write");
    if (is_fd_below(fd) && fails(CHANGES)) {
        if (count < 2 || number_in(refuse_file) || chance() >= 0.4) return -1;
        count = 1 + (size_t)(chance() * (count - 1)); /* a short write */
    }
    return call(fd, bytes, count);
}

ssize_t read(int fd, void *bytes, size_t count) {
    if (is_fd_below(fd)) hang(USES);
    return real_read(fd, bytes, count);
}

#define SYNC(NAME)                                        \
    int NAME(int fd) {                                    \
        static int (*call)(int);                          \
        if (!call) call = real(#NAME);                    \
        if (is_fd_below(fd) && fails(CHANGES)) return -1; \
        return call(fd);                                  \
    }
SYNC(fdatasync)
SYNC(fsync)

/* A network disk writes what it holds when a file is closed. */
int close(int fd) {
    if (is_fd_below(fd)) hang(USES);
    return real_close(fd);
}

#define OPEN(NAME)                                                      \
    int NAME(const char *path, int flags, ...) {                        \
        static int (*call)(const char *, int, ...);                     \
        if (!call) call = real(#NAME);                                  \
        va_list rest;                                                   \
        va_start(rest, flags);                                          \
        int mode = va_arg(rest, int);                                   \
        va_end(rest);                                                   \
        enum kind kind = flags & (O_CREAT | O_TRUNC) ? CHANGES : OPENS; \
        if (is_path_below(AT_FDCWD, path) && fails(kind)) return -1;    \
        return call(path, flags, mode);                                 \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(NAME)                                                    \
    int NAME(int at, const char *path, int flags, ...) {                \
        static int (*call)(int, const char *, int, ...);                \
        if (!call) call = real(#NAME);                                  \
        va_list rest;                                                   \
        va_start(rest, flags);                                          \
        int mode = va_arg(rest, int);                                   \
        va_end(rest);                                                   \
        enum kind kind = flags & (O_CREAT | O_TRUNC) ? CHANGES : OPENS; \
        if (is_path_below(at, path) && fails(kind)) return -1;          \
        return call(at, path, flags, mode);                             \
    }
OPENAT(openat)
OPENAT(openat64)

int rename(const char *from, const char *to) {
    static int (*call)(const char *, const char *);
    if (!call) call = real("rename");
    if (is_path_below(AT_FDCWD, to) && fails(CHANGES)) return -1;
    return call(from, to);
}

int renameat(int from_at, const char *from, int to_at, const char *to) {
    static int (*call)(int, const char *, int, const char *);
    if (!call) call = real("renameat");
    if (is_path_below(to_at, to) && fails(CHANGES)) return -1;
    return call(from_at, from, to_at, to);
}

int unlink(const char *path) {
    static int (*call)(const char *);
    if (!call) call = real("unlink");
    if (is_path_below(AT_FDCWD, path) && fails(CHANGES)) return -1;
    return call(path);
}

int unlinkat(int at, const char *path, int flags) {
    static int (*call)(int, const char *, int);
    if (!call) call = real("unlinkat");
    if (is_path_below(at, path) && fails(CHANGES)) return -1;
    return call(at, path, flags);
}

int mkdir(const char *path, mode_t mode) {
    static int (*call)(const char *, mode_t);
    if (!call) call = real("mkdir");
    if (is_path_below(AT_FDCWD, path) && fails(CHANGES)) return -1;
    return call(path, mode);
}

#define LOOK(NAME, STRUCT)                                            \
    int NAME(const char *path, struct STRUCT *found) {                \
        static int (*call)(const char *, struct STRUCT *);            \
        if (!call) call = real(#NAME);                                \
        if (is_path_below(AT_FDCWD, path) && fails(LOOKS)) return -1; \
        return call(path, found);                                     \
    }
LOOK(stat, stat)
LOOK(stat64, stat64)
LOOK(lstat, stat)
LOOK(lstat64, stat64)

#define LOOK_AT(NAME, STRUCT)                                             \
    int NAME(int at, const char *path, struct STRUCT *found, int flags) { \
        static int (*call)(int, const char *, struct STRUCT *, int);      \
        if (!call) call = real(#NAME);                                    \
        if (is_path_below(at, path) && fails(LOOKS)) return -1;           \
        return call(at, path, found, flags);                              \
    }
LOOK_AT(fstatat, stat)
LOOK_AT(fstatat64, stat64)

#define LOOK_FD(NAME, STRUCT)                     \
    int NAME(int fd, struct STRUCT *found) {      \
        static int (*call)(int, struct STRUCT *); \
        if (!call) call = real(#NAME);            \
        if (is_fd_below(fd)) hang(USES);          \
        return call(fd, found);                   \
    }
LOOK_FD(fstat, stat)
LOOK_FD(fstat64, stat64)

DIR *opendir(const char *path) {
    static DIR *(*call)(const char *);
    if (!call) call = real("opendir");
    if (is_path_below(AT_FDCWD, path) && fails(LOOKS)) return NULL;
    return call(path);
}

int flock(int fd, int operation) {
    static int (*call)(int, int);
    if (!call) call = real("flock");
    if (is_fd_below(fd)) hang(USES);
    return call(fd, operation);
}
