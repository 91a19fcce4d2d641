/* The shared counters that a test reads while the target runs. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile uint64_t *counter;

static void counters_open(const char *path) {
    int fd = open(path, O_RDWR);
    counter = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (counter == MAP_FAILED) exit(9);
}

static inline void add(int n) { __atomic_add_fetch(&counter[n], 1, __ATOMIC_RELAXED); }

static inline void ready(void) { puts("ready"); fflush(stdout); }

static inline int64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000ll + t.tv_nsec / 1000;
}
