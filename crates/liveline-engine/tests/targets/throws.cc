// Throws at a high rate on some threads, through a function that patches replace. A line on standard input asks:
// "a b wrong loops". `change(x, inner)` calls inner(x) and gives its result plus one.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <pthread.h>
#include <unistd.h>

static volatile long wrong, loops;
extern "C" {
volatile int cleaned;
struct Guard { volatile int *count; ~Guard() { __sync_fetch_and_add(count, 1); } };

__attribute__((noinline, noclone)) int thrower(int x) { if (x < 0) throw x; return x; }
__attribute__((noinline, noclone)) int change(int x, int (*inner)(int))
{
    __asm__ volatile("" : "+r"(x));
    return inner(x) + 1;
}
__attribute__((noinline, noclone)) int initialized(int x) { __asm__ volatile("" : "+r"(x)); return x + 1; }
}

static int (*volatile indirect)(int, int (*)(int)) = change;
static int sleeper(int) { for (;;) pause(); }

static int attempt(int x)
{
    try { return indirect(x, thrower); }
    catch (int thrown) { return thrown - 1000; }
    catch (const std::runtime_error &error) { return std::strcmp(error.what(), "new") ? -1 : -7000; }
}

static void *worker(void *argument)
{
    unsigned kind = (unsigned)(long)argument;
    for (;;) {
        int plain = attempt(5), thrown = attempt(-3);
        if ((plain != 6 && plain != 15) || (thrown != -1003 && thrown != -7000)) __sync_fetch_and_add(&wrong, 1);
        __sync_fetch_and_add(&loops, 1);
        if (kind) usleep(kind);
    }
    return 0;
}

static void *waits(void *) { indirect(1, sleeper); return 0; }

int main(int argc, char **argv)
{
    long pause = argc > 2 ? atol(argv[2]) : 0;
    for (int i = 0, n = argc > 1 ? atoi(argv[1]) : 1; i < n; i++) {
        pthread_t thread;
        if (pthread_create(&thread, 0, worker, (void *)pause)) return 1;
    }
    char line[64];
    pthread_t held = 0;
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        if (line[0] == 'c') {
            pthread_t thread;
            int before = cleaned;
            pthread_create(&thread, 0, waits, 0);
            usleep(20000);
            pthread_cancel(thread);
            pthread_join(thread, 0);
            printf("%d 0 %ld %ld\n", cleaned - before, wrong, loops);
        } else if (line[0] == 'h') {
            pthread_create(&held, 0, waits, 0);
            usleep(20000);
            puts("0 0 0 0");
        } else if (line[0] == 'l') {
            pthread_cancel(held);
            pthread_join(held, 0);
            puts("0 0 0 0");
        } else {
            printf("%d %d %ld %ld\n", attempt(line[0] == 't' ? -3 : 5), initialized(0), wrong, loops);
        }
        fflush(stdout);
    }
    return 0;
}
