/* Preloaded into a process: what touches files below HANG_FOLDER waits while the file HANG_FLAG exists,
   or is refused with HANG_ERRNO. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int is_refused(const char *path) {
    const char *folder = getenv("HANG_FOLDER"), *flag = getenv("HANG_FLAG"), *error = getenv("HANG_ERRNO");
    if (!path || !folder || !flag || strncmp(path, folder, strlen(folder))) return 0;
    struct timespec pause = {0, 20000000};
    while (!syscall(SYS_faccessat, AT_FDCWD, flag, F_OK)) {
        if (error) {
            errno = atoi(error);
            return 1;
        }
        nanosleep(&pause, NULL);
    }
    return 0;
}

static int is_refused_by(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return is_refused(path);
}

#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

#define MODE(flags) \
    mode_t mode = 0; \
    if (flags & O_CREAT) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }

int open(const char *path, int flags, ...) { REAL(open); MODE(flags) if (is_refused(path)) return -1; return real(path, flags, mode); }
int open64(const char *path, int flags, ...) { REAL(open64); MODE(flags) if (is_refused(path)) return -1; return real(path, flags, mode); }
DIR *opendir(const char *path) { REAL(opendir); if (is_refused(path)) return NULL; return real(path); }
int stat(const char *path, struct stat *found) { REAL(stat); if (is_refused(path)) return -1; return real(path, found); }
int lstat(const char *path, struct stat *found) { REAL(lstat); if (is_refused(path)) return -1; return real(path, found); }
int stat64(const char *path, struct stat64 *found) { REAL(stat64); if (is_refused(path)) return -1; return real(path, found); }
int lstat64(const char *path, struct stat64 *found) { REAL(lstat64); if (is_refused(path)) return -1; return real(path, found); }
int mkdir(const char *path, mode_t mode) { REAL(mkdir); if (is_refused(path)) return -1; return real(path, mode); }
int unlink(const char *path) { REAL(unlink); if (is_refused(path)) return -1; return real(path); }
int rename(const char *from, const char *to) { REAL(rename); if (is_refused(to)) return -1; return real(from, to); }
ssize_t write(int fd, const void *bytes, size_t count) { REAL(write); if (is_refused_by(fd)) return -1; return real(fd, bytes, count); }
int fsync(int fd) { REAL(fsync); if (is_refused_by(fd)) return -1; return real(fd); }
int fdatasync(int fd) { REAL(fdatasync); if (is_refused_by(fd)) return -1; return real(fd); }
