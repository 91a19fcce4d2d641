/* Threads that are inside outer() nearly always, and inside first() many times for each outer(). On standard
   input a line asks: "first outer mixtures loops". Argument: threads. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

__attribute__((noinline, noclone)) int first(int x) { __asm__ volatile("nop\n nop" : "+r"(x)); return x + 1; }

__attribute__((noinline, noclone)) int outer(int x)
{
    int sum = 0;
    for (int i = 0; i < 300; i++) sum += first(x);
    return sum / 300;
}

static volatile long loops, mixtures;

static void *worker(void *argument)
{
    for (;;) {
        int sum = outer(0);
        if (sum != 1 && sum != 10) __sync_fetch_and_add(&mixtures, 1);
        __sync_fetch_and_add(&loops, 1);
    }
    return argument;
}

int main(int argc, char **argv)
{
    int threads = argc > 1 ? atoi(argv[1]) : 1;
    for (int i = 0; i < threads; i++) {
        pthread_t thread;
        if (pthread_create(&thread, 0, worker, 0)) return 1;
    }
    char line[64];
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        printf("%d %d %ld %ld\n", first(0), outer(0), mixtures, loops);
        fflush(stdout);
    }
    return 0;
}
