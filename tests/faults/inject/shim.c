/*
 * Gets between a server and its file system calls: loaded before libc by LD_PRELOAD.
 *
 * The environment variable REPLCLUS_SHIM names the control file. It is read anew whenever it was replaced (by rename), so a
 * fault begins and ends while the server runs. A line of it is a rule:
 *
 *     CALL ACTION MILLISECONDS PATTERN
 *
 * CALL is sync (fsync, fdatasync) or write (write, pwrite); ACTION is delay, hang, eio or enospc; PATTERN is a shell pattern
 * for the file's base name. Every rule that fits is obeyed, in order, until one fails the call. A hanging call looks at the
 * rules again every few milliseconds, and goes on when the one that held it is gone.
 *
 * The calls are made as bare system calls, so that hardly any symbol version of libc is needed: the same file serves a server
 * that runs on a newer libc than the one it was compiled against.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define RULES_MAX 16
#define CONTROL_BYTES_MAX 4096
#define HANG_LOOK_MS 10

struct rule {
    char call[16], action[16], pattern[128];
    long milliseconds;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct rule rules[RULES_MAX];
static int rule_count;
static struct stat seen;

static void pause_ms(long milliseconds) {
    struct timespec left = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    while (nanosleep(&left, &left) == -1 && errno == EINTR) {
    }
}

/* With the lock held. A control file that is missing or cannot be read holds no rules. */
static void read_rules(const char *path) {
    char text[CONTROL_BYTES_MAX + 1];
    rule_count = 0;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    ssize_t length = syscall(SYS_read, fd, text, CONTROL_BYTES_MAX);
    syscall(SYS_close, fd);
    if (length <= 0) return;
    text[length] = '\0';
    char *rest = text, *line;
    while (rule_count < RULES_MAX && (line = strsep(&rest, "\n")) != NULL) {
        struct rule *rule = &rules[rule_count];
        if (sscanf(line, "%15s %15s %ld %127s", rule->call, rule->action, &rule->milliseconds, rule->pattern) == 4) rule_count++;
    }
}

static int present_rules(struct rule *copy) {
    const char *path = getenv("REPLCLUS_SHIM");
    struct stat now;
    if (path == NULL) return 0;
    memset(&now, 0, sizeof now);
    if (stat(path, &now) != 0) now.st_ino = 0;
    pthread_mutex_lock(&lock);
    if (now.st_ino != seen.st_ino || now.st_mtim.tv_sec != seen.st_mtim.tv_sec || now.st_mtim.tv_nsec != seen.st_mtim.tv_nsec) {
        seen = now;
        read_rules(path);
    }
    int count = rule_count;
    memcpy(copy, rules, sizeof(struct rule) * (size_t)count);
    pthread_mutex_unlock(&lock);
    return count;
}

static const char *base_name(int fd, char *target) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, target, PATH_MAX);
    if (length < 0) return "";
    target[length] = '\0';
    const char *slash = strrchr(target, '/');
    return slash == NULL ? target : slash + 1;
}

/* 0 if the call may be made, else the error that it fails with. */
static int obey(const char *call, int fd) {
    struct rule now[RULES_MAX];
    char target[PATH_MAX + 1];
    int count = present_rules(now), before = errno;
    if (count == 0) return 0;
    const char *name = base_name(fd, target);
    for (int i = 0; i < count; i++) {
        if (strcmp(now[i].call, call) != 0 || fnmatch(now[i].pattern, name, 0) != 0) continue;
        if (strcmp(now[i].action, "eio") == 0) return EIO;
        if (strcmp(now[i].action, "enospc") == 0) return ENOSPC;
        if (strcmp(now[i].action, "delay") == 0) pause_ms(now[i].milliseconds);
        if (strcmp(now[i].action, "hang") == 0) {
            pause_ms(HANG_LOOK_MS);
            count = present_rules(now);
            i = -1;
        }
    }
    errno = before;
    return 0;
}

static int refused(const char *call, int fd) {
    int error = obey(call, fd);
    if (error != 0) errno = error;
    return error != 0;
}

int fsync(int fd) { return refused("sync", fd) ? -1 : (int)syscall(SYS_fsync, fd); }

int fdatasync(int fd) { return refused("sync", fd) ? -1 : (int)syscall(SYS_fdatasync, fd); }

ssize_t write(int fd, const void *from, size_t size) { return refused("write", fd) ? -1 : syscall(SYS_write, fd, from, size); }

ssize_t pwrite(int fd, const void *from, size_t size, off_t at) {
    return refused("write", fd) ? -1 : syscall(SYS_pwrite64, fd, from, size, at);
}

ssize_t pwrite64(int fd, const void *from, size_t size, off64_t at) {
    return refused("write", fd) ? -1 : syscall(SYS_pwrite64, fd, from, size, at);
}
