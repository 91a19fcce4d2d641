/* The program around a case: answers `ask` on stdin, and calls the case from other threads meanwhile.
 *
 * driver THREADS BEFORE AFTER: the threads call answer() all the time. Where BEFORE is not empty, each
 * answer must be BEFORE or AFTER, anything else is counted as wrong. With -DDLOPEN the case is a library
 * named by the environment variable CASE_LIBRARY. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
#include "case.h"

#define LINE 512

static const char *before = "", *after = "";
static unsigned long calls, wrong;
static char first_wrong[LINE];

#ifdef DLOPEN
static void (*call)(char *, unsigned long);
static void find_case(void) {
    void *library = dlopen(getenv("CASE_LIBRARY"), RTLD_NOW);
    if (library) call = (void (*)(char *, unsigned long))dlsym(library, "answer");
    if (!call) {
        fprintf(stderr, "%s\n", dlerror());
        exit(2);
    }
}
#else
static void call(char *out, unsigned long room) { answer(out, room); }
static void find_case(void) {}
#endif

static void *caller(void *unused) {
    char line[LINE];
    for (;;) {
        line[0] = 0;
        call(line, sizeof line);
        __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
        if (*before && strcmp(line, before) && strcmp(line, after)) {
            if (__atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED) == 0) memcpy(first_wrong, line, LINE);
        }
        usleep(50);
    }
    return unused;
}

int main(int count, char **words) {
    char line[LINE];
    int threads = count > 1 ? atoi(words[1]) : 0;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (count > 3) before = words[2], after = words[3];
    find_case();
    for (int i = 0; i < threads; i++) {
        pthread_t thread;
        if (pthread_create(&thread, 0, caller, 0)) return 2;
    }
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        if (!strcmp(line, "ask\n")) {
            line[0] = 0;
            call(line, sizeof line);
            puts(line);
        } else if (!strcmp(line, "count\n")) {
            printf("%lu %lu %s\n", __atomic_load_n(&calls, __ATOMIC_RELAXED),
                   __atomic_load_n(&wrong, __ATOMIC_RELAXED), first_wrong);
        } else {
            puts("?");
        }
        fflush(stdout);
    }
    return 0;
}
