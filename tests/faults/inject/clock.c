/*
 * Moves the wall clock of the process it is loaded into by LD_PRELOAD.
 *
 * The environment variable REPLCLUS_CLOCK names a file whose first eight bytes are the offset in nanoseconds, a native integer. It
 * is mapped into memory, so that the clock moves at once, and asking for the time costs nothing: servers do so all the time.
 *
 * Who waits until a moment of the wall clock has computed it from the moved one: it is moved back. Moments of the monotonic clock,
 * which is never moved, are recognised by their size: a machine has not been up for thirty years.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000LL
#define MONOTONIC_S_MAX 1000000000LL

static const volatile long long *control;

static long long offset_ns(void) { return control == NULL ? 0 : *control; }

__attribute__((constructor)) static void map_control(void) {
    const char *path = getenv("REPLCLUS_CLOCK");
    int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    void *mapped = mmap(NULL, sizeof(long long), PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (mapped != MAP_FAILED) control = mapped;
}

static struct timespec moved(struct timespec moment, long long by_ns) {
    long long ns = moment.tv_sec * NS_PER_S + moment.tv_nsec + by_ns;
    return (struct timespec){ns / NS_PER_S, ns % NS_PER_S};
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = (int)syscall(SYS_clock_gettime, clock, now);
    if (failed == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) *now = moved(*now, offset_ns());
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec exact;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &exact) != 0) return -1;
    *now = (struct timeval){exact.tv_sec, exact.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *now) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (now != NULL) *now = exact.tv_sec;
    return exact.tv_sec;
}

static struct timespec true_moment(const struct timespec *moment) {
    return moment->tv_sec < MONOTONIC_S_MAX ? *moment : moved(*moment, -offset_ns());
}

int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex, const struct timespec *restrict until) {
    static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    struct timespec moment = true_moment(until);
    /* There is an older one of the same name, for condition variables of another shape. */
    if (real == NULL) real = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    return real(cond, mutex, &moment);
}

int pthread_cond_clockwait(pthread_cond_t *cond, pthread_mutex_t *mutex, clockid_t clock, const struct timespec *until) {
    static int (*real)(pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *);
    struct timespec moment = true_moment(until);
    if (real == NULL) real = dlsym(RTLD_NEXT, "pthread_cond_clockwait");
    return real(cond, mutex, clock, &moment);
}
