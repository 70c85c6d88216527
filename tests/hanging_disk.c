/* Preloaded into a process: what touches files below HANG_FOLDER waits while the file HANG_FLAG exists. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void wait_for_disk(const char *path) {
    const char *folder = getenv("HANG_FOLDER"), *flag = getenv("HANG_FLAG");
    if (!path || !folder || !flag || strncmp(path, folder, strlen(folder))) return;
    struct timespec pause = {0, 20000000};
    while (!syscall(SYS_faccessat, AT_FDCWD, flag, F_OK)) nanosleep(&pause, NULL);
}

static void wait_for_descriptor(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    if (length <= 0) return;
    path[length] = 0;
    wait_for_disk(path);
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

int open(const char *path, int flags, ...) { REAL(open); MODE(flags) wait_for_disk(path); return real(path, flags, mode); }
int open64(const char *path, int flags, ...) { REAL(open64); MODE(flags) wait_for_disk(path); return real(path, flags, mode); }
DIR *opendir(const char *path) { REAL(opendir); wait_for_disk(path); return real(path); }
int stat(const char *path, struct stat *found) { REAL(stat); wait_for_disk(path); return real(path, found); }
int lstat(const char *path, struct stat *found) { REAL(lstat); wait_for_disk(path); return real(path, found); }
int stat64(const char *path, struct stat64 *found) { REAL(stat64); wait_for_disk(path); return real(path, found); }
int lstat64(const char *path, struct stat64 *found) { REAL(lstat64); wait_for_disk(path); return real(path, found); }
int mkdir(const char *path, mode_t mode) { REAL(mkdir); wait_for_disk(path); return real(path, mode); }
int unlink(const char *path) { REAL(unlink); wait_for_disk(path); return real(path); }
int rename(const char *from, const char *to) { REAL(rename); wait_for_disk(to); return real(from, to); }
ssize_t write(int fd, const void *bytes, size_t count) { REAL(write); wait_for_descriptor(fd); return real(fd, bytes, count); }
int fsync(int fd) { REAL(fsync); wait_for_descriptor(fd); return real(fd); }
int fdatasync(int fd) { REAL(fdatasync); wait_for_descriptor(fd); return real(fd); }
