/* Functions that must change together: pair() calls left() and right(), which must be of one version.
 *
 * pair BUSY SLEEPERS: the threads call pair() all the time, the sleepers poll in between. `ask` prints the
 * version, `check` the mixtures seen and whether every thread still goes on. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define KEEP __attribute__((noinline, noclone, used))
#define MOST 64

static unsigned long mixtures, failed_polls;
static unsigned long turns[MOST];
static int threads;

#ifndef OWN_PAIR
KEEP int left(int x) { return x * 10 + VERSION; }
KEEP int right(int x) { return x * 100 + VERSION; }

/* The version, or 0 where the two halves differ. */
KEEP int pair(int x) {
    int one = left(x) - x * 10, two = right(x) - x * 100;
    return one == two && one == VERSION ? one : 0;
}
#endif

static void turn(long index) {
    int version = pair((int)index);
    if (version != 1 && version != 2) __atomic_add_fetch(&mixtures, 1, __ATOMIC_RELAXED);
    turns[index]++;
}

static void *busy(void *index) {
    for (;;) {
        turn((long)index);
        if (turns[(long)index] % 4096 == 0) usleep(100);
    }
    return 0;
}

static void *sleeper(void *index) {
    for (;;) {
        turn((long)index);
        if (poll(0, 0, 3) < 0) __atomic_add_fetch(&failed_polls, 1, __ATOMIC_RELAXED);
    }
    return 0;
}

static void check(void) {
    unsigned long before[MOST];
    int standing = threads;
    memcpy(before, turns, sizeof before);
    for (int wait = 0; wait < 4000 && standing; wait++) {
        standing = 0;
        for (int i = 1; i <= threads; i++) standing += *(volatile unsigned long *)&turns[i] == before[i];
        if (standing) usleep(2000);
    }
    printf("mixtures %lu failed %lu standing %d\n", mixtures, failed_polls, standing);
}

int main(int count, char **words) {
    char line[64];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (count < 3) return 2;
    int busy_threads = atoi(words[1]);
    threads = busy_threads + atoi(words[2]);
    if (threads >= MOST) return 2;
    for (long i = 1; i <= threads; i++) {
        pthread_t thread;
        if (pthread_create(&thread, 0, i <= busy_threads ? busy : sleeper, (void *)i)) return 2;
    }
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        if (!strcmp(line, "ask\n")) printf("%d\n", pair(0));
        else if (!strcmp(line, "check\n")) check();
        else puts("?");
        fflush(stdout);
    }
    return 0;
}
