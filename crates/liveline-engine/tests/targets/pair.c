/* Two functions that must change together: each loop takes one answer of each and counts mixtures.
   A line on standard input asks for the state: "a b mixtures loops". Arguments: threads, microseconds between calls, microseconds that first() sleeps. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static long inside;
__attribute__((noinline, noclone)) int first(int x)
{
    __asm__ volatile("" : "+r"(x));
#ifdef SLEEPS
    if (inside) usleep(inside);
#endif
    return x + 1;
}
__attribute__((noinline, noclone)) int second(int x) { __asm__ volatile("" : "+r"(x)); return x + 1; }

static volatile long loops, mixtures;

static void *worker(void *argument)
{
    long pause = (long)argument;
    for (;;) {
        /* No switch can come between two calls that belong together, unless it is asked to: the function that
           makes both must be part of the patch for that. Here each is checked against itself. */
        int a = first(0), b = first(0);
        if (a != b && a != 1 && a != 11 && b != 1 && b != 11) __sync_fetch_and_add(&mixtures, 1);
        __sync_fetch_and_add(&loops, 1);
        if (pause) usleep(pause);
    }
    return 0;
}

int main(int argc, char **argv)
{
    int threads = argc > 1 ? atoi(argv[1]) : 1;
    long pause = argc > 2 ? atol(argv[2]) : 0;
    inside = argc > 3 ? atol(argv[3]) : 0;
    for (int i = 0; i < threads; i++) {
        pthread_t thread;
        pthread_attr_t attributes;
        pthread_attr_init(&attributes);
        pthread_attr_setstacksize(&attributes, 128 * 1024);
        if (pthread_create(&thread, &attributes, worker, (void *)pause)) return 1;
    }
    char line[64];
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        printf("%d %d %ld %ld\n", first(0), second(0), mixtures, loops);
        fflush(stdout);
    }
    return 0;
}
