/* The target of `bench call`: two functions alike, one of which is patched; it measures itself.
   For each line on standard input: ROUNDS times CALLS calls of each, by turns; prints the ns per call of both, a
   line a round, then "result N" with what the patched one makes of 0. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <time.h>

#define ROUNDS 11
#define CALLS 100000000ul

uint64_t beside(uint64_t x);
uint64_t patched(uint64_t x);

static double clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Two loops, aligned alike, each with a direct call as compilers make it. */
__attribute__((noinline, aligned(64))) static double time_beside(uint64_t *x) {
    double began = clock_ns();
    for (uint64_t i = 0; i < CALLS; i++) *x = beside(*x);
    return (clock_ns() - began) / (double)CALLS;
}

__attribute__((noinline, aligned(64))) static double time_patched(uint64_t *x) {
    double began = clock_ns();
    for (uint64_t i = 0; i < CALLS; i++) *x = patched(*x);
    return (clock_ns() - began) / (double)CALLS;
}

int main(void) {
    char line[16];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        for (int i = 0; i < ROUNDS; i++) {
            uint64_t x = 0, y = 0;
            double a = time_beside(&x);
            double b = time_patched(&y);
            printf("%.4f %.4f\n", a, b);
        }
        printf("result %lu\n", (unsigned long)patched(0));
        fflush(stdout);
    }
    return 0;
}
