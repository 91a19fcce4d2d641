/* Many threads. Modes: "sleep N": N threads that sleep 2 ms over and over; "storm N": N threads, each of which
   makes and joins short-lived threads; "leaderless N": as sleep, and the first thread ends.
   Counter 0: rounds; counter 1: wrong. */
#include "counters.h"

static void *sleeper(void *arg) {
    for (;;) {
        if (usleep(2000)) add(1);
        add(0);
    }
    return arg;
}

static void *shortlived(void *arg) { add(0); return arg; }

static void *creator(void *arg) {
    for (;;) {
        pthread_t t[4];
        int made[4];
        for (int i = 0; i < 4; i++) made[i] = !pthread_create(&t[i], 0, shortlived, (void *)&t);
        for (int i = 0; i < 4; i++) { void *r; if (made[i] && (pthread_join(t[i], &r) || r != (void *)&t)) add(1); }
    }
    return arg;
}

int main(int argc, char **argv) {
    counters_open(argv[1]);
    int storm = !strcmp(argv[2], "storm"), leaderless = !strcmp(argv[2], "leaderless");
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 128 << 10);
    pthread_t t;
    for (int i = 1; i < atoi(argv[3]); i++) if (pthread_create(&t, &small, storm ? creator : sleeper, 0)) return 5;
    ready();
    if (leaderless) pthread_exit(0);
    sleeper(0);
}
