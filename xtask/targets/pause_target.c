/* The target of `bench pause`: THREADS threads call work(); the first never sleeps and keeps its longest gap.
   usage: pause_target THREADS FILE    (FILE: at least sizeof(struct board) bytes, read and written by the bench) */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

int work(int x);

struct board {
    volatile uint64_t ready;   /* all threads run */
    volatile uint64_t reset;   /* the bench writes 1, the busy thread writes 0 */
    volatile uint64_t longest; /* longest gap between two looks at the clock since the reset, ns */
    volatile uint64_t result;  /* what work(0) gives: tells the code that runs */
};

static struct board *board;

static uint64_t clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *sleeper(void *argument) {
    volatile int sink;
    for (;;) {
        sink = work((int)(intptr_t)argument);
        (void)sink;
        usleep(10000);
    }
    return NULL;
}

int main(int argc, char **argv) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (argc != 3) return 2;
    int threads = atoi(argv[1]), file = open(argv[2], O_RDWR);
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (file < 0 || board == MAP_FAILED) return 1;
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 256 * 1024);
    for (int i = 1; i < threads; i++) {
        pthread_t thread;
        if (pthread_create(&thread, &small, sleeper, (void *)(intptr_t)i)) return 1;
    }
    board->ready = 1;
    for (uint64_t last = clock_ns();;) {
        uint64_t now = clock_ns(), gap = now - last;
        last = now;
        if (board->reset) {
            board->longest = 0;
            board->reset = 0;
        } else if (gap > board->longest) {
            board->longest = gap;
        }
        board->result = (uint64_t)work(0);
    }
}
